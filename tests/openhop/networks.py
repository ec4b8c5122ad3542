"""Small networks, as ONNX files and as the golden model has them."""

import numpy as np
import onnx

from golden.network import Conv, Network, TensorFormat
from golden.requant import Scale, Shift
from tests.compiler.networks import Builder, QuantisedChain, quantise

RAW = TensorFormat(8, signed=False, scale=1.0)
SIGNED = TensorFormat(8, signed=True, scale=1.0, zero_point=-3)


def two_layers() -> Network:
    """Two layers with every kind of thing: padding, pool, both requantisers, a zero point."""
    rng = np.random.default_rng(5)
    first = Conv(
        name="first",
        weights=rng.integers(-8, 8, (11, 3, 3, 3)),
        bias=rng.integers(-99, 99, 11),
        in_format=RAW,
        out_format=RAW,
        requant=Shift(5),
        pads=(1, 1, 1, 1),
        relu=True,
        pool=True,
    )
    second = Conv(
        name="second/conv",
        weights=rng.integers(-8, 8, (18, 11, 2, 3)),
        bias=rng.integers(-99, 99, 18),
        in_format=RAW,
        out_format=SIGNED,
        requant=Scale(np.full(18, 0.013, np.float32)),
        pads=(0, 1, 1, 0),
    )
    return Network("pair", (9, 10, 3), RAW, (first, second))


def classifier(pad: int = 0) -> onnx.ModelProto:
    """A quantised network of two layers that fits the smallest build; takes 8x8 grey pictures."""
    net = Builder((1, 8, 8)).conv(4, (3, 3), pads=[pad] * 4).relu().pool().flatten()
    return quantise(net.gemm(3, 4 * (3 + pad) ** 2).model())


def adder_classifier(*, mixed: bool = False) -> onnx.ModelProto:
    """A network of adder layers, or one with convolutions first and last, for 8x8 grey pictures."""
    net = QuantisedChain((1, 8, 8))
    if mixed:
        net.conv(4, pads=[1] * 4).adder(6, pads=[1] * 4).pool().conv(3)
    else:
        net.adder(6, pads=[1] * 4).pool().adder(3, 4)
    return net.real().end()
