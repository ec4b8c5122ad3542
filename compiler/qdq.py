"""Layers in Q/DQ form: nodes on real numbers between DequantizeLinear and QuantizeLinear."""

import numpy as np
from onnx import NodeProto

from compiler.chain import Chain
from compiler.errors import CompileError
from compiler.geometry import read_convolution
from compiler.graph import attributes, label
from compiler.quantised import (
    BIAS_TYPES,
    WEIGHT_TYPES,
    Steps,
    StoredConstant,
    map_format,
    read_steps,
)
from compiler.sums import convolution, fully_connected, global_average
from compiler.tensors import QUANTISE


def quantize_linear(chain: Chain, node: NodeProto) -> None:
    """Quantise the picture or a layer's sums; or do nothing, behind the DequantizeLinear."""
    graph, where = chain.graph, label(node)
    if node.input[0] in graph.constants:
        raise CompileError(where, "quantises a constant", "store the integers: fold constants")
    form = map_format(
        where, graph.constant(node, 1, "scale"), graph.optional(node, 2, "zero point")
    )
    source = chain.source(node)
    if source.form is None:
        chain.quantise(node, source, form)
    elif source.form == form and source.real:
        chain.view(node, source, real=False)
    else:
        raise CompileError(
            where,
            "changes the scale or zero point of a map between two layers",
            "let both sides share them, as onnxruntime's quantiser does around a MaxPool",
        )


def dequantize_linear(chain: Chain, node: NodeProto) -> None:
    """Note the integers of a constant; or show a quantised map as real numbers."""
    graph, where = chain.graph, label(node)
    scale = graph.constant(node, 1, "scale")
    zero = graph.optional(node, 2, "zero point")
    if node.input[0] in graph.constants:
        given = attributes(node)
        if given.get("block_size", 0):
            raise CompileError(where, "has a block_size", "give one scale per output channel")
        chain.stored[node.output[0]] = StoredConstant(
            graph.constants[node.input[0]], scale, zero, given.get("axis", 1)
        )
        return
    source = chain.quantised_source(node, map_format(where, scale, zero))
    chain.view(node, source, real=True)


def conv(chain: Chain, node: NodeProto) -> None:
    """Convolve real numbers: x, w, bias."""
    weights = _stored(chain, node, 1, "weights", WEIGHT_TYPES, axis=0)
    window = read_convolution(node, weights.values.shape)
    bias = _bias(chain, node)
    source, in_format = chain.dequantised_source(node)
    chain.append_pending(node, source, convolution(node, source, in_format, weights, bias, window))


def gemm(chain: Chain, node: NodeProto) -> None:
    """Multiply real numbers: a, b, bias."""
    given, where = attributes(node), label(node)
    if given.get("transA", 0):
        raise CompileError(where, "has transA=1", "transpose its input before quantising")
    for name in ("alpha", "beta"):
        if given.get(name, 1.0) != 1.0:
            raise CompileError(where, f"has {name}={given[name]:g}", "fold it into the weights")
    axis = 0 if given.get("transB", 0) else 1
    weights = _stored(chain, node, 1, "weights", WEIGHT_TYPES, axis)
    bias = _bias(chain, node)
    source, in_format = chain.dequantised_source(node)
    chain.append_pending(node, source, fully_connected(node, source, in_format, weights, bias))


def matmul(chain: Chain, node: NodeProto) -> None:
    """Multiply real numbers without bias: a, b."""
    weights = _stored(chain, node, 1, "weights", WEIGHT_TYPES, axis=1)
    source, in_format = chain.dequantised_source(node)
    chain.append_pending(node, source, fully_connected(node, source, in_format, weights, None))


def relu(chain: Chain, node: NodeProto) -> None:
    """Replace negative numbers by zero, in the layer before."""
    source = chain.source(node)
    chain.rectify(node, source)


def global_average_pool(chain: Chain, node: NodeProto) -> None:
    """Average real numbers over each channel's map."""
    source, in_format = chain.dequantised_source(node)
    chain.append_pending(node, source, global_average(node, source, in_format))


def _bias(chain: Chain, node: NodeProto) -> Steps | None:
    """Bias of the node, its input 2."""
    if len(node.input) < 3 or not node.input[2]:
        return None
    stored = chain.stored.get(node.input[2])
    if stored is not None and stored.zero is not None and stored.zero.any():
        raise CompileError(label(node), "its bias has a zero point", "quantise it symmetrically")
    return _stored(chain, node, 2, "bias", BIAS_TYPES, axis=0)


def _stored(
    chain: Chain, node: NodeProto, at: int, role: str, types: tuple[str, ...], axis: int
) -> Steps:
    """Input `at` of a node, which must be a dequantised constant; its channels lie along `axis`."""
    where, name = label(node), node.input[at] if at < len(node.input) else ""
    if name not in chain.stored:
        if name in chain.graph.constants:
            raise CompileError(where, f"has its {role} in floating point", QUANTISE)
        raise CompileError(where, f"takes computed {role} {name!r}", "only the map may be computed")
    stored = chain.stored[name]
    several = stored.scale.size > 1
    if several and stored.axis % np.ndim(stored.values) != axis:
        raise CompileError(
            where,
            f"takes scales of its {role} along axis {stored.axis}",
            f"give one per output channel, along axis {axis}",
        )
    return read_steps(where, role, stored.values, stored.scale, stored.zero, types=types, axis=axis)
