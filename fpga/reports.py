"""Reads the JSON reports of Yosys (`stat -json`) and nextpnr (`--report`)."""

import statistics
from collections.abc import Collection, Iterable, Mapping


def cell_counts(stat: Mapping) -> dict[str, int]:
    """Return the number of cells of each type, from Yosys' statistics of a flat design."""
    (module,) = stat["modules"].values()
    return module["num_cells_by_type"]


def driven_bits(netlist: Mapping, names: Collection[str]) -> int:
    """Count the bits of the wires `names` in a netlist: the same bit once, constants not at all."""
    (module,) = netlist["modules"].values()
    wires = (wire["bits"] for name, wire in module["netnames"].items() if name in names)
    return len({bit for bits in wires for bit in bits if isinstance(bit, int)})


def used_sites(report: Mapping) -> dict[str, list[int]]:
    """Return `[used, available]` of every kind of site that the design uses."""
    return {
        site: [number["used"], number["available"]]
        for site, number in report["utilization"].items()
        if number["used"]
    }


def shortage(sites: Mapping[str, list[int]]) -> str | None:
    """Return in words what the part has too few of; None if nothing."""
    short = [f"{site}: {used} of {has}" for site, (used, has) in sites.items() if used > has]
    return ", ".join(short) or None


def max_frequency(report: Mapping) -> float:
    """Return the clock's maximum frequency after routing, in MHz."""
    return round(min(clock["achieved"] for clock in report["fmax"].values()), 2)


def spread(speeds: Iterable[float | None]) -> dict[str, float] | None:
    """Return `median`, `min` and `max` of the speeds, without those that are None; None if none."""
    reached = sorted(speed for speed in speeds if speed is not None)
    if not reached:
        return None
    median = round(statistics.median(reached), 2)
    return {"median": median, "min": reached[0], "max": reached[-1]}


def critical_path(report: Mapping) -> dict:
    """Return the slowest path from register to register.

    `start` and `end` are `cell.port`; `logic_ns` (clock-to-output and set-up included) and
    `wire_ns` add up to the period.
    """
    (slowest,) = (
        path["path"]
        for path in report["critical_paths"]
        if path["from"] == path["to"] and path["from"].startswith(("posedge", "negedge"))
    )
    wire = sum(step["delay"] for step in slowest if step["type"] == "routing")
    logic = sum(step["delay"] for step in slowest if step["type"] != "routing")
    start, end = slowest[0]["from"], slowest[-1]["to"]
    return {
        "start": f"{start['cell']}.{start['port']}",
        "end": f"{end['cell']}.{end['port']}",
        "logic_ns": round(logic, 2),
        "wire_ns": round(wire, 2),
    }
