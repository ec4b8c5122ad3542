"""Choosing a requantiser: scales of ONNX Runtime, or a shift that gives the same bits."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.quantised import Steps
from compiler.requantisation import Sums, requantise
from golden.formats import Rounding
from golden.network import TensorFormat
from golden.requant import Scale, Shift

U8, S16 = TensorFormat(8, False, 2.0**-8), TensorFormat(16, True, 2.0**-8)
WEIGHTS = np.array([[3, -5], [7, 127]]).reshape(2, 2, 1, 1)


def steps(values: np.ndarray | list, *scales: float, bits: int = 8) -> Steps:
    return Steps(np.asarray(values, np.int64), np.float32(scales), bits)


def sums(in_format=U8, scales=(2.0**-7, 2.0**-7), bias=None, **rest) -> Sums:
    weights = steps(WEIGHTS, *scales, bits=in_format.bits)
    return Sums(
        where="fc (Gemm)", name="fc", in_format=in_format, weights=weights, bias=bias, **rest
    )


def test_8_bits_take_the_scales_of_onnxruntime():
    layer = requantise(sums(scales=(0.01, 0.02)), TensorFormat(8, True, 0.3, -4))
    product = np.float32(2.0**-8) * np.float32([0.01, 0.02])
    assert isinstance(layer.requant, Scale)
    np.testing.assert_array_equal(layer.requant.scale, product / np.float32(0.3))
    np.testing.assert_array_equal(layer.bias, [0, 0])
    assert layer.out_format == TensorFormat(8, True, 0.3, -4)


def test_the_rest_is_passed_on():
    form = TensorFormat(8, False, 0.5)
    layer = requantise(
        sums(stride=(2, 1), pads=(1, 0, 2, 3), relu=True, pool=True, kind="conv"), form
    )
    assert (layer.name, layer.stride, layer.pads) == ("fc", (2, 1), (1, 0, 2, 3))
    assert (layer.relu, layer.pool, layer.kind, layer.in_format) == (True, True, "conv", U8)
    np.testing.assert_array_equal(layer.weights, WEIGHTS)


def test_a_shift_is_taken_where_it_gives_the_same_bits():
    case, form = sums(), TensorFormat(8, False, 2.0**-3)
    layer = requantise(case, form)
    assert layer.requant == Shift(12, Rounding.HALF_EVEN)
    scale = Scale.from_scales(U8.scale, case.weights.scale, form.scale)
    acc = np.arange(-40000, 40000, 2).reshape(-1, 2)
    np.testing.assert_array_equal(layer.requant.apply(acc, 3, 0, 255), scale.apply(acc, 3, 0, 255))


@pytest.mark.parametrize(
    ("case", "out_scale"),
    [
        (sums(scales=(2.0**-7, 2.0**-8)), 1.0),  # no one shift for both channels
        (sums(scales=(0.3, 0.3)), 1.0),  # no power of two
        (sums(), 2.0**-16),  # a shift to the left
        (sums(), 2.0**60),  # a shift by more than 63
        (sums(bias=steps([0, 1 << 24], 2.0**-15, 2.0**-15)), 1.0),  # sums beyond 24 bits
    ],
)
def test_no_shift_is_taken_where_it_does_not(case, out_scale):
    assert isinstance(requantise(case, TensorFormat(8, False, out_scale)).requant, Scale)


def test_16_bits_take_a_shift():
    bias = steps([-3, 2**31 - 1], 2.0**-15, 2.0**-15)
    layer = requantise(sums(S16, bias=bias), TensorFormat(16, True, 2.0**-4))
    assert layer.requant == Shift(11, Rounding.HALF_EVEN)
    np.testing.assert_array_equal(layer.bias, [-3, 2**31 - 1])


@pytest.mark.parametrize("wide", ["input", "weights", "output"])
def test_one_wide_operand_makes_the_layer_16_bits(wide):
    case = sums(S16 if wide == "input" else U8)
    if wide == "weights":
        case = replace(case, weights=replace(case.weights, bits=16))
    form = TensorFormat(16, True, 2.0**-20) if wide == "output" else U8
    assert isinstance(requantise(case, form).requant, Shift)


def test_channels_are_brought_to_one_scale():
    bias = steps([5, 12], 2.0**-13, 2.0**-17)
    layer = requantise(sums(S16, (2.0**-5, 2.0**-7), bias), TensorFormat(16, True, 2.0**-4))
    np.testing.assert_array_equal(layer.weights.reshape(2, 2), [[12, -20], [7, 127]])
    np.testing.assert_array_equal(layer.bias, [5 * 4, 12 // 4])
    assert layer.requant == Shift(11, Rounding.HALF_EVEN)


def test_a_shift_to_the_left_goes_into_the_weights():
    layer = requantise(sums(S16), TensorFormat(16, True, 2.0**-18))
    np.testing.assert_array_equal(layer.weights, WEIGHTS * 8)
    assert layer.requant == Shift(0, Rounding.HALF_EVEN)


@pytest.mark.parametrize(
    ("case", "out_scale", "message"),
    [
        (sums(S16), 0.3, "the scale 0.3 of its output is not a power of two; 16-bit layers need"),
        (sums(S16, (0.5, 0.75)), 1.0, "the scale 0.75 of its weights is not a power of two"),
        (sums(TensorFormat(16, True, 3.0)), 1.0, "the scale 3 of its input is not a power of two"),
        (
            sums(S16, bias=steps([4, 5], 2.0**-17, 2.0**-17)),
            1.0,
            "the bias of channel 1 is finer than the sums; quantise it with the scale input",
        ),
        (
            sums(S16, (2.0**-7, 2.0**-21)),
            1.0,
            r"at one common scale of 2\*\*-21 its weights need more than 16 bits; quantise the we",
        ),
        (sums(S16, (2.0**-70, 2.0**-70)), 1.0, "shift must be 0 to 63, not 78; quantise it with"),
        (
            sums(S16, bias=steps([0, 1], 2.0**60, 2.0**60)),
            1.0,
            r"bias at \(1,\) must be -140737488355328 to",
        ),
        (
            sums(bias=steps([1, 1], 2.0**-15, 2.0**-14)),
            1.0,
            r"the bias of channel 1 has the scale 6\.1\d+e-05, not input scale x weight scale = 3",
        ),
        (sums(gain=0.0), 1.0, "scale of channel 0 must be positive, finite and normal, not 0"),
    ],
)
def test_what_no_requantiser_does_is_refused(case, out_scale, message):
    form = TensorFormat(case.in_format.bits, True, out_scale)
    with pytest.raises(CompileError, match=rf"fc \(Gemm\): {message}"):
        requantise(case, form)
