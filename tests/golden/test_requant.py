"""Requantisation against exact fractions, rounded to float32 by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.formats import FormatError, Rounding
from golden.requant import Scale, Shift

INT48 = (1 << 47) - 1


def round_float32(value: Fraction) -> Fraction:
    """The nearest float32, ties to even; beyond the largest one, something very large."""
    if value == 0:
        return value
    exponent = math.floor(math.log2(abs(value)))
    while Fraction(2) ** exponent > abs(value):
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= abs(value):
        exponent += 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    return round(value / unit) * unit


def exact_scale(acc: int, scale: float, zero: int, low: int, high: int) -> int:
    product = round_float32(round_float32(Fraction(acc)) * Fraction(scale))
    return min(max(round(product) + zero, low), high)


def exact_shift(acc: int, shift: int, rounding: Rounding, zero: int, low: int, high: int) -> int:
    fraction = Fraction(acc, 1 << shift)
    y = math.floor(fraction) if rounding is Rounding.FLOOR else round(fraction)
    return min(max(y + zero, low), high)


outputs = st.sampled_from(
    [
        (0, 0, 255),
        (115, 0, 255),
        (-3, -128, 127),
        (-3, -3, 127),
        (0, -32768, 32767),
        (77, 77, 32767),
    ]
)
scales = st.floats(2.0**-126, 2.0**100, width=32) | st.integers(-50, 4).map(lambda e: 2.0**e)
sums = st.integers(-INT48, INT48) | st.integers(-(1 << 62), 1 << 62) | st.integers(-3000, 3000)


@given(st.lists(st.tuples(sums, scales), min_size=1), outputs)
def test_scale_is_three_float32_roundings(pairs, output):
    accs, factors = zip(*pairs, strict=True)
    result = Scale(np.array(factors, np.float32)).apply(np.array([[accs]], np.int64), *output)
    assert result.dtype == np.int64
    assert result[0, 0].tolist() == [exact_scale(a, s, *output) for a, s in pairs]


@given(st.lists(sums, min_size=1), st.integers(0, 63), st.sampled_from(Rounding), outputs)
def test_shift_is_exact(accs, shift, rounding, output):
    result = Shift(shift, rounding).apply(np.array(accs, np.int64), *output)
    assert result.tolist() == [exact_shift(a, shift, rounding, *output) for a in accs]


@pytest.mark.parametrize("power", [24, 25, 31, 40, 47, 52, 53, 54, 60, 62])
def test_the_accumulator_is_rounded_once(power):
    """Beyond 2**53, going to float32 by way of float64 would make ties of what lies beside them."""
    unit = 1 << power - 23  # float32's, from 2**power on
    accs = [
        sign * ((1 << power) + halves * unit // 2 + delta)
        for halves in range(4)
        for delta in (-1, 0, 1)
        for sign in (1, -1)
    ]
    # The scale is such that an output is the mantissa itself.
    scale = Scale(np.array([1 / unit], np.float32))
    result = scale.apply(np.array(accs, np.int64)[:, np.newaxis], 0, -(1 << 24), 1 << 24)
    assert result[:, 0].tolist() == [round(round_float32(Fraction(a)) / unit) for a in accs]


def test_ties_go_to_even_before_the_zero_point():
    acc = np.array([[-3], [-1], [1], [3], [5]])
    result = Scale(np.array([0.5], np.float32)).apply(acc, 7, 0, 255)
    assert result[:, 0].tolist() == [5, 7, 7, 9, 9]
    assert Shift(1, Rounding.HALF_EVEN).apply(acc[:, 0], 7, 0, 255).tolist() == [5, 7, 7, 9, 9]


def test_extremes_saturate():
    acc = np.array([[-(1 << 63)], [-1], [0], [1], [(1 << 63) - 1]])
    huge = Scale(np.array([3e38], np.float32)).apply(acc, 5, -128, 127)
    assert huge[:, 0].tolist() == [-128, -128, 5, 127, 127]
    tiny = Scale(np.array([2.0**-126], np.float32)).apply(acc, 5, -128, 127)
    assert tiny[:, 0].tolist() == [5] * 5
    assert Shift(0).apply(acc[:, 0], 5, -128, 127).tolist() == [-128, 4, 5, 6, 127]


def test_every_channel_has_its_own_scale():
    scale = Scale(np.array([1, 2, 0.25], np.float32))
    acc = np.array([[[4, 4, 4], [-8, -8, -8]]])
    assert scale.apply(acc, 0, -128, 127).tolist() == [[[4, 8, 1], [-8, -16, -2]]]


def test_scale_from_scales_divides_the_float32_product():
    x, w, y = np.float32(0.1), np.array([0.003, 0.7], np.float32), np.float32(0.0123)
    result = Scale.from_scales(float(x), w, float(y)).scale
    product = [round_float32(Fraction(float(x)) * Fraction(float(v))) for v in w]
    expected = [round_float32(p / Fraction(float(y))) for p in product]
    assert result.dtype == np.float32
    assert [Fraction(float(v)) for v in result] == expected


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf, np.nan, 1e-40])
def test_a_scale_that_the_core_cannot_have_is_refused(wrong):
    with pytest.raises(
        FormatError, match=r"^scale of channel 1 must be positive, finite and normal, not "
    ):
        Scale(np.array([1, wrong], np.float32))


def test_scales_that_vanish_are_refused():
    with pytest.raises(FormatError, match="channel 0 must be positive"):
        Scale.from_scales(1e-30, np.array([1e-30], np.float32), 1.0)


@pytest.mark.parametrize(
    "wrong", [np.ones(2), np.ones((1, 2), np.float32), [1.0]], ids=["float64", "2d", "list"]
)
def test_scales_of_another_kind_are_refused(wrong):
    with pytest.raises(FormatError, match="must be a float32 array"):
        Scale(wrong)


@pytest.mark.parametrize("shift", [-1, 64])
def test_impossible_shifts_are_refused(shift):
    with pytest.raises(FormatError, match=f"^shift must be 0 to 63, not {shift}$"):
        Shift(shift)
