"""Fashion-MNIST as NumPy arrays, read from the four gzip-compressed IDX files.

On Debian the files are in the package `dataset-fashion-mnist`.  Install it, or unpack it anywhere
without being root:

    apt-get download dataset-fashion-mnist
    dpkg-deb -x dataset-fashion-mnist_*.deb unpacked
    python models/fashion/evaluate.py --data unpacked/usr/share/datasets/fashion-mnist
"""

import gzip
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = Path("/usr/share/datasets/fashion-mnist")
TRAIN, TEST = "train", "t10k"


def read_idx(path: Path) -> np.ndarray:
    """Read one gzip-compressed IDX file of unsigned bytes; the shape is the one in its header."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    dims = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dims, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def load_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load TRAIN or TEST: pictures as uint8 [N, 28, 28] and class numbers as int64 [N]."""
    names = [f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"]
    for name in names:
        if not (folder / name).is_file():
            raise SystemExit(f"{folder / name} not found; data.py says how to get the data set")
    pictures, labels = (read_idx(folder / name) for name in names)
    return pictures, labels.astype(np.int64)


def to_input(pictures: np.ndarray) -> np.ndarray:
    """Turn uint8 [N, 28, 28] pixels into the models' input: float32 [N, 1, 28, 28], pixel / 255."""
    return pictures[:, None].astype(np.float32) / np.float32(255)


def class_names() -> list[str]:
    """Return the ten class names, in class order."""
    return (HERE / "labels.txt").read_text(encoding="utf-8").split()
