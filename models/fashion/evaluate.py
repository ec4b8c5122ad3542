"""Measure the float, 8-bit and 16-bit models on all test pictures with ONNX Runtime.

    python models/fashion/evaluate.py --data DIR

DIR holds the four IDX files; data.py says how to get them.  Prints two tables and writes
accuracy.json: the share of right answers, and the mean share of zeros in the input of every layer
of the 8-bit model.  Counts, too, the saturated activations of the 16-bit model.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from data import DEFAULT_DATA, HERE, TEST, load_split, to_input
from graph import INPUT, INT16_MAX, OUTPUT, float_model, load_weights
from quantise import CALIBRATION_PICTURES

BATCH = 500
ZERO_PICTURES = 100


def run(model: onnx.ModelProto, names: list[str], pictures: np.ndarray) -> Iterator[list]:
    """Yield the named tensors, outputs of the graph or not, for every BATCH of pictures."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    inner = set(names) - {OUTPUT}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    for at in range(0, len(pictures), BATCH):
        yield session.run(names, {INPUT: pictures[at : at + BATCH]})


def accuracy(model: onnx.ModelProto, pictures: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of pictures [N, 1, 28, 28] whose highest score is the right class [N]."""
    scores = np.concatenate([scores for (scores,) in run(model, [OUTPUT], pictures)])
    return float((scores.argmax(1) == labels).mean())


def zero_shares(model: onnx.ModelProto, pictures: np.ndarray) -> dict[str, float]:
    """Return the share of zeros in the 8-bit input of every convolution and of the dense layer.

    The zero point of all these inputs is 0, so that a stored 0 is a true zero.  An input is counted
    as the layer gets it, after pooling.
    """
    inputs = {
        node.name.removesuffix("_quant"): node.input[0]
        for node in model.graph.node
        if node.op_type in ("QLinearConv", "QGemm")
    }
    batches = zip(*run(model, list(inputs.values()), pictures), strict=True)
    values = (np.concatenate(parts) for parts in batches)
    return {
        name: round(float((value == 0).mean()), 4)
        for name, value in zip(inputs, values, strict=True)
    }


def saturated(model: onnx.ModelProto, pictures: np.ndarray) -> int:
    """Count the int16 activations of a Q/DQ model that stand at either end of their range."""
    names = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return sum(
        int(((value == -(2**15)) | (value == INT16_MAX)).sum())
        for batch in run(model, names, pictures)
        for value in batch
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the accuracy of the three models.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the IDX files")
    parser.add_argument("--out", type=Path, default=HERE / "accuracy.json")
    args = parser.parse_args()

    weights = load_weights(HERE / "fashion_float.npz")
    models = {
        "float": float_model(weights),
        "int8": onnx.load(HERE / "fashion.onnx"),
        "int16": onnx.load(HERE / "fashion_int16.onnx"),
    }
    pictures, labels = load_split(args.data, TEST)
    inputs = to_input(pictures)
    top1 = {name: accuracy(model, inputs, labels) for name, model in models.items()}
    zeros = zero_shares(models["int8"], inputs[:ZERO_PICTURES])
    clipped = saturated(models["int16"], inputs)

    for name, share in top1.items():
        print(f"{name:6} {share:8.2%} of {len(labels)} test pictures right")
    for name, share in zeros.items():
        print(f"{name:6} {share:8.2%} of the input is zero (int8, first {ZERO_PICTURES} pictures)")
    print(f"int16  {clipped:8} activations saturated in {len(labels)} test pictures")
    report = {
        "top1": top1,
        "test_pictures": len(labels),
        "int8_zeros_in_input": zeros,
        "zeros_pictures": ZERO_PICTURES,
        "int16_saturated": clipped,
        "calibration_pictures": CALIBRATION_PICTURES,
        "training": {"seed": int(weights["seed"]), "epochs": int(weights["epochs"])},
        "versions": {
            "python": platform.python_version(),
            "torch": str(weights["torch_version"]),
            "numpy": np.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
