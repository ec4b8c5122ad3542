"""ONNX Runtime as the oracle of imported networks, tensor by tensor."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from golden.network import Conv, Network

LAYERS = ("Conv", "Gemm", "MatMul", "QGemm", "QLinearConv", "QLinearMatMul")

#: (layer, pooled): layer 0 is the input, 1 the first layer; its map before or after the pool.
Place = tuple[int, bool]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that computes products of u8 maps and s8 weights exactly on every CPU.

    Without its option, ONNX Runtime lets pairs of them saturate at 16 bits on x86 without VNNI;
    with it, it has no kernels for s8 maps, whose tests keep to weights of 7 bits instead.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    types = {item.name: item.data_type for item in model.graph.initializer}
    zeros = [node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    if all(types[zero] == onnx.TensorProto.UINT8 for zero in zeros):
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def places(model: onnx.ModelProto) -> dict[Place, str]:
    """Names of the quantised tensors of a chain of layers, by what they hold."""
    found: dict[Place, str] = {}
    layer, pooled = 0, False
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        op = node.op_type
        if op in LAYERS:
            layer, pooled = layer + 1, False
        pooled |= op == "MaxPool"
        integers = op in ("QGemm", "QLinearConv", "QLinearMatMul")
        if op == "MaxPool":
            integers = node.input[0] in found.values()
        if op == "QuantizeLinear":
            integers = makers.get(node.input[0]) not in ("Flatten", "Reshape")
        if op == "Relu":  # what the layer gave before is not a map of the golden model
            found.pop((layer, pooled), None)
        if integers:
            found[layer, pooled] = node.output[0]
    return found


def reference(model: onnx.ModelProto, x: np.ndarray) -> dict[Place, np.ndarray]:
    """Every quantised map, (H, W, C), that ONNX Runtime has for a float input (1, ...)."""
    names = places(model)
    values = run(model, list(names.values()), x)
    return {place: hwc(value) for place, value in zip(names, values, strict=True)}


def run(model: onnx.ModelProto, names: list[str], x: np.ndarray) -> list[np.ndarray]:
    """Tensors of those names that ONNX Runtime computes for a float input."""
    return session(exposed(model, names)).run(names, {model.graph.input[0].name: x})


def exposed(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with tensors of those names among its outputs."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    known = {item.name for item in probe.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return probe


def hwc(value: np.ndarray) -> np.ndarray:
    """A map (1, C, H, W), or a vector (1, K), as (H, W, C)."""
    return value[0].transpose(1, 2, 0) if value.ndim == 4 else value[0][None, None]


def golden(network: Network, raw: np.ndarray) -> Iterator[tuple[Place, np.ndarray]]:
    """Every map of the golden model, and those before the pools, for a raw input map."""
    maps = network.run(raw)
    yield (0, False), maps[0]
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Conv):
            unpooled = replace(layer, pool=False).run(network.input_map(index, maps))
            yield (index + 1, False), unpooled
        yield (index + 1, layer.pool), maps[index + 1]


def compare_layers(model: onnx.ModelProto, network: Network, x: np.ndarray) -> None:
    """Compare what each layer gives with the tensor of its name, which ONNX Runtime computes."""
    names = [layer.name.removeprefix("make_") for layer in network.layers]
    maps = network.run(network.quantise_input(hwc(x)))
    for name, value, found in zip(names, run(model, names, x), maps[1:], strict=True):
        np.testing.assert_array_equal(found, hwc(value), err_msg=name)
        assert found.dtype == value.dtype


def compare(expected: dict[Place, np.ndarray], network: Network, x: np.ndarray) -> None:
    """Compare every quantised map for a float input (1, ...), bit for bit."""
    actual = dict(golden(network, network.quantise_input(hwc(x))))
    for place, value in expected.items():
        np.testing.assert_array_equal(actual[place], value, err_msg=f"layer, pooled: {place}")
        assert actual[place].dtype == value.dtype


class DequantizeLinear(OpRun):
    """In float64; ONNX's evaluator takes the class for the node of its name."""

    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, **_attributes):
        shape = [1] * x.ndim
        if scale.ndim:
            shape[axis] = scale.size
        y = x.astype(np.float64)
        if zero is not None:
            y -= zero.reshape(shape)
        return (y * scale.astype(np.float64).reshape(shape),)


class QuantizeLinear(OpRun):
    """In float64, likewise."""

    op_domain = ""

    def _run(self, x, scale, zero, **_attributes):
        limits = np.iinfo(zero.dtype)
        y = np.rint(x.astype(np.float64) / np.float64(scale)) + int(zero)
        return (np.clip(y, limits.min, limits.max).astype(zero.dtype),)


def exact_reference(model: onnx.ModelProto, x: np.ndarray) -> dict[Place, np.ndarray]:
    """As `reference`, of a Q/DQ network with power-of-two scales, by ONNX's own evaluator.

    It computes in float64, where all values of such a network are exact; ONNX Runtime computes
    16-bit networks in float32, which rounds sums of more than 24 bits.
    """
    names = places(model)
    values = exact_run(model, list(names.values()), x)
    return {place: hwc(value) for place, value in zip(names, values, strict=True)}


def exact_run(model: onnx.ModelProto, names: list[str], x: np.ndarray) -> list[np.ndarray]:
    """As `run`, by ONNX's own evaluator in float64 (`exact_reference`)."""
    evaluator = ReferenceEvaluator(
        exposed(model, names), new_ops=[DequantizeLinear, QuantizeLinear]
    )
    return list(evaluator.run(names, {model.graph.input[0].name: x}))
