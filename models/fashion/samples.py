"""Write the sample pictures: 24 pictures of the test set as 28x28 grey PNG files.

    python models/fashion/samples.py --data DIR

DIR holds the four IDX files; data.py says how to get them.  Chosen are the first two pictures of
each class and, to fill up, the first other ones of the test set; no model has a say in it.  A file
is called NNNN_CLASS.png, where NNNN is the picture's place in the test set, counted from 0.
"""

import argparse
from pathlib import Path

import numpy as np
from data import DEFAULT_DATA, HERE, TEST, class_names, load_split
from PIL import Image

COUNT, PER_CLASS = 24, 2


def choose(labels: np.ndarray) -> list[int]:
    """Return the places of the chosen pictures, in order, given all class numbers [N]."""
    classes = np.unique(labels)
    chosen = {int(at) for label in classes for at in np.flatnonzero(labels == label)[:PER_CLASS]}
    others = (at for at in range(len(labels)) if at not in chosen)
    return sorted([*chosen, *(next(others) for _ in range(COUNT - len(chosen)))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the sample pictures as PNG files.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the IDX files")
    parser.add_argument("--out", type=Path, default=HERE / "pictures")
    args = parser.parse_args()

    pictures, labels = load_split(args.data, TEST)
    names = class_names()
    args.out.mkdir(parents=True, exist_ok=True)
    for at in choose(labels):
        Image.fromarray(pictures[at]).save(args.out / f"{at:04}_{names[labels[at]]}.png")


if __name__ == "__main__":
    main()
