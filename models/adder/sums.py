"""Exact sums over the windows of a map, in NumPy: L1 distances, products, and maxima.

A map is [N, C, H, W]; pads are ONNX's: top, left, bottom, right.
"""

import numpy as np

#: Rows of windows that are worked on at once: their sums stay in the CPU's cache.
ROWS = 512


def windows(x: np.ndarray, kernel: int, stride: int, pads: list[int]) -> np.ndarray:
    """Return the windows of a map padded with zeros: [N, rows, columns, C, kernel, kernel]."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))
    return view[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)


def distances(x: np.ndarray, weights: np.ndarray, stride: int, pads: list[int]) -> np.ndarray:
    """Return -sum |x - w| for filters [O, C, K, K]: int32 of integers, else float32."""
    filters = weights.shape[0]
    view = windows(x, weights.shape[2], stride, pads)
    exact = np.issubdtype(x.dtype, np.integer)
    # Whether a difference of a byte and one of these weights fits into 16 bits.
    largest = np.abs(weights.astype(np.int64)).max() if exact else 0
    narrow = x.dtype.itemsize == 1 and largest < 2**15 - 256
    kind = (np.int16 if narrow else np.int32) if exact else np.float32
    rows = view.reshape(-1, weights[0].size).astype(kind)
    taps = weights.reshape(filters, -1).T.astype(kind)
    sums = np.zeros((len(rows), filters), np.int32 if exact else np.float32)
    for at in range(0, len(rows), ROWS):
        part = sums[at : at + ROWS]
        columns = np.ascontiguousarray(rows[at : at + ROWS].T)
        for column, tap in zip(columns, taps, strict=True):
            apart = column[:, None] - tap
            part -= np.abs(apart, out=apart)
    return sums.reshape(*view.shape[:3], filters).transpose(0, 3, 1, 2)


def products(x: np.ndarray, weights: np.ndarray, stride: int, pads: list[int]) -> np.ndarray:
    """Return sum x w for filters [O, C, K, K]: int64 of integers, exact, else float32.

    Integers are multiplied as float64, which holds sums of up to 53 bits.
    """
    filters = weights.shape[0]
    view = windows(x, weights.shape[2], stride, pads)
    exact = np.issubdtype(x.dtype, np.integer)
    kind = np.float64 if exact else np.float32
    rows = view.reshape(-1, weights[0].size).astype(kind)
    sums = rows @ weights.reshape(filters, -1).T.astype(kind)
    sums = sums.astype(np.int64) if exact else sums
    return sums.reshape(*view.shape[:3], filters).transpose(0, 3, 1, 2)


def pooled(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Return the largest value of every window, without padding."""
    return windows(x, kernel, stride, [0] * 4).max((4, 5)).transpose(0, 3, 1, 2)
