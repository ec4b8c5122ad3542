"""Quantise the trained VGG-6: fashion.onnx (8 bits) and fashion_int16.onnx (no torch needed).

    python models/fashion/quantise.py --data DIR

DIR holds the four IDX files; data.py says how to get them.  fashion.onnx is what the quantiser of
ONNX Runtime writes, untouched but for the metadata: uint8 activations, int8 weights with one scale
per map, QOperator form.  fashion_int16.onnx has one power-of-two scale per tensor, in Q/DQ form.
Both are calibrated on the first pictures of the training set.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from data import DEFAULT_DATA, HERE, TRAIN, load_split, to_input
from graph import INPUT, OUTPUT, float_model, int16_model, load_weights, save
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

CALIBRATION_PICTURES = 512
BATCH = 64


class Pictures(CalibrationDataReader):
    """Feed input pictures [N, 1, 28, 28] to the quantiser, BATCH at a time."""

    def __init__(self, pictures: np.ndarray) -> None:
        self.batches = iter(np.split(pictures, range(BATCH, len(pictures), BATCH)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def quantise_int8(model: onnx.ModelProto, pictures: np.ndarray) -> onnx.ModelProto:
    """Run the stock static quantiser of ONNX Runtime on the float model.

    Its hint to pre-process the model first can be ignored: there is nothing left to fold or fuse.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            result,
            Pictures(pictures),
            quant_format=QuantFormat.QOperator,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(result)


def largest_magnitudes(model: onnx.ModelProto, pictures: np.ndarray) -> dict[str, float]:
    """Return the largest magnitude of the input, of every ReLU's output and of the scores."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    names.append(OUTPUT)
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    values = session.run(names, {INPUT: pictures})
    largest = {name: float(np.abs(value).max()) for name, value in zip(names, values, strict=True)}
    return largest | {INPUT: float(pictures.max())}


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantise the VGG-6 to 8 and to 16 bits.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the IDX files")
    parser.add_argument("--weights", type=Path, default=HERE / "fashion_float.npz")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the two ONNX files")
    args = parser.parse_args()

    weights = load_weights(args.weights)
    model = float_model(weights)
    pictures = to_input(load_split(args.data, TRAIN)[0][:CALIBRATION_PICTURES])
    save(quantise_int8(model, pictures), args.out / "fashion.onnx")
    largest = largest_magnitudes(model, pictures)
    save(int16_model(weights, largest), args.out / "fashion_int16.onnx")


if __name__ == "__main__":
    main()
