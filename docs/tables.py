"""Fills in the tables of README.md and docs/l1.md from the records and the presets.

    python docs/tables.py            # writes them
    python docs/tables.py --check    # says whether they are what it would write

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; `TABLES` has the function of each
name. Records are JSON and text below docs/figures, openhop/records and fpga,
and the networks' accuracy.json.
"""

import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import adder_tables
from table_text import FIGURES, ROOT, markdown, percent, record

from golden.params import PRESETS, Build

README = ROOT / "README.md"
L1_PAGE = ROOT / "docs" / "l1.md"
RUN = "fashion_nullhop"

#: Characters of a line of text.
LINE = 119

#: Input channels from which on a 3x3 layer counts for the headline, as `openhop run` has it.
WIDE_CHANNELS = 64

PURPOSES = {
    "tiny": "tests; compiles in seconds",
    "tiny8": "tests; compiles in seconds",
    "tiny_l1": "tests; compiles in seconds",
    "up5k": "iCE40UP5K",
    "ecp5_85f": "LFE5U-85F",
    "nullhop": "the size of the paper; simulation",
    "nullhop8": "the same, beside `nullhop_l1`",
    "nullhop_l1": "the same for adder layers",
}


def output() -> str:
    """What `make run` prints: the first labels, and the summary."""
    lines = (FIGURES / f"{RUN}.txt").read_text().splitlines()
    summary = next(index for index, line in enumerate(lines) if line.startswith("Labels:"))
    # Without the speed of the simulation, which the machine decides.
    rest = [line for line in lines[summary:] if not line.startswith("Simulation:")]
    shown = [*lines[:2], "...", *rest]
    return "```\n" + "".join(f"{line.rstrip()}\n" for line in shown) + "```\n"


def layers() -> str:
    """Cycles of each layer, mean of the pictures, and the ratios."""
    run = record(RUN)
    lanes = PRESETS[run["preset"]].lanes

    def row(name: str, shape: Sequence[str], item: dict[str, Any]) -> list[str]:
        cycles = [item["dense_ops"] / lanes]
        cycles += [item[key] for key in ("cycles", "cycles_compute", "cycles_ideal")]
        ratios = [item[key] for key in ("utilisation", "efficiency")]
        return [
            name,
            *shape,
            percent(item["input_zeros"]),
            *(f"{number / run['images']:,.0f}" for number in cycles),
            *map(percent, ratios),
        ]

    def times(sizes: Sequence[int]) -> str:
        return "x".join(map(str, sizes))

    rows = [
        row(layer["name"], (times(layer["in_shape"]), times(layer["kernel"])), layer)
        for layer in run["layers"]
    ]
    rows.append(row("**total**", ("", ""), run["total"]))
    header = ("layer", "input", "kernel", "zeros", "dense", "cycles", "compute", "ideal")
    return markdown((*header, "utilisation", "efficiency"), rows, left=3)


def headline() -> str:
    """What it comes to, each figure with the command that gives it."""
    run, accuracy = record(RUN), json.loads((ROOT / "models/fashion/accuracy.json").read_text())
    total, images, lanes = run["total"], run["images"], PRESETS[run["preset"]].lanes
    wide = [
        layer
        for layer in run["layers"]
        if (layer["kind"], layer["kernel"]) == ("conv", [3, 3])
        and layer["in_shape"][2] >= WIDE_CHANNELS
    ]
    ideal, compute = (sum(item[key] for item in wide) for key in ("cycles_ideal", "cycles_compute"))
    predicted = all(layer["cycles"] == layer["cycles_model"] for layer in run["layers"])
    top1 = accuracy["top1"]
    evaluate = "`python models/fashion/evaluate.py`"
    rows = [
        (
            f"values of the RTL against the golden model, {images} pictures, 7 layers",
            "all equal" if run["bit_exact"] else "NOT equal",
            "`make run`",
        ),
        (
            "cycles of the RTL against the cycle model, the same",
            "all equal" if predicted else "NOT equal",
            "`make run`",
        ),
        ("cycles per picture", f"{total['cycles'] / images:,.0f}", "`make run`"),
        (
            "cycles per picture if no zero were skipped and no lane ever waited",
            f"{total['dense_ops'] / lanes / images:,.0f}",
            "`make run`",
        ),
        (
            "dense operations per lane and cycle, every cycle counted",
            percent(total["dense_ops"] / lanes / total["cycles"]),
            "`make run`",
        ),
        (
            f"utilisation of the 3x3 layers with {WIDE_CHANNELS} or more input channels",
            percent(ideal / compute),
            "`make run`",
        ),
        ("labels right, sample pictures", f"{run['correct']} of {images}", "`make run`"),
        *(
            (f"labels right, 10,000 test pictures, {name}", f"{100 * top1[key]:.2f} %", evaluate)
            for key, name in (("float", "float32"), ("int8", "8 bits"), ("int16", "16 bits"))
        ),
    ]
    return markdown(("what", "figure", "command"), rows, left=3)


def golden() -> str:
    """Time of the golden convolution beside ONNX Runtime's."""
    results = record("conv_speed")["results"]
    names = {"squeezenet": "SqueezeNet v1.1", "vgg16": "VGG-16"}
    rows = [
        (
            names[item["network"]],
            f"{item['mmac']:,.1f} M",
            str(item["threads"]),
            f"{item['golden_ms']:.1f} ms",
            f"{item['onnxruntime_ms']:.1f} ms",
            f"{item['ratio']:.1f}",
            "yes" if item["equal"] else "NO",
        )
        for item in results
    ]
    header = ("convolutions of", "multiplications", "threads", "golden", "ONNX Runtime", "ratio")
    return markdown((*header, "bits equal"), rows)


def conditions() -> str:
    """On what the golden convolution was measured."""
    speed = record("conv_speed")
    tools = ", ".join(f"{name} {version}" for name, version in speed["tools"].items())
    given = speed["conditions"]
    text = (
        f"Sums of each layer's median of {given['repeats']} runs; maps: {given['maps']}; weights: "
        f"{given['weights']}; {given['processors']} cores of an {given['machine']}; {tools}."
    )
    return textwrap.fill(text, LINE) + "\n"


def benches() -> str:
    """Cycles of whole networks."""

    def row(path: Path) -> list[str]:
        found = json.loads(path.read_text())
        total, parts = found["total"], found["convolutions"]
        layers = [layer for layer in found["layers"] if layer["dense_ops"]]
        least = min(layers, key=lambda layer: layer["utilisation"])
        bits = {True: "all equal", False: "NOT equal", None: "not simulated"}[found["bit_exact"]]
        return [
            f"`{found['command'].removesuffix(' --record')}`",
            *(
                f"{part[key]:,.0f}"
                for part, key in (
                    (total, "cycles"),
                    (total, "cycles_bus"),
                    (parts, "cycles_compute"),
                    (parts, "cycles_ideal"),
                )
            ),
            percent(parts["utilisation"]),
            f"{percent(least['utilisation'])} ({least['name']})",
            percent(parts["efficiency"]),
            bits,
        ]

    header = ("command", "cycles", "with bus", "compute", "ideal", "utilisation", "lowest layer")
    rows = map(row, sorted((ROOT / "openhop" / "records").glob("bench-*.json")))
    return markdown((*header, "efficiency", "values"), rows)


def fpga() -> str:
    """Area and frequency of the core alone on parts."""

    def row(path: Path) -> list[str]:
        found = json.loads(path.read_text())
        counts = [f"{found[name]:,}" for name in ("lut", "ff", "bram", "dsp")]
        speed = found["fmax_mhz"]
        clock = f"{speed['median']:.1f}" if speed else "-"
        seeds = str(found["seeds"]) if speed else "-"
        verdict = "yes" if found["fits"] else f"no: {found['reason']}"
        command = f"`{found['command'].removesuffix(' --record').removesuffix(' --blocks')}`"
        return [command, verdict, *counts, clock, seeds]

    header = ("command", "fits", "LUT", "FF", "block RAM", "DSP", "MHz, median", "of seeds")
    rows = map(row, sorted((ROOT / "fpga" / "records").glob("*.json")))
    return markdown(header, rows, left=2)


def speed() -> str:
    """Clock cycles per second of the ways to simulate."""
    found = record("sim_speed")
    ways = {
        "native": "the native harness",
        "cocotb": "cocotb, as its runner compiles",
        "cocotb_pins": "cocotb, signals inside not public",
    }
    rows = [
        [text, f"{found[way][1]:,}", f"{found['ratio'].get(way, 1):.1f}"]
        for way, text in ways.items()
    ]
    return markdown(("simulation of `nullhop`", "cycles per second", "native is faster by"), rows)


def presets() -> str:
    """The builds that have a name."""

    def row(build: Build) -> list[str]:
        maps = build.clusters * build.map_words * build.word_pixels * build.act_bytes
        return [
            f"`{build.name}`",
            PURPOSES[build.name],
            f"{build.clusters} x {build.lanes_per_cluster}{' L1' * (build.pe == 'l1')}",
            f"{build.act_bits} / {build.weight_bits} / {build.acc_bits}",
            f"{build.weight_words:,}",
            f"{maps / 1024:,.0f}",
            f"{build.on_chip_bytes / 1024:,.0f}",
            str(build.k_max),
            str(build.drain),
            ", ".join(build.requant),
        ]

    header = ("preset", "for", "lanes", "bits", "weights per lane", "map KiB", "all KiB", "k max")
    return markdown((*header, "drain", "requantisers"), map(row, PRESETS.values()), left=2)


TABLES: dict[str, Callable[[], str]] = {
    "output": output,
    "headline": headline,
    "layers": layers,
    "golden": golden,
    "conditions": conditions,
    "benches": benches,
    "fpga": fpga,
    "speed": speed,
    "presets": presets,
    **adder_tables.TABLES,
}


def fill(text: str) -> str:
    """Return the text with every table made anew."""
    names = re.findall(r"^<!-- table: (\w+) -->$", text, re.MULTILINE)
    for name in names:
        block = re.compile(rf"^(<!-- table: {name} -->\n).*?^(<!-- end -->)$", re.M | re.S)
        table = TABLES[name]()
        text, count = block.subn(lambda found, made=table: found[1] + made + found[2], text)
        if count != 1:
            raise ValueError(f"table {name} must have one beginning and one end")
    return text


def main() -> None:
    """Write the pages, or with --check only compare."""
    for page in (README, L1_PAGE):
        text = page.read_text()
        made = fill(text)
        if "--check" not in sys.argv[1:]:
            page.write_text(made)
        elif made != text:
            sys.exit(f"{page.name} is not what the records give: run python docs/tables.py")


if __name__ == "__main__":
    main()
