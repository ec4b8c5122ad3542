"""Out-of-context synthesis: what a component costs on a part, and how fast it runs there.

The component goes into a `ScanWrapper`, through Yosys, and through nextpnr once per seed. The
tools are WebAssembly: their figures depend on their versions and on the seed, not on the machine.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import amaranth
from amaranth.lib import wiring

from fpga import reports
from fpga.clocknet import promote_resets
from fpga.copies import copy_registers
from fpga.devices import LARGE_LUTS, PINS, Device
from fpga.floorplan import fix_sites
from fpga.spare_rows import leave_rows_free
from fpga.tools import SynthError, run, tool_version
from fpga.wrapper import REGISTERS, ScanWrapper
from fpga.yosys import YOSYS, synthesise_to

#: `progress(done, total, text)`: `done` of `total` steps are finished, `text` starts or finishes.
Progress = Callable[[int, int, str], None]

#: File of the netlist in the tools' folders.
_NETLIST = "netlist.json"

# Yosys' commands after synthesis: the netlist, its cells, and the bits of the wrapper's registers.
_REPORT = f"""\
write_json {_NETLIST}
tee -q -o stat.json stat -json
select {" ".join(f"w:{name}" for name in REGISTERS)}
write_json -selected wrapper.json
"""

#: What nextpnr says when there are sites enough, but it finds no legal placement.
_NO_PLACE = ("find legal placement", "no BELs remaining", "failed to place")


def synthesise(
    component: wiring.Component,
    device: Device,
    *,
    seeds: int = 3,
    progress: Progress | None = None,
) -> dict:
    """Synthesise one component alone, place it and route it.

    Parameters
    ----------
    component : wiring.Component
        Not elaborated yet.
    device : Device
        The part.
    seeds : int
        Runs of place and route, with the seeds 1 to `seeds`; with 0 the area alone is measured.
    progress : callable, optional
        Told of every step; there are 2 + `seeds`.

    Returns
    -------
    dict
        device : str, its name
        fits : bool, whether the part holds the component in its wrapper; without seeds, whether it
            has as many sites
        reason : str or None, what is short if not
        lut, ff, bram, dsp : int, cells of the component alone, from Yosys (`Device.count`)
        wrapper : dict, the same four figures of the wrapper, already taken off
        sites : dict, `[used, available]` of the part's sites, wrapper included, from nextpnr
        fmax_mhz : dict of `median`, `min`, `max` over the seeds; None if it does not fit, or
            without seeds
        runs : list of dict, `seed` and `fmax_mhz` (None if no legal placement was found)
        critical_path : dict or None, of the run at the median, or next below it
        seeds : int
        options : dict, `yosys` and `nextpnr`: what the tools were told
        tools : dict, version of every tool

    Raises
    ------
    SynthError
        If a tool is missing or fails.
    ValueError
        If `seeds` is below 0.
    """
    if seeds < 0:
        raise ValueError(f"seeds must be 0 or more, not {seeds}")
    wrapper = ScanWrapper(component)
    step = _steps(2 + seeds, progress)

    with step("synthesis"):
        synthesis, total = _synthesise(wrapper, device)
        large = total["lut"] > LARGE_LUTS
        if large:
            synthesis, total = _synthesise(wrapper, device, large=True)
    # A multiplexer per output bit. Registers with the same value have become one: hence counted.
    flip_flops = reports.driven_bits(_load(synthesis / "wrapper.json"), REGISTERS)
    frame = {**dict.fromkeys(total, 0), "lut": wrapper.output_bits, "ff": flip_flops}
    cost = {resource: total[resource] - frame[resource] for resource in total}

    place = device.options(total["lut"])
    netlist = f"../{synthesis.name}/{_NETLIST}"
    to_pack = to_place = {PINS: device.pins}
    if large:
        netlist = _NETLIST
        design = _load(synthesis / _NETLIST)
        fix_sites(design, device.die)
        promote_resets(design)
        copy_registers(design)
        to_pack = to_pack | {_NETLIST: json.dumps(design)}
        leave_rows_free(design, device.die)
        to_place = to_place | {_NETLIST: json.dumps(design)}
    command = ("--json", netlist, "--report", "report.json", *place)
    with step("packing"):
        packing = run(device.nextpnr, (*command, "--pack-only"), to_pack)
    sites = reports.used_sites(_load(packing / "report.json"))
    reason = reports.shortage(sites)

    def place_and_route(seed: int) -> dict | None:
        with step(f"place and route, seed {seed} of {seeds}"):
            return _place_and_route(device, (*command, "--seed", str(seed)), to_place)

    runs: list[dict | None] = []
    if seeds and reason is None:
        # nextpnr uses one core; the threads wait for it.
        with ThreadPoolExecutor(min(seeds, os.cpu_count() or 1)) as pool:
            runs = list(pool.map(place_and_route, range(1, seeds + 1)))
        if not any(runs):
            reason = "no legal placement found"

    reached = {
        seed: reports.max_frequency(report) for seed, report in enumerate(runs, start=1) if report
    }
    path = None
    if reached:
        middle = sorted(reached, key=lambda seed: reached[seed])[(len(reached) - 1) // 2]
        path = reports.critical_path(runs[middle - 1] or {})
    return {
        "device": device.name,
        "fits": reason is None,
        "reason": reason,
        **cost,
        "wrapper": frame,
        "sites": sites,
        "fmax_mhz": reports.spread(reached.values()),
        "runs": [{"seed": n + 1, "fmax_mhz": reached.get(n + 1)} for n in range(len(runs))],
        "critical_path": path,
        "seeds": seeds,
        "options": {"yosys": device.synth, "nextpnr": " ".join(place)},
        "tools": {
            "amaranth": amaranth.__version__,
            **{tool: tool_version(tool) for tool in (YOSYS, device.nextpnr)},
        },
    }


def _synthesise(
    wrapper: ScanWrapper, device: Device, *, large: bool = False
) -> tuple[Path, dict[str, int]]:
    """Return the folder of the netlist, and its resources, wrapper included."""
    folder = synthesise_to(wrapper, device, "top", _REPORT, large=large)
    return folder, device.count(reports.cell_counts(_load(folder / "stat.json")))


def _steps(total: int, progress: Progress | None) -> Callable[[str], AbstractContextManager[None]]:
    """Return a context manager for steps, which may overlap, that keeps `progress` informed."""
    finished = itertools.count(1)
    done = 0

    @contextmanager
    def step(text: str) -> Iterator[None]:
        nonlocal done
        if progress:
            progress(done, total, text)
        yield
        done = next(finished)
        if progress:
            progress(done, total, text)

    return step


def _place_and_route(
    device: Device, command: tuple[str, ...], files: dict[str, str]
) -> dict | None:
    """Return nextpnr's report, or None if it found no legal placement."""
    try:
        return _load(run(device.nextpnr, command, files) / "report.json")
    except SynthError as error:
        if any(words in str(error) for words in _NO_PLACE):
            return None
        raise


def _load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
