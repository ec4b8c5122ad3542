"""Quantise a trained AdderNet to 8 bits: models/NAME_adder/NAME_adder.onnx (no torch needed).

    python -m models.adder.quantise digits --data DIR
    python -m models.adder.quantise fashion --data DIR

data.py says how to get the pictures.  A map's scale is its largest value over the first pictures of
the training set in 255 steps; the scores, which have no ReLU, get some headroom.  The script writes
the same bytes in every run.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx

from models.adder import floats
from models.adder.data import DEFAULT_DATA, load
from models.adder.graph import int8_model
from models.adder.networks import NETWORKS, AdderNet

CALIBRATION_PICTURES = 512

#: Scores may leave the range that the calibration saw by this factor.
HEADROOM = 1.25


def ranges(
    network: AdderNet, weights: dict[str, np.ndarray], x: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return what each layer's 8-bit output shall hold, from pictures [N, 1, 28, 28]."""
    outputs = floats.run(network, weights, x)
    seen = {name: (float(y.min()), float(y.max())) for name, y in outputs.items()}
    last = network.layers[-1].name
    seen[last] = (HEADROOM * seen[last][0], HEADROOM * seen[last][1])
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantise an AdderNet to 8 bits.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, help="folder of the pictures")
    parser.add_argument("--weights", type=Path, help="archive of train.py")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    network = NETWORKS[args.network]

    weights = floats.load_weights(args.weights or network.weights)
    pictures, _ = load(network, args.data or DEFAULT_DATA[network.name], held_out=False)
    x = floats.to_input(pictures[:CALIBRATION_PICTURES])
    onnx.save(int8_model(network, weights, ranges(network, weights, x)), args.out or network.onnx)


if __name__ == "__main__":
    main()
