"""Counts what is left to do in an 8-bit AdderNet when zeros are skipped."""

import numpy as np
import onnx
from onnx import numpy_helper

from models.adder import integers, sums

#: Operations are |x - w| or x times w, one per tap, padding included.
COUNTS = ("dense", "nonzero", "live")


def layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that have operations."""
    return [node for node in model.graph.node if node.op_type in ("AdderConv", "QLinearConv")]


def weights_of(model: onnx.ModelProto, node: onnx.NodeProto) -> np.ndarray:
    """Return a layer's integer weights [O, C, K, K]."""
    name = node.input[1] if node.op_type == "AdderConv" else node.input[3]
    (found,) = (item for item in model.graph.initializer if item.name == name)
    return numpy_helper.to_array(found)


def operations(x: np.ndarray, weights: np.ndarray, stride: int, pads: list[int]) -> dict[str, int]:
    """Count a layer's operations: all; those with x != 0; and of these, those with w > 0 too."""
    view = sums.windows(x, weights.shape[2], stride, pads)
    pixels = (view != 0).sum((0, 1, 2))  # of each tap
    filters = len(weights)
    return {
        "dense": filters * view.size,
        "nonzero": filters * int(pixels.sum()),
        "live": int((pixels * (weights > 0).sum(0)).sum()),
    }


def report(model: onnx.ModelProto, pictures: np.ndarray) -> dict[str, dict]:
    """Return for each layer, by name, what its input and its weights leave to do.

    `zeros_in_input` is a share of the map as the layer gets it, after pooling; `left_nonzero` and
    `left_live` are shares of all operations: those with a non-zero pixel, and, in adder layers, of
    these those with a weight above zero.  `weights_dead` and `weights_full` are the shares of
    weights at or below zero, and at or above the map's largest value, 255.
    """
    counts: dict[str, dict[str, int]] = {}
    zeros: dict[str, list[float]] = {}
    for values in integers.batches(model, pictures):
        for node in layers(model):
            x = values[node.input[0]]
            found = operations(x, weights_of(model, node), *integers.geometry(node))
            so_far = counts.setdefault(node.name, dict.fromkeys(COUNTS, 0))
            counts[node.name] = {key: so_far[key] + found[key] for key in COUNTS}
            zeros.setdefault(node.name, []).extend((x == 0).mean((1, 2, 3)))
    table = {}
    for node in layers(model):
        weights, count = weights_of(model, node), counts[node.name]
        table[node.name] = {
            "operations": count["dense"] // len(pictures),
            "zeros_in_input": share(np.mean(zeros[node.name])),
            "left_nonzero": share(count["nonzero"] / count["dense"]),
        }
        if node.op_type == "AdderConv":
            table[node.name] |= {
                "left_live": share(count["live"] / count["dense"]),
                "weights_dead": share((weights <= 0).mean()),
                "weights_full": share((weights >= 255).mean()),
            }
    adders = [counts[node.name] for node in layers(model) if node.op_type == "AdderConv"]
    dense = sum(count["dense"] for count in adders)
    table["adder_layers"] = {
        "operations": dense // len(pictures),
        "left_nonzero": share(sum(count["nonzero"] for count in adders) / dense),
        "left_live": share(sum(count["live"] for count in adders) / dense),
    }
    return table


def share(value: float) -> float:
    """Round a share to four digits, as a record holds it."""
    return round(float(value), 4)
