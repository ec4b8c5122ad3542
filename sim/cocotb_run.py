"""Start cocotb on generated Verilog: replay a recording at the pins, and bring the result back."""

import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from cocotb_tools import config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from sim.cache import cached, digest
from sim.recording import STREAMS, Recording, load_result
from sim.streams import RunResult, SimulationError
from sim.toolchain import verilator_env

BUILD_ARGS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    # Width warnings come from Amaranth's own conversions.
    "-Wno-lint",
    "-Wno-fatal",
    # One file: the makefile of the wheel cannot compile several.
    "--output-split",
    "0",
)
TIMESCALE = ("1ns", "1ps")


def simulate(verilog: str, top: str, recording: Recording) -> tuple[RunResult, float]:
    """Replay a recording with cocotb and Verilator.

    Parameters
    ----------
    verilog, top
        The design and its top module, which has the core's pins. It is compiled on first use and
        kept in the cache folder.
    recording
        The streams, and what must come out.

    Returns
    -------
    result, seconds
        What came out, and the time from reset to end, compilation and start-up left out.

    Raises
    ------
    SimulationError
        If the design cannot be compiled, or the replay failed; the text says how.
    """
    folder = executable(verilog, top)
    with tempfile.TemporaryDirectory(prefix="openhop-") as work:
        streams, log = Path(work, "streams.npz"), Path(work, "log")
        recording.save(streams)
        with _environment():
            try:
                report = _runner().test(
                    test_module="sim.cocotb_core",
                    hdl_toplevel=top,
                    hdl_toplevel_lang="verilog",
                    build_dir=folder,
                    test_dir=work,
                    extra_env={STREAMS: str(streams)},
                    timescale=TIMESCALE,
                    log_file=log,
                )
                tests, failed = get_results(report)
            except (SystemExit, RuntimeError):
                raise SimulationError(f"cocotb failed: {_reason(log)}") from None
        if failed or not tests:
            raise SimulationError(f"cocotb: {_reason(log)}")
        return load_result(streams.with_name("result.npz"))


def executable(verilog: str, top: str) -> Path:
    """Return the folder with the compiled simulator, compiled if need be."""
    versions = [metadata.version(name) for name in ("cocotb", "verilator")]
    key = digest(verilog, top, str(config.libs_dir), *versions, *BUILD_ARGS)

    def make(folder: Path) -> None:
        source, log = folder / f"{top}.v", folder / "log"
        source.write_text(verilog)
        with _environment():
            try:
                _runner().build(
                    sources=[source],
                    hdl_toplevel=top,
                    build_dir=folder,
                    build_args=BUILD_ARGS,
                    timescale=TIMESCALE,
                    log_file=log,
                )
            except (SystemExit, subprocess.CalledProcessError):
                raise SimulationError(f"cocotb cannot compile: {_reason(log)}") from None
        for path in folder.iterdir():
            if path.name != top:
                path.unlink()

    return cached("cocotb", key, make)


def _runner():
    logging.getLogger("Verilator").setLevel(logging.ERROR)
    return get_runner("verilator")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Let cocotb's runner find Verilator, and leave the verdict to us also under pytest."""
    saved = dict(os.environ)
    os.environ.update(verilator_env())
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def _reason(log: Path) -> str:
    """The line of a log that says what went wrong."""
    try:
        lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    except OSError:
        return "no log"
    marks = ("AssertionError", "Error", "error")
    for mark in marks:
        for line in lines:
            if mark in line:
                return line
    return lines[-1] if lines else "empty log"
