"""Benches: layers in RTL, against the model, the ideal and dense machines."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from compiler.errors import CompileError
from compiler.plan import plan_network
from golden.network import Conv, Network, NetworkError
from golden.params import Build
from openhop.figures import HostLayer, LayerFigures, Sums, is_pool, on_core, total
from openhop.frames import Data, Frame, clustering, spread
from openhop.layer_table import Refusal, TableLayer, read_table
from openhop.peers import NULLHOP, Published, Systolic, systolic_of
from openhop.pictures import load_picture
from openhop.workloads import Link, chosen, impossible, is_chain, links, part, single, with_zeros
from sim.network import Engine, LayerRun, NetworkRunner

#: Called with what is under way, how much is done, and of how much; None if nobody knows.
Progress = Callable[[str, float, float | None], None]


@dataclass(frozen=True, kw_only=True)
class BenchLayer:
    """A layer's figures and what they stand beside.

    Attributes
    ----------
    figures : LayerFigures
        The core's.
    zeros_target : float or None
        Share of zeros that its input should have, 0 to 1; None where a network makes them.
    clustering : float or None
        How the zeros of its input cluster (`openhop.frames.clustering`).
    spread : float
        How much the positions of its input differ in their zeros (`openhop.frames.spread`).
    systolic : Systolic
        Cycles of the dense arrays.
    """

    figures: LayerFigures
    zeros_target: float | None
    clustering: float | None
    spread: float
    systolic: Systolic

    @classmethod
    def of(cls, run: LayerRun, zeros_target: float | None = None) -> "BenchLayer":
        """Figures of one layer of a run."""
        layer, figures = run.plan.layer, LayerFigures.of([run])
        zero = run.x == layer.in_format.zero_point
        return cls(
            figures=figures,
            zeros_target=zeros_target,
            clustering=clustering(zero),
            spread=spread(zero),
            systolic=systolic_of(figures, layer.pads),
        )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a bench gave.

    Attributes
    ----------
    table, preset, engine, frame
        What ran, a table or a network, on which build, how, and on what kind of data.
    zeros : float or None
        Share of zeros in every input; None for the densities of the table.
    chained : bool
        Whether each layer took what the one before gave.
    layers : tuple of BenchLayer
        In the order of the table.
    refused : tuple of Refusal
        Layers that the build cannot run.
    host : tuple of HostLayer
        Layers between them that the host computes; they have no cycles.
    picture : str or None
        The picture that went through the network.
    independent : bool
        Whether each layer of a chain got zeros of its own all the same.
    selected : bool
        Whether only some of the table's layers were asked for.
    sim_cycles_per_s : float or None
        Speed of the RTL simulation, compilation left out.
    """

    table: str
    preset: str
    engine: Engine
    frame: Data
    zeros: float | None
    chained: bool
    layers: tuple[BenchLayer, ...]
    refused: tuple[Refusal, ...]
    selected: bool
    sim_cycles_per_s: float | None
    independent: bool = False
    host: tuple[HostLayer, ...] = ()
    picture: str | None = None

    @property
    def total(self) -> Sums:
        """Sums over all layers that ran."""
        return total(layer.figures.sums for layer in self.layers)

    @property
    def convolutions(self) -> Sums:
        """Sums over the layers that have operations, all but pools."""
        return total(layer.figures.sums for layer in self.layers if not is_pool(layer.figures.kind))

    @property
    def systolic(self) -> Systolic:
        """Cycles of the dense arrays for the layers that ran."""
        return sum((layer.systolic for layer in self.layers), Systolic(os=0, ws=0))

    @property
    def published(self) -> Published | None:
        """NullHop's own figures for the table, if there are any."""
        return NULLHOP.get(self.table)

    @property
    def passed(self) -> bool:
        """Whether every layer ran, and every bit and counter is what the models say."""
        return not self.refused and self.total.exact and self.total.as_predicted

    def json(self) -> dict[str, Any]:
        """Return the bench as `openhop bench --json` writes it."""
        return {
            "model": self.table,
            "preset": self.preset,
            "engine": self.engine,
            "frame": self.frame,
            "zeros": self.zeros,
            "chained": self.chained,
            "picture": self.picture,
            "bit_exact": self._exact(self.total),
            "layers": [
                layer.figures.json()
                | {
                    "pool": layer.figures.pool,
                    "zeros_target": layer.zeros_target,
                    "clustering": layer.clustering,
                    "zeros_spread": layer.spread,
                }
                | self._verdicts(layer.figures.sums, layer.systolic)
                for layer in self.layers
            ],
            "host": [layer.json() for layer in self.host],
            "refused": [{"name": r.name, "reason": r.reason} for r in self.refused],
            "total": self.total.json() | self._verdicts(self.total, self.systolic),
            "convolutions": self.convolutions.json(),
            "nullhop": self.published.json() if self.published else None,
            "sim_cycles_per_s": self.sim_cycles_per_s,
        }

    def _exact(self, sums: Sums) -> bool | None:
        return sums.exact if self.engine == "rtl" else None

    def _verdicts(self, sums: Sums, arrays: Systolic) -> dict[str, Any]:
        return {
            "bit_exact": self._exact(sums),
            "as_predicted": sums.as_predicted if self.engine == "rtl" else None,
            "cycles_systolic_os": arrays.os,
            "cycles_systolic_ws": arrays.ws,
        }


def bench(
    path: Path,
    build: Build,
    *,
    engine: Engine = "rtl",
    zeros: float | None = None,
    frame: Frame = "random",
    independent: bool = False,
    names: Sequence[str] = (),
    progress: Progress | None = None,
) -> Bench:
    """Run a table of layers.

    Parameters
    ----------
    path, build
        The table and the build.
    engine
        "rtl" simulates the generated Verilog; "golden" predicts by the models alone.
    zeros
        Share of zeros, 0 to 1, of every layer's input instead of the table's densities.
    frame
        Whether zeros are without structure or in clusters.
    independent
        Give each layer of a chain an input of its own instead of what the layer before gives.
    names
        Layers to run; all if empty.
    progress
        See `Progress`.

    Raises
    ------
    TableError
        Names the line of the table and what is wrong with it.
    CompileError
        If the build can run none of the layers.
    SimulationError
        If the core cannot be compiled, meets a fault or does not end.
    """
    rows = with_zeros(read_table(path), zeros)
    wanted = chosen(rows, names)
    player = _Player(build, engine, progress or (lambda _text, _done, _all: None))
    chained = is_chain(rows) and not independent
    run = _chain if chained else _singles
    results = list(run(path, rows, wanted, frame, player))
    layers = tuple(result for result in results if isinstance(result, BenchLayer))
    refused = tuple(result for result in results if isinstance(result, Refusal))
    if not layers:
        raise CompileError(f"layer {refused[0].name!r}", refused[0].reason)
    return Bench(
        table=path.stem,
        preset=build.name,
        engine=engine,
        frame=frame,
        zeros=zeros,
        chained=chained,
        layers=layers,
        refused=refused,
        selected=len(wanted) < len(rows),
        sim_cycles_per_s=player.speed,
        independent=independent,
    )


def bench_network(
    network: Network,
    build: Build,
    picture: Path,
    *,
    engine: Engine = "rtl",
    progress: Progress | None = None,
) -> Bench:
    """Run a picture through a trained network.

    Raises
    ------
    CompileError
        If the picture does not fit, or the build cannot run the network.
    SimulationError
        If the core cannot be compiled, meets a fault or does not end.
    """
    x = load_picture(picture, network)
    player = _Player(build, engine, progress or (lambda _text, _done, _all: None))
    runs = player.run(network, x)
    return Bench(
        table=network.name,
        preset=build.name,
        engine=engine,
        frame="photo",
        zeros=None,
        chained=True,
        layers=tuple(BenchLayer.of(run) for run in runs if on_core(run)),
        refused=(),
        selected=False,
        sim_cycles_per_s=player.speed,
        host=tuple(HostLayer.of(run) for run in runs if not on_core(run)),
        picture=picture.name,
    )


@dataclass
class _Player:
    """Runs networks and keeps the time."""

    build: Build
    engine: Engine
    progress: Progress
    cycles: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)

    def run(
        self, network: Network, x: np.ndarray, done: float = 0, whole: float | None = None
    ) -> list[LayerRun]:
        """Run a network; `done` of `whole` layers are done before; by default it is all there is.

        Its layers on the core count.
        """
        names = [layer.name for layer in network.layers if isinstance(layer, Conv)]
        whole = len(names) if whole is None else whole
        with NetworkRunner(network, self.build, engine=self.engine) as runner:
            runs = runner.run(x, progress=self._steps(names, done, whole))
            if runner.sim_cycles_per_s:
                cycles = sum(run.counters["cycles"] for run in runs)
                self.cycles += cycles
                self.seconds += cycles / runner.sim_cycles_per_s
        return runs

    @property
    def speed(self) -> float | None:
        """Cycles per second of the RTL."""
        return self.cycles / self.seconds if self.seconds else None

    def _steps(self, names: list[str], done: float, whole: float) -> Callable[[int, float], None]:
        """Turn the progress of layers, each from 0 to 1, into that of the whole table."""
        layer, last = 0, (0, 0.0)

        def step(cycle: int, share: float) -> None:
            nonlocal layer, last
            before, taken = last
            layer = min(layer + (cycle <= before or share < taken), len(names) - 1)
            last = cycle, share
            self.progress(f"simulating {names[layer]}", done + layer + share, whole)

        return step


def _singles(
    path: Path, rows: Sequence[TableLayer], wanted: set[str], frame: Frame, player: _Player
) -> Iterator[BenchLayer | Refusal]:
    """Run each layer by itself."""
    rows = [row for row in rows if row.name in wanted]
    for done, row in enumerate(rows):
        player.progress(row.name, done, len(rows))
        try:
            network, x = single(row, frame)
        except NetworkError as error:
            raise impossible(path, row, error) from error
        try:
            (run,) = player.run(network, x, done, len(rows))
            yield BenchLayer.of(run, 1 - row.density)
        except CompileError as error:
            yield Refusal(name=row.name, reason=error.reason)


def _chain(
    path: Path, rows: Sequence[TableLayer], wanted: set[str], frame: Frame, player: _Player
) -> Iterator[BenchLayer | Refusal]:
    """Run a chain, in pieces where a layer is not wanted or not possible; each fills the next."""
    last = max(i for i, row in enumerate(rows) if row.name in wanted)
    made: list[Link] = []
    chain = links(rows, player.build, frame, _calibrating(player))
    try:  # what was made before an error stays in the list
        made.extend(islice(chain, last + 1))
    except NetworkError as error:
        raise impossible(path, rows[len(made)], error) from error
    piece: list[Link] = []
    for done, link in enumerate([*made, None]):
        reason = _reason(link, player.build) if link and link.layer.name in wanted else ""
        if link and reason is None:
            piece.append(link)
            continue
        if piece:
            network = part(piece, path.stem)
            player.progress(f"the models of {path.stem}", 0, None)
            runs = player.run(network, network.maps[0], done - len(piece), len(made))
            yield from (BenchLayer.of(run, ran.zeros) for run, ran in zip(runs, piece, strict=True))
            piece = []
        if link and reason:
            yield Refusal(name=link.layer.name, reason=reason)


def _calibrating(player: _Player) -> Callable[[str, int, int], None]:
    return lambda name, done, all_: player.progress(f"calibrating {name}", done, all_)


def _reason(link: Link, build: Build) -> str | None:
    """Why a build cannot run a layer; None if it can."""
    try:
        plan_network(part([link], link.layer.name), build)
    except CompileError as error:
        return error.reason
    return None
