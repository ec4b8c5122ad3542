"""Runs the AdderNets' ONNX files in NumPy, to the bit.

It reads the nodes that graph.py writes and no others.  `openhop::AdderConv` is defined here, as far
as these networks use it:

* inputs X (uint8 map [N, C, H, W], zero point 0), W (int16 [O, C, K, K], on the map's grid and not
  clipped to its range), B (int32 [O], at the accumulator's scale), M (float32 [O], positive), Z
  (uint8: the output's zero point);
* attributes `kernel_shape`, `strides`, `pads` (top, left, bottom, right) and `group`, which is 1;
* acc = B - sum |x - w| over the window, exact, where x is 0 in the padding;
* output Y (uint8) = clamp(rint(f32(acc) x M) + Z), rounded half to even.

Z = 0 makes the clamp a ReLU.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from models.adder import sums

DOMAIN = "openhop"

#: Pictures that are run at once.
BATCH = 250


def requantised(acc: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Return clamp(rint_half_even(f32(acc) x f32(scale)) + zero) of sums [N, O, H, W]."""
    limits = np.iinfo(zero.dtype)
    scaled = np.rint(acc.astype(np.float32) * scale.astype(np.float32)[:, None, None])
    shifted = scaled.astype(np.float64) + int(zero)
    return np.clip(shifted, limits.min, limits.max).astype(zero.dtype)


def attributes(node: NodeProto) -> dict:
    """Return a node's attributes by name."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def geometry(node: NodeProto) -> tuple[int, list[int]]:
    """Return stride and pads of a layer, which has the same stride in both directions."""
    given = attributes(node)
    down, across = given["strides"]
    if down != across or given.get("group", 1) != 1:
        raise ValueError(f"{node.name}: its strides must be equal, and there may be one group")
    return down, list(given["pads"])


def adder_conv(node: NodeProto, x, weights, bias, scale, zero) -> np.ndarray:
    acc = sums.distances(x, weights, *geometry(node)) + bias[:, None, None]
    return requantised(acc, scale, zero)


def qlinear_conv(node: NodeProto, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias):
    """ONNX Runtime's rule; every zero point but the output's is 0."""
    if x_zero or w_zero.any():
        raise ValueError(f"{node.name}: zero points of map and weights must be 0")
    acc = sums.products(x, w, *geometry(node)) + bias[:, None, None]
    return requantised(acc, (x_scale * w_scale) / y_scale, y_zero)


def max_pool(node: NodeProto, x) -> np.ndarray:
    given = attributes(node)
    return sums.pooled(x, given["kernel_shape"][0], given["strides"][0])


def quantize(_node: NodeProto, x, scale, zero) -> np.ndarray:
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(zero.dtype)


def dequantize(_node: NodeProto, x, scale, zero) -> np.ndarray:
    return (x.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale


def flatten(_node: NodeProto, x) -> np.ndarray:
    return x.reshape(len(x), -1)


OPERATIONS = {
    (DOMAIN, "AdderConv"): adder_conv,
    ("", "QLinearConv"): qlinear_conv,
    ("", "MaxPool"): max_pool,
    ("", "QuantizeLinear"): quantize,
    ("", "DequantizeLinear"): dequantize,
    ("", "Flatten"): flatten,
}


def run(model: onnx.ModelProto, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return every tensor of the graph, by name, for pictures [N, 1, 28, 28], pixel / 255."""
    graph = model.graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    values[graph.input[0].name] = pictures
    for node in graph.node:
        operation = OPERATIONS[node.domain, node.op_type]
        values[node.output[0]] = operation(node, *(values[name] for name in node.input))
    return values


def batches(model: onnx.ModelProto, pictures: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Yield what `run` returns for every BATCH of pictures."""
    for at in range(0, len(pictures), BATCH):
        yield run(model, pictures[at : at + BATCH])
