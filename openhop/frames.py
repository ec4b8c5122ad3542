"""Input maps and weights of seeded layers: without structure, or with zeros in clusters.

Everything is made of integers, so that a seed gives the same data on every machine.
"""

from typing import Literal

import numpy as np

Frame = Literal["random", "clustered"]

#: The same, or a picture through a trained network.
Data = Literal[Frame, "photo"]

#: Cells of the coarse grid between whose random nodes a smooth picture is interpolated, each way.
CELLS = 4
#: Brightness of the whole picture against that of each channel by itself.
COMMON = 3
#: Largest weight that all output channels of a clustered layer share, times the square root of the
#: input channels, in terms of their own. With a half the positions differ in their zeros about as
#: those of the bundled `fashion` network do: by 0.06 to 0.26, where they do by 0.06 to 0.22.
SHARED = 0.5


def frame_map(
    rng: np.random.Generator, shape: tuple[int, int, int], zeros: float, largest: int, frame: Frame
) -> np.ndarray:
    """Input map (H, W, C) of values from 0 to `largest`, of which a share is zero.

    "random": each pixel is by itself. "clustered": a picture of low frequency, the same in all
    channels but for a quarter, of which the darkest pixels are zero.
    """
    size = int(np.prod(shape))
    least = min(round(zeros * size), size - 1)
    if frame == "clustered":
        field = COMMON * _smooth(rng, (*shape[:2], 1)) + _smooth(rng, shape)
        above = field - np.partition(field.ravel(), least)[least] + 1
        above = np.maximum(above, 0)
        x = (above * largest + above.max() - 1) // above.max()
    else:
        x = rng.integers(1, largest, shape, endpoint=True)
        x.ravel()[rng.permutation(size)[:least]] = 0
    return x if zeros < 1 else np.zeros_like(x)


def _smooth(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Bilinear interpolation between random nodes, in integers."""
    field = rng.integers(0, 1 << 10, (CELLS + 1, CELLS + 1, shape[2]))
    for axis in (0, 1):
        size = shape[axis]
        cell, rest = np.divmod(np.arange(size) * CELLS, size)
        rest = np.expand_dims(rest, tuple(a for a in range(3) if a != axis))
        field = field.take(cell, axis) * (size - rest) + field.take(cell + 1, axis) * rest
    return field


def frame_weights(
    rng: np.random.Generator, shape: tuple[int, int, int, int], largest: int, frame: Frame
) -> np.ndarray:
    """Weights (Cout, Cin, kh, kw), int16, from -`largest` to `largest`.

    "random": each is by itself. "clustered": each kernel is a low-pass (binomial), and a part is
    common to all output channels, so that zeros come together in space and over the channels.
    """
    if frame == "random":
        return rng.integers(-largest, largest, shape, np.int16, endpoint=True)
    low_pass = np.outer(_binomial(shape[2]), _binomial(shape[3]))
    size = max(1, largest // (2 * int(low_pass.max())))
    own = rng.integers(-size, size, (*shape[:2], 1, 1), endpoint=True)
    shared = int(SHARED * size / shape[1] ** 0.5)
    common = rng.integers(0, shared, (1, shape[1], 1, 1), endpoint=True)
    return np.clip((own + common) * low_pass, -largest, largest).astype(np.int16)


def _binomial(size: int) -> np.ndarray:
    row = np.ones(1, np.int64)
    for _ in range(size - 1):
        row = np.convolve(row, [1, 1])
    return row


def spread(zero: np.ndarray) -> float:
    """How much positions differ: standard deviation of their shares of zeros, to four digits.

    Parameters are those of `clustering`.
    """
    return round(float(zero.mean(axis=2).std()), 4)


def clustering(zero: np.ndarray) -> float | None:
    """How alike neighbouring positions are: correlation of their zeros' counts.

    Parameters
    ----------
    zero : ndarray of bool, shape (H, W, C)
        Which pixels are zero.

    Returns
    -------
    float or None
        Pearson's coefficient over all pairs of neighbours in a row or a column, -1 to 1; about 0
        where every pixel is by itself; four digits. None where nothing varies.
    """
    counts = zero.sum(axis=2, dtype=np.int64)
    a = np.concatenate([counts[:, :-1].ravel(), counts[:-1].ravel()]).astype(float)
    b = np.concatenate([counts[:, 1:].ravel(), counts[1:].ravel()]).astype(float)
    if a.size < 2 or not a.std() or not b.std():
        return None
    return round(float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())), 4)
