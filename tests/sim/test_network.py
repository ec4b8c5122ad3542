"""Chained layers: what one layer puts into memory is what the next one takes."""

import numpy as np
import pytest

from golden.mover import Stream
from golden.network import Conv, Network, TensorFormat
from golden.params import Build, preset
from golden.requant import Shift
from sim.network import NetworkRunner

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
