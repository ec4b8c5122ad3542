"""Whole networks: executes the mover's lists between a memory image and a core, layer by layer."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compiler.memory import Program, lay_out
from compiler.plan import LayerPlan, plan_network
from golden.cycles.core import Counts, LayerData, chain_counts
from golden.mover import LayerMoves, Memory
from golden.network import Network
from golden.params import Build, ceil_div, check_side_by_side
from sim.native import NativeCore
from sim.streams import COUNTERS, MAP_BEATS, RunResult, SimulationError

Engine = Literal["rtl", "golden"]
Progress = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer of one run.

    `x` is the raw input map, `y` the raw output map that the engine gave, `golden` what it must
    be. `counters` are the core's (the model's, where golden is the engine), `model` the predicted
    ones. `in_bytes` and `out_bytes` are the segments of the maps as they crossed the pins,
    `control_bytes` the control stream.
    """

    plan: LayerPlan
    x: np.ndarray
    y: np.ndarray
    golden: np.ndarray
    counters: dict[str, int]
    model: Counts
    in_bytes: int
    out_bytes: int
    control_bytes: int

    @property
    def exact(self) -> bool:
        """Whether every value is what it must be."""
        return self.y.shape == self.golden.shape and bool(np.array_equal(self.y, self.golden))

    @property
    def counts_equal(self) -> bool:
        """Whether every counter is what the model predicts."""
        return all(self.counters[name] == getattr(self.model, name) for name in COUNTERS)

    @cached_property
    def cycles_bus(self) -> int:
        """Cycles with one bus each way that control and maps share, no less than the core's own.

        A lower bound for a memory that never waits: all bytes in, or all bytes out with their
        tables, at the width of the bus.
        """
        width = self.plan.build.bus_bytes
        inward = ceil_div(self.in_bytes + self.control_bytes, width)
        outward = ceil_div(self.out_bytes, width)
        return max(self.counters["cycles"], inward, outward)


class NetworkRunner:
    """Runs a network on a build, in RTL or by the models alone; a context manager.

    Several builds stand side by side over one memory, and each takes the layers for its lanes. As
    a network is a chain, one of them computes at a time; a core's clock rests meanwhile, so that
    its cycles are those of its own layers, one after the other.

    Parameters
    ----------
    network, build :
        What to run, and on what: a build, or several.
    engine :
        "rtl": the generated Verilog in Verilator. "golden": the golden model and the cycle model.
    wave :
        File for the waveforms of an RTL run, `.vcd` or `.fst`.

    Raises
    ------
    CompileError
        If the build cannot run the network.
    BuildError
        If the builds cannot work side by side.
    SimulationError
        If the model of a core cannot be built, or there is one file for the waves of several.
    """

    def __init__(
        self,
        network: Network,
        build: Build | Sequence[Build],
        *,
        engine: Engine = "rtl",
        wave: Path | str | None = None,
    ) -> None:
        self.network, self.engine = network, engine
        if not isinstance(build, Build):
            check_side_by_side(build)
        self.program: Program = lay_out(plan_network(network, build))
        self.builds = tuple(dict.fromkeys(plan.build for plan in self.program.plans))
        if wave and len(self.builds) > 1:
            raise SimulationError(
                f"{wave}: one file cannot take the waves of {len(self.builds)} cores"
            )
        self._cores: dict[Build, NativeCore] = {}
        if engine == "rtl":
            self._cores = {one: NativeCore(one, wave=wave) for one in self.builds}
        self._cycles, self._seconds = 0, 0.0

    def __enter__(self) -> "NetworkRunner":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for core in self._cores.values():
            core.close()

    @property
    def sim_cycles_per_s(self) -> float:
        """Simulated clock cycles per second of the RTL so far; 0 without RTL."""
        return self._cycles / self._seconds if self._seconds else 0.0

    def run(self, x: np.ndarray, progress: Progress | None = None) -> list[LayerRun]:
        """Run one picture, a raw input map (H, W, C), through all layers.

        Every layer takes from memory what the layer before put there.

        Raises
        ------
        SimulationError
            If the core meets a fault or does not end.
        """
        maps = self.network.run(x)
        memory = self.program.load()
        self.program.places[0].store(memory, self.program.places[0].encode(maps[0]))
        models = {build: chain_counts(build, self._timing(maps, build)) for build in self.builds}
        taken = dict.fromkeys(self.builds, 0)  # words of each core's control stream
        runs = []
        for i, plan in enumerate(self.program.plans):
            model = next(models[plan.build])
            given, expected = maps[i], maps[i + 1]
            target = self.program.places[i + 1]
            moves = self.program.moves[i]
            if self._cores:
                counters, count = self._run_layer(plan.build, moves, memory, taken, progress)
                taken[plan.build] += count
            else:
                target.store(memory, target.encode(expected))
                counters = {name: getattr(model, name) for name in COUNTERS}
            runs.append(
                LayerRun(
                    plan=plan,
                    x=given,
                    y=target.fetch(memory).to_dense(),
                    golden=expected,
                    counters=counters,
                    model=model,
                    in_bytes=sum(len(memory.fetch(t)) for t in moves.maps),
                    out_bytes=target.fetch(memory).total_bytes,
                    control_bytes=sum(t.length for t in moves.control),
                )
            )
        return runs

    def _timing(self, maps: list[np.ndarray], build: Build) -> Iterator[LayerData]:
        """What the cycle model needs of each layer of a build."""
        for i, plan in enumerate(self.program.plans):
            if plan.build != build:
                continue
            ranges = [ranges for _, ranges in self.program.places[i].blocks]
            yield LayerData(passes=plan.descriptors, x=maps[i], y=maps[i + 1], in_ranges=ranges)

    def _run_layer(
        self,
        build: Build,
        moves: LayerMoves,
        memory: Memory,
        taken: Mapping[Build, int],
        progress: Progress | None,
    ) -> tuple[dict[str, int], int]:
        """Run a layer; return its counters, and how many words of the control stream it took."""
        words = self.program.control_of(build)
        last = moves.control[-1]
        start = time.perf_counter()
        result = execute(
            self._cores[build],
            moves,
            memory,
            control=self.program.control[words.start + taken[build] : words.stop],
            spare=words.stop - (last.address + last.length) // 8,
            progress=progress,
        )
        self._seconds += time.perf_counter() - start
        self._cycles += result.cycles
        return result.counters, result.control_taken


def execute(
    core: NativeCore,
    moves: LayerMoves,
    memory: Memory,
    *,
    control: NDArray[np.uint64] | None = None,
    spare: int = 0,
    gaps: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> RunResult:
    """Do what a mover does for one layer: carry bytes between memory and the streams.

    `control` is the control stream from the first word on that was not taken yet; `spare` of its
    last words belong to the layers that follow. Without it, the layer's own is all there is.

    Raises
    ------
    SimulationError
        If the core meets a fault, does not end, or gives out segments that nobody asked for.
    """
    if control is None:
        control = np.frombuffer(b"".join(memory.fetch(t) for t in moves.control), "<u8")
    beats = map_beats([memory.fetch(t) for t in moves.maps])
    result = core.run(control, beats, gaps=gaps, seed=seed, spare=spare, progress=progress)
    if result.fault:
        raise SimulationError(
            f"layer {moves.name!r}: the core stopped with fault {result.fault.code} at row "
            f"{result.fault.row}, column {result.fault.col} of its input map"
        )
    for context in range(1 << 4):
        words = result.out[result.out["context"] == context]
        segments = cut_segments(words)
        transfers = moves.outputs_of(context)
        if len(segments) != len(transfers):
            raise SimulationError(
                f"layer {moves.name!r}: context {context} gave {len(segments)} segments, "
                f"not {len(transfers)}"
            )
        for transfer, segment in zip(transfers, segments, strict=True):
            memory.store(transfer, segment)
    return result


def map_beats(segments: list[bytes]) -> NDArray[np.void]:
    """Beats of the map stream for some segments: each starts a word and marks its last."""
    lengths = np.array([len(segment) for segment in segments], np.int64)
    words = -(-lengths // 8)
    beats = np.zeros(int(words.sum()), MAP_BEATS)
    padded = b"".join(s.ljust(8 * n, b"\0") for s, n in zip(segments, words.tolist(), strict=True))
    last = np.cumsum(words) - 1
    beats["data"] = np.frombuffer(padded, "<u8")
    beats["bytes"] = 8
    beats["bytes"][last] = lengths - 8 * (words - 1)
    beats["last"][last] = 1
    return beats


def cut_segments(words: NDArray[np.void]) -> list[bytes]:
    """Segments of one context's words.

    Raises
    ------
    SimulationError
        If the last segment has no end, or a length is not that of the bytes that came.
    """
    ends = (np.flatnonzero(words["last"]) + 1).tolist()
    if len(words) != (ends[-1] if ends else 0):
        raise SimulationError("an output segment has no end")
    data = np.ascontiguousarray(words["data"]).tobytes()
    segments, start = [], 0
    for end in ends:
        size = 8 * (end - start - 1) + int(words["bytes"][end - 1])
        if size != words["length"][end - 1]:
            raise SimulationError(
                f"an output segment of {size} bytes says that it has {words['length'][end - 1]}"
            )
        segments.append(data[8 * start : 8 * start + size])
        start = end
    return segments
