"""Layers whose output is not quantised yet, from a node's weights and the map that it takes."""

import math
from dataclasses import replace

from onnx import NodeProto

from compiler.errors import CompileError
from compiler.geometry import Window
from compiler.graph import label
from compiler.quantised import Steps
from compiler.requantisation import Average, Sums
from compiler.tensors import Tensor, layer_name
from golden.conv import output_size
from golden.network import TensorFormat


def convolution(
    node: NodeProto,
    source: Tensor,
    in_format: TensorFormat,
    weights: Steps,
    bias: Steps | None,
    window: Window,
) -> tuple[Sums, Tensor]:
    """Make a convolution, and a tensor of the shape of what it gives.

    Raises
    ------
    CompileError
        If weights and window do not fit the map.
    """
    where = label(node)
    H, W, C = source.shape
    if source.flat:
        raise CompileError(where, "convolves a vector", "use Gemm or MatMul after Flatten")
    taken = weights.values.shape[1] * window.groups
    if taken != C:
        raise CompileError(
            where,
            f"its weights are for {taken} channels, its input has {C}",
            "the file contradicts itself: export it again",
        )
    pads = window.pads(H, W)
    rows, cols = output_size((H, W), window.kernel, window.stride, pads)
    if rows < 1 or cols < 1:
        kernel = "x".join(map(str, window.kernel))
        raise CompileError(
            where,
            f"its {kernel} kernel is larger than its map of {H}x{W} with pads {list(pads)}",
            "use a larger picture, more padding or a smaller kernel",
        )
    sums = Sums(
        where=where,
        name=layer_name(node),
        in_format=in_format,
        weights=weights,
        bias=bias,
        stride=window.stride,
        pads=pads,
        groups=window.groups,
    )
    return sums, Tensor((rows, cols, len(weights.values)), source.values)


def fully_connected(
    node: NodeProto,
    source: Tensor,
    in_format: TensorFormat,
    weights: Steps,
    bias: Steps | None,
    gain: float = 1.0,
) -> tuple[Sums, Tensor]:
    """Make a fully connected layer, and a tensor of the shape of what it gives.

    Parameters
    ----------
    weights : Steps
        Weights (Cout, K), whose K inputs are the map channel by channel.
    gain : float
        Constant factor of the sums.

    Raises
    ------
    CompileError
        If the weights do not fit the map.
    """
    where = label(node)
    H, W, C = source.shape
    if not source.flat:
        raise CompileError(where, "multiplies a map", "put a Flatten before it")
    if weights.values.shape[1] != math.prod(source.shape):
        raise CompileError(
            where,
            f"its weights are for {weights.values.shape[1]} inputs, "
            f"but it takes {math.prod(source.shape)}",
            "the file contradicts itself: export it again",
        )
    sums = Sums(
        where=where,
        name=layer_name(node),
        in_format=in_format,
        weights=replace(weights, values=weights.values.reshape(-1, C, H, W)),
        bias=bias,
        kind="fc",
        gain=gain,
    )
    return sums, Tensor((1, 1, len(weights.values)), source.values, flat=True)


def global_average(
    node: NodeProto, source: Tensor, in_format: TensorFormat
) -> tuple[Average, Tensor]:
    """Make a global average pool, and a tensor of the shape of what it gives.

    Raises
    ------
    CompileError
        If the input is a vector.
    """
    H, W, C = source.shape
    if source.flat:
        raise CompileError(label(node), "pools a vector", "remove it")
    average = Average(
        where=label(node),
        name=layer_name(node),
        in_format=in_format,
        kernel=(H, W),
        channels=C,
    )
    return average, Tensor((1, 1, C), source.values)
