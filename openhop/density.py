"""Cycles over the share of zeros: one layer on a multiplying and on an L1 build, same maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from golden.adder import Adder
from golden.calibrate import calibrate
from golden.network import Conv, Network, TensorFormat
from golden.params import Build
from golden.requant import Shift
from openhop.figures import Sums
from openhop.output import write_json
from openhop.running import names
from sim.network import Engine, NetworkRunner

#: Edge and channels of the input map; there are as many output channels as lanes. 3x3, padding 1.
EDGE, CHANNELS = 16, 64

#: Shares of zeros, in percent.
SHARES = range(0, 101, 10)

#: Called with what is under way, how much is done, and of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Point:
    """The layer at a share of zeros, 0 to 1, on each of the builds, in their order."""

    zeros: float
    sums: tuple[Sums, ...]

    @property
    def alike(self) -> bool:
        """Whether the builds take the same cycles, for the same causes."""
        return all(
            (sums.cycles, sums.stalls) == (self.sums[0].cycles, self.sums[0].stalls)
            for sums in self.sums
        )

    @property
    def passed(self) -> bool:
        """Whether builds and models agree in every bit and in every counter."""
        return self.alike and all(sums.exact and sums.as_predicted for sums in self.sums)


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep, and what it was made with."""

    builds: tuple[Build, ...]
    engine: Engine
    points: tuple[Point, ...]

    @property
    def passed(self) -> bool:
        """Whether all points are as they must be."""
        return all(point.passed for point in self.points)

    @property
    def command(self) -> str:
        """The command that records the sweep anew."""
        engine = "" if self.engine == "rtl" else f" --engine {self.engine}"
        return f"openhop density --preset {names(self.builds)}{engine} --record"

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "preset": names(self.builds),
            "engine": self.engine,
            "layer": f"3x3, {EDGE}x{EDGE}x{CHANNELS} to {self.builds[0].lanes}, padding 1",
            "points": [
                {
                    "zeros": point.zeros,
                    "alike": point.alike,
                    **{
                        build.pe: sums.json()
                        for build, sums in zip(self.builds, point.sums, strict=True)
                    },
                }
                for point in self.points
            ],
        }


def sweep(builds: Sequence[Build], engine: Engine, progress: Progress | None = None) -> Sweep:
    """Run the layer with every share of zeros on every build.

    The input maps are the same, and no output is zero, so that the output maps are of one size
    whatever the lanes compute.

    Raises
    ------
    CompileError
        If a build cannot run the layer.
    SimulationError
        If a core cannot be compiled, meets a fault or does not end.
    """
    points: dict[int, list[Sums]] = {share: [] for share in SHARES}
    for build in builds:
        for share in SHARES:
            if progress:
                progress(f"{build.name}, {share} % zeros", share, 100)
            points[share].append(_run(build, share / 100, engine))
    found = tuple(Point(share / 100, tuple(sums)) for share, sums in points.items())
    return Sweep(tuple(builds), engine, found)


def _run(build: Build, zeros: float, engine: Engine) -> Sums:
    """Run the layer on one build."""
    rng = np.random.default_rng(round(1000 * zeros))
    form = TensorFormat(8, signed=False, scale=1.0)
    x = rng.integers(1, 256, (EDGE, EDGE, CHANNELS), np.uint8)
    x.reshape(-1)[rng.permutation(x.size)[: round(zeros * x.size)]] = 0
    layer = (Adder if build.pe == "l1" else Conv)(
        name="layer",
        weights=rng.integers(-64, 64, (build.lanes, CHANNELS, 3, 3)),
        bias=np.zeros(build.lanes, np.int64),
        in_format=form,
        out_format=form,
        requant=Shift(0),
        pads=(1, 1, 1, 1),
        relu=True,
    )
    layer, _ = calibrate(layer, x, 0.0)
    # Channels that the search made differ are brought together: none may give a zero.
    layer = replace(layer, bias=layer.bias + _missing(layer, x))
    with NetworkRunner(Network("density", x.shape, form, (layer,)), build, engine=engine) as runner:
        (run,) = runner.run(x)
    return Sums.of(run)


def _missing(layer: Conv, x: np.ndarray) -> np.ndarray:
    """What each channel's sums miss to give at least 1."""
    assert isinstance(layer.requant, Shift)
    lowest = layer.accumulate(x).min(axis=(0, 1))
    return np.maximum(0, (1 << layer.requant.shift) - lowest)


def record_path(builds: Sequence[Build]) -> Path:
    """Return where the record of a sweep stands, whether or not it exists."""
    return Path(__file__).parent / "records" / f"density-{names(builds)}.json"


def save(result: Sweep) -> Path:
    """Record a sweep, its command first; return the file."""
    path = record_path(result.builds)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"command": result.command, **result.json()})
    return path
