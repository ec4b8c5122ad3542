"""Runs the AdderNets with the float weights of train.py, in NumPy."""

from pathlib import Path

import numpy as np

from models.adder import sums
from models.adder.networks import AdderNet

#: Pictures that are run at once.
BATCH = 250


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Load the archive of train.py: weights, gains, offsets, and three facts about the run."""
    with np.load(path) as archive:
        return dict(archive)


def to_input(pictures: np.ndarray) -> np.ndarray:
    """Turn uint8 [N, 28, 28] pixels into the networks' input: float32 [N, 1, 28, 28], / 255."""
    return pictures[:, None].astype(np.float32) / np.float32(255)


def run(network: AdderNet, weights: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """Return each layer's output by its name, after the ReLU and before the pool.

    The last layer has no ReLU: its scores are [N, 10, 1, 1].
    """
    outputs = {}
    for layer in network.layers:
        kernel = weights[f"{layer.name}_w"]
        place = (layer.stride, [layer.pad] * 4)
        if layer.kind == "adder":
            gain, offset = weights[f"{layer.name}_gain"], weights[f"{layer.name}_offset"]
            y = sums.distances(x, kernel, *place) * gain[:, None, None] + offset[:, None, None]
        else:
            y = sums.products(x, kernel, *place) + weights[f"{layer.name}_b"][:, None, None]
        if layer is not network.layers[-1]:
            y = np.maximum(y, 0)
        outputs[layer.name] = y
        x = sums.pooled(y, 2, 2) if layer.pool else y
    return outputs


def scores(network: AdderNet, weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the scores [N, 10] of pictures [N, 1, 28, 28], a BATCH at a time."""
    last = network.layers[-1].name
    parts = [run(network, weights, x[at : at + BATCH])[last] for at in range(0, len(x), BATCH)]
    return np.concatenate(parts).reshape(len(x), -1)
