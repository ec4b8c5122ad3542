"""`openhop logic`: what lanes without multipliers save in LUTs, gates and frequency."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from compiler.errors import CompileError
from fpga.logic import RECORD, STRUCTURES, WIDTHS, best, load, measure_all, save
from openhop.output import bar, require_writable, show, table, write_file, write_json
from openhop.views import percent


def main(
    *,
    parts: str,
    bits: str,
    seeds: int,
    recorded: bool,
    plot: Path | None,
    json: Path | None,
    record: bool,
) -> int:
    """Count or read, print and write; 0 if every target that was measured is reached, else 1."""
    chosen = [name.strip() for name in parts.split(",") if name.strip()] or list(STRUCTURES)
    widths = [int(number) for number in bits.split(",") if number.strip().isdigit()] or [*WIDTHS]
    _require_known(chosen, widths, whole=not (parts or bits), recorded=recorded, record=record)
    require_writable(json, plot, RECORD if record else None)
    if recorded:
        result = load() or {}
    else:
        with bar("counting logic") as shown:
            result = measure_all(
                chosen,
                widths,
                seeds=seeds,
                progress=lambda done, total, text: shown.show(text, done, total),
            )
    rows = [row for row in result["rows"] if row["part"] in chosen and row["bits"] in widths]
    show(_report(result, rows))
    write_json(json, result)
    if plot:
        from openhop.logic_plot import figure
        from openhop.plots import png

        write_file(plot, png(figure(rows)))
    if record:
        show([Text(f"Recorded in {save(result)}")])
    return 0 if all(_reached(row) for row in best(rows)) else 1


def _require_known(
    parts: Sequence[str], widths: Sequence[int], *, whole: bool, recorded: bool, record: bool
) -> None:
    for option, names, known in (("--part", parts, STRUCTURES), ("--bits", widths, WIDTHS)):
        for name in names:
            if name not in known:
                every = ", ".join(map(str, known))
                raise CompileError(option, f"{name} is unknown", f"choose of {every}")
    if record and (recorded or not whole):
        raise CompileError("--record", "counts everything", "leave out the other options")
    if recorded and not RECORD.exists():
        raise CompileError("--recorded", "nothing is recorded", "use --record")


def _reached(row: Mapping) -> bool:
    return row["target"] is None or row["saving"] >= row["target"]


def _report(result: Mapping, rows: Sequence[Mapping]) -> Iterator[RenderableType]:
    yield _luts(rows, result["taps"])
    for part, structures in STRUCTURES.items():
        if any(row["part"] == part for row in rows):
            for name, meaning in structures.items():
                if meaning:
                    yield Text(f"{part} {name}: {meaning}")
    if result["gates"]:
        yield _gates(result["gates"])
    if result["speeds"]:
        yield _speeds(result["speeds"])
    for row in best(rows):
        if not _reached(row):
            where = f"{row['part']}, {row['bits']} bits, {row['family']}"
            yield Text(f"Missed: {where}: {percent(row['saving'])} % of {percent(row['target'])} %")
    yield Text(", ".join(f"{tool} {version}" for tool, version in result["tools"].items()))


def _luts(rows: Sequence[Mapping], taps: int) -> Table:
    shown = table(
        f"LUTs; accumulators exact for {taps} terms; the smaller LUT multiplier",
        *("part", "structure", "family", "bits", "multiplier", "MAC", "L1", "saved %", "target"),
        *("MAC with DSP", "DSPs"),
        left=3,
    )
    for row in rows:
        target = "" if row["target"] is None else percent(row["target"])
        style = "" if _reached(row) else "yellow"
        shown.add_row(
            *(row["part"], row["structure"], row["family"], str(row["bits"]), row["multiplier"]),
            *(f"{row['mac']:,}", f"{row['l1']:,}", percent(row["saving"]), target),
            *(f"{row['mac_dsp']:,}", str(row["dsp"])),
            style=style,
        )
    return shown


def _gates(counts: Sequence[Mapping]) -> Table:
    shown = table(
        "Gates, without memories and flip-flops",
        *("part", "structure", "PE", "bits", "multiplier", "and", "xor", "mux", "not", "gates"),
        left=3,
    )
    for count in counts:
        flow = count["flow"] if count["pe"] == "mac" else "none"
        figures = (count[key] for key in ("and", "xor", "mux", "not", "gates"))
        shown.add_row(
            *(count["part"], count["structure"], count["pe"], str(count["bits"]), flow),
            *(f"{number:,}" for number in figures),
        )
    return shown


def _speeds(counts: Sequence[Mapping]) -> Table:
    shown = table(
        "Frequency after place and route, MHz",
        *("part", "structure", "PE", "bits", "multiplier", "LUTs", "median", "min", "max"),
        left=3,
    )
    for count in counts:
        flow = count["flow"] if count["pe"] == "mac" else "none"
        fmax = count["fmax_mhz"]
        speeds = [f"{fmax[key]:.1f}" for key in ("median", "min", "max")] if fmax else ["-"] * 3
        shown.add_row(
            *(count["part"], count["structure"], count["pe"], str(count["bits"]), flow),
            *(f"{count['lut']:,}", *speeds),
        )
    return shown
