"""Random layers of the less common shapes: large kernels, grouped channels, wide and deep maps."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from compiler.cuts import kernel_pieces, map_layout
from golden.formats import Rounding
from golden.network import Conv
from golden.params import Build, ceil_div, preset
from golden.requant import Shift
from tests.sim.layers import Case, formats

#: So little of everything that small layers have to be cut in every way.
SMALL = preset("tiny").replace(
    name="small", clusters=4, k_max=4, weight_words=128, map_words=1024, acc_words=20
)

#: Words of two sparsity maps, which belong to a team of two clusters in a depthwise pass, and a
#: whole packet leaving at a time.
WIDE = SMALL.replace(
    name="wide",
    clusters=2,
    lanes_per_cluster=16,
    word_pixels=32,
    drain=16,
    depthwise=True,
    weight_words=1024,
    map_words=256,
)


@st.composite
def large_kernels(draw: st.DrawFn, build: Build) -> Case:
    """Kernels that go in pieces, of up to twice the largest piece."""
    edge = 2 * build.k_max
    kernel = draw(st.tuples(*[st.integers(1, edge)] * 2))
    assume(max(kernel) > build.k_max)
    stride = draw(st.tuples(*[st.integers(1, 4)] * 2))
    # Strides step over rows and columns inside the map alone.
    least = [k // ceil_div(k, build.k_max) for k in kernel]
    most = (
        k + 1 if s <= piece else piece - 1
        for k, s, piece in zip(kernel * 2, stride * 2, least * 2, strict=True)
    )
    pads = tuple(draw(st.integers(0, pad)) for pad in most)
    shape = [
        draw(st.integers(max(1, k - pads[i] - pads[i + 2]), k + 9)) for i, k in enumerate(kernel)
    ]
    channels = draw(st.integers(1, 9))
    return _case(
        draw, build, (*shape, channels), draw(st.integers(1, 2 * build.lanes)), kernel, stride, pads
    )


@st.composite
def grouped_layers(draw: st.DrawFn, build: Build) -> Case:
    """Grouped channels of all widths: depthwise, wide as a cluster or two, and as it comes."""
    lanes, pixels = build.lanes_per_cluster, build.word_pixels
    pairs = [
        *((1, 1), (1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (1, lanes), (pixels, 1)),
        *((pixels, lanes), (pixels, 2 * lanes), (pixels, 2 * lanes), (3, lanes + 3)),
    ]
    # Of a large number the remainder is spread more evenly than what hypothesis likes to repeat.
    chosen, others = divmod(draw(st.integers(0, 2**32 - 1)), len(pairs))
    ins, outs = pairs[others]
    groups = 2 + chosen % (23 if outs <= lanes else 4)
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 2)] * 2))
    most = (k + 2 if s <= k else k - 1 for k, s in zip(kernel * 2, stride * 2, strict=True))
    pads = tuple(draw(st.integers(0, pad)) for pad in most)
    shape = [draw(st.integers(k, 8)) for k in kernel]
    return _case(draw, build, (*shape, groups * ins), groups * outs, kernel, stride, pads, groups)


@st.composite
def narrow_windows(draw: st.DrawFn, build: Build) -> Case:
    """More weights than the lanes hold, and more columns than there are sums for."""
    kernel = (draw(st.integers(1, build.k_max)), draw(st.integers(1, build.k_max)))
    depth = build.weight_words // (kernel[0] * kernel[1]) + draw(st.integers(1, 9))
    width = draw(st.integers(build.acc_words // 2 + 1, build.acc_words)) + kernel[1] - 1
    outputs = draw(st.sampled_from((3, build.lanes, build.lanes + 1)))  # four teams, one, both
    shape = (kernel[0] + 1, width, depth)
    return _case(draw, build, shape, outputs, kernel, (1, 1), (0, 0, 0, 0))


def _case(
    draw: st.DrawFn,
    build: Build,
    shape: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
    groups: int = 1,
) -> Case:
    in_format, out_format = draw(formats(build)), draw(formats(build))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ints = in_format.ints
    divide = 16 if ints.bits == 16 else 1
    x = rng.integers(ints.min // divide, ints.max // divide + 1, shape)
    density = draw(st.sampled_from((0.05, 0.4, 1.0)))
    x = np.where(rng.random(shape) < density, x, in_format.zero_point).astype(ints.dtype)
    layer = Conv(
        name="random",
        weights=rng.integers(-99, 100, (outputs, shape[2] // groups, *kernel)),
        bias=rng.integers(-1000, 1001, outputs),
        in_format=in_format,
        out_format=out_format,
        requant=Shift(draw(st.integers(4, 9)), Rounding.HALF_EVEN),
        stride=stride,
        pads=pads,
        relu=draw(st.booleans()),
        groups=groups,
        pool=draw(st.booleans()),
    )
    rows, cols, _ = layer.conv_shape(shape)
    assume(not layer.pool or (rows > 1 and cols > 1))
    # Of a kernel in pieces, each may bring its own rows.
    pieces = kernel_pieces(layer, build)
    stripe = max(piece.height for piece in pieces) + stride[0]
    least = min(shape[0], stripe) if len(pieces) == 1 else stripe
    assume(map_layout(layer, shape, build).capacity >= least)
    return Case(layer, x, draw(st.booleans()))
