"""Write an AdderNet's sample pictures: 24 held-out pictures as 28x28 grey PNG files.

    python -m models.adder.samples digits --data DIR
    python -m models.adder.samples fashion --data DIR

data.py says how to get the pictures.  Chosen are the first two of each class and, to fill up, the
first other ones; no network has a say in it.  A file is called NNNN_CLASS.png, where NNNN is the
picture's place among the held-out ones, counted from 0.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from models.adder.data import DEFAULT_DATA, load
from models.adder.networks import NETWORKS

COUNT, PER_CLASS = 24, 2


def choose(labels: np.ndarray) -> list[int]:
    """Return the places of the chosen pictures, in order, given all class numbers [N]."""
    rank = np.array([int((labels[:at] == label).sum()) for at, label in enumerate(labels[:1000])])
    first = np.flatnonzero(rank < PER_CLASS)
    others = np.flatnonzero(rank >= PER_CLASS)[: COUNT - len(first)]
    return sorted(int(at) for at in (*first, *others))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write an AdderNet's sample pictures.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, help="folder of the pictures")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    network = NETWORKS[args.network]

    folder = args.data or DEFAULT_DATA[network.name]
    pictures, labels = load(network, folder, held_out=True)
    names = network.labels()
    out = args.out or network.folder / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    for at in choose(labels):
        Image.fromarray(pictures[at]).save(out / f"{at:04}_{names[labels[at]]}.png")


if __name__ == "__main__":
    main()
