"""Biases that give a layer's output map a stated share of zeros.

Random weights alone say nothing about sparsity. Here the bias of a layer is set by quantiles of
its own exact sums, so that a chain of random layers has the zeros of a trained network while its
zeros still come from the data: which channel and which position is zero follows from the maps.
"""

from dataclasses import replace

import numpy as np

from golden.conv import max_pool2x2
from golden.network import Conv
from golden.requant import Shift


def calibrate(layer: Conv, x: np.ndarray, zeros: float) -> tuple[Conv, np.ndarray]:
    """Set bias and shift so that the output map of `x` has a share of zeros.

    Each channel's bias gives up half of the channel's median sum, so that the channels differ in
    their zeros as those of a trained network do, but none is dead because its weights add up to a
    negative sum. One more bias, the same for all channels, then puts the asked quantile of all
    sums, pooled if the layer pools, at the smallest value that is not zero after the shift. The
    shift is the smallest one with which no output saturates.

    Parameters
    ----------
    layer : Conv
        Its bias is where the search begins: channels with different ones differ also where all
        pixels are zero. Its requantiser is replaced. ReLU should be on.
    x : ndarray of int, shape (H, W, Cin)
        Raw input map.
    zeros : float
        Share of the output's values that shall be zero, 0 to 1. As equal sums go together, the
        nearest share that can be had.

    Returns
    -------
    Conv, ndarray
        The layer, with `Shift` in floor rounding, and its raw output map for `x`.
    """
    sums = layer.accumulate(x)
    if layer.pool:
        sums = max_pool2x2(sums)
    change = -(_middles(sums) // 2)
    sums += change
    level = _level(sums, zeros)
    largest = layer.out_format.ints.max - layer.out_format.zero_point
    shift = ((int(sums.max()) - level) // largest).bit_length()
    offset = (1 << shift) - level
    sums += offset
    done = replace(layer, bias=layer.bias + change + offset, requant=Shift(shift))
    y = done.requant.apply(sums, done.out_format.zero_point, *done.clamp)
    return done, y.astype(done.out_format.ints.dtype)


def _level(sums: np.ndarray, zeros: float) -> int:
    """Limit below which as near as possible to a share of the sums lies."""
    below = round(zeros * sums.size)
    place = min(below, sums.size - 1)
    level = int(np.partition(sums.ravel(), place)[place])
    # Equal sums go together: to the side that misses by less.
    without, through = int((sums < level).sum()), int((sums <= level).sum())
    return level + 1 if through - below < below - without else level


def _middles(sums: np.ndarray) -> np.ndarray:
    """Upper median of each channel of (H, W, C)."""
    channels = np.ascontiguousarray(sums.reshape(-1, sums.shape[2]).T)
    middle = channels.shape[1] // 2
    return np.partition(channels, middle, axis=1)[:, middle]
