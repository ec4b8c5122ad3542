"""The requantiser: from exact sums, without their biases, to the values of the output map."""

from typing import Any

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from golden.descriptor import ROUND_HALF_EVEN
from golden.params import Build
from hdl.delay import delayed
from hdl.layouts import PASS_CONFIG, drain_chunk, value_chunk
from hdl.scale import ROUNDED, WHOLE_BITS, ScalePath

#: Cycles from a sum to its sum with the bias.
BIAS_LATENCY = 2


class ShiftPath(wiring.Component):
    """round(sum / 2**shift), for builds without scales.

    Latency `LATENCY` cycles, throughput one sum per cycle, no flow control. A magnitude of
    2**19 or more may come out as any other such.

    Members
    -------
    config : `shift` and `rounding`, stable
    sum : -2**(acc_bits - 1) to 2**(acc_bits - 1) - 1
    o : the rounded quotient
    """

    #: Cycles from `sum` to `o`.
    LATENCY = 1

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "sum": In(signed(build.acc_bits)),
                "o": Out(ROUNDED),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shift = self.config.shift
        halves = Signal(signed(self._build.acc_bits + 1))  # the quotient and one bit more
        whole = Signal(signed(self._build.acc_bits))
        lost = Cat(bit & (shift > i + 1) for i, bit in enumerate(self.sum)).any()
        half, rest = Signal(), Signal()
        m.d.comb += [
            halves.eq(Cat(0, self.sum).as_signed() >> shift),
            whole.eq(halves >> 1),
        ]
        m.d.sync += [
            half.eq(halves[0]),
            rest.eq(lost),
            self.o.addend.eq(whole),
        ]
        top = whole[WHOLE_BITS:]
        with m.If(top.any() & ~top.all()):
            m.d.sync += self.o.addend.eq(Cat((~whole[-1]).replicate(WHOLE_BITS), whole[-1]))
        with m.If(self.config.rounding == ROUND_HALF_EVEN):
            m.d.comb += self.o.carry.eq(half & (rest | self.o.addend[0]))
        return m


class RequantLane(wiring.Component):
    """Requantises one sum per cycle: scale or shift, add the zero point, clamp.

    Latency `Build.requant_latency` less `BIAS_LATENCY` cycles, throughput one sum per cycle, no
    flow control.

    Members
    -------
    config : `requant`, `rounding`, `shift`, `out_zero`, `clamp_low`, `clamp_high`; stable
    sum : -2**(acc_bits - 1) to 2**(acc_bits - 1) - 1
    scale : see `hdl.scale.ScalePath`; only in a build with scales
    value : the raw value
    """

    def __init__(self, build: Build):
        self._build = build
        members = {
            "config": In(PASS_CONFIG),
            "sum": In(signed(build.acc_bits)),
            "value": Out(build.act_bits),
        }
        if "scale" in build.requant:
            members["scale"] = In(31)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        if "scale" in self._build.requant:
            m.submodules.path = path = ScalePath(self._build)
            m.d.comb += path.scale.eq(self.scale)
        else:
            m.submodules.path = path = ShiftPath(self._build)
        m.d.comb += [path.config.eq(self.config), path.sum.eq(self.sum)]

        total = Signal(signed(WHOLE_BITS + 2))
        # The carry rides as the least significant bit, so that one adder does.
        with_carry = (
            Cat(path.o.carry, path.o.addend).as_signed()
            + Cat(path.o.carry, self.config.out_zero).as_signed()
        )
        m.d.sync += total.eq(with_carry >> 1)

        with m.If(total < self.config.clamp_low):
            m.d.sync += self.value.eq(self.config.clamp_low)
        with m.Elif(total > self.config.clamp_high):
            m.d.sync += self.value.eq(self.config.clamp_high)
        with m.Else():
            m.d.sync += self.value.eq(total)
        return m


class Requantiser(wiring.Component):
    """Adds the biases to the chunks that leave the array, and requantises them.

    Latency `Build.requant_latency` cycles, throughput one chunk per cycle, no flow control: `i` is
    always ready, and `o.ready` is not looked at. The drain sends no chunk for which the encoder
    has no room.

    Members
    -------
    config : the pass; stable while chunks are inside
    bias_en, scale_en, parameter_bank, parameter_channel, parameter : write the bias of a channel
        of a pass, or its scale as float32 bits: positive, finite, normal; only to the bank that no
        chunk uses. A build without scales looks at biases alone
    bank : the bank that is used; stable while chunks are inside
    channel : the first channel of the chunk that comes one cycle later, a multiple of `drain`
    i : sums, see `hdl.layouts.drain_chunk`
    o : values, see `hdl.layouts.value_chunk`; those of channels that are not `real` mean nothing
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "bias_en": In(1),
                "scale_en": In(1),
                "parameter_bank": In(1),
                "parameter_channel": In(8),
                "parameter": In(64),
                "bank": In(1),
                "channel": In(8),
                "i": In(stream.Signature(drain_chunk(build))),
                "o": Out(stream.Signature(value_chunk(build))),
            }
        )

    def elaborate(self, platform):
        build = self._build
        m = Module()
        chunk = self.i.payload

        m.d.comb += self.i.ready.eq(1)

        # What goes along with the sums.
        tag = data.StructLayout(
            {
                "valid": unsigned(1),
                "real": unsigned(build.drain),
                "context": unsigned(4),
                "packet_end": unsigned(1),
                "segment_end": unsigned(1),
            }
        )
        entering = Signal(tag)
        m.d.comb += [
            entering.valid.eq(self.i.valid),
            entering.real.eq(chunk.real),
            entering.context.eq(chunk.context),
            entering.packet_end.eq(chunk.packet_end),
            entering.segment_end.eq(chunk.segment_end),
        ]
        leaving = delayed(m, entering, build.requant_latency, "tag")
        m.d.comb += [
            self.o.valid.eq(leaving.valid),
            self.o.payload.real.eq(leaving.real),
            self.o.payload.context.eq(leaving.context),
            self.o.payload.packet_end.eq(leaving.packet_end),
            self.o.payload.segment_end.eq(leaving.segment_end),
        ]

        # A chunk's biases stand when it enters, late in the cycle, and are added one cycle later. A
        # reset would stand in their way.
        acc = signed(build.acc_bits)
        sums, biases, biased = (
            Signal(data.ArrayLayout(acc, build.drain), name=n, reset_less=True)
            for n in ("sums", "biases", "biased")
        )
        m.d.sync += [
            sums.eq(chunk.sums),
            biases.eq(self._parameters(m, "biases", acc, self.bias_en, self.channel)),
            *(biased[n].eq(sums[n] + biases[n]) for n in range(build.drain)),
        ]

        lanes = [RequantLane(build) for _ in range(build.drain)]
        for n, lane in enumerate(lanes):
            m.submodules[f"lane_{n}"] = lane
            m.d.comb += [
                lane.config.eq(self.config),
                lane.sum.eq(biased[n]),
                self.o.payload.values[n].eq(lane.value),
            ]
        if "scale" in build.requant:
            # Scales come late in their cycle too, and so are registered.
            late = BIAS_LATENCY + ScalePath.SCALE_LATE - 1
            channel = delayed(m, self.channel, late, "channel")
            scales = Signal(data.ArrayLayout(31, build.drain), reset_less=True)
            m.d.sync += scales.eq(
                self._parameters(m, "scales", unsigned(31), self.scale_en, channel)
            )
            m.d.comb += [lane.scale.eq(scales[n]) for n, lane in enumerate(lanes)]
        return m

    def _parameters(
        self, m: Module, name: str, shape: ShapeLike, enable: Value, channel: Value
    ) -> data.View:
        """Hold a parameter of each channel; return those of a chunk, a cycle after `channel`."""
        build = self._build
        lane_bits = exact_log2(build.drain)
        index_bits = exact_log2(build.lanes) - lane_bits

        def place(channel: Any, bank: Any) -> Value:
            """Address of a channel's chunk in a bank."""
            return Cat(channel[lane_bits : lane_bits + index_bits], bank)

        # The bank that is written is never the one that is read.
        quiet: dict[str, Any] = {"no_rw_check": True}
        m.submodules[name] = memory = Memory(
            shape=data.ArrayLayout(shape, build.drain),
            depth=2 * build.lanes // build.drain,
            init=[],
            attrs=quiet,
        )
        write, read = memory.write_port(granularity=1), memory.read_port()
        written = self.parameter[: Shape.cast(shape).width].replicate(build.drain)
        m.d.comb += [
            write.en.eq(enable << self.parameter_channel[:lane_bits]),
            write.addr.eq(place(self.parameter_channel, self.parameter_bank)),
            write.data.eq(written),
            read.addr.eq(place(channel, self.bank)),
        ]
        return read.data
