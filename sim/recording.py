"""Recorded streams and results as files: what the two sides of a cocotb run say to each other."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray

from sim.streams import FaultReport, Gaps, LayerEnd, RunResult

#: Environment variable with the folder of the recordings, `*.streams.npz`, in order of their names.
STREAMS = "OPENHOP_STREAMS"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Streams to replay at the core's pins, and what must come of it.

    Parameters
    ----------
    control, beats
        As for `sim.native.NativeCore.run`.
    gaps
        Idle times of the streams.
    ends
        `done` pulses to wait for.
    max_cycles
        When to give up.
    fault
        Code of the fault to expect, 0 for none.
    expected
        Output beats to expect, in the order of each context; None compares nothing.
    """

    control: NDArray[np.uint64]
    beats: NDArray[np.void]
    gaps: Gaps = field(default_factory=Gaps)
    ends: int = 1
    max_cycles: int = 1_000_000
    fault: int = 0
    expected: NDArray[np.void] | None = None

    def save(self, path: Path) -> None:
        """Write to an npz file."""
        arrays = {"control": self.control, "beats": self.beats}
        if self.expected is not None:
            arrays["expected"] = self.expected
        meta = {
            "gaps": asdict(self.gaps),
            "ends": self.ends,
            "max_cycles": self.max_cycles,
            "fault": self.fault,
        }
        np.savez(path, meta=np.array(json.dumps(meta)), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read what `save` wrote."""
        with np.load(path) as file:
            meta = json.loads(file["meta"].item())
            return cls(
                control=file["control"],
                beats=file["beats"],
                expected=file.get("expected"),
                **{**meta, "gaps": Gaps(**meta["gaps"])},
            )


def save_result(path: Path, result: RunResult, *, seconds: float) -> None:
    """Write a result, and the processor time of its simulation, to an npz file."""
    meta = {
        "ends": [asdict(end) for end in result.ends],
        "cycles": result.cycles,
        "control_taken": result.control_taken,
        "map_taken": result.map_taken,
        "fault": asdict(result.fault) if result.fault else None,
        "seconds": seconds,
    }
    np.savez(path, meta=np.array(json.dumps(meta)), out=result.out)


def load_result(path: Path) -> tuple[RunResult, float]:
    """Read what `save_result` wrote: the result and its seconds."""
    with np.load(path) as file:
        meta = json.loads(file["meta"].item())
        result = RunResult(
            out=file["out"],
            ends=tuple(LayerEnd(**end) for end in meta["ends"]),
            cycles=meta["cycles"],
            control_taken=meta["control_taken"],
            map_taken=meta["map_taken"],
            fault=FaultReport(**meta["fault"]) if meta["fault"] else None,
        )
    return result, meta["seconds"]


def pack(beats: NDArray[np.void], layout: data.StructLayout) -> list[int]:
    """Return the payload words of beats whose fields are those of the layout."""
    fields = [(beats[name].tolist(), part.offset) for name, part in layout]
    words = [0] * len(beats)
    for values, offset in fields:
        words = [word | value << offset for word, value in zip(words, values, strict=True)]
    return words


def unpack(words: Iterable[int], layout: data.StructLayout, dtype: np.dtype) -> NDArray[np.void]:
    """Return the beats of payload words, as an array of `dtype` with the layout's fields."""
    words = list(words)
    beats = np.empty(len(words), dtype)
    for name, part in layout:
        mask = (1 << part.width) - 1
        beats[name] = [word >> part.offset & mask for word in words]
    return beats
