"""Formats and integers as the quantiser stores them."""

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.quantised import map_format, read_steps, spread
from golden.network import TensorFormat


@pytest.mark.parametrize(
    ("scale", "zero", "form"),
    [
        (np.float32(0.5), np.uint8(115), TensorFormat(8, False, 0.5, 115)),
        (np.float32([0.5]), np.int8([-128]), TensorFormat(8, True, 0.5, -128)),
        (np.float32(0.1), None, TensorFormat(8, False, float(np.float32(0.1)), 0)),
        (np.float32(0.25), np.int16(0), TensorFormat(16, True, 0.25, 0)),
    ],
)
def test_format_of_a_map(scale, zero, form):
    assert map_format("n", np.asarray(scale), None if zero is None else np.asarray(zero)) == form


@pytest.mark.parametrize("scale", [np.nan, np.inf, -0.5, 0.0])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(CompileError, match=r"n: a map has the scale .*; scales must be positive"):
        map_format("n", np.float32([scale]), None)


def test_weights_lose_their_zero_point_and_put_outputs_first():
    stored = np.array([[0, 10, 255], [7, 8, 9]], np.uint8)
    steps = read_steps("n", "weights", stored, np.float32([1, 2, 4]), np.uint8([0, 8, 255]), axis=1)
    np.testing.assert_array_equal(steps.values, [[0, 7], [2, 0], [0, 9 - 255]])
    np.testing.assert_array_equal(steps.scale, np.float32([1, 2, 4]))
    assert (steps.values.dtype, steps.scale.dtype, steps.bits) == (np.int64, np.float32, 8)


def test_one_scale_serves_every_channel():
    steps = read_steps("n", "bias", np.int32([1, -2]), np.float32(0.5), None, types=("int32",))
    np.testing.assert_array_equal(steps.scale, np.float32([0.5, 0.5]))
    assert steps.bits == 32


@pytest.mark.parametrize("scale", [[0.5, np.nan], [0.5, -1]])
def test_a_weight_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(CompileError, match=r"n: a scale of its weights is .*; it must be positive"):
        read_steps("n", "weights", np.ones((2, 3), np.int8), np.float32(scale), None)


def test_spread():
    np.testing.assert_array_equal(spread("n", "scales", np.array(3), 2), [3, 3])
    np.testing.assert_array_equal(spread("n", "scales", np.array([[3, 4]]), 2), [3, 4])
    with pytest.raises(CompileError, match="n: has 3 scales for 2 output channels; give one or as"):
        spread("n", "scales", np.zeros(3), 2)
