"""Small layers of every kind, with their plans, for the tests of several rooms."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from compiler.errors import CompileError
from compiler.memory import Program, lay_out
from compiler.plan import LayerPlan, plan_layer
from golden.cycles.causes import Counts
from golden.cycles.core import LayerData, chain_counts
from golden.descriptor import ClusterWork, PassDescriptor
from golden.formats import Rounding
from golden.mover import LayerMoves, Memory
from golden.network import Conv, TensorFormat
from golden.params import Build, ceil_div, preset
from golden.requant import Scale, Shift

TINY, TINY8, TINY_L1, UP5K, NULLHOP = (
    preset(name) for name in ("tiny", "tiny8", "tiny_l1", "up5k", "nullhop")
)

S16 = TensorFormat(16, signed=True, scale=1.0)

#: Builds from one bank to eight, and lanes from roomy to so small that small layers go in tiles.
BUILDS = (
    TINY.replace(
        name="one", clusters=1, lanes_per_cluster=32, word_pixels=32, drain=16, depthwise=True
    ),
    TINY,
    TINY8,
    UP5K,
    TINY8.replace(
        name="four", clusters=4, word_pixels=4, weight_words=256, acc_words=64, depthwise=True
    ),
    TINY.replace(
        name="eight", clusters=8, lanes_per_cluster=2, weight_words=160, drain=1, depthwise=True
    ),
)


def a_layer(
    shape: tuple[int, ...], form: TensorFormat = S16, weight: int = 1, **more: object
) -> Conv:
    """A layer of equal weights of that shape."""
    options = {"requant": Shift(0), "bias": np.zeros(shape[0], np.int64), "out_format": form}
    return Conv(name="conv/1", weights=np.full(shape, weight), in_format=form, **options | more)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer, its input, and the build that runs it."""

    build: Build
    shape: tuple[int, int, int] = (6, 5, 5)
    channels: int = 6
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pool: bool = False
    relu: bool = False
    scale: bool = False
    signed: bool = False
    in_zero: int = 0
    out_zero: int = 0
    density: float = 0.5
    dense: bool = False
    groups: int = 1
    seed: int = 0

    @cached_property
    def layer(self) -> Conv:
        """Weights as wide as the build has them, as far as the accumulator has room for the sum."""
        rng = np.random.default_rng(self.seed)
        build = self.build
        shape = (self.channels, self.shape[2] // self.groups, *self.kernel)
        terms = int(np.prod(shape[1:]))
        room = 1 << build.acc_bits - 2
        most = min((1 << build.weight_bits - 1) - 1, room // (terms << build.act_bits))
        bits = build.act_bits if build.act_bits == 8 or self.signed else 8
        weights = rng.integers(-most, most, shape, endpoint=True)
        # A typical sum comes out in the middle of the output's range.
        typical = most * (1 << bits - 2) * terms**0.5
        shift = max(0, int(np.log2(typical)) - bits + 2)
        scales = (rng.uniform(0.5, 2, self.channels) / (1 << shift)).astype(np.float32)
        return Conv(
            name="layer",
            weights=weights,
            bias=rng.integers(-most * 99, most * 99, self.channels, endpoint=True),
            in_format=TensorFormat(bits, self.signed, 1.0, self.in_zero),
            out_format=TensorFormat(bits, self.signed, 1.0, self.out_zero),
            requant=Scale(scales) if self.scale else Shift(shift, Rounding.HALF_EVEN),
            stride=self.stride,
            pads=self.pads,
            relu=self.relu,
            pool=self.pool,
            groups=self.groups,
        )

    @cached_property
    def x(self) -> np.ndarray:
        """Raw input map."""
        rng = np.random.default_rng(self.seed + 1)
        form = self.layer.in_format
        x = rng.integers(form.ints.min, form.ints.max, self.shape, endpoint=True)
        x[rng.random(self.shape) >= self.density] = form.zero_point
        return x

    @cached_property
    def y(self) -> np.ndarray:
        """Raw output map."""
        return self.layer.run(self.x)

    @cached_property
    def plan(self) -> LayerPlan:
        """The plan for the build."""
        return plan_layer(self.layer, self.shape, self.build, dense=self.dense)


class Loaded:
    """Cases one after the other, each with its own input, in one memory."""

    def __init__(self, *cases: Case):
        self.cases = cases
        self.programs: list[Program] = [lay_out([case.plan]) for case in cases]
        self.memories: list[Memory] = []
        for case, program in zip(cases, self.programs, strict=True):
            memory = program.load()
            program.places[0].store(memory, program.places[0].encode(case.x))
            self.memories.append(memory)

    @property
    def moves(self) -> list[LayerMoves]:
        """Each case's list for the mover."""
        return [program.moves[0] for program in self.programs]

    def control(self) -> list[int]:
        """Words of the control stream."""
        data = b"".join(
            memory.fetch(transfer)
            for moves, memory in zip(self.moves, self.memories, strict=True)
            for transfer in moves.control
        )
        return np.frombuffer(data, "<u8").tolist()

    def maps(self) -> list[bytes]:
        """Segments of the map stream."""
        return [
            memory.fetch(transfer)
            for moves, memory in zip(self.moves, self.memories, strict=True)
            for transfer in moves.maps
        ]

    def outputs(self) -> list[dict[int, list[bytes]]]:
        """Per case, for each context the segments that must come out."""
        found = []
        for case, program in zip(self.cases, self.programs, strict=True):
            place = program.places[1]
            encoded = place.encode(case.y)
            contexts: dict[int, list[bytes]] = {}
            for pass_plan in case.plan.passes:
                for segment in pass_plan.segments:
                    block = encoded.blocks[segment.block]
                    data = block.rows[segment.row][block.ranges.index(segment.columns)]
                    contexts.setdefault(segment.context, []).append(data)
            found.append(contexts)
        return found

    def data(self) -> list[LayerData]:
        """What the cycle model takes of each case."""
        return [
            LayerData(
                passes=case.plan.pass_data,
                x=case.x,
                y=case.y,
                in_ranges=[ranges for _, ranges in program.places[0].blocks],
            )
            for case, program in zip(self.cases, self.programs, strict=True)
        ]

    def counts(self) -> list[Counts]:
        """What the cycle model says of each case, their control streams without a gap between."""
        return list(chain_counts(self.cases[0].build, self.data()))


def fits_in_tiles(build: Build, kernel: tuple[int, int], cols: int) -> bool:
    """Whether a build takes any number of input channels to so many output columns."""
    columns = max(2, 1 << (cols - 1).bit_length())
    return (
        kernel[0] * kernel[1] * build.word_pixels <= build.half_words
        and 2 * columns <= build.acc_words
    )


@st.composite
def cases(draw: Any, builds: tuple[Build, ...] = BUILDS, *, rows: int = 9, cols: int = 7) -> Case:
    """Layers that a build can run, with map banks that hold all of the input or just enough."""
    build = draw(st.sampled_from(builds))
    kernel = draw(st.tuples(*[st.integers(1, build.k_max)] * 2))
    stride = draw(st.tuples(*[st.sampled_from((1, 1, 1, 2, 3, 4))] * 2))
    # Strides step over rows and columns inside the map alone; others may start outside of it.
    most = [k + 1 if s <= k else k - 1 for k, s in zip(kernel, stride, strict=True)]
    if draw(st.integers(0, 3)):
        most = [k - 1 for k in kernel]
    pads = draw(st.tuples(*[st.integers(0, pad) for pad in most * 2]))
    pool = draw(st.booleans())
    least = [max(1, kernel[i] + pool * stride[i] - pads[i] - pads[i + 2]) for i in (0, 1)]
    height, width = (
        draw(st.integers(low, max(low, high)))
        for low, high in zip(least, (rows, cols), strict=True)
    )
    size = kernel[0] * kernel[1]
    whole, half = build.weight_words // size, build.half_words // size
    out_cols = (width + pads[1] + pads[3] - kernel[1]) // stride[1] + 1
    if half < 30 and fits_in_tiles(build, kernel, out_cols) and draw(st.booleans()):
        depth = draw(st.integers(half + 1, min(3 * half + 3, 60)))  # a few tiles
    else:
        depth = draw(st.integers(1, min(40, whole)))
    on_chip = draw(st.integers(min(height, kernel[0] + stride[0]), height))
    pitch = width * ceil_div(ceil_div(depth, build.word_pixels), build.clusters)
    return Case(
        build=build.replace(map_words=max(2, on_chip * pitch)),
        shape=(height, width, depth),
        channels=draw(st.integers(1, 2 * build.lanes)),
        kernel=kernel,
        stride=stride,
        pads=pads,
        pool=pool,
        density=draw(st.sampled_from((0.0, 0.1, 0.5, 1.0))),
        seed=draw(st.integers(0, 99)),
    )


@st.composite
def grouped_cases(draw: Any, builds: tuple[Build, ...] = BUILDS) -> Case:
    """Layers of grouped channels, depthwise ones among them."""
    build = draw(st.sampled_from(builds))
    ins = draw(st.sampled_from((1, 1, 2, 3, build.word_pixels)))
    outs = draw(st.sampled_from((1, 1, 2, 3, build.lanes_per_cluster)))
    groups = draw(st.integers(2, max(2, min(24, 40 // max(ins, outs)))))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    case = Case(
        build=build,
        shape=(draw(st.integers(3, 5)), draw(st.integers(3, 5)), groups * ins),
        channels=groups * outs,
        kernel=kernel,
        pads=draw(st.tuples(*[st.integers(0, k) for k in kernel * 2])),
        density=draw(st.sampled_from((0.1, 0.5, 1.0))),
        groups=groups,
        seed=draw(st.integers(0, 99)),
    )
    try:
        assert case.plan
    except CompileError:
        reject()
    return case


def pass_config(d: PassDescriptor) -> dict[str, int]:
    """A descriptor as `hdl.layouts.PASS_CONFIG`."""
    return {name: int(value) for name, value in vars(d).items() if name != "clusters"}


def cluster_config(work: ClusterWork) -> dict[str, int]:
    """A cluster's work as `hdl.layouts.CLUSTER_CONFIG`."""
    return {name: int(value) for name, value in asdict(work).items()}
