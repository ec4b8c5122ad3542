"""Multiplication of a sum by a float32 scale, to the bit as ONNX Runtime does it."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.descriptor import REQUANT_SHIFT, ROUND_FLOOR
from golden.params import Build, ceil_div
from hdl.layouts import PASS_CONFIG

#: Bits of the rounded value's `addend`; a magnitude that needs more saturates.
WHOLE_BITS = 20

#: Layout of a rounded value that is not added up yet: `addend` + `carry`.
ROUNDED = data.StructLayout({"addend": signed(WHOLE_BITS + 1), "carry": unsigned(1)})

SIGNIFICAND = 24  # bits of a float32's significand, the leading one included
HALF = SIGNIFICAND // 2  # bits of a factor of a partial product; fits any multiplier block
FURTHEST = 20  # places to move the binary point, beyond which every product is below one half


class ScalePath(wiring.Component):
    """rint(f32(sum) x scale), every step in IEEE float32 with ties to even.

    A shift is the scale 2**-shift, exact but for the last rounding: the first rounding then keeps
    what it drops as a sticky bit, and the last one rounds as the configuration says.

    Latency `LATENCY` cycles, throughput one sum per cycle, no flow control: enable the whole
    component to stall it. Results of 2**20 and more, infinity among them, become 2**20 or so.

    Members
    -------
    config : `requant`, `rounding` and `shift`, stable
    sum : -2**(acc_bits - 1) to 2**(acc_bits - 1) - 1
    scale : float32 bits without the sign, finite and normal; belongs to the sum that came
        `SCALE_LATE` cycles before
    o : the rounded product
    """

    #: Cycles from `sum` to `o`.
    LATENCY = 9
    #: Cycles from `sum` to the cycle in which its `scale` must stand.
    SCALE_LATE = 3

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "sum": In(signed(build.acc_bits)),
                "scale": In(31),
                "o": Out(ROUNDED),
            }
        )

    def elaborate(self, platform):
        m = Module()
        by_shift = Signal()
        m.d.comb += by_shift.eq(self.config.requant == REQUANT_SHIFT)

        negative, bits, zeros = self._normalise(m)

        # Cycle 4: round to a significand. A shift must not round here: it keeps a sticky bit.
        kept = bits[-SIGNIFICAND:]
        dropped = bits[:-SIGNIFICAND]
        up, sticky = Signal(), Signal()
        if len(dropped):
            m.d.comb += [
                up.eq(~by_shift & dropped[-1] & (dropped[:-1].any() | kept[0])),
                sticky.eq(by_shift & dropped.any()),
            ]
        rounded = Signal(SIGNIFICAND + 1)
        significand = Signal(SIGNIFICAND)
        carried, zeros_4 = Signal(), Signal.like(zeros)
        m.d.comb += rounded.eq((kept | sticky) + up)
        m.d.sync += [
            significand.eq(Cat(rounded[: SIGNIFICAND - 1], rounded[-2:].any())),
            carried.eq(rounded[-1]),
            zeros_4.eq(zeros),
        ]

        # Cycle 4 too: the factor. A shift is a power of two.
        factor, exponent = Signal(SIGNIFICAND), Signal(8)
        m.d.sync += [
            factor.eq(Cat(Mux(by_shift, 0, self.scale[:23]), 1)),
            exponent.eq(Mux(by_shift, 127 - self.config.shift, self.scale[23:])),
        ]

        # Cycle 5: partial products. The product's bit of weight 2**23 before scaling lies `right`
        # bits right of the binary point; `places` is that less the 6 that never matter.
        partial = [Signal(2 * HALF, name=f"partial_{i}{j}") for i in range(2) for j in range(2)]
        for i in range(2):
            for j in range(2):
                m.d.sync += partial[2 * i + j].eq(
                    significand.word_select(i, HALF) * factor.word_select(j, HALF)
                )
        places_5 = Signal(signed(10))
        m.d.sync += places_5.eq(145 - self._build.acc_bits + zeros_4 - carried - exponent)

        # Cycles 6 and 7: add them up.
        outer, middle = Signal(4 * HALF), Signal(2 * HALF + 1)
        product = Signal(4 * HALF)
        huge, tiny = Signal(), Signal()
        places_6 = Signal(range(FURTHEST + 1))
        m.d.sync += [
            outer.eq(Cat(partial[0], partial[3])),
            middle.eq(partial[1] + partial[2]),
            huge.eq(places_5 < 0),
            tiny.eq(places_5 > FURTHEST),
            places_6.eq(places_5),
            product.eq(outer + (middle << HALF)),
        ]

        # Cycle 8: round to a significand, kept as a multiple of the product's bit 23.
        high = product[-1]
        odd, half = Mux(high, product[24], product[23]), Mux(high, product[23], product[22])
        below = product[:22].any() | (high & product[22])
        up_8 = Signal()
        scaled = Signal(26)
        m.d.comb += up_8.eq(half & (below | odd))
        m.d.sync += scaled.eq(
            Cat(product[23] & ~high, product[24:]) + Cat(up_8 & ~high, up_8 & high)
        )

        # Cycle 9: move the binary point.
        places = delayed(m, places_6, 2, "places")
        huge_8, tiny_8 = delayed(m, huge, 2, "huge"), delayed(m, tiny, 2, "tiny")
        nonzero = scaled[-3:].any()
        moved = Signal(WHOLE_BITS + 1)
        lost = Cat(bit & (1 if i < 5 else places > i - 5) for i, bit in enumerate(scaled)).any()
        whole, half_9, rest = Signal(WHOLE_BITS), Signal(), Signal()
        m.d.comb += moved.eq(scaled[5:] >> places)
        m.d.sync += [
            whole.eq(Mux(huge_8, nonzero.replicate(WHOLE_BITS), Mux(tiny_8, 0, moved[1:]))),
            half_9.eq(moved[0] & ~tiny_8),
            rest.eq(Mux(tiny_8, nonzero, lost)),
        ]

        # Round and give it its sign: -(whole + up) = ~whole + ~up.
        negative_9 = delayed(m, negative, 6, "negative")
        up_9 = Signal()
        with m.If(by_shift & (self.config.rounding == ROUND_FLOOR)):
            m.d.comb += up_9.eq(negative_9 & (half_9 | rest))
        with m.Else():
            m.d.comb += up_9.eq(half_9 & (rest | whole[0]))
        m.d.comb += [
            self.o.addend.eq(Cat(whole ^ negative_9.replicate(WHOLE_BITS), negative_9)),
            self.o.carry.eq(up_9 ^ negative_9),
        ]
        return m

    def _normalise(self, m: Module) -> tuple[Value, Value, Value]:
        """Cycles 1 to 3: sign, magnitude without leading zeros, and how many there were.

        The magnitude's least significant bits are filled up with zeros to whole bytes. A sum of 0
        has a magnitude of 0 and any number of zeros.
        """
        acc_bits = self._build.acc_bits
        count = ceil_div(acc_bits, 8)

        negative = Signal()
        magnitude = Signal(8 * count)
        m.d.sync += [
            negative.eq(self.sum < 0),
            magnitude.eq(abs(self.sum) << 8 * count - acc_bits),
        ]

        by_bytes = Signal(8 * count)
        bytes_off = Signal(range(count))
        with m.Switch(Cat(magnitude.word_select(i, 8).any() for i in range(count))):
            for off in range(count):
                with m.Case(_leading(count, off)):
                    m.d.sync += [by_bytes.eq(magnitude << 8 * off), bytes_off.eq(off)]
            with m.Default():
                m.d.sync += [by_bytes.eq(0), bytes_off.eq(0)]

        bits = Signal(8 * count)
        zeros = Signal(len(bytes_off) + 3)
        with m.Switch(by_bytes[-8:]):
            for off in range(8):
                with m.Case(_leading(8, off)):
                    m.d.sync += [bits.eq(by_bytes << off), zeros.eq(Cat(C(off, 3), bytes_off))]
            with m.Default():
                m.d.sync += [bits.eq(0), zeros.eq(0)]
        return delayed(m, negative, 2, "negative"), bits, zeros


def _leading(width: int, zeros: int) -> str:
    """Pattern of a value of that width with that number of leading zeros."""
    return "0" * zeros + "1" + "-" * (width - zeros - 1)


def delayed(m: Module, value: ValueLike, cycles: int, name: str) -> ValueLike:
    """Return a value some cycles later, or some enabled cycles within `with m.If(enable)`."""
    for cycle in range(1, cycles + 1):
        later = Signal.like(value, name=f"{name}_{cycle}")
        m.d.sync += later.eq(value)
        value = later
    return value
