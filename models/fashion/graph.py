"""Build the VGG-6 as ONNX graphs with onnx.helper: plain float, and 16-bit in Q/DQ form."""

import json
from pathlib import Path

import numpy as np
import onnx
from data import class_names
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 21  # the first one whose QuantizeLinear and DequantizeLinear have int16
IR_VERSION = 10
CONVS = 6
SIZE = 28
INPUT, OUTPUT = "image", "scores"
INT16_MAX, INT32_MAX = 2**15 - 1, 2**31 - 1
HEADROOM = 1.5  # int16 activations may grow by this factor over the calibration pictures


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Load the archive of train.py: float32 weights and biases, and three facts about the run."""
    with np.load(path) as archive:
        return dict(archive)


def save(model: ModelProto, path: Path) -> None:
    """Check a model, add how to prepare a picture and the class names, and write it."""
    helper.set_model_props(
        model,
        {
            "openhop.input": json.dumps({"mode": "L", "size": [SIZE, SIZE], "scale": 255}),
            "openhop.labels": json.dumps(class_names()),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def wrap(nodes: list[NodeProto], initializers: list[TensorProto]) -> ModelProto:
    """Make a model from float32 image [N, 1, 28, 28] (pixel / 255) to float32 scores [N, 10]."""
    graph = helper.make_graph(
        nodes,
        "fashion",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 10])],
        initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="openhop"
    )


def float_model(weights: dict[str, np.ndarray]) -> ModelProto:
    """Build the plain float model: Conv-Relu x 6, a MaxPool after every second, Flatten, Gemm."""
    nodes = []
    names = []
    value = INPUT
    for index in range(CONVS):
        conv, relu, pool = f"conv{index}", f"relu{index}", f"pool{index // 2}"
        names += [f"{conv}_w", f"{conv}_b"]
        shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
        nodes.append(helper.make_node("Conv", [value, *names[-2:]], [conv], conv, **shape))
        nodes.append(helper.make_node("Relu", [conv], [relu], relu))
        value = relu
        if index % 2:
            shape = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", [value], [pool], pool, **shape))
            value = pool
    names += ["fc_w", "fc_b"]
    nodes.append(helper.make_node("Flatten", [value], ["flat"], "flatten", axis=1))
    nodes.append(helper.make_node("Gemm", ["flat", *names[-2:]], [OUTPUT], "fc", transB=1))
    return wrap(nodes, [numpy_helper.from_array(weights[name], name) for name in names])


def exponent(largest: float, limit: int) -> int:
    """Return the smallest e for which `largest` fits into `limit` steps of 2**e."""
    return int(np.ceil(np.log2(largest / limit)))


class QdqGraph:
    """Nodes and initializers of a graph whose tensors pass through 16-bit Q/DQ pairs.

    Every scale is a scalar power of two and every zero point is 0.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add an initializer and return its name."""
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def dequantised(self, name: str, values: np.ndarray, step: int) -> str:
        """Store integers that stand for steps of 2**step, and dequantise them to tensor `name`."""
        stored = self.constant(f"{name}_quantized", values)
        scale = self.constant(f"{name}_scale", np.float32(2.0**step))
        zero = self.constant(f"{name}_zero_point", values.dtype.type(0))
        self.nodes.append(
            helper.make_node("DequantizeLinear", [stored, scale, zero], [name], f"{name}_dq")
        )
        return name

    def round_trip(self, name: str, step: int, result: str) -> str:
        """Pass a tensor through Q and DQ: int16 in steps of 2**step."""
        scale = self.constant(f"{name}_scale", np.float32(2.0**step))
        zero = self.constant(f"{name}_zero_point", np.int16(0))
        stored = f"{name}_quantized"
        make = helper.make_node
        self.nodes += [
            make("QuantizeLinear", [name, scale, zero], [stored], f"{name}_q"),
            make("DequantizeLinear", [stored, scale, zero], [result], f"{name}_dq"),
        ]
        return result


def to_steps(values: np.ndarray, step: int, kind: type[np.signedinteger]) -> np.ndarray:
    """Express float values in steps of 2**step, rounded half to even, as integers of `kind`."""
    steps = np.rint(values.astype(np.float64) / 2.0**step)
    if np.abs(steps).max() > np.iinfo(kind).max:
        raise OverflowError(f"{np.abs(steps).max():.0f} does not fit into {kind.__name__}")
    return steps.astype(kind)


def int16_model(weights: dict[str, np.ndarray], largest: dict[str, float]) -> ModelProto:
    """Build the 16-bit model from the float weights.

    `largest` has the largest magnitude that the calibration saw in every tensor.  Activations and
    weights become int16, biases int32 in steps of (input scale x weight scale).  A max pool and the
    Flatten change no value, so they have no Q/DQ pair of their own behind them.
    """
    graph = QdqGraph()
    steps: dict[str, int] = {}  # power-of-two exponent of every tensor's scale
    alias: dict[str, str] = {}  # tensor of the float model -> its dequantised stand-in
    raw_scores = f"{OUTPUT}_float"  # before their own Q/DQ pair
    largest = largest | {raw_scores: largest[OUTPUT]}

    def add_pair(name: str, result: str) -> None:
        steps[name] = exponent(HEADROOM * largest[name], INT16_MAX)
        alias[name] = graph.round_trip(name, steps[name], result)

    add_pair(INPUT, f"{INPUT}_dequantized")
    for node in float_model(weights).graph.node:
        source = node.input[0]
        node.input[0] = alias.get(source, source)
        if node.op_type in ("Conv", "Gemm"):
            weight, bias = (weights[name] for name in node.input[1:])
            step = max(
                exponent(float(np.abs(weight).max()), INT16_MAX),
                exponent(float(np.abs(bias).max()), INT32_MAX) - steps[source],
            )
            total = steps[source] + step
            graph.dequantised(node.input[1], to_steps(weight, step, np.int16), step)
            graph.dequantised(node.input[2], to_steps(bias, total, np.int32), total)
        if node.output[0] == OUTPUT:
            node.output[0] = raw_scores
        graph.nodes.append(node)
        if node.op_type == "Relu":
            add_pair(node.output[0], f"{node.output[0]}_dequantized")
        else:
            steps[node.output[0]] = steps[source]
    add_pair(raw_scores, OUTPUT)
    return wrap(graph.nodes, graph.initializers)
