"""Processing elements and lanes stripped to what they compute, for comparing PEs.

`BarePE` is what published comparisons of AdderNets with multiplying networks count: operands in,
one accumulator. `BareLane` is a lane of the core (`hdl.lane`, `hdl.l1_lane`) without what need not
stand in every lane. Both exist for either PE: "mac" multiplies pixel and weight, "l1" takes the
smaller of both, the min form of |x - w|.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.lane import Old
from hdl.memory import Ram

PES = ("mac", "l1")


def check_pe(pe: str) -> None:
    """Raise ValueError if there is no such PE."""
    if pe not in PES:
        raise ValueError(f"pe must be 'mac' or 'l1', not {pe!r}")


def pe_reach(pe: str, bits: int, taps: int) -> int:
    """Largest sum of so many terms in a `BarePE`."""
    largest = (1 << bits) - 1
    return taps * largest * (largest if pe == "mac" else 1)


class BarePE(wiring.Component):
    """One processing element: unsigned operands, an unsigned accumulator.

    With `en`, the sum takes in the term of this cycle's operands; with `clear` it becomes 0
    instead. One term per cycle, and the sum stands one cycle later; no flow control.

    Parameters
    ----------
    pe : "mac" or "l1"
    bits : of an operand
    taps : terms that the accumulator, as narrow as can be, holds without wrapping
    complement : `weight` is given as its complement, of which an adder's carry makes the comparison
    """

    def __init__(self, pe: str, bits: int, taps: int, *, complement: bool = False):
        check_pe(pe)
        if complement and pe != "l1":
            raise ValueError("complement must go with pe='l1'")
        self._pe, self._complement = pe, complement
        super().__init__(
            {
                "pixel": In(bits),
                "weight": In(bits),
                "en": In(1),
                "clear": In(1),
                "sum": Out(pe_reach(pe, bits, taps).bit_length()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        x, w = self.pixel, self.weight
        if self._pe == "mac":
            term = x * w
        elif self._complement:
            apart = Signal(len(x) + 1)  # x + ~w, which overflows if x > w
            m.d.comb += apart.eq(x + w)
            term = Mux(apart[-1], ~w, x)
        else:
            term = Mux(x < w, x, w)
        with m.If(self.clear):
            m.d.sync += self.sum.eq(0)
        with m.Elif(self.en):
            m.d.sync += self.sum.eq(self.sum + term)
        return m


def pixel_shape(pe: str, bits: int) -> Shape:
    """Shape of the pixel as a lane gets it: as in the core, with its zero point subtracted."""
    if pe == "l1":
        return unsigned(bits)
    return signed(bits + 1) if bits < 16 else signed(bits)


def lane_reach(pe: str, bits: int, taps: int) -> int:
    """Largest magnitude of a sum of so many terms in a lane.

    A multiplying lane has weights of `bits` bits with sign, and pixels of `pixel_shape` that are
    maps' pixels less the zero point; an L1 lane has neither signs nor products.
    """
    largest = (1 << bits) - 1
    if pe == "l1":
        return taps * largest
    return taps * min(largest, 1 << 15) * (1 << bits - 1)


class ClearedRam(wiring.Component):
    """A memory as `hdl.memory.Ram`, whose output register can be cleared instead of loaded.

    What a read gives is undefined for a word that is written in the same cycle.

    Parameters
    ----------
    width : of a word, in bits
    depth : words
    """

    def __init__(self, width: int, depth: int):
        self._width, self._depth = width, depth
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In(range(depth)),
                "w_data": In(width),
                "r_addr": In(range(depth)),
                "r_clear": In(1),
                "r_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        quiet: dict[str, Any] = {"no_rw_check": True}
        m.submodules.words = words = Memory(
            shape=self._width, depth=self._depth, init=[], attrs=quiet
        )
        write, read = words.write_port(), words.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            read.addr.eq(self.r_addr),
        ]
        m.d.sync += self.r_data.eq(Mux(self.r_clear, 0, read.data))
        return m


class BareLane(wiring.Component):
    """A lane without pooling.

    It can stand behind the lanes, once per cluster, where the sum of pixels that L1 lanes share is
    subtracted before the maximum is taken. What is left is the weight memory, the PE, accumulators
    with the forwarding of a sum just made, and a shadow of finished sums that shifts along the
    lanes.

    A step enters in cycle t; its weight is read in t, its term made in t + 1 and added in t + 2;
    a row that takes the sum shows it from t + 3 on. One step per cycle, no flow control. Signals
    named `_1` and `_2` belong to the step of one and two cycles before: a cluster delays them once
    for all lanes. The pixel of a step that takes a sum shall be 0.

    Parameters
    ----------
    pe : "mac" or "l1"
    bits : of pixels and weights
    taps : terms that an accumulator, as narrow as can be, holds without wrapping
    weight_words, acc_words : of the two memories; with `acc_words` 0 the accumulators stand in a
        memory outside, which the lanes of a cluster can share, as their addresses are the same
    rows : shadow rows
    carry_mux : let the adder choose between the sum just made and the one read (`hdl.select_add`)

    Members
    -------
    address, pixel : of the step
    weight_en, weight_address, weight_data : write port of the weight memory
    slot_1, fresh_1 : accumulator that is read, and whether it starts from 0
    visit_2, slot_2 : the sum is written back
    forward_2 : it starts from the sum just made, not from what was read
    take_2, shift, shift_in, shadow : rows that take the sum, or their neighbour's value
    read_2, total_2 : sum read and sum made, where accumulators stand outside
    """

    def __init__(
        self,
        pe: str,
        bits: int,
        taps: int,
        *,
        weight_words: int,
        acc_words: int = 16,
        rows: int = 2,
        carry_mux: bool = False,
    ):
        check_pe(pe)
        self._pe, self._bits = pe, bits
        self._weight_words, self._acc_words = weight_words, acc_words
        self._carry_mux = carry_mux
        sign = 1 if pe == "mac" else 0
        self.acc_bits = lane_reach(pe, bits, taps).bit_length() + sign
        row_values = data.ArrayLayout(self.acc_bits, rows)
        slots = range(acc_words or 16)
        super().__init__(
            {
                "address": In(range(weight_words)),
                "pixel": In(pixel_shape(pe, bits)),
                "weight_en": In(1),
                "weight_address": In(range(weight_words)),
                "weight_data": In(bits),
                "slot_1": In(slots),
                "fresh_1": In(1),
                "visit_2": In(1),
                "slot_2": In(slots),
                "forward_2": In(1),
                "take_2": In(rows),
                "shift": In(rows),
                "shift_in": In(row_values),
                "shadow": Out(row_values),
                "read_2": In(self.acc_bits),
                "total_2": Out(self.acc_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        term = self._term(m)
        latest, read = Signal(self.acc_bits), self._read(m)
        old = Old(self.forward_2, read, latest)
        if self._carry_mux:
            # The term of a step that takes a finished sum is 0.
            done = total = old.plus(m, term)
        else:
            done = old.value()
            total = done + term
        m.d.comb += self.total_2.eq(total)
        m.d.sync += latest.eq(self.total_2)
        for row, value in enumerate(self.shadow):
            with m.If(self.take_2[row]):
                m.d.sync += value.eq(done)
            with m.Elif(self.shift[row]):
                m.d.sync += value.eq(self.shift_in[row])
        return m

    def _term(self, m: Module) -> Value:
        """Cycles t and t + 1: read the weight, make the term."""
        shape = signed(self._bits) if self._pe == "mac" else unsigned(self._bits)
        m.submodules.weights = weights = Ram(shape, self._weight_words)
        x, w = Signal.like(self.pixel), weights.r_data
        m.d.comb += [
            weights.w_en.eq(self.weight_en),
            weights.w_addr.eq(self.weight_address),
            weights.w_data.eq(self.weight_data),
            weights.r_addr.eq(self.address),
        ]
        m.d.sync += x.eq(self.pixel)
        product = x * w if self._pe == "mac" else Mux(x < w, x, w)
        term = Signal(product.shape())
        m.d.sync += term.eq(product)
        return term

    def _read(self, m: Module) -> Value:
        """Cycle t + 1: read the accumulator, which stands in t + 2."""
        if not self._acc_words:
            return self.read_2
        m.submodules.sums = sums = ClearedRam(self.acc_bits, self._acc_words)
        m.d.comb += [
            sums.r_addr.eq(self.slot_1),
            sums.r_clear.eq(self.fresh_1),
            sums.w_en.eq(self.visit_2),
            sums.w_addr.eq(self.slot_2),
            sums.w_data.eq(self.total_2),
        ]
        return sums.r_data


class BareArray(wiring.Component):
    """The lanes of a cluster with one memory for all of their accumulators.

    Finished sums shift towards lane 0; the signals of a step are registered once for all lanes.
    Latency and throughput are those of `BareLane`, one cycle later.

    Parameters
    ----------
    lanes : how many
    acc_words : accumulators of each lane
    pe, bits, taps, weight_words, rows, carry_mux : see `BareLane`

    Members
    -------
    step : address, pixel, slot, visit, fresh, forward and take of one step
    weight_en : one bit per lane
    weight_address, weight_data, shift : see `BareLane`
    heads : shadow rows of lane 0
    """

    def __init__(
        self,
        pe: str,
        bits: int,
        taps: int,
        *,
        lanes: int,
        weight_words: int,
        acc_words: int = 16,
        rows: int = 1,
        carry_mux: bool = False,
    ):
        self._acc_words = acc_words
        self._lanes = [
            BareLane(
                pe,
                bits,
                taps,
                weight_words=weight_words,
                acc_words=0,
                rows=rows,
                carry_mux=carry_mux,
            )
            for _ in range(lanes)
        ]
        self._step = data.StructLayout(
            {
                "address": range(weight_words),
                "pixel": pixel_shape(pe, bits),
                "slot": range(acc_words),
                "visit": 1,
                "fresh": 1,
                "forward": 1,
                "take": rows,
            }
        )
        super().__init__(
            {
                "step": In(self._step),
                "weight_en": In(lanes),
                "weight_address": In(range(weight_words)),
                "weight_data": In(bits),
                "shift": In(rows),
                "heads": Out(data.ArrayLayout(self._lanes[0].acc_bits, rows)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        acc_bits = self._lanes[0].acc_bits
        m.submodules.sums = sums = ClearedRam(acc_bits * len(self._lanes), self._acc_words)
        steps = [self.step]
        for cycle in range(3):
            step = Signal(self._step, name=f"step_{cycle}")
            m.d.sync += step.eq(steps[-1])
            steps.append(step)
        _, now, before, earlier = steps
        m.d.comb += [
            sums.r_addr.eq(before.slot),
            sums.r_clear.eq(before.fresh),
            sums.w_en.eq(earlier.visit),
            sums.w_addr.eq(earlier.slot),
            sums.w_data.eq(Cat(lane.total_2 for lane in self._lanes)),
            self.heads.eq(self._lanes[0].shadow),
        ]
        for n, lane in enumerate(self._lanes):
            m.submodules[f"lane_{n}"] = lane
            m.d.comb += [
                lane.address.eq(now.address),
                lane.pixel.eq(now.pixel),
                lane.weight_en.eq(self.weight_en[n]),
                lane.weight_address.eq(self.weight_address),
                lane.weight_data.eq(self.weight_data),
                lane.forward_2.eq(earlier.forward),
                lane.take_2.eq(earlier.take),
                lane.shift.eq(self.shift),
                lane.read_2.eq(sums.r_data.word_select(n, acc_bits)),
            ]
            if n + 1 < len(self._lanes):
                m.d.comb += lane.shift_in.eq(self._lanes[n + 1].shadow)
        return m
