"""Tables of the adder-only array for README.md and docs/l1.md (`docs/tables.py`)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from table_text import ROOT, markdown, percent, record

from fpga.logic import best
from golden.params import PRESETS

FAMILIES = {"ecp5": "ECP5", "ice40": "iCE40"}

#: Per AdderNet, the record of a run of its sample pictures in RTL.
RUNS = {"digits": "digits_adder_l1", "fashion": "fashion_adder"}


def density() -> str:
    """Cycles over the share of zeros, on both kinds of lanes."""
    run = json.loads((ROOT / "openhop/records/density-nullhop8+nullhop_l1.json").read_text())

    def row(point: dict[str, Any]) -> list[str]:
        mac, l1 = point["mac"], point["l1"]
        lanes = PRESETS["nullhop_l1"].lanes
        cycles = (mac["cycles"], l1["cycles"], l1["cycles_model"], mac["dense_ops"] // lanes)
        shares = (percent(l1[name]) for name in ("utilisation", "efficiency"))
        return [percent(point["zeros"]), *(f"{count:,}" for count in cycles), *shares]

    header = ("zeros", "`nullhop8`", "`nullhop_l1`", "model", "dense", "utilisation", "efficiency")
    return markdown(header, map(row, run["points"]), left=0)


def adders() -> str:
    """The AdderNets: accuracy, and a run of their sample pictures in RTL."""

    def row(model: str, figures: str) -> list[str]:
        run = record(figures)
        folder = ROOT / "models" / model.replace("-", "_")
        measured = json.loads((folder / "accuracy.json").read_text())
        held_out = f"{measured['held_out_pictures']:,}"
        exact = run["bit_exact"] and run["total"]["cycles"] == run["total"]["cycles_model"]
        return [
            f"`openhop run {model}`",
            f"`{run['preset']}`",
            f"{run['correct']} of {run['images']}",
            "all equal" if exact else "NOT equal",
            f"{run['total']['cycles'] / run['images']:,.0f}",
            *(percent(measured["top1"][kind]) for kind in ("float", "golden")),
            held_out,
        ]

    header = ("command", "builds", "labels right", "values and cycles", "cycles per picture")
    rows = [row(f"{net}-adder", figures) for net, figures in RUNS.items()]
    return markdown((*header, "float", "8 bits, golden", "held-out pictures"), rows, left=4)


def logic() -> str:
    """LUTs with multipliers and without, of each part in the structure that saves most."""
    found = json.loads((ROOT / "fpga" / "logic.json").read_text())

    def row(item: Mapping[str, Any]) -> list[str]:
        target = item["target"]
        return [
            item["part"],
            item["structure"],
            FAMILIES[item["family"]],
            str(item["bits"]),
            f"{item['mac']:,} ({item['multiplier']})",
            f"{item['l1']:,}",
            percent(item["saving"]),
            percent(target) if target else "",
            f"{item['mac_dsp']:,} + {item['dsp']} DSP",
        ]

    header = ("part", "structure", "family", "bits", "MAC, LUTs", "L1, LUTs", "saved", "target")
    return markdown((*header, "MAC with DSP blocks"), map(row, best(found["rows"])), left=3)


def logic_speed() -> str:
    """Frequency of arrays and clusters with multipliers and without."""
    found = json.loads((ROOT / "fpga" / "logic.json").read_text())

    def row(item: dict[str, Any]) -> list[str]:
        speed, kind = item["fmax_mhz"], item["flow"] if item["pe"] == "mac" else "none"
        return [
            item["part"],
            str(item["bits"]),
            kind,
            f"{item['lut']:,}",
            str(item["dsp"]),
            f"{speed['median']:.1f}" if speed else "does not fit",
        ]

    header = ("part", "bits", "multiplier", "LUTs", "DSP", "MHz")
    return markdown(header, map(row, found["speeds"]))


def adder_work() -> str:
    """Operations and cycles of the AdderNets' layers, per picture."""
    header = ("layer", "dense operations", "x = 0 skipped", "w <= 0 too", "dense cycles", "cycles")
    rows = [row for net, figures in RUNS.items() for row in _work_of(net, figures)]
    return markdown((*header, "compute", "ideal"), rows)


def _work_of(net: str, figures: str) -> list[list[str]]:
    """Rows of one network; a convolution has no dead weights."""
    run, dead = record(figures), record(f"dead_weights_{net}")
    images, lanes = run["images"], PRESETS[run["preset"].split("+")[0]].lanes
    found = {layer["name"]: layer["live_ops"] for layer in dead["layers"]}
    live = [found.get(layer["name"], layer["useful_ops"]) for layer in run["layers"]]

    def row(name: str, layer: dict[str, Any], live: int) -> list[str]:
        dense, useful = layer["dense_ops"], layer["useful_ops"]
        cycles = [dense / lanes, layer["cycles"], layer["cycles_compute"], useful / lanes]
        shares = [useful / dense, live / dense]
        per_picture = [f"{count / images:,.0f}" for count in (dense, *cycles)]
        return [f"{net}, {name}", per_picture[0], *map(percent, shares), *per_picture[1:]]

    layers = zip(run["layers"], live, strict=True)
    rows = [row(layer["name"], layer, alive) for layer, alive in layers]
    return [*rows, row("**total**", run["total"], sum(live))]


def dead_weights() -> str:
    """What is left of the AdderNets' visits in lockstep, if dead weights were skipped."""

    def row(net: str, layer: dict[str, Any]) -> list[str]:
        ways = (layer["visits_left"], layer["visits_left_ordered"])
        shares = [way[lanes] for way in ways for lanes in ("16", "8", "4", "2")]
        return [f"{net}, {layer['name']}", *map(percent, (*shares, layer["visits_left_apart"]))]

    lanes = ("16 lanes", "8", "4", "2", "16 ordered", "8", "4", "2", "own lists")
    rows = [row(net, layer) for net in RUNS for layer in record(f"dead_weights_{net}")["layers"]]
    return markdown(("layer", *lanes), rows)


TABLES: dict[str, Callable[[], str]] = {
    "density": density,
    "adders": adders,
    "adder_work": adder_work,
    "dead_weights": dead_weights,
    "logic": logic,
    "logic_speed": logic_speed,
}
