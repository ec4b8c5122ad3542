"""Random layers that a build can run, as a hypothesis strategy, and how they are checked."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from compiler.memory import lay_out
from compiler.plan import LayerPlan, plan_layer
from golden.adder import Adder, adder2d
from golden.cycles.core import layer_counts
from golden.formats import Rounding
from golden.network import Conv, TensorFormat
from golden.params import Build, ceil_div
from golden.requant import Scale, Shift
from sim.native import NativeCore
from sim.network import execute
from sim.streams import COUNTERS, SimulationError


@dataclass(frozen=True)
class Case:
    """A layer, its raw input map, and whether that comes without sparsity maps."""

    layer: Conv
    x: np.ndarray
    dense: bool

    def __repr__(self) -> str:
        layer = self.layer
        return (
            f"Case({layer.kind}, x={self.x.shape}, weights={layer.weights.shape}, "
            f"stride={layer.stride}, "
            f"pads={layer.pads}, pool={layer.pool}, relu={layer.relu}, requant={layer.requant}, "
            f"in={layer.in_format}, out={layer.out_format}, dense={self.dense})"
        )


@st.composite
def formats(draw: st.DrawFn, build: Build) -> TensorFormat:
    """Formats of a map that the build takes."""
    if build.act_bits == 16 and draw(st.booleans()):
        return TensorFormat(16, True, 1.0, 0)
    signed = draw(st.booleans())
    zero = draw(st.integers(-128, 127) if signed else st.integers(0, 255))
    return TensorFormat(8, signed, 1.0, zero)


def map_columns(build: Build, channels: int, rows: int) -> int:
    """Columns of a map of which the banks hold that many rows."""
    words = ceil_div(ceil_div(channels, build.word_pixels), build.clusters)
    return build.map_words // (rows * words)


@st.composite
def cases(draw: st.DrawFn, build: Build, *, edge: int = 14, channels: int = 20) -> Case:
    """Layers with maps of up to `edge` rows and columns and about `channels` channels."""
    kernel = draw(st.tuples(*[st.integers(1, build.k_max)] * 2))
    size = kernel[0] * kernel[1]
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    stride = draw(st.tuples(*[st.sampled_from([1, 1, 1, 2, 3, 4])] * 2))
    # At least one output, two where a pool follows.
    pool = draw(st.booleans())
    least = [max(1, k - pads[i] - pads[i + 2] + pool * stride[i]) for i, k in enumerate(kernel)]
    stripe = kernel[0] + stride[0]
    deepest = build.weight_words // size
    tiled = deepest <= 2 * channels  # else tiles would make layers too large to try many
    kind = draw(
        st.sampled_from(["tiles", "tiles", "ring", "plain"] if tiled else ["ring", "plain"])
    )
    if kind == "tiles":
        # More weights than the lanes hold, and sums enough for every output column.
        cin = draw(st.integers(deepest + 1, 3 * deepest + 3))
        height = draw(st.integers(least[0], max(least[0], edge // 2)))
        widest = (build.acc_words // 2 - 1) * stride[1] + kernel[1] - pads[1] - pads[3]
        widest = min(edge, widest, map_columns(build, cin, min(height, stripe)))
        width = draw(st.integers(least[1], max(least[1], widest)))
    elif kind == "ring":
        # A map of which the banks hold only some rows at a time.
        most = min(channels, deepest)
        cin = draw(st.integers(min(most, build.word_pixels * build.clusters + 1), most))
        height = draw(st.integers(max(least[0], stripe + 1), max(edge, stripe + 1)))
        whole = map_columns(build, cin, height)
        widest = max(least[1], min(whole + 4, map_columns(build, cin, stripe)))
        width = draw(st.integers(min(max(least[1], whole + 1), widest), widest))
    else:
        cin = draw(st.integers(1, min(channels, deepest)))
        height = draw(st.integers(least[0], max(least[0], edge)))
        widest = min(edge, map_columns(build, cin, min(height, stripe)))
        width = draw(st.integers(least[1], max(least[1], widest)))
    assume(width <= map_columns(build, cin, min(height, stripe)))
    outputs = (width + pads[1] + pads[3] - kernel[1]) // stride[1] + 1
    assume(cin <= deepest or 2 * outputs <= build.acc_words)
    cout = draw(st.integers(1, 3 * build.lanes + 3))
    in_format, out_format = draw(formats(build)), draw(formats(build))
    adds = build.pe == "l1"
    if adds:
        in_format = replace(in_format, zero_point=0)
    density = draw(st.sampled_from([0.0, 0.04, 0.3, 0.6, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    ints = in_format.ints
    divide = 16 if ints.bits == 16 else 1  # so that accumulators keep within the build's bits
    x = rng.integers(ints.min // divide, ints.max // divide + 1, (height, width, cin))
    x = np.where(rng.random(x.shape) < density, x, in_format.zero_point).astype(ints.dtype)
    largest = 127 if build.weight_bits == 8 or ints.bits == 8 else 1000
    weights = rng.integers(-largest, largest + 1, (cout, cin, *kernel))
    bias = rng.integers(-10000, 10001, cout)
    # About half of the outputs saturate, so that clamps and roundings both matter.
    spread = max(
        1.0, (x.astype(float) - in_format.zero_point).std() * largest * (size * cin) ** 0.5
    )
    if adds:
        weights = rng.integers(-2 * largest, 3 * largest, weights.shape)
        sums = adder2d(x, weights, np.zeros(cout, np.int64), stride=stride, pads=pads)
        bias, spread = bias // 99 - sums.mean(axis=(0, 1)).astype(np.int64), max(1.0, sums.std())
    ratio = out_format.ints.max / spread
    requant: Shift | Scale
    if "scale" in build.requant and draw(st.booleans()):
        requant = Scale((rng.uniform(0.3, 2, cout) * ratio).astype(np.float32))
    else:
        shift = max(0, round(-np.log2(ratio)))
        requant = Shift(shift, draw(st.sampled_from(Rounding)))
    layer = (Adder if adds else Conv)(
        name="random",
        weights=weights,
        bias=bias,
        in_format=in_format,
        out_format=out_format,
        requant=requant,
        stride=stride,
        pads=pads,
        relu=draw(st.booleans()),
        pool=pool,
    )
    return Case(layer, x, draw(st.booleans()))


def check_case(core: NativeCore, build: Build, case: Case, *, gaps: float = 0.0) -> LayerPlan:
    """Run a case in RTL: values equal golden's, and without gaps every counter the model's."""
    plan = plan_layer(case.layer, case.x.shape, build, dense=case.dense)
    program = lay_out([plan])
    source, target = program.places
    memory = program.load()
    source.store(memory, source.encode(case.x))
    try:
        result = execute(core, program.moves[0], memory, gaps=gaps, seed=1)
    except SimulationError:
        core.reset()  # else whatever hypothesis tries next fails too
        raise
    expected = case.layer.run(case.x)
    np.testing.assert_array_equal(target.fetch(memory).to_dense(), expected)

    counters = result.counters
    causes = [counters[name] for name in COUNTERS[3:]]
    assert sum(causes) == counters["cycles"] * build.clusters
    assert result.cycles == counters["cycles"]
    if not gaps:
        ranges = [ranges for _, ranges in source.blocks]
        model = layer_counts(build, plan.descriptors, case.x, expected, ranges)
        assert counters == {name: getattr(model, name) for name in COUNTERS}
    return plan
