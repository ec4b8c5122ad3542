"""Recorded results of `openhop synth`, and what a new result changes.

The tools are deterministic, so a record is exact: any difference comes from the code, from a
tool's version or from its options. `openhop synth --record` writes one, `make record` all.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fpga.reports import spread

#: Folder of the records in the source tree.
FOLDER = Path(__file__).parent / "records"

#: What is compared of the core and of every block; the rest of a record is there to be read.
FIGURES = ("fits", "lut", "ff", "bram", "dsp", "fmax_mhz", "options", "tools")


class Change(NamedTuple):
    """A figure that differs: `where`, as in "core.fmax_mhz.median", and both values."""

    where: str
    recorded: object
    now: object

    def __str__(self) -> str:
        text = f"{self.where}: {self.recorded} -> {self.now}"
        numbers = [x for x in self[1:] if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(numbers) == 2 and numbers[0]:
            text += f" ({numbers[1] / numbers[0] - 1:+.1%})"
        return text


def record_path(preset: str, device: str, folder: Path = FOLDER) -> Path:
    """Return where the record of a preset on a device stands, whether or not it exists."""
    return folder / f"{preset}-{device}.json"


def command(result: Mapping) -> str:
    """Return the command that records a result anew."""
    blocks = " --blocks" if result["blocks"] else ""
    return (
        f"openhop synth --preset {result['preset']} --device {result['device']}"
        f" --seeds {result['seeds']}{blocks} --record"
    )


def save(result: Mapping, folder: Path = FOLDER) -> Path:
    """Record a result of `fpga.builds.synthesise_build`, its command first; return the file."""
    path = record_path(result["preset"], result["device"], folder)
    record = {"command": command(result), **result}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def load(preset: str, device: str, folder: Path = FOLDER) -> dict | None:
    """Return the record of a preset on a device, or None if there is none."""
    path = record_path(preset, device, folder)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def load_all(folder: Path = FOLDER) -> list[dict]:
    """Return every record, by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def compare(record: Mapping, result: Mapping) -> list[Change]:
    """List the figures in which a result differs from its record: the core's, then the blocks'.

    A block that only one of them has counts as a change. Blocks are left out if the result has
    none, so that a run of the core alone can be compared too; and if one has fewer seeds, the
    frequency is that of the seeds that both have.
    """
    seeds = min(record["seeds"], result["seeds"])
    changes = [*_differences("core", _figures(record, seeds), _figures(result, seeds))]
    if result["blocks"]:
        before = {block["name"]: _figures(block, seeds) for block in record["blocks"]}
        after = {block["name"]: _figures(block, seeds) for block in result["blocks"]}
        for name in before | after:
            changes += _differences(name, before.get(name), after.get(name))
    return changes


def _figures(result: Mapping, seeds: int) -> dict:
    """Return what is compared, as if there had been no more than so many seeds."""
    figures = {key: result[key] for key in FIGURES if key in result}
    runs = result.get("runs", [])
    if len(runs) > seeds:
        figures["fmax_mhz"] = spread(run["fmax_mhz"] for run in runs[:seeds])
        figures["fits"] = figures["fmax_mhz"] is not None
    return figures


def _differences(where: str, recorded: object, now: object) -> Iterator[Change]:
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for key in {**recorded, **now}:
            yield from _differences(f"{where}.{key}", recorded.get(key), now.get(key))
    elif recorded != now:
        yield Change(where, recorded, now)
