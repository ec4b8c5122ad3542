"""SqueezeNet v1.1 as trained on ImageNet: from its weights to a quantised ONNX file.

Q/DQ form, 16 bits, every scale a power of two: weights per tensor, maps per tensor with as many
fraction bits as the largest value of the calibration pictures leaves, and one scale for both
branches of a Concat, so that joining them touches no value.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

#: Rows and columns of the picture that the network takes.
SIZE = 227
CLASSES = 1000
INPUT, OUTPUT = "image", "scores"
#: Subtracted from red, green and blue.
MEAN = (123.68, 116.779, 103.939)
#: Channels of the squeeze and of each expand layer of every fire module, and where pools stand.
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128)} | {
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}
POOLED = ("conv1", "fire3", "fire5")
#: Layers by their names in the file of weights.
FILED = {
    "squeeze": "squeeze1x1",
    "exp1x1": "expand1x1",
    "exp3x3": "expand3x3",
}

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]
Exponents = Mapping[str, int]


class WeightsError(ValueError):
    """A file that does not hold the weights of SqueezeNet v1.1."""


def layer_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Shapes (Cout, Cin, kh, kw) of the weights of all 26 convolutions, in order."""
    shapes, channels = {"conv1": (64, 3, 3, 3)}, 64
    for number, (squeeze, expand) in FIRES.items():
        shapes[f"fire{number}_squeeze"] = (squeeze, channels, 1, 1)
        shapes[f"fire{number}_exp1x1"] = (expand, squeeze, 1, 1)
        shapes[f"fire{number}_exp3x3"] = (expand, squeeze, 3, 3)
        channels = 2 * expand
    shapes["conv10"] = (CLASSES, channels, 1, 1)
    return shapes


def read_weights(source: BinaryIO) -> Weights:
    """Read weights and biases by layer out of an HDF5 file.

    Weights are (Cout, Cin, kh, kw), for a picture in red, green, blue; float32.

    Raises
    ------
    WeightsError
        If it is no such file, or an array is missing or has another shape.
    """
    import h5py  # late: only `openhop fetch` needs it

    weights = {}
    try:
        opened = h5py.File(source)
    except OSError as error:
        raise WeightsError("is not an HDF5 file") from error
    with opened as file:
        for name, shape in layer_shapes().items():
            layer, _, part = name.partition("_")
            place = f"{layer}/{FILED[part]}" if part else layer
            key = f"{place}/{place}"
            if f"{key}_W:0" not in file or f"{key}_b:0" not in file:
                raise WeightsError(f"has no weights of {place}")
            w = np.asarray(file[f"{key}_W:0"], np.float32).transpose(3, 2, 0, 1)
            b = np.asarray(file[f"{key}_b:0"], np.float32)
            if w.shape != shape or b.shape != shape[:1]:
                raise WeightsError(f"has weights {w.shape} for {place}, not {shape}")
            # The file's own order of colours is blue, green, red.
            weights[name] = (w[:, ::-1] if name == "conv1" else w, b)
    return weights


def network_input(picture: np.ndarray) -> np.ndarray:
    """Turn a picture, uint8 (227, 227, 3), into the network's input, float32 (1, 3, 227, 227)."""
    x = picture.astype(np.float32) - np.array(MEAN, np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[np.newaxis])


def calibrate(weights: Weights, pictures: Iterable[np.ndarray]) -> Exponents:
    """Powers of two of the maps' scales: the smallest with which no value saturates.

    Parameters
    ----------
    weights
        As `read_weights` gives them.
    pictures
        Pictures as of `network_input`.
    """
    model = float_model(weights)
    names = [INPUT, *layer_shapes(), OUTPUT]
    inner = [name for name in names if name not in (INPUT, OUTPUT)]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    largest = dict.fromkeys(names, 0.0)
    for picture in pictures:
        x = network_input(picture)
        maps = session.run([*inner, OUTPUT], {INPUT: x})
        for name, values in zip(names, [x, *maps], strict=True):
            largest[name] = max(largest[name], float(np.abs(np.asarray(values)).max()))
    for number in FIRES:  # branches of a Concat share a scale
        branches = [f"fire{number}_exp1x1", f"fire{number}_exp3x3"]
        shared = max(largest[name] for name in branches)
        largest |= dict.fromkeys(branches, shared)
    return {name: exponent(value) for name, value in largest.items()}


def exponent(largest: float) -> int:
    """Smallest e such that 16 bits hold the value in steps of 2**e."""
    return math.ceil(math.log2(max(largest, 2.0**-100) / 32767))


def float_model(weights: Weights) -> onnx.ModelProto:
    """Return the network in floating point."""
    return _Writer(weights, None).model()


def quantised_model(weights: Weights, exponents: Exponents) -> onnx.ModelProto:
    """Return the network in Q/DQ form, int16; `exponents` as from `calibrate`."""
    return _Writer(weights, exponents).model()


class _Writer:
    """Writes the graph, in floating point or, given exponents, quantised."""

    def __init__(self, weights: Weights, exponents: Exponents | None) -> None:
        self._weights, self._exponents = weights, exponents
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}
        self._scales: dict[str, int] = {}  # exponent of each tensor

    def model(self) -> onnx.ModelProto:
        """Write everything."""
        x = self._quantised(INPUT, INPUT)
        x = self._conv("conv1", x, strides=[2, 2])
        x = self._pool("pool1", x)
        for number in FIRES:
            name = f"fire{number}"
            x = self._conv(f"{name}_squeeze", x)
            # First the one with many weights, which then come in while the squeeze computes.
            right = self._conv(f"{name}_exp3x3", x, pads=[1, 1, 1, 1])
            left = self._conv(f"{name}_exp1x1", x)
            x = self._node("Concat", f"{name}_concat", [left, right], like=left, axis=1)
            if name in POOLED:
                x = self._pool(f"pool{number}", x)
        x = self._conv("conv10", x)
        self._node("GlobalAveragePool", OUTPUT, [x], result=True)
        shape, result = [1, 3, SIZE, SIZE], [1, CLASSES, 1, 1]
        graph = helper.make_graph(
            self._nodes,
            "squeezenet",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, result)],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        properties: dict[str, Any] = {
            "openhop.input": {"mode": "RGB", "size": [SIZE, SIZE], "mean": [*MEAN], "scale": 1},
            # The file of weights has no names: a class is its number in ImageNet's order.
            "openhop.labels": [str(number) for number in range(CLASSES)],
        }
        helper.set_model_props(model, {key: json.dumps(item) for key, item in properties.items()})
        return model

    def _conv(self, name: str, x: str, **attributes: Any) -> str:
        weights, bias = self._weights[name]
        parts = [
            self._constant(f"{name}_w", weights, np.int16),
            self._constant(f"{name}_b", bias, np.int32, x),
        ]
        self._nodes.append(
            helper.make_node("Conv", [x, *parts], [f"{name}_sums"], name, **attributes)
        )
        return self._node("Relu", name, [f"{name}_sums"])

    def _pool(self, name: str, x: str) -> str:
        return self._node("MaxPool", name, [x], like=x, kernel_shape=[3, 3], strides=[2, 2])

    def _node(
        self,
        op: str,
        name: str,
        inputs: list[str],
        *,
        like: str = "",
        result: bool = False,
        **attributes: Any,
    ) -> str:
        """Append a node that gives the tensor `name`, quantised, with the scale of `like`."""
        given = f"{name}_real" if result and self._exponents else name
        node_name = f"{name}_relu" if op == "Relu" else name
        self._nodes.append(helper.make_node(op, inputs, [given], node_name, **attributes))
        return self._quantised(given, name, like=like, result=result)

    def _quantised(self, given: str, name: str, *, like: str = "", result: bool = False) -> str:
        """Append Q and DQ with the scale of `like`, or of what was calibrated as `name`."""
        if self._exponents is None:
            return given
        output = name if result else f"{name}_dq"
        self._scales[output] = self._scales[like] if like else self._exponents[name]
        scale = [self._scale(self._scales[output]), self._zero(np.int16)]
        self._nodes += [
            helper.make_node("QuantizeLinear", [given, *scale], [f"{name}_q"], f"{name}_q"),
            helper.make_node("DequantizeLinear", [f"{name}_q", *scale], [output], f"{name}_dq"),
        ]
        return output

    def _constant(self, name: str, values: np.ndarray, kind: type, x: str = "") -> str:
        """Add a constant, quantised: weights by their largest value, a bias like the sums."""
        values = np.ascontiguousarray(values)
        if self._exponents is None:
            self._constants[name] = values
            return name
        if x:
            e = self._scales[x] + self._scales[name.removesuffix("_b") + "_w"]
        else:
            e = self._scales[name] = exponent(float(np.abs(values).max()))
        limit = np.iinfo(kind).max
        steps = np.clip(np.rint(values.astype(np.float64) * 2.0**-e), -limit, limit)
        self._constants[f"{name}_q"] = steps.astype(kind)
        inputs = [f"{name}_q", self._scale(e), self._zero(kind)]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}_dq"))
        return name

    def _scale(self, e: int) -> str:
        name = f"two_to_{e}".replace("-", "minus_")
        self._constants[name] = np.array(2.0**e, np.float32)
        return name

    def _zero(self, kind: type) -> str:
        name = f"zero_{np.dtype(kind).name}"
        self._constants[name] = np.zeros((), kind)
        return name
