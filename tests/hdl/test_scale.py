"""The scale path against numpy's float32, and against exact fractions that are rounded by hand.

What a whole lane makes of it, in every width, stands in `test_requant`.
"""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import EnableInserter, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.descriptor import REQUANT_SCALE, REQUANT_SHIFT, ROUND_FLOOR, ROUND_HALF_EVEN
from golden.params import Build, preset
from hdl.scale import ROUNDED, WHOLE_BITS, ScalePath, delayed
from tests.hdl.harness import activity, simulate

TINY = preset("tiny")
#: Without and with bits beyond a float32's significand, up to the widest.
WIDTHS = (24, 25, 32, 40, 48)
SCALE = {"requant": REQUANT_SCALE}

#: From this magnitude on, results need not be told apart.
HUGE = 1 << 17


class Stoppable(wiring.Component):
    """A scale path that stands still while `enable` is low."""

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "enable": In(1, init=1),
                "config": In(ScalePath(build).config.shape()),
                "sum": In(signed(build.acc_bits)),
                "scale": In(31),
                "o": Out(ROUNDED),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.path = path = EnableInserter(self.enable)(ScalePath(self._build))
        m.d.comb += [
            path.config.eq(self.config),
            path.sum.eq(self.sum),
            path.scale.eq(self.scale),
            self.o.eq(path.o),
        ]
        return m


def observe(
    build: Build, config: dict[str, int], sums: list[int], bits: list[int], pattern: str = "none"
) -> list[int]:
    """Results of sums, one per enabled cycle, their scales `SCALE_LATE` such cycles later.

    A result is read `LATENCY` enabled cycles after its sum went in, no earlier and no later.
    """
    dut = Stoppable(build)
    results = []

    async def testbench(ctx):
        enabled = activity(pattern, seed=1)
        ctx.set(dut.config, config)
        for cycle in range(len(sums) + ScalePath.LATENCY):
            while not next(enabled):
                # What comes in while nothing moves must leave no trace.
                ctx.set(dut.enable, 0)
                ctx.set(dut.sum, -1)
                ctx.set(dut.scale, 0x3F800000)
                await ctx.tick()
            ctx.set(dut.enable, 1)
            late = cycle - ScalePath.SCALE_LATE
            ctx.set(dut.sum, sums[cycle] if cycle < len(sums) else 1)
            ctx.set(dut.scale, bits[late] if 0 <= late < len(bits) else 0x7F000000)
            if cycle >= ScalePath.LATENCY:
                results.append(ctx.get(dut.o.addend) + ctx.get(dut.o.carry))
            await ctx.tick()

    simulate(dut, testbench)
    return results


def compare(sums: list[int], wanted: list[int], results: list[int]) -> None:
    """Equal below `HUGE`; from there on, as large and of the same sign, but no larger than fits."""
    for value, want, got in zip(sums, wanted, results, strict=True):
        if abs(want) < HUGE:
            assert got == want, f"sum {value}"
        else:
            assert HUGE <= (got if want > 0 else -got) <= 1 << WHOLE_BITS, f"sum {value}"


def in_float32(sums: np.ndarray, scales: np.ndarray) -> list[int]:
    """The rule in numpy, infinity as the largest number."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.rint(sums.astype(np.float32) * scales)
    return [int(value) for value in np.clip(product, -(2.0**60), 2.0**60)]


def check(build: Build, sums: np.ndarray, scales: np.ndarray, pattern: str = "none") -> None:
    scales = scales.astype(np.float32)
    got = observe(build, SCALE, sums.tolist(), scales.view(np.uint32).tolist(), pattern)
    compare(sums.tolist(), in_float32(sums, scales), got)


def half_even(value: Fraction) -> int:
    """Nearest integer, ties to the even one, in whole numbers alone."""
    low = value.numerator // value.denominator
    twice = 2 * (value - low)
    return low + (twice > 1 or (twice == 1 and low % 2 == 1))


def to_24_bits(value: Fraction) -> Fraction:
    """Nearest number with a significand of 24 bits, without limits to its exponent."""
    if not value:
        return value
    place = Fraction(1)
    while abs(value) >= place * (1 << 24):
        place *= 2
    while abs(value) < place * (1 << 23):
        place /= 2
    return half_even(value / place) * place


def grid(sums: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every sum with every scale."""
    return np.repeat(sums, len(scales)), np.tile(scales, len(sums))


def test_small_products_exhaustively():
    """All quarters, halves and wholes up to 20, of both signs: every kind of tie among them."""
    sums, scales = grid(np.arange(-40, 41), np.arange(1, 17) / 8)
    ties = (sums * scales * 2) % 2 == 1
    assert np.count_nonzero(ties) > 100
    check(TINY, sums, scales)


@pytest.mark.parametrize("acc_bits", WIDTHS)
def test_a_tie_in_every_place(acc_bits):
    """N + 1/2 for odd and even n of every size, and the nearest float32 to either side of it."""
    sums, scales = [], []
    for n in (n for k in range(18) for n in (1 << k, (1 << k) + 1, (2 << k) - 1)):
        odd = 2 * n + 1
        for place in range(0, acc_bits - 1 - odd.bit_length(), 7):
            tie = np.float32(2.0 ** (-place - 1))
            for scale in (tie, np.nextafter(tie, np.float32(0)), np.nextafter(tie, np.float32(1))):
                sums += [odd << place, -odd << place]
                scales += [scale] * 2
    check(TINY.replace(acc_bits=acc_bits), np.array(sums), np.array(scales))


@pytest.mark.parametrize("acc_bits", [26, 27, 30, 48])
def test_ties_of_the_sum_itself(acc_bits):
    """What a float32 drops of a sum decides whether the result is a tie."""
    build = TINY.replace(acc_bits=acc_bits)
    dropped = acc_bits - 25
    half = 1 << dropped >> 1
    rest = np.unique(np.clip([0, 1, half - 1, half, half + 1, 2 * half - 1], 0, 2 * half - 1))
    for place in (6, 7, 8):  # of the point, within the significand
        near = (1 << place - 1) + np.arange(-3, 4)
        kept = (1 << 23) + np.concatenate([near, near + (1 << place)])
        sums = ((kept << dropped)[:, None] + rest).ravel()
        sums = np.concatenate([sums, -sums])
        scales = np.full(len(sums), 2.0 ** -(dropped + place))
        once = [half_even(Fraction(value, 1 << dropped + place)) for value in sums.tolist()]
        twice = in_float32(sums, scales.astype(np.float32))
        assert once != twice  # else the first rounding would not be tested
        check(build, sums, scales)


@pytest.mark.parametrize("acc_bits", WIDTHS)
def test_a_sum_that_rounds_to_the_next_power_of_two(acc_bits):
    sums, scales = [], []
    for bits in range(1, acc_bits):
        full = (1 << bits) - 1
        near = [full, full - 1, full - (full >> 24), full - (full >> 25), full - (full >> 23)]
        sums += [*near, *(-value for value in near)]
        scales += [3 * 2.0**-bits] * 10
    check(TINY.replace(acc_bits=acc_bits), np.array(sums), np.array(scales))


@pytest.mark.parametrize("acc_bits", [24, 48])
def test_scales_from_the_smallest_to_the_largest(acc_bits):
    """Products below the normal numbers become 0; those beyond float32 are huge; 0 stays 0."""
    powers = np.arange(-126, 128, dtype=np.float32)
    scales = np.concatenate([np.exp2(powers), np.nextafter(np.exp2(powers), np.float32(np.inf))])
    scales = np.append(scales, np.finfo(np.float32).max)
    most = 1 << acc_bits - 1
    sums = np.array([0, 1, -1, 3, -most, most - 1])
    check(TINY.replace(acc_bits=acc_bits), *grid(sums, scales))


@settings(max_examples=max(3, settings.default.max_examples // 5))
@given(data=st.data())
def test_against_fractions(data):
    """Without numpy: the sum to 24 bits, the product to 24 bits, then to a whole number."""
    acc_bits = data.draw(st.sampled_from(WIDTHS))
    most = 1 << acc_bits - 1
    sums, bits, wanted = [], [], []
    for _ in range(40):
        value = data.draw(st.integers(-most, most - 1)) >> data.draw(st.integers(0, acc_bits - 1))
        # Results from far below one half to just above what saturates.
        exponent = data.draw(st.integers(-4, 19)) - abs(value).bit_length()
        significand = data.draw(st.integers(1 << 23, (1 << 24) - 1))
        sums.append(value)
        bits.append((exponent + 127) << 23 | significand & (1 << 23) - 1)
        scale = Fraction(significand, 1 << 23) * Fraction(2) ** exponent
        wanted.append(half_even(to_24_bits(to_24_bits(Fraction(value)) * scale)))
    compare(sums, wanted, observe(TINY.replace(acc_bits=acc_bits), SCALE, sums, bits))


@pytest.mark.parametrize("rounding", [ROUND_FLOOR, ROUND_HALF_EVEN], ids=["floor", "half_even"])
@pytest.mark.parametrize("acc_bits", [25, 40, 48])
def test_shifts_round_once(acc_bits, rounding):
    """However many bits are dropped, the lowest one still counts; the scale does not."""
    build = TINY.replace(acc_bits=acc_bits)
    round_off = Fraction.__floor__ if rounding == ROUND_FLOOR else half_even
    most = 1 << acc_bits - 1
    for shift in range(0, 64, 1 if acc_bits == 48 else 5):
        halves = (0, 1, 2, 3, 5, 0x1FFFF, 0x20001, 0x3FFFD, 0x3FFFF)
        near = [(half << shift >> 1) + ulp for half in halves for ulp in (-1, 0, 1)]
        sums = [sign * value for value in near for sign in (1, -1) if value < most]
        sums += [-most, most - 1]
        wanted = [round_off(Fraction(value, 1 << shift)) for value in sums]
        config = {"requant": REQUANT_SHIFT, "shift": shift, "rounding": rounding}
        compare(sums, wanted, observe(build, config, sums, [0x7F7FFFFF] * len(sums)))


@pytest.mark.parametrize("pattern", ["none", "random", "long"])
def test_one_sum_per_enabled_cycle(pattern):
    """Sums and scales that change in every cycle meet each other and nobody else."""
    rng = np.random.default_rng(3)
    sums = rng.integers(-(1 << 39), 1 << 39, 150) >> rng.integers(0, 38, 150)
    scales = rng.uniform(-40000, 40000, 150) / np.where(sums == 0, 1, sums)
    check(TINY, sums, np.abs(scales), pattern)


class Delay(wiring.Component):
    """A value a few enabled cycles late."""

    enable: In(1)
    i: In(signed(5))
    o: Out(signed(5))

    def __init__(self, cycles: int):
        self._cycles = cycles
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        with m.If(self.enable):
            late = delayed(m, self.i, self._cycles, "late")
        m.d.comb += self.o.eq(late)
        return m


@pytest.mark.parametrize("cycles", [0, 1, 3])
@pytest.mark.parametrize("pattern", ["none", "random"])
def test_delayed_counts_enabled_cycles(pattern, cycles):
    dut = Delay(cycles)

    async def testbench(ctx):
        enabled = activity(pattern, seed=4)
        history = [0] * cycles
        for n in range(60):
            value, enable = n % 32 - 16, next(enabled)
            ctx.set(dut.i, value)
            ctx.set(dut.enable, enable)
            history.append(value)
            assert ctx.get(dut.o) == history[-1 - cycles]
            await ctx.tick()
            if not enable:
                history.pop()

    simulate(dut, testbench)
