"""The node `openhop::AdderConv`: an adder layer on integers, which no stock node describes.

Domain `openhop`, version 1. Y = clamp(rint(f32(acc) * M) + Z) in float32, ties to even, where
acc = B - sum |x - w| exactly, x = 0 in the padding.

* X: uint8 or int8, zero point 0
* W: int16 (O, I, kh, kw), in steps of X's scale, of any size
* B: int32 or int64 (O), in the same steps, may be left out
* M: float32 (O), positive: factors from sums to steps of Y
* Z: uint8 or int8, one value: the zero point of Y, and its type
* kernel_shape, strides, pads, group (1): as of Conv

What Y's steps stand for, the node behind says, if any does.
"""

from typing import Any

import numpy as np
from onnx import NodeProto

from compiler.chain import Chain
from compiler.errors import CompileError
from compiler.geometry import read_convolution
from compiler.graph import label
from compiler.quantised import MAP_TYPES
from compiler.requantisation import same_shift
from compiler.tensors import QUANTISE, layer_name
from golden.adder import Adder
from golden.formats import FormatError
from golden.network import NetworkError, TensorFormat
from golden.requant import Scale

DOMAIN, OP = "openhop", "AdderConv"

#: Inputs after X: role, types, dimensions.
INPUTS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "W": ("weights", ("int16",), 4),
    "B": ("bias", ("int32", "int64"), 1),
    "M": ("factors", ("float32",), 1),
    "Z": ("zero point", ("uint8", "int8"), 0),
}


def adder_conv(chain: Chain, node: NodeProto) -> None:
    """Append an adder layer: X, W, B, M, Z."""
    where = label(node)
    given = {name: _constant(chain, node, at) for at, name in enumerate(INPUTS, start=1)}
    weights, bias, factors, zero = (given[name] for name in INPUTS)
    for name, value in given.items():
        if value is None and name != "B":
            raise CompileError(where, f"has no {INPUTS[name][0]} {name}", "the file is incomplete")
    window = read_convolution(node, weights.shape)
    if window.groups != 1:
        raise CompileError(where, f"has {window.groups} groups", "use group=1")
    source = chain.source(node)
    form = source.form
    if form is None or source.real:
        raise CompileError(where, "its input is not quantised", QUANTISE)
    if form.bits != 8 or form.zero_point:
        raise CompileError(
            where,
            f"takes a map of {form.bits} bits and zero point {form.zero_point}",
            "quantise it to 8 bits with zero point 0: uint8 behind a ReLU, else int8",
        )
    bits, signed = MAP_TYPES[zero.dtype.name]
    layer: dict[str, Any] = {
        "name": layer_name(node),
        "weights": weights.astype(np.int64),
        "bias": np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64),
        "in_format": form,
        "out_format": TensorFormat(bits, signed, 1.0, int(zero.reshape(-1)[0])),
        "stride": window.stride,
    }
    try:
        scale = Scale(factors)
    except FormatError as error:
        raise CompileError(
            where,
            str(error),
            "train batch normalisation with positive factors: a sum of |x - w| has one sign",
        ) from error
    try:
        sums = Adder(**layer, requant=scale)
        requant = same_shift(factors, sums.reach) or scale
        chain.append(
            node, source, Adder(**layer, requant=requant, pads=window.pads(*source.shape[:2]))
        )
    except NetworkError as error:
        text = str(error).removeprefix(f"layer {layer['name']!r}: ")
        raise CompileError(where, text) from error


def _constant(chain: Chain, node: NodeProto, at: int) -> Any:
    """Input `at` of the node, None where it is left out.

    Raises
    ------
    CompileError
        If it has another type or other dimensions than the node's.
    """
    role, types, dimensions = list(INPUTS.values())[at - 1]
    value = chain.graph.optional(node, at, role)
    if value is None:
        return None
    if value.dtype.name not in types:
        raise CompileError(
            label(node), f"stores its {role} as {value.dtype}", f"use {' or '.join(types)}"
        )
    if value.ndim != dimensions and not (dimensions == 0 and value.size == 1):
        raise CompileError(
            label(node),
            f"stores its {role} with {value.ndim} dimensions",
            f"{list(INPUTS)[at - 1]} has {dimensions}",
        )
    return value
