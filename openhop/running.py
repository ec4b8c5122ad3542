"""Runs a network over pictures, in RTL or by the models, and gathers the figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compiler.errors import CompileError
from golden.network import Network
from golden.params import Build
from openhop.figures import LayerFigures, Sums, total
from openhop.library import true_label
from openhop.pictures import load_picture
from sim.network import Engine, LayerRun, NetworkRunner

#: Called with the pictures done so far, the fraction of the one under way included.
Progress = Callable[[float], None]

#: Input channels from which on a 3x3 layer counts for the headline utilisation: enough of them
#: to keep the lanes busy.
WIDE_CHANNELS = 64


@dataclass(frozen=True)
class Picture:
    """A picture and what the network said; `truth` is None where the right label is unknown."""

    file: str
    label: str
    truth: str | None

    @property
    def correct(self) -> bool | None:
        """Whether the label is the right one, if that is known."""
        return None if self.truth is None else self.label == self.truth

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "file": self.file,
            "label": self.label,
            "truth": self.truth,
            "correct": self.correct,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run gave.

    Attributes
    ----------
    model, preset, engine : str
        What ran, on which build, and how.
    pictures : tuple of Picture
        Labels, in the order of the pictures.
    layers : tuple of LayerFigures
        Sums over all pictures.
    first : tuple of LayerRun
        The maps of the first picture, layer by layer.
    sim_cycles_per_s : float or None
        Speed of the RTL simulation, compilation left out.
    """

    model: str
    preset: str
    engine: Engine
    pictures: tuple[Picture, ...]
    layers: tuple[LayerFigures, ...]
    first: tuple[LayerRun, ...]
    sim_cycles_per_s: float | None

    @property
    def total(self) -> Sums:
        """Sums over all layers."""
        return total(layer.sums for layer in self.layers)

    @property
    def wide(self) -> tuple[LayerFigures, ...]:
        """The 3x3 convolutions with at least `WIDE_CHANNELS` input channels."""
        return tuple(
            layer
            for layer in self.layers
            if (layer.kind, layer.kernel) == ("conv", (3, 3)) and layer.in_shape[2] >= WIDE_CHANNELS
        )

    @property
    def correct(self) -> int | None:
        """Pictures with the right label, or None if no right label is known."""
        verdicts = [picture.correct for picture in self.pictures if picture.truth is not None]
        return sum(map(bool, verdicts)) if verdicts else None

    @property
    def bit_exact(self) -> bool | None:
        """Whether every value is the golden model's; None where golden itself is the engine."""
        return self.total.exact if self.engine == "rtl" else None

    @property
    def passed(self) -> bool:
        """Whether every bit and every counter is what the models say."""
        return self.total.exact and self.total.as_predicted

    def json(self) -> dict[str, Any]:
        """Return the report as `openhop run --json` writes it."""
        return {
            "model": self.model,
            "preset": self.preset,
            "engine": self.engine,
            "images": len(self.pictures),
            "correct": self.correct,
            "bit_exact": self.bit_exact,
            "labels": [picture.label for picture in self.pictures],
            "pictures": [picture.json() for picture in self.pictures],
            "layers": [layer.json() for layer in self.layers],
            "total": self.total.json(),
            "sim_cycles_per_s": self.sim_cycles_per_s,
        }


def run_network(
    network: Network,
    build: Build | Sequence[Build],
    pictures: Sequence[Path],
    *,
    engine: Engine = "rtl",
    wave: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run a network over pictures, on one build or on several side by side.

    Raises
    ------
    BuildError
        If the builds cannot work side by side.
    CompileError
        If a picture or the network does not fit.
    SimulationError
        If the core cannot be compiled, meets a fault or does not end.
    """
    if not pictures:
        raise CompileError(network.name, "has no bundled pictures", "name some with --images")
    # All of them first, so that a bad one is not found after minutes.
    inputs = [load_picture(path, network) for path in pictures]
    runs: list[list[LayerRun]] = []
    with NetworkRunner(network, build, engine=engine, wave=wave) as runner:
        for index, x in enumerate(inputs):
            steps = _steps(progress, index, len(network.layers)) if progress else None
            runs.append(runner.run(x, progress=steps))
            if progress:
                progress(index + 1)
        speed = runner.sim_cycles_per_s if engine == "rtl" else None
    return Report(
        model=network.name,
        preset=build.name if isinstance(build, Build) else names(build),
        engine=engine,
        pictures=tuple(
            Picture(path.name, label(network, run[-1].y), true_label(path, network))
            for path, run in zip(pictures, runs, strict=True)
        ),
        layers=tuple(LayerFigures.of(of_layer) for of_layer in zip(*runs, strict=True)),
        first=tuple(runs[0]),
        sim_cycles_per_s=speed,
    )


def names(builds: Sequence[Build]) -> str:
    """Names of builds that stand side by side, as `golden.params.presets` takes them."""
    return "+".join(build.name for build in builds)


def label(network: Network, y: np.ndarray) -> str:
    """Name of the class with the largest value; its index if the network names none."""
    index = int(np.argmax(y))
    return network.labels[index] if network.labels else str(index)


def _steps(progress: Progress, pictures: int, layers: int) -> Callable[[int, float], None]:
    """Turn the progress of layers, each from 0 to 1, into that of a run with some pictures done."""
    layer, last = 0, 0.0

    def step(_cycle: int, share: float) -> None:
        nonlocal layer, last
        layer += share < last
        last = share
        progress(pictures + min(1.0, (layer + share) / layers))

    return step
