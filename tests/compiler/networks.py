"""Small networks for the tests of the importer: float ones, and the quantiser that turns them."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

INPUT, OUTPUT = "x", "y"
CALIBRATION = 16

#: Operators of ONNX Runtime's own.
CONTRIBUTED = (
    "QGemm",
    "QLinearAdd",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearSoftmax",
)


class Builder:
    """A chain of float nodes with random weights, from an input (1, C, H, W) on.

    Every method appends a node and returns the builder.
    """

    def __init__(self, shape: tuple[int, ...], seed: int = 1) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.last, self.channels = INPUT, shape[0]

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add an initialiser and return its name."""
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, name: str, *shape: int) -> str:
        """Add random weights that keep the size of activations, and return their name."""
        spread = 1.5 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(name, (self.rng.normal(size=shape) * spread).astype(np.float32))

    def node(self, op: str, *constants: str, **attributes: object) -> "Builder":
        """Append any node that takes the last tensor, then constants."""
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, [self.last, *constants], [f"{name}_out"], name, **attributes)
        )
        self.last = f"{name}_out"
        return self

    def conv(self, outputs: int, kernel: tuple[int, ...], bias: bool = True, **attributes: object):
        """Append a convolution."""
        at = len(self.nodes)
        inputs = self.channels // attributes.get("group", 1)  # pyright: ignore[reportOperatorIssue]
        names = [self.weights(f"w{at}", outputs, inputs, *kernel)]
        if bias:
            names.append(self.weights(f"b{at}", outputs))
        self.channels = outputs
        return self.node("Conv", *names, kernel_shape=kernel, **attributes)

    def gemm(self, outputs: int, inputs: int, transposed: bool = True, bias: bool = True):
        """Append a Gemm."""
        at = len(self.nodes)
        shape = (outputs, inputs) if transposed else (inputs, outputs)
        names = [self.weights(f"w{at}", *shape)]
        if bias:
            names.append(self.weights(f"b{at}", outputs))
        return self.node("Gemm", *names, transB=int(transposed))

    def matmul(self, outputs: int, inputs: int):
        """Append a MatMul."""
        return self.node("MatMul", self.weights(f"w{len(self.nodes)}", inputs, outputs))

    def relu(self):
        """Append a ReLU."""
        return self.node("Relu")

    def pool(self, **attributes: object):
        """Append a max-pool, 2x2 with stride 2 unless attributes say otherwise."""
        return self.node("MaxPool", **{"kernel_shape": [2, 2], "strides": [2, 2], **attributes})

    def flatten(self):
        """Append a Flatten."""
        return self.node("Flatten")

    def model(self, batch: object = "N") -> onnx.ModelProto:
        """The network so far, with its last tensor as the output."""
        self.nodes[-1].output[0] = OUTPUT
        flat = len(self.shape) == 1 or any(
            node.op_type in ("Flatten", "Reshape") for node in self.nodes
        )
        return model(self.nodes, self.initializers, (batch, *self.shape), rank=2 if flat else 4)


def model(
    nodes: list[onnx.NodeProto],
    initializers: list[TensorProto],
    shape: tuple[object, ...],
    outputs: tuple[str, ...] = (OUTPUT,),
    rank: int = 4,
) -> onnx.ModelProto:
    """A model with a float input of that shape, and float outputs of that rank."""
    free = [f"d{axis}" for axis in range(rank)]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, free) for name in outputs],
        initializers,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    if any(node.domain == "openhop" for node in nodes):
        opsets.append(helper.make_opsetid("openhop", 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class RandomInputs(CalibrationDataReader):
    """Inputs for the quantiser."""

    def __init__(self, shape: tuple[int, ...], low: float) -> None:
        rng = np.random.default_rng(7)
        self.inputs = iter([inputs(rng, shape, low) for _ in range(CALIBRATION)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        values = next(self.inputs, None)
        return None if values is None else {INPUT: values}


def inputs(rng: np.random.Generator, shape: tuple[int, ...], low: float = 0.0) -> np.ndarray:
    """A random input (1, ...) of values from `low` to 1."""
    return rng.uniform(low, 1.0, (1, *shape)).astype(np.float32)


def quantise(
    float_model: onnx.ModelProto,
    *,
    form: QuantFormat = QuantFormat.QOperator,
    maps: QuantType = QuantType.QUInt8,
    weights: QuantType = QuantType.QInt8,
    per_channel: bool = True,
    low: float = 0.0,
    **options: object,
) -> onnx.ModelProto:
    """Quantise with ONNX Runtime's static quantiser, calibrated on random inputs."""
    copied = onnx.ModelProto()
    copied.CopyFrom(float_model)  # the quantiser changes the model that it is given
    dims = copied.graph.input[0].type.tensor_type.shape.dim
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            copied,
            path,
            RandomInputs(tuple(dim.dim_value for dim in dims[1:]), low),
            quant_format=form,
            activation_type=maps,
            weight_type=weights,
            per_channel=per_channel,
            reduce_range=maps == QuantType.QInt8,  # see tests.compiler.oracle.session
            extra_options=options,
        )
        return onnx.load(path)


class HandBuilder:
    """A quantised graph made node by node."""

    def __init__(self, shape: tuple[int, ...] = (2, 6, 6)) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []

    def add(self, op: str, inputs: list[object], output: str, **attributes: object) -> str:
        """Append a node; an input that is an array becomes an initialiser. Returns `output`."""
        names = []
        for index, value in enumerate(inputs):
            if value is None or isinstance(value, str):
                names.append(value or "")
                continue
            names.append(f"{output}_{index}")
            self.initializers.append(numpy_helper.from_array(np.asarray(value), names[-1]))
        domain = "com.microsoft" if op in CONTRIBUTED else ""
        domain = "openhop" if op == "AdderConv" else domain
        name = f"make_{output}"
        self.nodes.append(helper.make_node(op, names, [output], name, domain=domain, **attributes))
        return output

    def model(self, *outputs: str, batch: object = 1) -> onnx.ModelProto:
        """The network with these tensors as outputs."""
        shape, rank = (batch, *self.shape), 1 + len(self.shape)
        return model(self.nodes, self.initializers, shape, outputs or (OUTPUT,), rank)


class QuantisedChain(HandBuilder):
    """A chain on integers: a QuantizeLinear, then what the methods append to `last`."""

    SCALE, ZERO = np.float32(0.02), np.uint8(0)

    def __init__(self, shape: tuple[int, ...] = (2, 6, 6)) -> None:
        super().__init__(shape)
        self.last = self.add("QuantizeLinear", [INPUT, self.SCALE, self.ZERO], "xq")
        self.channels = shape[0]

    def node(self, op: str, *constants: object, **attributes: object) -> "QuantisedChain":
        """Append any node."""
        self.last = self.add(op, [self.last, *constants], f"t{len(self.nodes)}", **attributes)
        return self

    def conv(self, outputs: int = 3, **attributes: object) -> "QuantisedChain":
        """Append a 3x3 QLinearConv with random weights."""
        rng = np.random.default_rng(len(self.nodes))
        weights = rng.integers(-99, 99, (outputs, self.channels, 3, 3)).astype(np.int8)
        steps = [np.float32(0.01), np.int8(0), self.SCALE, self.ZERO]
        self.channels = outputs
        return self.node("QLinearConv", self.SCALE, self.ZERO, weights, *steps, **attributes)

    def adder(
        self, outputs: int = 3, kernel: int = 3, zero: object = ZERO, **attributes: object
    ) -> "QuantisedChain":
        """Append an AdderConv with random weights, some wider than a pixel; half of Y is 0."""
        rng = np.random.default_rng(len(self.nodes))
        weights = rng.integers(-200, 300, (outputs, self.channels, kernel, kernel))
        pixels = np.concatenate([np.zeros(16), np.arange(0, 256, 16)])
        distances = np.abs(weights[..., np.newaxis] - pixels).mean(axis=-1)
        bias = distances.sum(axis=(1, 2, 3)).round() + rng.integers(-99, 99, outputs)
        factors = rng.uniform(0.5, 2, outputs) / weights[0].size ** 0.5
        self.channels = outputs
        constants = [weights.astype(np.int16), bias.astype(np.int64), factors.astype(np.float32)]
        return self.node("AdderConv", *constants, zero, **attributes)

    def gemm(self, outputs: int, inputs: int) -> "QuantisedChain":
        """Append a QGemm with random weights."""
        rng = np.random.default_rng(len(self.nodes))
        weights = rng.integers(-99, 99, (inputs, outputs)).astype(np.int8)
        steps = [np.float32(0.01), np.int8(0), None, self.SCALE, self.ZERO]
        return self.node("QGemm", self.SCALE, self.ZERO, weights, *steps)

    def pool(self) -> "QuantisedChain":
        """Append a 2x2 MaxPool with stride 2."""
        return self.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])

    def branches(self, *outputs: int, **attributes: object) -> list[str]:
        """Append 3x3 convolutions side by side that keep the size; return what they give."""
        trunk, channels, found = self.last, self.channels, []
        for count in outputs:
            self.last, self.channels = trunk, channels
            found.append(self.conv(count, pads=[1, 1, 1, 1], **attributes).last)
        return found

    def concat(self, *names: str, channels: int) -> "QuantisedChain":
        """Append a QLinearConcat of some tensors, which have so many channels together."""
        steps = [self.SCALE, self.ZERO]
        inputs = [*steps, *(item for name in names for item in (name, *steps))]
        self.last = self.add("QLinearConcat", inputs, f"t{len(self.nodes)}", axis=1)
        self.channels = channels
        return self

    def real(self) -> "QuantisedChain":
        """Append a DequantizeLinear."""
        return self.node("DequantizeLinear", self.SCALE, self.ZERO)

    def end(self, rank: int = 4) -> onnx.ModelProto:
        """The network with its last tensor as the output, of that rank."""
        shape = (1, *self.shape)
        return model(self.nodes, self.initializers, shape, (self.last,), rank)


def qlinear_conv(
    shape: tuple[int, ...] = (2, 6, 6),
    *,
    x_scale: object = np.float32(0.01),
    x_zero: object = np.uint8(3),
    weights: np.ndarray | None = None,
    w_scale: object = np.float32(0.02),
    w_zero: object = np.int8(0),
    y_scale: object = np.float32(0.04),
    y_zero: object = np.uint8(5),
    bias: object = None,
    **attributes: object,
) -> onnx.ModelProto:
    """QuantizeLinear, QLinearConv, DequantizeLinear; any constant may be another, or None."""
    if weights is None:
        weights = np.random.default_rng(2).integers(-128, 128, (4, shape[0], 3, 3)).astype(np.int8)
    graph = HandBuilder(shape)
    graph.add("QuantizeLinear", [INPUT, x_scale, x_zero], "xq")
    quantised = [x_scale, x_zero, weights, w_scale, w_zero, y_scale, y_zero, bias]
    graph.add("QLinearConv", ["xq", *quantised], "yq", **attributes)
    graph.add("DequantizeLinear", ["yq", y_scale, y_zero], OUTPUT)
    return graph.model()


def adder_conv(
    shape: tuple[int, ...] = (2, 6, 6),
    *,
    x_scale: object = np.float32(0.01),
    x_zero: object = np.uint8(0),
    weights: object = None,
    bias: object = None,
    factors: object = np.float32([0.1, 0.2, 0.3, 0.4]),
    zero: object = np.uint8(0),
    y_scale: object = np.float32(0.03),
    **attributes: object,
) -> onnx.ModelProto:
    """QuantizeLinear, AdderConv, DequantizeLinear; any constant may be another, or None."""
    if weights is None:
        weights = np.random.default_rng(2).integers(-99, 299, (4, shape[0], 3, 3)).astype(np.int16)
    graph = HandBuilder(shape)
    graph.add("QuantizeLinear", [INPUT, x_scale, x_zero], "xq")
    graph.add("AdderConv", ["xq", weights, bias, factors, zero], "yq", **attributes)
    graph.add("DequantizeLinear", ["yq", y_scale, zero], OUTPUT)
    return graph.model()


def qdq_conv(
    shape: tuple[int, ...] = (2, 6, 6),
    *,
    x_scale: object = np.float32(2.0**-8),
    x_zero: object = np.int16(0),
    weights: np.ndarray | None = None,
    w_scale: object = np.float32(2.0**-6),
    y_scale: object = np.float32(2.0**-9),
    y_zero: object = np.int16(0),
    bias: object = None,
    b_scale: object = np.float32(2.0**-14),
    b_zero: object = None,
    relu: bool = False,
    **attributes: object,
) -> onnx.ModelProto:
    """A Conv, perhaps with Relu, between Q/DQ pairs; any constant may be another."""
    if weights is None:
        weights = np.random.default_rng(2).integers(-99, 99, (4, shape[0], 3, 3)).astype(np.int16)
    axis = {"axis": 0}
    graph = HandBuilder(shape)
    graph.add("QuantizeLinear", [INPUT, x_scale, x_zero], "xq")
    graph.add("DequantizeLinear", ["xq", x_scale, x_zero], "xr")
    graph.add("DequantizeLinear", [weights, w_scale, None], "w", **axis)
    operands = ["xr", "w"]
    if bias is not None:
        operands.append(graph.add("DequantizeLinear", [bias, b_scale, b_zero], "b", **axis))
    last = graph.add("Conv", operands, "sums", **attributes)
    if relu:
        last = graph.add("Relu", [last], "rectified")
    graph.add("QuantizeLinear", [last, y_scale, y_zero], "yq")
    graph.add("DequantizeLinear", ["yq", y_scale, y_zero], OUTPUT)
    return graph.model()
