"""Builds an AdderNet's 8-bit ONNX file: stock nodes, and `openhop::AdderConv` (integers.py).

Activations are uint8 with the zero point 0, one scale per map.  Weights of an adder layer are on
the grid of its input, since |x - w| needs one; batch norm and the change of scale are a factor per
filter and a bias at the accumulator's scale.  Convolutions are QLinearConv with int8 weights, one
scale per filter.
"""

import json

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.adder.integers import DOMAIN
from models.adder.networks import CLASSES, SIZE, AdderNet, Layer

OPSET, IR_VERSION = 21, 10
INPUT, OUTPUT = "image", "scores"
INPUT_SCALE = np.float32(1 / 255)
BYTE_MAX, INT8_MAX = 255, 127


def to_steps(values: np.ndarray, step: float | np.ndarray, kind: type) -> np.ndarray:
    """Express float values in steps, rounded half to even, as integers of `kind`."""
    steps = np.rint(values.astype(np.float64) / step)
    limits = np.iinfo(kind)
    if steps.min() < limits.min or steps.max() > limits.max:
        raise OverflowError(f"{np.abs(steps).max():.0f} does not fit into {kind.__name__}")
    return steps.astype(kind)


class Graph:
    """Nodes, initializers and shapes of a graph that grows layer by layer."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.shapes: list[onnx.ValueInfoProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add an initializer, unless it is there, and return its name."""
        if all(item.name != name for item in self.initializers):
            self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, name: str, **attributes) -> str:
        """Add a node and return the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def grid(self, name: str, scale: np.float32, zero: int) -> list[str]:
        """Return the names of a map's scale and zero point."""
        return [
            self.constant(f"{name}_scale", np.asarray(scale, np.float32)),
            self.constant(f"{name}_zero_point", np.asarray(zero, np.uint8)),
        ]

    def adder(self, layer: Layer, x: str, y: str, weights: dict, scales: tuple, zero: int) -> str:
        """Add an AdderConv from map `x` to map `y`, whose `scales` these are."""
        x_scale, y_scale = map(float, scales)
        gain = weights[f"{layer.name}_gain"].astype(np.float64)
        if gain.min() <= 0:
            raise ValueError(f"{layer.name}: a gain is {gain.min()}; they must be positive")
        offset = weights[f"{layer.name}_offset"]
        inputs = [
            self.constant(
                f"{layer.name}_w", to_steps(weights[f"{layer.name}_w"], x_scale, np.int16)
            ),
            self.constant(f"{layer.name}_b", to_steps(offset, gain * x_scale, np.int32)),
            self.constant(f"{layer.name}_m", (gain * x_scale / y_scale).astype(np.float32)),
            self.grid(y, scales[1], zero)[1],
        ]
        return self.add(
            "AdderConv", [x, *inputs], y, layer.name, domain=DOMAIN, **placement(layer), group=1
        )

    def conv(self, layer: Layer, x: str, y: str, weights: dict, scales: tuple, zero: int) -> str:
        """Add a QLinearConv from map `x` to map `y`, whose `scales` these are."""
        kernel, bias = weights[f"{layer.name}_w"], weights[f"{layer.name}_b"]
        step = (np.abs(kernel).max((1, 2, 3)) / INT8_MAX).astype(np.float32)
        total = step.astype(np.float64) * float(scales[0])
        inputs = [
            self.constant(f"{layer.name}_w", to_steps(kernel, step[:, None, None, None], np.int8)),
            self.constant(f"{layer.name}_w_scale", step),
            self.constant(f"{layer.name}_w_zero_point", np.zeros(len(kernel), np.int8)),
            *self.grid(y, scales[1], zero),
            self.constant(f"{layer.name}_b", to_steps(bias, total, np.int32)),
        ]
        grid = self.grid(x, scales[0], 0)
        return self.add("QLinearConv", [x, *grid, *inputs], y, layer.name, **placement(layer))


def placement(layer: Layer) -> dict[str, list[int]]:
    """Return the attributes that say where a layer's windows are."""
    return {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.pad] * 4,
    }


def int8_model(
    network: AdderNet, weights: dict[str, np.ndarray], ranges: dict[str, tuple[float, float]]
) -> ModelProto:
    """Build the 8-bit network from the float weights.

    `ranges` has the smallest and largest value that each layer's output shall hold.
    """
    graph = Graph()
    size, scale = SIZE, INPUT_SCALE
    value = f"{INPUT}_quantized"
    graph.add("QuantizeLinear", [INPUT, *graph.grid(value, scale, 0)], value, f"{INPUT}_quantize")
    for layer in network.layers:
        lowest, highest = ranges[layer.name]
        # A last layer's scores have a zero point, the others end in a ReLU.
        last = layer is network.layers[-1]
        lowest = min(lowest, 0.0) if last else 0.0
        next_scale = np.float32((highest - lowest) / BYTE_MAX)
        zero = int(np.rint(-lowest / next_scale))
        y = f"{layer.name}_quantized"
        add = graph.adder if layer.kind == "adder" else graph.conv
        value = add(layer, value, y, weights, (scale, next_scale), zero)
        grid = graph.grid(y, next_scale, zero)
        edge = (size + 2 * layer.pad - layer.kernel) // layer.stride + 1
        kind = TensorProto.UINT8
        shape = ["N", layer.maps_out, edge, edge]
        graph.shapes.append(helper.make_tensor_value_info(y, kind, shape))
        size, scale = layer.size_out(size), next_scale
        if layer.pool:
            shape = {"kernel_shape": [2, 2], "strides": [2, 2]}
            pool = f"{layer.name}_pool"
            value = graph.add("MaxPool", [y], f"{pool}ed_quantized", pool, **shape)
    value = graph.add("Flatten", [value], "flat", "flatten", axis=1)
    graph.add("DequantizeLinear", [value, *grid], OUTPUT, f"{OUTPUT}_dequantize")
    return finished(network, graph)


def finished(network: AdderNet, graph: Graph) -> ModelProto:
    """Make a model from float32 image [N, 1, 28, 28] (pixel / 255) to float32 scores [N, 10].

    Its metadata say how to prepare a picture, and the class names.
    """
    used = {name for node in graph.nodes for name in node.input}
    made = helper.make_graph(
        graph.nodes,
        f"{network.name}_adder",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", CLASSES])],
        [item for item in graph.initializers if item.name in used],
        value_info=graph.shapes,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(
        made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="openhop"
    )
    helper.set_model_props(
        model,
        {
            "openhop.input": json.dumps({"mode": "L", "size": [SIZE, SIZE], "scale": 255}),
            "openhop.labels": json.dumps(network.labels()),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model
