"""Pools as layers of the core: depthwise passes, whose lanes add, or keep the largest."""

import numpy as np

from golden.network import Conv, Layer, Network
from golden.params import Build
from golden.pooling import AvgPool, MaxPool
from golden.requant import Shift


def as_convolution(layer: MaxPool | AvgPool, channels: int) -> Conv:
    """Return the depthwise convolution with weights of 1 whose passes a pool's are.

    A max-pool's accumulators keep the largest product (`golden.descriptor`, field `maximum`), which
    is what the convolution itself does not say.
    """
    return Conv(
        name=layer.name,
        weights=np.ones((channels, 1, *layer.kernel), np.int64),
        bias=np.zeros(channels, np.int64),
        in_format=layer.in_format,
        out_format=layer.out_format,
        requant=layer.requant if isinstance(layer, AvgPool) else Shift(0),
        stride=layer.stride,
        pads=layer.pads,
        groups=channels,
    )


def never_negative(network: Network) -> list[bool]:
    """Whether no value of a tensor is below its zero point, for the input and each layer's output.

    Then the largest value of a window is that of its non-zero pixels, and zeros can be skipped.
    """
    form = network.input_format
    known = [form.zero_point == form.ints.min]
    for layer, taken in zip(network.layers, network.sources, strict=True):
        if isinstance(layer, Conv):
            known.append(layer.clamp[0] >= layer.out_format.zero_point)
        else:
            known.append(all(known[t] for t in taken))
    return known


def runs_on_core(layer: Layer, build: Build, *, positive: bool, joined: bool) -> bool:
    """Whether a pool becomes passes of the core; else the host computes it.

    `positive` says that its input is never below the zero point, `joined` that its output is one of
    several branches, which want other blocks than those of a pool.
    """
    if build.pe != "mac" or joined:
        return False
    return isinstance(layer, AvgPool) or (build.max_pool and positive)
