"""Vectors: what goes into the core's streams and what must come out, layer by layer, as files."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.memory import lay_out
from compiler.plan import LayerPlan, plan_network
from golden.cycles.core import Counts, layer_counts
from golden.mover import LayerMoves, Memory
from golden.network import Network
from golden.params import Build
from hdl import verilog
from hdl.layouts import MAP_BEAT, OUT_BEAT
from openhop.output import write_files
from openhop.templating import render
from sim.network import map_beats
from sim.recording import pack
from sim.rtl import core_verilog
from sim.streams import COUNTERS, OUT_BEATS

#: Contexts that `o_map` can name.
CONTEXTS = 1 << OUT_BEAT["context"].width


@dataclass(frozen=True, kw_only=True)
class LayerVectors:
    """The streams of one layer.

    Attributes
    ----------
    plan : LayerPlan
        The layer.
    stem : str
        How its files' names begin.
    x, y : ndarray, (H, W, C)
        Raw input and output map.
    control : ndarray of uint64
        Words of `i_control`.
    beats : ndarray of `sim.streams.MAP_BEATS`
        Words of `i_map`.
    out : ndarray of `sim.streams.OUT_BEATS`
        Words of `o_map`: all of context 0, then all of context 1, and so on.
    counts : Counts
        What the counters must show.
    """

    plan: LayerPlan
    stem: str
    x: np.ndarray
    y: np.ndarray
    control: NDArray[np.uint64]
    beats: NDArray[np.void]
    out: NDArray[np.void]
    counts: Counts

    @property
    def context_ends(self) -> list[int]:
        """For each context, the place in `out` behind its last word."""
        return np.searchsorted(self.out["context"], np.arange(CONTEXTS), side="right").tolist()

    def npz(self) -> bytes:
        """Return everything as the content of an npz file."""
        buffer = io.BytesIO()
        counters = tuple(getattr(self.counts, name) for name in COUNTERS)
        np.savez_compressed(
            buffer,
            x=self.x,
            y=self.y,
            control=self.control,
            map=self.beats,
            out=self.out,
            counters=np.array(counters, [(name, "<i8") for name in COUNTERS]),
        )
        return buffer.getvalue()


def layer_vectors(network: Network, build: Build, x: np.ndarray) -> Iterator[LayerVectors]:
    """Compute the vectors of a network's layers on the core for one raw input map.

    Raises
    ------
    CompileError
        If the build cannot run the network.
    """
    program = lay_out(plan_network(network, build), network.sources)
    maps = network.run(x)
    memory = program.load()
    for place, values in zip(program.places, maps, strict=True):
        place.store(memory, place.encode(values))
    for i, (plan, moves) in enumerate(zip(program.plans, program.moves, strict=True)):
        if not isinstance(plan, LayerPlan):
            continue
        x = network.input_map(i, maps)
        yield LayerVectors(
            plan=plan,
            stem=f"{i:02d}_" + re.sub(r"\W+", "_", plan.layer.name).strip("_"),
            x=x,
            y=maps[i + 1],
            control=np.frombuffer(b"".join(memory.fetch(t) for t in moves.control), "<u8"),
            beats=map_beats([memory.fetch(t) for t in moves.maps]),
            out=out_beats(moves, memory),
            counts=layer_counts(
                build,
                plan.pass_data,
                x,
                maps[i + 1],
                [ranges for _, ranges in program.taken[i].blocks],
            ),
        )


def out_beats(moves: LayerMoves, memory: Memory) -> NDArray[np.void]:
    """Words of `o_map`, context by context, for the output map that stands in memory."""
    parts = [np.empty(0, OUT_BEATS)]
    for context in range(CONTEXTS):
        for transfer in moves.outputs_of(context):
            segment = memory.fetch(transfer)
            words = map_beats([segment])
            part = np.zeros(len(words), OUT_BEATS)
            for name in ("data", "bytes", "last"):
                part[name] = words[name]
            part["context"] = context
            part["length"][-1] = len(segment)
            parts.append(part)
    return np.concatenate(parts)


def write_vectors(
    folder: Path,
    network: Network,
    build: Build,
    layers: list[LayerVectors],
    *,
    source: str,
) -> list[Path]:
    """Write the files of some layers, the testbench that replays them, and the core.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    network, build
        What the layers are of.
    layers : list of LayerVectors
        What to write.
    source : str
        Where the input map comes from, for the testbench's header.

    Returns
    -------
    list of Path
        What was written: the testbench, the core, a Makefile, then each layer's files.
    """
    files: dict[str, str | bytes] = {
        "testbench.v": testbench(network, build, layers, source=source),
        f"{verilog.TOP}.v": core_verilog(build),
        "Makefile": render("replay.mk.j2", top=verilog.TOP),
    }
    for layer in layers:
        files |= {
            f"{layer.stem}.control.hex": _hex(layer.control.tolist(), 64),
            f"{layer.stem}.map.hex": _hex(pack(layer.beats, MAP_BEAT), MAP_BEAT.size),
            f"{layer.stem}.out.hex": _hex(pack(layer.out, OUT_BEAT), OUT_BEAT.size),
            f"{layer.stem}.contexts.hex": _hex(layer.context_ends, 32),
            f"{layer.stem}.npz": layer.npz(),
        }
    write_files(folder, files)
    return [folder / name for name in files]


def testbench(network: Network, build: Build, layers: list[LayerVectors], *, source: str) -> str:
    """Return the testbench for some layers' files, which must stand in the current folder."""
    return render(
        "testbench.v.j2",
        network=network.name,
        build=build.name,
        source=source,
        top=verilog.TOP,
        context=OUT_BEAT["context"],
        map_bits=MAP_BEAT.size,
        out_bits=OUT_BEAT.size,
        contexts=CONTEXTS,
        layers=layers,
        room={
            "control": max(len(layer.control) for layer in layers),
            "map": max(len(layer.beats) for layer in layers),
            "out": max(len(layer.out) for layer in layers),
        },
    )


def _hex(words: list[int], bits: int) -> str:
    """Words as $readmemh reads them, one a line."""
    digits = (bits + 3) // 4
    return "".join(f"{word:0{digits}x}\n" for word in words)
