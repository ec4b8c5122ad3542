"""Exact integer convolution, pooling, and the counts and bounds that go with them.

Maps are (H, W, C) arrays of raw integers, weights (Cout, Cin, kh, kw), pads (top, left, bottom,
right). Sums are exact: floating point only does the work where a bound, taken from the operands at
hand, proves that every partial sum is an integer that it holds.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

#: Up to here every integer is a float32, a float64; beyond the last an int64 wraps.
FLOAT32_EXACT, FLOAT64_EXACT, INT64_MAX = 1 << 24, 1 << 53, (1 << 63) - 1

#: Where a sum may be cut, in terms; and how short blocks may be on average before float64, in one
#: piece, is faster than float32 in many.
CUT_STEP, SHORT_BLOCK = 16, 64

#: Elements of a matrix that is worked on at a time, so that it stays in the cache.
CHUNK = 1 << 18

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


class ConvError(ValueError):
    """Operands of a convolution or pooling that do not go together, or sums beyond 64 bits."""


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> Pair:
    """Rows and columns of the result; zero or less where the kernel does not fit the padded map."""
    top, left, bottom, right = pads
    return (
        (size[0] + top + bottom - kernel[0]) // stride[0] + 1,
        (size[1] + left + right - kernel[1]) // stride[1] + 1,
    )


def bound(weights: np.ndarray, bias: np.ndarray, largest: int) -> int:
    """Largest magnitude that any accumulator can reach: max of sum |w| x largest + |bias|.

    Parameters
    ----------
    weights : ndarray of int, shape (Cout, ...)
        Weights of each output channel.
    bias : ndarray of int, shape (Cout,)
        Its bias.
    largest : int
        Largest magnitude of a pixel, zero point subtracted.

    Returns
    -------
    int
        Holds for every partial sum as well, in any order.
    """
    sums = np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1)
    return max((int(s) * largest + abs(int(b)) for s, b in zip(sums, bias, strict=True)), default=0)


def bits_needed(magnitude: int) -> int:
    """Bits of a two's complement number that holds `magnitude` and its negative."""
    return magnitude.bit_length() + 1


def conv2d(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    *,
    stride: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    zero_point: int = 0,
) -> np.ndarray:
    """Exact sums of (x - zero point) w over each window, with bias.

    Parameters
    ----------
    x : ndarray of int, shape (H, W, Cin)
        Raw map; padding counts as the zero point.
    weights : ndarray of int, shape (Cout, Cin, kh, kw)
        Weights, their own zero point subtracted.
    bias : ndarray of int, shape (Cout,)
        Bias.
    stride, pads
        Geometry.
    zero_point : int
        Raw value that stands for zero.

    Returns
    -------
    ndarray of int64, shape (rows, columns, Cout)

    Raises
    ------
    ConvError
        If the shapes do not go together, or a sum might not fit 64 bits.
    """
    channels, kernel = len(weights), (weights.shape[2], weights.shape[3])
    if x.ndim != 3 or x.shape[2] != weights.shape[1]:
        raise ConvError(f"a map {x.shape} does not go with weights {weights.shape}")
    rows, cols = output_size(x.shape[:2], kernel, stride, pads)
    if rows < 1 or cols < 1:
        raise ConvError(f"kernel {kernel} is larger than map {x.shape} with pads {pads}")

    # Python integers: neither the subtraction nor |-32768| may wrap in a narrow type.
    largest = max(abs(int(x.max()) - zero_point), abs(int(x.min()) - zero_point))
    # Lines in the order in which a window lies in memory: ky, kx, channel.
    matrix = np.ascontiguousarray(weights.transpose(2, 3, 1, 0)).reshape(-1, channels)
    dtype, cuts = _plan(matrix, bias, largest)
    matrix = matrix.astype(dtype)
    # Sums become integers before anything is added: int32 where it holds them, which is faster.
    whole = np.int32 if dtype == np.float32 else np.int64

    out = np.empty((rows * cols, channels), np.int64)
    offset = np.asarray(bias, np.int64)
    padded = _pad(x, zero_point, pads, dtype)
    done = 0
    step = max(1, CHUNK // (cols * max(matrix.shape)))
    for window in _windows(padded, kernel, stride, (rows, cols), step):
        part = out[done : done + len(window)]
        addend = offset
        for low, high in pairwise(cuts):
            sums = window[:, low:high] @ matrix[low:high]
            np.add(addend, sums.astype(whole), out=part)
            addend = part
        done += len(window)
    return out.reshape(rows, cols, channels)


def _plan(matrix: np.ndarray, bias: np.ndarray, largest: int) -> tuple[type, list[int]]:
    """Choose the number type of the products and where to cut the K terms of each sum.

    A block of terms is exact in a float type if sum |w| x largest stays within its integers:
    then so does every partial sum, whatever the order.

    Raises
    ------
    ConvError
        If not even 64-bit integers are wide enough.
    """
    terms = len(matrix)
    starts = range(0, terms, CUT_STEP)
    magnitudes = np.abs(matrix, dtype=np.int64)
    sums = [magnitudes[start : start + CUT_STEP].sum(axis=0) for start in starts]
    total = int(np.sum(sums, axis=0).max()) * largest
    reach = total + int(np.abs(bias, dtype=np.int64).max())
    if reach > INT64_MAX:
        raise ConvError(f"sums need {bits_needed(reach)} bits, more than 64")
    if total > FLOAT64_EXACT:
        return np.int64, [0, terms]
    cuts, block = [0], np.zeros_like(sums[0])
    for start, step in zip(starts, sums, strict=True):
        block = block + step
        if int(block.max()) * largest > FLOAT32_EXACT:
            cuts.append(start)
            block = step
            if int(step.max()) * largest > FLOAT32_EXACT or len(cuts) > 1 + start // SHORT_BLOCK:
                return np.float64, [0, terms]
    return np.float32, [*cuts, terms]


def _pad(x: np.ndarray, zero_point: int, pads: Pads, dtype: type) -> np.ndarray:
    """Map less its zero point with zeros around it, as `dtype`."""
    (H, W, C), (top, left, bottom, right) = x.shape, pads
    padded = np.zeros((H + top + bottom, W + left + right, C), dtype)
    inner = padded[top : top + H, left : left + W]
    # A difference of wide integers is formed in integers, where float32 would round its operands.
    work = dtype if x.dtype.itemsize <= 2 else np.int64
    np.subtract(x, zero_point, out=inner, dtype=work, casting="unsafe")
    return padded


def _windows(
    padded: np.ndarray, kernel: Pair, stride: Pair, size: Pair, step: int
) -> Iterator[np.ndarray]:
    """Windows of `step` output rows at a time, as a matrix: one a line, (ky, kx, channel)."""
    (rows, cols), (kh, kw), channels = size, kernel, padded.shape[2]
    sy, sx, sc = padded.strides
    view = as_strided(
        padded,
        (rows, cols, kh, kw * channels),
        (sy * stride[0], sx * stride[1], sy, sc),
        writeable=False,
    )
    for y in range(0, rows, step):
        yield view[y : y + step].reshape(-1, kh * kw * channels)


def fully_connected(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, *, zero_point: int = 0
) -> np.ndarray:
    """Exact sums of a fully connected layer: the convolution whose kernel is the map.

    Parameters are those of `conv2d`, with (kh, kw) equal to the map's (H, W); the result has the
    shape (1, 1, Cout).

    Raises
    ------
    ConvError
        If the kernel is not the size of the map.
    """
    if weights.shape[2:] != x.shape[:2]:
        raise ConvError(f"kernel {weights.shape[2:]} is not the size of the map {x.shape[:2]}")
    return conv2d(x, weights, bias, zero_point=zero_point)


def max_pool(x: np.ndarray, kernel: Pair, stride: Pair, pads: Pads = (0, 0, 0, 0)) -> np.ndarray:
    """Largest value of each window, (rows, columns, C), in floor mode; padding never wins.

    Raises
    ------
    ConvError
        If a window might hold nothing but padding, or none fits.
    """
    kh, kw = kernel
    if max(pads[0], pads[2]) >= kh or max(pads[1], pads[3]) >= kw:
        raise ConvError(f"pads {pads} must be smaller than the kernel {kernel}")
    rows, cols = output_size(x.shape[:2], kernel, stride, pads)
    if rows < 1 or cols < 1:
        raise ConvError(f"kernel {kernel} is larger than map {x.shape} with pads {pads}")
    if any(pads):
        borders = ((pads[0], pads[2]), (pads[1], pads[3]), (0, 0))
        x = np.pad(x, borders, constant_values=np.iinfo(x.dtype).min)
    y_end, x_end = (rows - 1) * stride[0] + 1, (cols - 1) * stride[1] + 1
    out = x[: y_end : stride[0], : x_end : stride[1]].copy()
    for ky in range(kh):
        for kx in range(kw):
            tap = x[ky : ky + y_end : stride[0], kx : kx + x_end : stride[1]]
            np.maximum(out, tap, out=out)
    return out


def max_pool2x2(x: np.ndarray) -> np.ndarray:
    """Largest value of each 2x2 square; an odd row or column at the end is dropped."""
    return max_pool(x, (2, 2), (2, 2))


def useful_ops(nonzero: np.ndarray, kernel: Pair, stride: Pair, pads: Pads, counted: Pair) -> int:
    """Products per output channel whose pixel is not zero and which an output needs.

    Parameters
    ----------
    nonzero : ndarray of bool, shape (H, W, C)
        Which pixels differ from the zero point.
    kernel, stride, pads
        Geometry of the convolution.
    counted : (int, int)
        Rows and columns of outputs that count, from the first: those of the convolution or,
        before a 2x2 pool, the even number of them that the pool takes.

    Returns
    -------
    int
        Exact; lane cycles that no zero-skipping machine can save, times its output channels.
    """
    pixels = np.count_nonzero(nonzero, axis=2)
    rows = _taps(pixels.shape[0], kernel[0], stride[0], pads[0], counted[0])
    cols = _taps(pixels.shape[1], kernel[1], stride[1], pads[1], counted[1])
    return int(rows @ pixels @ cols)


def _taps(size: int, kernel: int, stride: int, before: int, outputs: int) -> np.ndarray:
    """How many of the outputs each position takes part in, along one axis."""
    position, tap = np.arange(size)[:, np.newaxis], np.arange(kernel)
    start = position + before - tap  # where the output's window starts, in the padded map
    return ((start >= 0) & (start % stride == 0) & (start < outputs * stride)).sum(axis=1)
