"""Measure an AdderNet, float and 8 bits, on all held-out pictures, in NumPy and by golden.

    python -m models.adder.evaluate digits --data DIR
    python -m models.adder.evaluate fashion --data DIR

data.py says how to get the pictures.  Prints and writes accuracy.json: the share of right answers
of the float network, of the 8-bit one as integers.py runs it, and of the same ONNX file as it is
compiled and run by golden; how many answers differ between float and 8 bits, and how many scores
between integers.py and golden; and, over the first pictures, the operations that zeros leave in
every layer of the 8-bit network.
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import onnx

from compiler.onnx_import import import_onnx
from models.adder import floats, integers, work
from models.adder.data import DEFAULT_DATA, load
from models.adder.graph import OUTPUT
from models.adder.networks import NETWORKS
from models.adder.quantise import CALIBRATION_PICTURES

#: Pictures over which operations are counted.
WORK_PICTURES = 100


def answers(scores: np.ndarray) -> np.ndarray:
    """Return the class of the highest score of each picture; of equal ones, the first."""
    return scores.argmax(1)


def tied(scores: np.ndarray) -> int:
    """Count the pictures whose highest score two classes have."""
    return int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum())


def golden_scores(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    """Return golden's scores [N, 10], as real numbers, of pictures, uint8 [N, 28, 28]."""
    network = import_onnx(model)
    results = [network.run(network.quantise_input(picture))[-1] for picture in pictures]
    scores = network.layers[-1].out_format.dequantise(np.stack(results))
    return scores.reshape(len(pictures), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the accuracy of an AdderNet.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, help="folder of the pictures")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    network = NETWORKS[args.network]

    weights = floats.load_weights(network.weights)
    model = onnx.load(network.onnx)
    folder = args.data or DEFAULT_DATA[network.name]
    pictures, labels = load(network, folder, held_out=True)
    x = floats.to_input(pictures)
    scores = {
        "float": floats.scores(network, weights, x),
        "int8": np.concatenate([values[OUTPUT] for values in integers.batches(model, x)]),
        "golden": golden_scores(model, pictures),
    }
    given = {name: answers(table) for name, table in scores.items()}
    report = {
        "top1": {name: float((classes == labels).mean()) for name, classes in given.items()},
        "held_out_pictures": len(labels),
        "answers_that_differ": int((given["float"] != given["int8"]).sum()),
        "int8_ties": tied(scores["int8"]),
        "golden_scores_that_differ": int((scores["int8"] != scores["golden"]).sum()),
        "layers": work.report(model, x[:WORK_PICTURES]),
        "work_pictures": WORK_PICTURES,
        "calibration_pictures": CALIBRATION_PICTURES,
        "training": {"seed": int(weights["seed"]), "epochs": int(weights["epochs"])},
        "versions": {
            "python": platform.python_version(),
            "torch": str(weights["torch_version"]),
            "numpy": np.__version__,
            "onnx": onnx.__version__,
        },
    }
    text = json.dumps(report, indent=2)
    print(text)
    out = args.out or network.folder / "accuracy.json"
    out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
