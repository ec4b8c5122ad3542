"""Chained layers: what one layer puts into memory is what the next one takes."""

import numpy as np
import pytest

from golden.adder import Adder
from golden.calibrate import calibrate
from golden.mover import Stream
from golden.network import Conv, Network, TensorFormat
from golden.params import Build, BuildError, preset
from golden.requant import Shift
from sim.network import NetworkRunner
from sim.streams import SimulationError

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
        cuts = {p.column_ranges for plan in runner.program.plans for p in plan.passes}
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
