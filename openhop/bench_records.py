"""Recorded benches, and what a new one changes.

Data and cycles are the same in every run, so a record is exact: any difference comes from the code.
`openhop bench --record` writes one.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpga.records import Change
from openhop.benching import Bench
from openhop.frames import Data
from openhop.output import write_json

#: Folder of the records.
FOLDER = Path(__file__).parent / "records"

#: What is left out of a comparison: how the figures came about, the machine's speed, and what has
#: no figures.
ASIDE = ("command", "engine", "bit_exact", "as_predicted", "sim_cycles_per_s", "host")


def record_path(
    table: str, preset: str, zeros: float | None, frame: Data, *, independent: bool = False
) -> Path:
    """Return where the record of a bench stands, whether or not it exists."""
    variant = "" if zeros is None else f"-zeros{100 * zeros:g}"
    variant += "" if frame == "random" else f"-{frame}"
    variant += "-independent" if independent else ""
    return FOLDER / f"bench-{table}-{preset}{variant}.json"


def command(result: Bench) -> str:
    """Return the command that records a bench anew."""
    zeros = "" if result.zeros is None else f" --zeros {100 * result.zeros:g}"
    frame = f" --frame {result.frame}" if result.frame == "clustered" else ""
    apart = " --independent" if result.independent else ""
    engine = "" if result.engine == "rtl" else f" --engine {result.engine}"
    options = f"{zeros}{frame}{apart}{engine}"
    return f"openhop bench {result.table} --preset {result.preset}{options} --record"


def save(result: Bench) -> Path:
    """Record a bench, its command first; return the file."""
    path = record_path(
        result.table, result.preset, result.zeros, result.frame, independent=result.independent
    )
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"command": command(result), **result.json()})
    return path


def load(path: Path) -> dict[str, Any] | None:
    """Return a record, or None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def compare(record: Mapping[str, Any], result: Bench) -> list[Change]:
    """List the figures in which a bench differs from its record: the layers', then the total's.

    A layer that only one of them has counts as a change. Only whole tables can be compared: a layer
    that runs without the one before it has its weights still to load.
    """
    now = result.json()
    before, after = _by_layer(record), _by_layer(now)
    changes = [
        change
        for name in before | after
        for change in _differences(name, before.get(name), after.get(name))
    ]
    rest = [
        {key: value for key, value in content.items() if key not in ("layers", "refused")}
        for content in (record, now)
    ]
    return [*changes, *_differences("", *rest)]


def _by_layer(content: Mapping[str, Any]) -> dict[str, Any]:
    return {layer["name"]: layer for layer in (*content["layers"], *content["refused"])}


def _differences(where: str, recorded: object, now: object) -> Iterator[Change]:
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for key in {**recorded, **now}:
            if key not in ASIDE:
                place = f"{where}.{key}" if where else key
                yield from _differences(place, recorded.get(key), now.get(key))
    elif recorded != now:
        yield Change(where, *(_short(value) for value in (recorded, now)))


def _short(value: object) -> object:
    """What stands in a line for a layer that only one side has."""
    if isinstance(value, Mapping):
        return "left out" if "reason" in value else "there"
    return "not there" if value is None else value
