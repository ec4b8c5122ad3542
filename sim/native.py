"""The core as a compiled model: streams in, streams and cycles out, at full speed.

    with NativeCore(preset("tiny")) as core:
        result = core.run(control, map_beats)

The model is compiled on first use (seconds for a small build, minutes for 128 lanes) and kept in
the cache folder.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from golden.params import Build
from hdl import verilog
from sim.rtl import core_verilog
from sim.streams import (
    CLEAR_LIMIT,
    COUNTERS,
    OUT_BEATS,
    FaultReport,
    Gaps,
    LayerEnd,
    RunResult,
    SimulationError,
    control_words,
    map_beats,
)
from sim.toolchain import shared_library

#: Cycles between two looks at the progress, and at whether anybody wants to interrupt.
SLICE = 1 << 18

#: A run in which no stream moves for so many cycles is given up.
PATIENCE = 1 << 20


class _Job(ctypes.Structure):
    _fields_ = (
        ("control", ctypes.c_void_p),
        ("control_count", ctypes.c_uint64),
        ("map", ctypes.c_void_p),
        ("map_count", ctypes.c_uint64),
        ("ends", ctypes.c_uint64),
        ("gap", ctypes.c_double * 3),
        ("burst", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
    )


class _State(ctypes.Structure):
    _fields_ = (
        ("cycle", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
        ("control_taken", ctypes.c_uint64),
        ("map_taken", ctypes.c_uint64),
        ("out_count", ctypes.c_uint64),
        ("ends", ctypes.c_uint64),
        ("moved_after_fault", ctypes.c_uint64),
        ("fault", ctypes.c_uint32),
        ("fault_row", ctypes.c_uint32),
        ("fault_col", ctypes.c_uint32),
        ("busy", ctypes.c_uint32),
    )


_LAYER_ENDS = np.dtype([("cycle", "<u8"), ("counters", "<u8", len(COUNTERS))])


class NativeCore:
    """One simulated core, reset and ready; a context manager.

    Parameters
    ----------
    source
        The build, or Verilog with the core's pins whose top module is `top`.
    top
        Top module of the Verilog.
    wave
        File for the waveforms of all runs, `.vcd` or `.fst` (which needs lz4 to compile).
        Without it the model has no tracing at all and is several times faster.
    gates
        Whether the Verilog is a netlist of cells with their models (see `sim.toolchain`).
    undefined
        With `gates`: bits that the Verilog leaves undefined, words of memories at power-on among
        them, are random, and this is the seed.

    Raises
    ------
    SimulationError
        If the model cannot be compiled.
    ValueError
        If `wave` has another suffix.
    """

    def __init__(
        self,
        source: Build | str,
        *,
        top: str = verilog.TOP,
        wave: Path | str | None = None,
        gates: bool = False,
        undefined: int = 1,
    ) -> None:
        self._handle: int | None = None
        suffix = "" if wave is None else Path(wave).suffix
        if wave is not None and suffix not in (".vcd", ".fst"):
            raise ValueError(f"a waveform file must end in .vcd or .fst: {wave}")
        text = core_verilog(source) if isinstance(source, Build) else source
        self._library = _load(shared_library(text, top, suffix, gates=gates))
        seed = undefined if gates else 0
        self._handle = self._library.openhop_new(str(wave or "").encode(), seed)
        if not self._handle:
            raise self._error()

    def close(self) -> None:
        """End the simulation and complete the waveform file; more than once does no harm."""
        if self._handle:
            self._library.openhop_delete(self._handle)
            self._handle = None

    def __enter__(self) -> "NativeCore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def reset(self) -> None:
        """Hold the core in reset for two cycles: whatever ran is lost."""
        if self._library.openhop_reset(self._open()) < 0:
            raise self._error()

    def clear(self) -> None:
        """Pulse `clear` and wait until the core is idle: what a driver does after a fault.

        Raises
        ------
        SimulationError
            If the core stays busy or keeps its fault.
        """
        idle = self._library.openhop_clear(self._open(), CLEAR_LIMIT)
        if idle < 0:
            raise self._error()
        if not idle:
            raise SimulationError(f"the core is not idle {CLEAR_LIMIT} cycles after clear")

    def run(
        self,
        control: Sequence[int] | NDArray[np.integer],
        beats: NDArray[np.void] | None = None,
        *,
        gaps: float | Gaps = 0.0,
        seed: int = 0,
        ends: int = 1,
        spare: int = 0,
        max_cycles: int | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> RunResult:
        """Replay the streams of one or more layers until the last one ends, or the core faults.

        Parameters
        ----------
        control
            Words of the control stream, shape (n,), integers below 2**64.
        beats
            Beats of the map stream, shape (m,), structured: data, bytes, last.
        gaps, seed
            Idle times of all streams: a chance and a seed, or a `Gaps` for each stream's own.
        ends
            `done` pulses to wait for.
        spare
            So many of the last control words may be left: the beginning of the next layers, which
            the core takes when it has room.
        max_cycles
            Give up after so many cycles. In any case a run is given up if no stream moves for
            `PATIENCE` cycles.
        progress
            Called now and then with the cycles so far and the share of the inputs taken (0 to 1).

        Returns
        -------
        RunResult
            A fault is a result, not an error: see `clear`.

        Raises
        ------
        SimulationError
            If the layers do not end in time, end before they took all that was given, or an
            assertion of the design fails. The core then needs a `reset`.
        """
        words, beats = control_words(control), map_beats(beats)
        given = gaps if isinstance(gaps, Gaps) else Gaps.everywhere(gaps, seed=seed)
        job = _Job(
            control=words.ctypes.data,
            control_count=len(words),
            map=beats.ctypes.data,
            map_count=len(beats),
            ends=ends,
            gap=(given.control, given.map, given.out),
            burst=given.burst,
            seed=given.seed & (1 << 64) - 1,
        )
        handle = self._open()
        self._library.openhop_start(handle, ctypes.byref(job))
        state = _State()
        limit = max_cycles if max_cycles is not None else 1 << 62
        while True:
            budget = min(SLICE, limit - state.cycle)
            if self._library.openhop_run(handle, budget, ctypes.byref(state)) < 0:
                raise self._error()
            left = len(words) - state.control_taken
            taken = state.control_taken + state.map_taken
            if progress:
                progress(state.cycle, taken / max(1, len(words) + len(beats)))
            if state.fault or state.ends == ends:
                break
            if state.cycle >= limit or state.cycle - state.moved > PATIENCE:
                raise SimulationError(f"no end {_pending(state, job)}")
        if state.moved_after_fault:
            raise SimulationError(f"streams moved after fault {state.fault} {_pending(state, job)}")
        if not state.fault and taken < len(words) + len(beats) - min(spare, left):
            raise SimulationError(f"ended too early {_pending(state, job)}")
        return self._result(handle, state)

    def _result(self, handle: int, state: _State) -> RunResult:
        out = _copied(self._library.openhop_out(handle), state.out_count, OUT_BEATS)
        ends = _copied(self._library.openhop_ends(handle), state.ends, _LAYER_ENDS)
        last = state.cycle if state.fault else ends["cycle"][-1].item()
        return RunResult(
            out=out,
            ends=tuple(
                LayerEnd(cycle=cycle, counters=dict(zip(COUNTERS, counters, strict=True)))
                for cycle, counters in zip(
                    ends["cycle"].tolist(), ends["counters"].tolist(), strict=True
                )
            ),
            cycles=last - state.first,
            control_taken=state.control_taken,
            map_taken=state.map_taken,
            fault=FaultReport(code=state.fault, row=state.fault_row, col=state.fault_col)
            if state.fault
            else None,
        )

    def _open(self) -> int:
        if not self._handle:
            raise SimulationError("this simulation was closed")
        return self._handle

    def _error(self) -> SimulationError:
        return SimulationError(self._library.openhop_error().decode())


@cache
def _load(path: Path) -> ctypes.CDLL:
    """Load a harness and tell its functions' types."""
    library = ctypes.CDLL(str(path))
    handle, count = ctypes.c_void_p, ctypes.c_uint64
    for name, result, arguments in (
        ("error", ctypes.c_char_p, ()),
        ("new", handle, (ctypes.c_char_p, ctypes.c_uint32)),
        ("delete", None, (handle,)),
        ("reset", ctypes.c_int, (handle,)),
        ("clear", ctypes.c_int, (handle, count)),
        ("start", None, (handle, ctypes.POINTER(_Job))),
        ("run", ctypes.c_int, (handle, count, ctypes.POINTER(_State))),
        ("out", ctypes.c_void_p, (handle,)),
        ("ends", ctypes.c_void_p, (handle,)),
    ):
        function = getattr(library, f"openhop_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _copied(address: int | None, count: int, dtype: np.dtype) -> NDArray[np.void]:
    """Copy an array out of the harness's memory."""
    data = ctypes.string_at(address, count * dtype.itemsize) if address and count else b""
    return np.frombuffer(data, dtype).copy()


def _pending(state: _State, job: _Job) -> str:
    """What a run that did not end well was about, for the error's one line."""
    return (
        f"after {state.cycle} cycles: {state.ends} of {job.ends} layers done, "
        f"{state.control_taken} of {job.control_count} control words and "
        f"{state.map_taken} of {job.map_count} map beats taken, {state.out_count} beats out, "
        f"last transfer in cycle {state.moved}, core {'busy' if state.busy else 'idle'}"
    )
