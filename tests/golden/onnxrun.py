"""ONNX Runtime as the oracle: small graphs, built and run."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import NodeProto, helper, numpy_helper

from golden.conv import Pads, Pair

#: Types of maps and weights that QLinearConv takes on a CPU.
QLINEAR_PAIRS = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]


def random_conv(
    rng: np.random.Generator, x_type: type, w_type: type
) -> tuple[np.ndarray, int, np.ndarray, int, Pair, Pads]:
    """Operands of a random 8-bit convolution: map, zero point, weights, zero point, stride, pads.

    On x86 without VNNI, ONNX Runtime itself saturates sums of two products of a signed and an
    unsigned number beyond 16 bits: signed weights, and signed maps where weights are unsigned, stay
    within 7 bits. Unsigned weights, less a zero point near 128, have the full range.
    """
    kernel = tuple(rng.integers(1, 8, 2).tolist())
    stride = tuple(rng.integers(1, 5, 2).tolist())
    pads = tuple(rng.integers(0, np.tile(kernel, 2)).tolist())
    size = [
        int(rng.integers(max(1, kernel[axis] - pads[axis] - pads[axis + 2]), 14)) for axis in (0, 1)
    ]
    cin, cout = rng.integers(1, 20, 2).tolist()
    limits = np.iinfo(x_type)
    least, most = (-64, 63) if (x_type, w_type) == (np.int8, np.uint8) else (limits.min, limits.max)
    x = rng.integers(least, most, (*size, cin), x_type, endpoint=True)
    low, high = (0, 255) if w_type == np.uint8 else (-64, 63)
    weights = rng.integers(low, high, (cout, cin, *kernel), w_type, endpoint=True)
    x_zero = int(rng.integers(least, most, endpoint=True))
    w_zero = int(rng.integers(100, 150)) if w_type == np.uint8 else 0
    return x, x_zero, weights, w_zero, stride, pads


def to_nchw(x: np.ndarray) -> np.ndarray:
    """(H, W, C) to (1, C, H, W)."""
    return np.ascontiguousarray(x.transpose(2, 0, 1)[np.newaxis])


def to_hwc(x: np.ndarray) -> np.ndarray:
    """(1, C, H, W) to (H, W, C)."""
    return np.ascontiguousarray(x[0].transpose(1, 2, 0))


def session(
    nodes: Sequence[NodeProto],
    x: np.ndarray,
    outputs: dict[str, np.dtype],
    constants: dict[str, np.ndarray],
    threads: int = 1,
) -> onnxruntime.InferenceSession:
    """Session of a graph whose input "x" has the shape and type of the map `x` (H, W, C)."""
    H, W, C = x.shape

    def value(name: str, dtype: np.dtype, shape: Sequence[int] | None) -> object:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "test",
        [value("x", x.dtype, (1, C, H, W))],
        [value(name, dtype, None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="openhop"
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(
    nodes: Sequence[NodeProto],
    x: np.ndarray,
    outputs: dict[str, np.dtype],
    constants: dict[str, np.ndarray],
) -> list[np.ndarray]:
    """Outputs of a graph for the map `x` (H, W, C), as (H, W, C)."""
    results = session(nodes, x, outputs, constants).run(list(outputs), {"x": to_nchw(x)})
    return [to_hwc(np.asarray(result)) for result in results]


def conv_attributes(
    weights: np.ndarray, stride: Pair, pads: Pads, groups: int = 1
) -> dict[str, list[int] | int]:
    """Attributes of a convolution node."""
    return {
        "kernel_shape": list(weights.shape[2:]),
        "strides": list(stride),
        "pads": list(pads),
        "group": groups,
    }


def conv_integer(
    x: np.ndarray,
    x_zero: int,
    weights: np.ndarray,
    weights_zero: int,
    stride: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    groups: int = 1,
) -> np.ndarray:
    """Sums of a ConvInteger, int32."""
    node = helper.make_node(
        "ConvInteger",
        ["x", "w", "xz", "wz"],
        ["y"],
        **conv_attributes(weights, stride, pads, groups),
    )
    constants = {
        "w": weights,
        "xz": np.array(x_zero, x.dtype),
        "wz": np.array(weights_zero, weights.dtype),
    }
    return run([node], x, {"y": np.dtype(np.int32)}, constants)[0]


def qlinear_conv_node(
    name: str, source: str, target: str, weights: np.ndarray, stride: Pair, pads: Pads
) -> NodeProto:
    """QLinearConv whose constants are those of `qlinear_conv_constants`."""
    names = ("xs", "xz", "w", "ws", "wz", "ys", "yz", "b")
    inputs = [source, *(f"{name}.{key}" for key in names)]
    return helper.make_node(
        "QLinearConv", inputs, [target], **conv_attributes(weights, stride, pads)
    )


def qlinear_conv_constants(
    name: str,
    x_format: tuple[np.dtype, float, int],
    weights: np.ndarray,
    weight_scales: np.ndarray,
    weights_zero: int,
    bias: np.ndarray,
    y_format: tuple[np.dtype, float, int],
) -> dict[str, np.ndarray]:
    """Constants of a `qlinear_conv_node`; a format is its type, scale and zero point."""
    x_type, x_scale, x_zero = x_format
    y_type, y_scale, y_zero = y_format
    constants = {
        "xs": np.array(x_scale, np.float32),
        "xz": np.array(x_zero, x_type),
        "w": weights,
        "ws": weight_scales,
        "wz": np.full(weight_scales.shape, weights_zero, weights.dtype),
        "ys": np.array(y_scale, np.float32),
        "yz": np.array(y_zero, y_type),
        "b": bias.astype(np.int32),
    }
    return {f"{name}.{key}": value for key, value in constants.items()}
