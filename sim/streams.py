"""The streams at the core's pins as numpy arrays, and the record of a run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: One beat of `i_map`; the twin of `hdl.layouts.MAP_BEAT`.
MAP_BEATS = np.dtype([("data", "<u8"), ("bytes", "u1"), ("last", "u1")])

#: One beat of `o_map`; the twin of `hdl.layouts.OUT_BEAT`.
OUT_BEATS = np.dtype(
    [("data", "<u8"), ("bytes", "u1"), ("last", "u1"), ("context", "u1"), ("length", "<u4")]
)

#: The counters at the core's pins, `c_` left out.
COUNTERS = ("cycles", "compute", "useful", "busy", "decode", "weights", "drain", "imbalance", "bus")

#: Cycles from `done` until the counters are final.
COUNTER_LATENCY = 3

#: Cycles within which the core is idle again after `clear`.
CLEAR_LIMIT = 1 << 16

#: Cycles after a fault in which the harnesses watch that nothing moves any more.
FAULT_WATCH = 64


class SimulationError(RuntimeError):
    """A simulation cannot be built, or did not come to its end."""


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Idle times of the streams at the pins.

    Parameters
    ----------
    control, map, out
        Chance, from 0 to below 1, that a gap begins in a cycle in which the stream could go on:
        no valid on an input, no ready on the output. What was offered stays until it is taken.
    burst
        Mean length of a gap in cycles; lengths are uniform from 1 to 2 x burst - 1.
    seed
        The same seed gives the same gaps.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    control: float = 0.0
    map: float = 0.0
    out: float = 0.0
    burst: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("control", "map", "out"):
            chance = getattr(self, name)
            if not 0 <= chance < 1:
                raise ValueError(
                    f"chance of a gap ({name}) must be from 0 to below 1, not {chance}"
                )
        if not 1 <= self.burst < 1 << 30:
            raise ValueError(f"burst must be at least 1, not {self.burst}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")

    @classmethod
    def everywhere(cls, chance: float, *, burst: int = 1, seed: int = 0) -> "Gaps":
        """Return gaps of the same chance on all three streams."""
        return cls(control=chance, map=chance, out=chance, burst=burst, seed=seed)


@dataclass(frozen=True, kw_only=True)
class FaultReport:
    """What the core says about why it stopped: the code, and the input row and column."""

    code: int
    row: int
    col: int


@dataclass(frozen=True, kw_only=True)
class LayerEnd:
    """A `done` pulse: cycles of the run up to it (itself included) and the counters after it."""

    cycle: int
    counters: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out of a run.

    `out` is an array of `OUT_BEATS`; `ends` has one entry per `done`; `cycles` counts at the
    pins from the transfer of the first control word to the last `done` (or the fault), both
    included; `fault` is None if there was none.
    """

    out: NDArray[np.void]
    ends: tuple[LayerEnd, ...]
    cycles: int
    control_taken: int
    map_taken: int
    fault: FaultReport | None = field(default=None)

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the last layer that ended; empty if none did."""
        return self.ends[-1].counters if self.ends else {}


def control_words(words: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return control words as the contiguous array that the harnesses take.

    Raises
    ------
    ValueError
        If they are not one row of integers from 0 to 2**64 - 1.
    """
    if isinstance(words, np.ndarray) and words.dtype.kind not in "iu":
        raise ValueError(f"control words must be integers, not {words.dtype}")
    try:
        array = np.array(words, np.uint64)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"control words must be from 0 to 2**64 - 1: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"control words must be one row, not of shape {array.shape}")
    return array


def map_beats(beats: NDArray[np.void] | None) -> NDArray[np.void]:
    """Return map beats as the contiguous array of `MAP_BEATS` that the harnesses take.

    Raises
    ------
    ValueError
        If the array is not of one dimension or has other fields.
    """
    if beats is None:
        return np.empty(0, MAP_BEATS)
    names = beats.dtype.names or ()
    if beats.ndim != 1 or set(names) != set(MAP_BEATS.names or ()):
        raise ValueError("map beats must be one row with the fields data, bytes and last")
    result = np.empty(len(beats), MAP_BEATS)
    for name in names:
        result[name] = beats[name]
    return result


def by_context(out: NDArray[np.void]) -> NDArray[np.void]:
    """Return output beats sorted by context, the order within a context unchanged.

    Stalls may change which team's segment goes first; they change nothing within a context.
    """
    return out[np.argsort(out["context"], kind="stable")]


def difference(got: NDArray[np.void], want: NDArray[np.void]) -> str:
    """Return where output beats first differ, context by context, in one line; "" if nowhere."""
    for context in np.union1d(got["context"], want["context"]).tolist():
        ours, theirs = (beats[beats["context"] == context] for beats in (got, want))
        count = min(len(ours), len(theirs))
        for name in OUT_BEATS.names or ():
            (wrong,) = np.nonzero(ours[name][:count] != theirs[name][:count])
            if wrong.size:
                k = int(wrong[0])
                return (
                    f"context {context}, beat {k} of {len(theirs)}: {name} is "
                    f"{int(ours[name][k]):#x}, not {int(theirs[name][k]):#x}"
                )
        if len(ours) != len(theirs):
            return f"context {context}: {len(ours)} beats, not {len(theirs)}"
    return ""


def segment_beats(segments: Iterable[bytes]) -> NDArray[np.void]:
    """Return the beats of map segments: each starts on a fresh word and ends with `last`.

    Raises
    ------
    ValueError
        If a segment is empty.
    """
    parts = []
    for segment in segments:
        if not segment:
            raise ValueError("a map segment has at least one byte")
        beats = np.zeros(-(-len(segment) // 8), MAP_BEATS)
        beats["data"] = np.frombuffer(segment.ljust(8 * len(beats), b"\0"), "<u8")
        beats["bytes"] = 8
        beats["bytes"][-1] = len(segment) - 8 * (len(beats) - 1)
        beats["last"][-1] = 1
        parts.append(beats)
    return np.concatenate(parts) if parts else np.empty(0, MAP_BEATS)


def segments(out: NDArray[np.void]) -> dict[int, list[bytes]]:
    """Return the segments of each context, in the order in which they came.

    Raises
    ------
    SimulationError
        If a segment is not ended, is not as long as it says, or has a partial word inside.
    """
    found: dict[int, list[bytes]] = {}
    for context in np.unique(out["context"]).tolist():
        beats = out[out["context"] == context]
        (ends,) = np.nonzero(beats["last"])
        if not ends.size or ends[-1] + 1 != len(beats):
            raise SimulationError(f"the last segment of context {context} has no end")
        data = np.ascontiguousarray(beats["data"]).view(np.uint8).tobytes()
        parts = found.setdefault(context, [])
        start = 0
        for end in ends.tolist():
            length = 8 * (end - start) + int(beats["bytes"][end])
            told = int(beats["length"][end])
            if length != told or (beats["bytes"][start:end] != 8).any():
                raise SimulationError(
                    f"segment {len(parts)} of context {context} has {length} bytes, not {told}"
                )
            parts.append(data[8 * start : 8 * start + length])
            start = end + 1
    return found
