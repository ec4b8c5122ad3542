"""From sums with scales to a layer of the golden model: which requantiser gives the same bits."""

import math
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np

from compiler.errors import CompileError
from compiler.quantised import Steps
from golden.conv import FLOAT32_EXACT, bound
from golden.formats import FormatError, Rounding
from golden.network import WEIGHT, Conv, NetworkError, TensorFormat
from golden.pooling import AvgPool
from golden.requant import Scale, Shift

#: How far the scale of a bias, itself rounded to float32, may be from input x weight scale.
BIAS_SCALE_TOLERANCE = 2.0**-20


@dataclass(frozen=True, eq=False, kw_only=True)
class Sums:
    """A layer whose sums are not quantised yet.

    Attributes
    ----------
    where : str
        Node, for messages.
    name : str
        Name of the layer.
    in_format : TensorFormat
        Format of the input map.
    weights : Steps
        Weights, (Cout, Cin / groups, kh, kw).
    bias : Steps or None
        Bias with its own scale.
    stride, pads, groups, kind, relu, pool
        As in `golden.network.Conv`.
    gain : float
        Constant factor of the sums (alpha of a Gemm).
    """

    where: str
    name: str
    in_format: TensorFormat
    weights: Steps
    bias: Steps | None
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    kind: Literal["conv", "fc"] = "conv"
    relu: bool = False
    pool: bool = False
    gain: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Average:
    """A global average pool whose result is not quantised yet.

    Attributes
    ----------
    where, name, in_format
        As in `Sums`.
    kernel : (int, int)
        Rows and columns of the map.
    channels : int
        Its channels.
    """

    where: str
    name: str
    in_format: TensorFormat
    kernel: tuple[int, int]
    channels: int


@overload
def requantise(sums: Sums, out_format: TensorFormat) -> Conv: ...
@overload
def requantise(sums: Average, out_format: TensorFormat) -> AvgPool: ...
def requantise(sums: Sums | Average, out_format: TensorFormat) -> Conv | AvgPool:
    """Complete a layer with the format of its output.

    A layer of 8 bits gets the float32 scales of ONNX Runtime's QLinearConv, or a shift where that
    gives the same bits; a layer of 16 bits gets a shift, rounded half to even. An average gets the
    one float32 factor of ONNX Runtime's QLinearGlobalAveragePool, or a shift likewise.

    Raises
    ------
    CompileError
        If the layer has 16 bits and a scale is not a power of two, or a figure is out of range.
    """
    if isinstance(sums, Average):
        return _average(sums, out_format)
    if 16 in (sums.in_format.bits, out_format.bits, sums.weights.bits):
        return _by_shift(sums, out_format)
    return _by_scale(sums, out_format)


def _average(average: Average, out_format: TensorFormat) -> AvgPool:
    """Divide by the number of pixels in the factor: in scale / (pixels x out scale), in float32."""
    pixels = math.prod(average.kernel)
    with np.errstate(all="ignore"):  # a factor that overflows or vanishes is refused by `Scale`
        divisor = np.float32(out_format.scale) * np.float32(pixels)
        factor = np.float32(average.in_format.scale) / divisor
    try:
        scale = Scale(np.full(average.channels, factor, np.float32))
    except FormatError as error:
        raise CompileError(average.where, str(error), "quantise it with other scales") from error
    return AvgPool(
        name=average.name,
        kernel=average.kernel,
        in_format=average.in_format,
        out_format=out_format,
        requant=same_shift(scale.scale, pixels * _largest(average)) or scale,
    )


def _by_scale(sums: Sums, out_format: TensorFormat) -> Conv:
    """Requantise as QLinearConv does; it takes a bias to have the scale of the sums."""
    # QGemm multiplies from the left: alpha x input scale x weight scale / output scale.
    in_scale = float(np.float32(sums.gain) * np.float32(sums.in_format.scale))
    if sums.bias is not None:
        expected = np.float32(sums.in_format.scale) * sums.weights.scale
        error = np.abs(sums.bias.scale / expected - 1)
        if (error > BIAS_SCALE_TOLERANCE).any():
            channel = int(error.argmax())
            raise CompileError(
                sums.where,
                f"the bias of channel {channel} has the scale {sums.bias.scale[channel]}, "
                f"not input scale x weight scale = {expected[channel]}",
                "quantise it with that scale",
            )
    bias = np.zeros(len(sums.weights.values), np.int64) if sums.bias is None else sums.bias.values
    try:
        scale = Scale.from_scales(in_scale, sums.weights.scale, out_format.scale)
    except FormatError as error:
        raise CompileError(sums.where, str(error), "quantise it with other scales") from error
    requant = same_shift(scale.scale, bound(sums.weights.values, bias, _largest(sums))) or scale
    return _conv(sums, sums.weights.values, bias, out_format, requant)


def same_shift(scale: np.ndarray, magnitude: int) -> Shift | None:
    """The shift that gives the same bits as float32 scales, or None.

    It does if all are the same power of two and float32 holds every sum exactly.
    """
    mantissa, power = np.frexp(scale)
    shift = 1 - int(power[0])
    alike = (scale == scale[0]).all() and mantissa[0] == 0.5
    if alike and 0 <= shift <= 63 and magnitude <= FLOAT32_EXACT:
        return Shift(shift, Rounding.HALF_EVEN)
    return None


def _by_shift(sums: Sums, out_format: TensorFormat) -> Conv:
    """Bring all weights to one power-of-two scale, so that one shift serves every channel."""
    where = sums.where
    e_in = int(_exponents(where, "input", sums.in_format.scale * sums.gain)[0])
    e_out = int(_exponents(where, "output", out_format.scale)[0])
    e_weights = _exponents(where, "weights", sums.weights.scale)
    # Fine enough for every channel, and for the output: a negative shift goes into the weights.
    unit = min(int(e_weights.min()), e_out - e_in)
    weights = _lift(sums.weights.values, e_weights - unit)
    bias = np.zeros(len(weights), np.int64)
    if sums.bias is not None:
        lift = _exponents(where, "bias", sums.bias.scale) - (e_in + unit)
        lost = (lift < 0) & (sums.bias.values & ((1 << np.clip(-lift, 0, 62)) - 1) != 0)
        if lost.any():
            raise CompileError(
                where,
                f"the bias of channel {int(lost.argmax())} is finer than the sums",
                "quantise it with the scale input scale x weight scale",
            )
        bias = np.where(
            lift < 0, sums.bias.values >> np.clip(-lift, 0, 62), _lift(sums.bias.values, lift)
        )
    try:
        WEIGHT.check(weights)
    except FormatError as error:
        raise CompileError(
            where,
            f"at one common scale of 2**{unit} its weights need more than 16 bits",
            "quantise the weights per tensor, or the output with a larger scale",
        ) from error
    try:
        requant = Shift(e_out - e_in - unit, Rounding.HALF_EVEN)
    except FormatError as error:
        raise CompileError(where, str(error), "quantise it with other scales") from error
    return _conv(sums, weights, bias, out_format, requant)


def _exponents(where: str, what: str, scale: np.ndarray | float) -> np.ndarray:
    """Powers of two of scales.

    Raises
    ------
    CompileError
        If one is not a power of two.
    """
    values = np.atleast_1d(np.asarray(scale, np.float64))
    mantissa, power = np.frexp(values)
    if (mantissa != 0.5).any():
        wrong = values[int(np.argmax(mantissa != 0.5))]
        raise CompileError(
            where,
            f"the scale {wrong:.9g} of its {what} is not a power of two",
            "16-bit layers need power-of-two scales; or quantise to 8 bits (QUInt8, QInt8)",
        )
    return power.astype(np.int64) - 1


def _lift(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Shift each channel left by its number of places, saturating far outside any weight."""
    places = np.clip(places, 0, 62).reshape((-1,) + (1,) * (values.ndim - 1))
    limit = np.int64(1) << (62 - places)
    return np.clip(values, -limit, limit) << places


def _largest(sums: Sums | Average) -> int:
    ints, zero = sums.in_format.ints, sums.in_format.zero_point
    return max(ints.max - zero, zero - ints.min)


def _conv(
    sums: Sums, weights: np.ndarray, bias: np.ndarray, out: TensorFormat, requant: Shift | Scale
) -> Conv:
    try:
        return Conv(
            name=sums.name,
            weights=weights,
            bias=bias,
            in_format=sums.in_format,
            out_format=out,
            requant=requant,
            stride=sums.stride,
            pads=sums.pads,
            groups=sums.groups,
            relu=sums.relu,
            pool=sums.pool,
            kind=sums.kind,
        )
    except NetworkError as error:
        raise CompileError(sums.where, str(error).removeprefix(f"layer {sums.name!r}: ")) from error
