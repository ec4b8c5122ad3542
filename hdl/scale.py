"""Multiplication of a sum by a float32 scale, to the bit as ONNX Runtime does it."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.descriptor import REQUANT_SHIFT, ROUND_FLOOR
from golden.params import Build, ceil_div
from hdl.delay import delayed
from hdl.layouts import PASS_CONFIG

#: Bits of the rounded value's magnitude; one that needs more saturates.
WHOLE_BITS = 19

#: Layout of a rounded value that is not added up yet: `addend` + `carry`.
ROUNDED = data.StructLayout({"addend": signed(WHOLE_BITS + 1), "carry": unsigned(1)})

SIGNIFICAND = 24  # bits of a float32's significand, the leading one included
HALF = SIGNIFICAND // 2  # bits of a factor of a partial product; fits any multiplier block

# A product's significand moves right by NEAREST to NEAREST + FURTHEST places. Nearer, the result
# is at least 2**17 and saturates anyway; further, it is one half at most.
NEAREST, FURTHEST = 7, 18


class ScalePath(wiring.Component):
    """rint(f32(sum) x scale), every step in IEEE float32 with ties to even.

    A shift is the scale 2**-shift, exact but for the last rounding: the first rounding then keeps
    what it drops as a sticky bit, and the last one rounds as the configuration says.

    Latency `LATENCY` cycles, throughput one sum per cycle, no flow control. A magnitude of
    2**17 or more, infinity included, may come out as any other such: clamping to 17 bits does not
    tell them apart.

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

        # Cycle 4: a significand and a factor. A shift is a power of two.
        significand, carried = self._significand(m, bits, by_shift)
        zeros = delayed(m, zeros, 1, "zeros")
        factor, exponent = Signal(SIGNIFICAND), Signal(8)
        m.d.sync += [
            factor.eq(Cat(Mux(by_shift, 0, self.scale[:23]), 1)),
            exponent.eq(Mux(by_shift, 127 - self.config.shift, self.scale[23:])),
        ]

        # Meanwhile, how far `scaled`, as an integer, is to move right: `NEAREST + places`.
        places_5, places_6 = Signal(signed(10)), Signal(range(FURTHEST + 1))
        huge_6, tiny_6 = Signal(), Signal()
        bias = 127 + 23 + 1 - self._build.acc_bits - NEAREST
        m.d.sync += [
            places_5.eq(bias + zeros - carried - exponent),
            places_6.eq(places_5),
            huge_6.eq(places_5 < 0),
            tiny_6.eq(places_5 > FURTHEST),
        ]
        places = delayed(m, places_6, 2, "places")
        huge, tiny = delayed(m, huge_6, 2, "huge"), delayed(m, tiny_6, 2, "tiny")
        scaled = self._round_product(m, self._multiply(m, significand, factor))

        # Cycle 9: move the binary point.
        nonzero = scaled[-3:].any()
        halves = Signal(WHOLE_BITS + 1)
        below = [bit & (places > n + 1 - NEAREST) for n, bit in enumerate(scaled)]
        whole, half, rest = Signal(WHOLE_BITS), Signal(), Signal()
        m.d.comb += halves.eq(scaled[NEAREST - 1 :] >> places)
        m.d.sync += [
            whole.eq(Mux(huge, nonzero.replicate(WHOLE_BITS), Mux(tiny, 0, halves[1:]))),
            half.eq(halves[0] & ~tiny),
            rest.eq(Mux(tiny, nonzero, Cat(below).any())),
        ]

        # The last rounding, and the sign: -(whole + up) = ~whole + ~up.
        negative = delayed(m, negative, 6, "negative")
        up = Signal()
        with m.If(by_shift & (self.config.rounding == ROUND_FLOOR)):
            m.d.comb += up.eq(negative & (half | rest))
        with m.Else():
            m.d.comb += up.eq(half & (rest | whole[0]))
        m.d.comb += [
            self.o.addend.eq(Cat(whole ^ negative.replicate(WHOLE_BITS), negative)),
            self.o.carry.eq(up ^ negative),
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

    def _significand(self, m: Module, bits: Value, by_shift: Value) -> tuple[Value, Value]:
        """Cycle 4: the sum's significand, and whether rounding made it a power of two higher.

        A shift must not round here: what it drops becomes a sticky bit, far below the last one
        that counts.
        """
        kept, dropped = bits[-SIGNIFICAND:], bits[:-SIGNIFICAND]
        up, sticky = Signal(), Signal()
        if len(dropped):
            m.d.comb += [
                up.eq(~by_shift & dropped[-1] & (dropped[:-1].any() | kept[0])),
                sticky.eq(by_shift & dropped.any()),
            ]
        rounded = Signal(SIGNIFICAND + 1)
        significand, carried = Signal(SIGNIFICAND), Signal()
        m.d.comb += rounded.eq((kept | sticky) + up)
        m.d.sync += [
            significand.eq(Cat(rounded[: SIGNIFICAND - 1], rounded[-2:].any())),
            carried.eq(rounded[-1]),
        ]
        return significand, carried

    def _multiply(self, m: Module, a: Value, b: Value) -> Value:
        """Cycles 5 to 7: the product of two significands, from four registered products."""
        product = Signal(2 * SIGNIFICAND)
        outer, middle = Signal(2 * SIGNIFICAND), Signal(SIGNIFICAND + 1)
        low_low, low_high, high_low, high_high = (
            Signal(SIGNIFICAND, name=f"partial_{name}") for name in ("ll", "lh", "hl", "hh")
        )
        m.d.sync += [
            low_low.eq(a[:HALF] * b[:HALF]),
            low_high.eq(a[:HALF] * b[HALF:]),
            high_low.eq(a[HALF:] * b[:HALF]),
            high_high.eq(a[HALF:] * b[HALF:]),
            outer.eq(Cat(low_low, high_high)),
            middle.eq(low_high + high_low),
            product.eq(outer + (middle << HALF)),
        ]
        return product

    def _round_product(self, m: Module, product: Value) -> Value:
        """Cycle 8: the product rounded to 24 bits, as a multiple of its bit 23: 0 or >= 2**23."""
        high = product[-1]  # its significand starts one bit higher
        odd, half = Mux(high, product[24], product[23]), Mux(high, product[23], product[22])
        rest = product[:22].any() | (high & product[22])
        up = Signal()
        scaled = Signal(26)
        m.d.comb += up.eq(half & (rest | odd))
        m.d.sync += scaled.eq(Cat(product[23] & ~high, product[24:]) + Cat(up & ~high, up & high))
        return scaled


def _leading(width: int, zeros: int) -> str:
    """Pattern of a value of that width with that number of leading zeros."""
    return "0" * zeros + "1" + "-" * (width - zeros - 1)
