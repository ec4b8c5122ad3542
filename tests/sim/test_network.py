"""Chained layers: what one layer puts into memory is what the next one takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.host import HostPlan
from compiler.passes import LayerPlan
from golden.adder import Adder
from golden.calibrate import calibrate
from golden.mover import Stream
from golden.network import Conv, Network, TensorFormat
from golden.params import Build, BuildError, preset
from golden.pooling import AvgPool, MaxPool
from golden.requant import Scale, Shift
from sim.network import Engine, LayerRun, NetworkRunner
from sim.streams import SimulationError
from tests.sim.shapes import WIDE

INPUT = TensorFormat(8, False, 1.0, 3)
INNER = TensorFormat(8, False, 1.0)


def network(seed: int = 0) -> Network:
    """Three layers: several passes, a last pass of fewer groups, pooling, a fully connected end."""
    rng = np.random.default_rng(seed)

    def conv(name: str, cin: int, cout: int, kernel: tuple[int, int], **more: object) -> Conv:
        weights = rng.integers(-50, 51, (cout, cin, *kernel))
        return Conv(
            name=name,
            weights=weights,
            bias=rng.integers(-500, 501, cout),
            in_format=INPUT if name == "first" else INNER,
            out_format=INNER,
            requant=Shift(8),
            relu=True,
            **more,  # pyright: ignore[reportArgumentType]
        )

    return Network(
        name="chain",
        input_shape=(11, 10, 2),
        input_format=INPUT,
        layers=(
            conv("first", 2, 20, (3, 3), pads=(1, 1, 1, 1)),
            conv("second", 20, 11, (3, 5), pads=(1, 2, 1, 2), pool=True),
            conv("third", 11, 7, (5, 5), kind="fc"),
        ),
    )


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 200, (11, 10, 2)).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("build", [preset("tiny"), preset("tiny8")], ids=lambda b: b.name)
def test_chain(build: Build) -> None:
    with NetworkRunner(network(), build) as runner:
        # The layers must differ in how their passes cut the rows, or the chain shows little.
        cuts = {ranges for plan in runner.program.plans for _, ranges in plan.out_blocks}
        assert len(cuts) > 1
        for x in pictures(3):
            runs = runner.run(x)
            assert [run.exact for run in runs] == [True] * 3
            assert [run.counts_equal for run in runs] == [True] * 3
        assert runner.sim_cycles_per_s > 0


def test_golden_engine_gives_the_same() -> None:
    build = preset("tiny8")
    x = pictures(1)[0]
    with NetworkRunner(network(), build) as rtl:
        expected = rtl.run(x)
    with NetworkRunner(network(), build, engine="golden") as models:
        runs = models.run(x)
    for run, other in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(run.y, other.y)
        assert run.counters == other.counters
        assert (run.in_bytes, run.out_bytes) == (other.in_bytes, other.out_bytes)


def test_nothing_but_the_mover_touches_a_map() -> None:
    """Every layer's input transfers are, entry by entry, the output transfers of the one before."""
    runner = NetworkRunner(network(), preset("tiny"), engine="golden")
    for before, after in zip(runner.program.moves, runner.program.moves[1:], strict=False):
        written = {(t.address, t.entry) for t in before.outputs}
        read = {(t.address, t.entry) for t in after.maps}
        assert written == read
        assert all(t.stream is Stream.MAP for t in after.maps)


SIDE_BY_SIDE = (preset("tiny8"), preset("tiny_l1"))


def mixed() -> Network:
    """Convolutions first and last and in between, adder layers, a pool behind one of them."""
    rng = np.random.default_rng(3)
    layers: list[Conv] = []
    x = pictures(1)[0]

    def append(kind: type[Conv], name: str, cout: int, **more: object) -> None:
        nonlocal x
        weights = rng.integers(-50, 51, (cout, x.shape[2], 3, 3))
        layer = kind(
            name=name,
            weights=weights * 6 + 40 if kind is Adder else weights,
            bias=np.zeros(cout, np.int64),
            in_format=INNER if layers else INPUT,
            out_format=INNER,
            requant=Shift(0),
            relu=True,
            **more,  # pyright: ignore[reportArgumentType]
        )
        layer, x = calibrate(layer, x, 0.5)
        layers.append(layer)

    pads = (1, 1, 1, 1)
    append(Conv, "first", 20, pads=pads)
    append(Adder, "second", 9, pads=pads, pool=True)
    append(Adder, "third", 17, pads=pads)
    append(Conv, "fourth", 8, pads=pads)
    append(Adder, "fifth", 8)
    append(Conv, "last", 5)
    return Network("mixed", (11, 10, 2), INPUT, tuple(layers))


def test_two_builds_side_by_side() -> None:
    """Each core takes its layers' control stream in one go, and what the other one wrote."""
    with NetworkRunner(mixed(), SIDE_BY_SIDE) as runner:
        assert runner.builds == SIDE_BY_SIDE
        for x in pictures(3):
            runs = runner.run(x)
            assert [run.plan.build.pe for run in runs] == ["mac", "l1", "l1", "mac", "l1", "mac"]
            assert [run.exact for run in runs] == [True] * 6
            assert [run.counts_equal for run in runs] == [True] * 6
            assert all(0 < np.mean(run.y != 0) < 1 for run in runs)


def test_each_build_has_one_control_stream() -> None:
    runner = NetworkRunner(mixed(), SIDE_BY_SIDE, engine="golden")
    program = runner.program
    mac, l1 = (program.control_of(build) for build in SIDE_BY_SIDE)
    assert (mac.start, mac.stop, l1.stop) == (0, l1.start, len(program.control))
    for words, pe in ((mac, "mac"), (l1, "l1")):
        parts = [
            (transfer.address // 8, transfer.length // 8)
            for plan, moves in zip(program.plans, program.moves, strict=True)
            for transfer in moves.control
            if plan.build.pe == pe
        ]
        at = words.start
        for start, length in parts:
            assert start == at
            at += length
        assert at == words.stop


def test_builds_that_do_not_fit_together_are_refused(tmp_path) -> None:
    with pytest.raises(BuildError, match="'tiny' and 'tiny_l1' do not share maps: values of 16"):
        NetworkRunner(mixed(), (preset("tiny"), preset("tiny_l1")), engine="golden")
    with pytest.raises(SimulationError, match=r"one file cannot take the waves of 2 cores"):
        NetworkRunner(mixed(), SIDE_BY_SIDE, wave=tmp_path / "w.fst")


def fire(left: int, squeeze: int = 8) -> Network:
    """Branches of several blocks, joined with the map that they read; pools behind them."""
    rng = np.random.default_rng(5)

    def conv(name: str, cin: int, cout: int, size: int) -> Conv:
        return Conv(
            name=name,
            weights=rng.integers(-50, 51, (cout, cin, size, size)),
            bias=rng.integers(-500, 501, cout),
            in_format=INNER,
            out_format=INNER,
            requant=Shift(7),
            relu=True,
            pads=(size // 2,) * 4,
        )

    layers = (
        conv("squeeze", 2, squeeze, 1),
        conv("left", squeeze, left, 1),
        conv("right", squeeze, 12, 3),
        conv("join", left + squeeze + 12, 9, 1),
        MaxPool("pool", (3, 3), (2, 2), INNER),
        conv("last", 9, 4, 3),
        AvgPool("mean", (4, 4), INNER, INNER, Shift(4)),
    )
    sources = ((0,), (1,), (1,), (2, 1, 3), (4,), (5,), (6,))
    return Network("fire", (10, 9, 2), INNER, layers, sources=sources)


def run_fire(left: int, build: Build, engine: Engine, squeeze: int = 8) -> list[LayerRun]:
    """Run it once; every map and every counter must be what the models say."""
    x = np.random.default_rng(8).integers(0, 200, (10, 9, 2)).astype(np.uint8)
    network = fire(left, squeeze)
    with NetworkRunner(network, build, engine=engine) as runner:
        runs = runner.run(x)
    maps = network.run(x)
    for i, run in enumerate(runs):
        assert run.exact, run.plan.layer.name
        assert run.counts_equal, run.plan.layer.name
        assert np.array_equal(run.x, network.input_map(i, maps))
        assert run.golden.any()
    return runs


@pytest.mark.parametrize(
    ("build", "left", "squeeze"),
    [
        (preset("tiny"), 20, 8),
        (preset("tiny"), 24, 8),
        (preset("tiny8"), 24, 8),
        (WIDE, 32, 32),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_branches(build: Build, left: int, squeeze: int) -> None:
    """In RTL; the pools are passes of the core's as well."""
    runs = run_fire(left, build, "rtl", squeeze)
    assert [run.plan.kind for run in runs] == ["conv"] * 4 + ["maxpool", "conv", "avgpool"]
    assert all(isinstance(run.plan, LayerPlan) for run in runs)
    assert all(run.counters["cycles"] > 0 for run in runs)
    assert all(run.in_bytes > 0 for run in runs)


def test_without_a_max_pool_in_the_build_it_is_the_host_s() -> None:
    """It stands in the list and has no cycles; the mean is the core's."""
    runs = run_fire(20, preset("tiny").replace(max_pool=False), "golden")
    assert [isinstance(run.plan, HostPlan) for run in runs] == [False] * 4 + [True, False, False]
    assert [run.counters["cycles"] == 0 for run in runs] == [False] * 4 + [True, False, False]
    assert [run.in_bytes == 0 for run in runs] == [False] * 4 + [True, False, False]


@st.composite
def pools(draw: st.DrawFn, build: Build) -> tuple[Network, np.ndarray]:
    """A network that is one pool which a build takes, and a map for it."""
    channels = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool: MaxPool | AvgPool
    if draw(st.booleans()):
        # Nowhere below the zero point, be that 0 or less.
        form = draw(st.sampled_from((INNER, TensorFormat(8, True, 1.0, -128))))
        kernel = draw(st.tuples(*[st.integers(1, min(5, build.k_max))] * 2))
        pads = draw(st.tuples(*(st.integers(0, k - 1) for k in kernel * 2)))
        least = [max(1, k - pads[i] - pads[i + 2]) for i, k in enumerate(kernel)]
        shape = (*(draw(st.integers(low, 12)) for low in least), channels)
        stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
        pool = MaxPool("max", kernel, stride, form, pads)
    else:
        form = draw(st.sampled_from((INPUT, TensorFormat(16, True, 1.0))))
        edges = draw(st.tuples(*[st.integers(1, 13)] * 2))
        shape = (*edges, channels)
        scale = rng.uniform(0.3, 2, channels) / (shape[0] * shape[1])
        requant = draw(st.sampled_from((Shift(6), Scale(scale.astype(np.float32)))))
        pool = AvgPool("mean", edges, form, form, requant)
    x = rng.integers(form.ints.min, form.ints.max, shape, endpoint=True)
    x[rng.random(shape) >= draw(st.sampled_from((0, 0.1, 0.5, 1)))] = form.zero_point
    return Network("pool", shape, form, (pool,)), x.astype(form.ints.dtype)


@pytest.mark.parametrize("build", [preset("tiny"), WIDE], ids=lambda build: build.name)
@settings(max_examples=settings.default.max_examples // 4)
@given(data=st.data())
def test_pools_of_all_shapes(build: Build, data: st.DataObject) -> None:
    """In RTL, values and counters."""
    network, x = data.draw(pools(build))
    with NetworkRunner(network, build) as runner:
        (run,) = runner.run(x)
    assert isinstance(run.plan, LayerPlan)
    depthwise = build.depthwise and x.shape[2] > 1
    assert all(p.descriptor.depthwise == depthwise for p in run.plan.passes)
    assert run.exact
    assert run.counts_equal
    np.testing.assert_array_equal(run.y, network.layers[0].run(x))
