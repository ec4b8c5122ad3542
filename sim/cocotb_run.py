"""Start cocotb on generated Verilog: replay recordings at the pins, and bring the results back."""

import contextlib
import logging
import os
import re
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
    "--assert",
    # Width warnings come from Amaranth's own conversions.
    "-Wno-lint",
    "-Wno-fatal",
)
#: What the makefile of the wheel leaves empty, without which it cannot compile several files.
MAKEFLAGS = " -- CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG="
#: cocotb's runner makes every signal public: for `tiny`, three times as long to compile, half the
#: speed. `_pins` names those that are looked at.
PINS_ARGS = ("--no-public-flat-rw",)
TIMESCALE = ("1ns", "1ps")


def simulate(
    verilog: str, top: str, *recordings: Recording, inside: bool = False
) -> list[tuple[RunResult, float]]:
    """Replay recordings, one after the other, with cocotb and Verilator.

    The core is reset before the first one only; after a fault it gets a `clear`.

    Parameters
    ----------
    verilog, top
        The design and its top module, which has the core's pins. It is compiled on first use and
        kept in the cache folder.
    recordings
        The streams, and what must come out.
    inside
        Compile as for `executable`; the results are the same.

    Returns
    -------
    list of (result, seconds)
        For each recording what came out, and the processor time that it took, compilation and
        start-up left out.

    Raises
    ------
    SimulationError
        If the design cannot be compiled, or a replay failed; the text says how.
    """
    folder = executable(verilog, top, inside=inside)
    with tempfile.TemporaryDirectory(prefix="openhop-") as work:
        log = Path(work, "log")
        for i, recording in enumerate(recordings):
            recording.save(Path(work, f"{i:04}.streams.npz"))
        with _environment():
            try:
                report = _runner().test(
                    test_module="sim.cocotb_core",
                    hdl_toplevel=top,
                    hdl_toplevel_lang="verilog",
                    build_dir=folder,
                    test_dir=work,
                    extra_env={STREAMS: work},
                    timescale=TIMESCALE,
                    log_file=log,
                )
                tests, failed = get_results(report)
            except (SystemExit, RuntimeError):
                raise SimulationError(f"cocotb failed: {_reason(log)}") from None
        if failed or not tests:
            raise SimulationError(f"cocotb: {_reason(log)}")
        return [load_result(Path(work, f"{i:04}.result.npz")) for i in range(len(recordings))]


def executable(verilog: str, top: str, *, inside: bool = False) -> Path:
    """Return the folder with the compiled simulator, compiled if need be.

    Parameters
    ----------
    verilog, top
        The design and its top module.
    inside
        Let cocotb see every signal, as its runner does by itself, and not the pins alone.

    Raises
    ------
    SimulationError
        If the design cannot be compiled.
    """
    pins, arguments = _pins(verilog, top), BUILD_ARGS + (() if inside else PINS_ARGS)
    versions = [metadata.version(name) for name in ("cocotb", "verilator")]
    key = digest(verilog, top, pins, str(config.libs_dir), *versions, MAKEFLAGS, *arguments)

    def make(folder: Path) -> None:
        source, public, log = folder / f"{top}.v", folder / "pins.vlt", folder / "log"
        source.write_text(verilog)
        public.write_text(pins)
        with _environment():
            try:
                _runner().build(
                    sources=[public, source],
                    hdl_toplevel=top,
                    build_dir=folder,
                    build_args=arguments,
                    timescale=TIMESCALE,
                    log_file=log,
                )
            except (SystemExit, RuntimeError):
                raise SimulationError(f"cocotb cannot compile: {_reason(log)}") from None
        for path in folder.iterdir():
            if path.name != top:
                path.unlink()

    return cached("cocotb", key, make)


def _pins(verilog: str, top: str) -> str:
    """Configuration for Verilator that keeps the top module's ports, for cocotb to find them."""
    found = re.search(rf"^module +{re.escape(top)} *\(([^)]*)\)", verilog, re.MULTILINE)
    if not found:
        raise SimulationError(f"cocotb: the Verilog has no module {top} with ports")
    lines = [
        f'public_flat_rw -module "{top}" -var "{name.strip()}"\n' for name in found[1].split(",")
    ]
    return "`verilator_config\n" + "".join(lines)


def _runner():
    logging.getLogger("Verilator").setLevel(logging.ERROR)
    return get_runner("verilator")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Let cocotb find Verilator, and nothing of the pytest or make around us."""
    saved = dict(os.environ)
    os.environ.update(verilator_env(), MAKEFLAGS=MAKEFLAGS)
    for name in ("PYTEST_CURRENT_TEST", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
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
    marks = ("AssertionError", "%Error", "error:", "Error", "error")
    for mark in marks:
        for line in lines:
            if mark in line:
                return line
    return lines[-1] if lines else "empty log"
