"""Layers in QOperator form: nodes on integers, as onnxruntime's quantiser writes them."""

import numpy as np
from onnx import NodeProto

from compiler import between
from compiler.chain import Chain
from compiler.errors import CompileError
from compiler.geometry import read_convolution
from compiler.graph import attributes, label
from compiler.quantised import Steps, map_format, read_steps, spread
from compiler.sums import convolution, fully_connected, global_average
from compiler.tensors import describe
from golden.network import TensorFormat


def qlinear_conv(chain: Chain, node: NodeProto) -> None:
    """Convolve: x, scale, zero; w, scale, zero; y's scale, zero; bias."""
    in_format = _format(chain, node, 1, "input")
    weights = _weights(chain, node, axis=0)
    window = read_convolution(node, weights.values.shape)
    bias = _bias(chain, node, 8, weights, in_format)
    out_format = _format(chain, node, 6, "output")
    source = chain.quantised_source(node, in_format)
    made = convolution(node, source, in_format, weights, bias, window)
    chain.quantise(node, chain.append_pending(node, source, made), out_format)


def qgemm(chain: Chain, node: NodeProto) -> None:
    """Multiply: a, scale, zero; b, scale, zero; bias; y's scale, zero."""
    given, where = attributes(node), label(node)
    if given.get("transA", 0):
        raise CompileError(where, "has transA=1", "transpose its input before quantising")
    in_format = _format(chain, node, 1, "input")
    weights = _weights(chain, node, axis=0 if given.get("transB", 0) else 1)
    bias = _bias(chain, node, 6, weights, in_format)
    if len(node.input) < 8 or not node.input[7]:
        raise CompileError(
            where,
            "its output stays in floating point",
            "quantise it too: the core gives 8 or 16 bits, which decide the label",
        )
    out_format = _format(chain, node, 7, "output")
    source = chain.quantised_source(node, in_format)
    gain = given.get("alpha", 1.0)
    made = fully_connected(node, source, in_format, weights, bias, gain)
    chain.quantise(node, chain.append_pending(node, source, made), out_format)


def qlinear_matmul(chain: Chain, node: NodeProto) -> None:
    """Multiply without bias: a, scale, zero; b, scale, zero; y's scale, zero."""
    in_format = _format(chain, node, 1, "input")
    weights = _weights(chain, node, axis=1)
    out_format = _format(chain, node, 6, "output")
    source = chain.quantised_source(node, in_format)
    made = fully_connected(node, source, in_format, weights, None)
    chain.quantise(node, chain.append_pending(node, source, made), out_format)


def qlinear_global_average_pool(chain: Chain, node: NodeProto) -> None:
    """Average: x, scale, zero; y's scale, zero."""
    if attributes(node).get("channels_last", 0):
        raise CompileError(label(node), "has its channels last", "export it with channels first")
    in_format, out_format = _format(chain, node, 1, "input"), _format(chain, node, 3, "output")
    source = chain.quantised_source(node, in_format)
    made = global_average(node, source, in_format)
    chain.quantise(node, chain.append_pending(node, source, made), out_format)


def qlinear_concat(chain: Chain, node: NodeProto) -> None:
    """Join maps: y's scale, zero; then x, scale, zero of each."""
    out_format, places = _format(chain, node, 0, "output"), range(2, len(node.input), 3)
    forms = [_format(chain, node, at + 1, "input") for at in places]
    parts = [chain.quantised_source(node, form, at) for form, at in zip(forms, places, strict=True)]
    between.require_channels(node, parts[0])
    for form in forms:
        if form != out_format:
            raise CompileError(
                label(node),
                f"changes a map of {describe(form)} to {describe(out_format)}",
                "let all branches have one scale and zero point",
            )
    chain.concatenate(node, parts)


def _format(chain: Chain, node: NodeProto, at: int, role: str) -> TensorFormat:
    """Format of a map whose scale is input `at` of the node, its zero point the one behind."""
    return map_format(
        label(node),
        chain.graph.constant(node, at, f"{role} scale"),
        chain.graph.optional(node, at + 1, f"{role} zero point"),
    )


def _weights(chain: Chain, node: NodeProto, axis: int) -> Steps:
    """Weights of the node, its inputs 3 to 5, output channels first."""
    return read_steps(
        label(node),
        "weights",
        chain.graph.constant(node, 3, "weights"),
        chain.graph.constant(node, 4, "weight scale"),
        chain.graph.optional(node, 5, "weight zero point"),
        axis=axis,
    )


def _bias(
    chain: Chain, node: NodeProto, at: int, weights: Steps, in_format: TensorFormat
) -> Steps | None:
    """Bias of the node, its input `at`; these nodes take it at the scale of the sums."""
    stored = chain.graph.optional(node, at, "bias")
    if stored is None:
        return None
    if stored.dtype != np.int32:
        raise CompileError(label(node), f"stores its bias as {stored.dtype}", "use int32")
    values = spread(label(node), "biases", stored, len(weights.values)).astype(np.int64)
    return Steps(values, np.float32(in_format.scale) * weights.scale, 32)
