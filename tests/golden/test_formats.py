"""Formats, saturation and shift rounding against Python's own integers and fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.descriptor import ROUND_FLOOR, ROUND_HALF_EVEN
from golden.formats import FormatError, IntFormat, Rounding, shift_right

INT64 = IntFormat(64, signed=True)


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high", "dtype", "name"),
    [
        (8, False, 0, 255, np.uint8, "u8"),
        (8, True, -128, 127, np.int8, "s8"),
        (9, True, -256, 255, np.int16, "s9"),
        (16, False, 0, 65535, np.uint16, "u16"),
        (16, True, -32768, 32767, np.int16, "s16"),
        (40, True, -(1 << 39), (1 << 39) - 1, np.int64, "s40"),
        (63, False, 0, (1 << 63) - 1, np.uint64, "u63"),
        (64, True, -(1 << 63), (1 << 63) - 1, np.int64, "s64"),
        (1, True, -1, 0, np.int8, "s1"),
    ],
)
def test_limits(bits, signed, low, high, dtype, name):
    form = IntFormat(bits, signed)
    assert (form.min, form.max, form.dtype, str(form)) == (low, high, np.dtype(dtype), name)
    assert np.iinfo(form.dtype).min <= form.min
    assert form.max <= np.iinfo(form.dtype).max


@pytest.mark.parametrize(
    ("bits", "signed", "most"), [(0, True, 64), (65, True, 64), (64, False, 63)]
)
def test_impossible_formats_are_refused(bits, signed, most):
    with pytest.raises(FormatError, match=f"^bits must be 1 to {most}, not {bits}$"):
        IntFormat(bits, signed)


def test_saturate_keeps_what_fits_and_the_type():
    x = np.array([-300, -129, -128, 0, 127, 128, 1 << 40], np.int64)
    y = IntFormat(8, signed=True).saturate(x)
    assert y.tolist() == [-128, -128, -128, 0, 127, 127, 127]
    assert y.dtype == np.int64


def test_check_names_the_first_value_that_does_not_fit():
    x = np.zeros((2, 3), np.int64)
    x[1, 2] = 256
    x[1, 1] = -1
    with pytest.raises(FormatError, match=r"^pixel at \(1, 1\) must be 0 to 255 \(u8\), not -1$"):
        IntFormat(8, signed=False).check(x, "pixel")
    with pytest.raises(FormatError, match=r"^bias must be integers, not float64$"):
        IntFormat(8, signed=False).check(np.zeros(1), "bias")
    with pytest.raises(FormatError, match=r"^value must be -128 to 127 \(s8\), not 200$"):
        IntFormat(8, signed=True).check(np.uint8(200))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64])
def test_check_takes_every_type(dtype):
    limits = np.iinfo(dtype)
    wide = np.array([limits.min, limits.max], dtype)
    assert IntFormat(4, signed=True).check(np.array([7, 0], dtype)) is None
    with pytest.raises(FormatError):
        IntFormat(4, signed=True).check(wide)
    assert INT64.check(np.zeros(0, dtype)) is None


def test_roundings_are_those_of_the_descriptor():
    assert {r.name: r.value for r in Rounding} == {
        "FLOOR": ROUND_FLOOR,
        "HALF_EVEN": ROUND_HALF_EVEN,
    }


def exact_shift(value: int, shift: int, rounding: Rounding) -> int:
    """Python's floor, and its round(), which takes a half to the even side."""
    fraction = Fraction(value, 1 << shift)
    return math.floor(fraction) if rounding is Rounding.FLOOR else round(fraction)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", range(11))
def test_shift_right_on_every_small_value(shift, rounding):
    values = range(-(1 << 10) - 3, (1 << 10) + 4)
    result = shift_right(np.array(values), shift, rounding)
    assert result.tolist() == [exact_shift(value, shift, rounding) for value in values]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", range(64))
def test_shift_right_near_ties_and_limits(shift, rounding):
    half = 1 << max(shift - 1, 0)
    centres = [0, half, 3 * half, -half, -3 * half, 1 << 53, INT64.min, INT64.max]
    values = [c + d for c in centres for d in (-1, 0, 1) if INT64.min <= c + d <= INT64.max]
    result = shift_right(np.array(values, np.int64), shift, rounding)
    assert result.dtype == np.int64
    assert result.tolist() == [exact_shift(value, shift, rounding) for value in values]


@given(
    st.lists(st.integers(INT64.min, INT64.max), min_size=1),
    st.integers(0, 63),
    st.sampled_from(Rounding),
)
def test_shift_right_on_any_value(values, shift, rounding):
    result = shift_right(np.array(values, np.int64), shift, rounding)
    assert result.tolist() == [exact_shift(value, shift, rounding) for value in values]


@pytest.mark.parametrize("shift", [-1, 64])
def test_impossible_shifts_are_refused(shift):
    with pytest.raises(FormatError, match=f"^shift must be 0 to 63, not {shift}$"):
        shift_right(np.zeros(1, np.int64), shift, Rounding.FLOOR)
