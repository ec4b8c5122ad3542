"""How fast the two simulations are, in cycles per second of wall time, on the same layer."""

import time

from golden.params import Build
from hdl.verilog import TOP
from sim.native import NativeCore
from sim.recording import Recording
from sim.rtl import core_verilog


def native_speed(source: Build | str, recording: Recording, *, top: str = TOP, runs: int = 3) -> float:
    """Cycles per second of the compiled harness: the best of some runs, compilation left out.

    Parameters
    ----------
    source, top
        As for `NativeCore`.
    recording
        The streams of the layer; with no gaps the figure is comparable between machines.
    runs
        How often to run the layer.
    """
    best = 0.0
    with NativeCore(source, top=top) as core:
        for _ in range(runs):
            start = time.perf_counter()
            result = core.run(
                recording.control, recording.beats, gaps=recording.gaps, ends=recording.ends
            )
            best = max(best, result.cycles / (time.perf_counter() - start))
    return best


def cocotb_speed(source: Build | str, recording: Recording, *, top: str = TOP) -> float:
    """Cycles per second of cocotb on the same design; compilation and start-up left out."""
    # cocotb is needed for tests only, and not installed with the rest.
    from sim.cocotb_run import simulate

    text = core_verilog(source) if isinstance(source, Build) else source
    result, seconds = simulate(text, top, recording)
    return result.cycles / seconds
