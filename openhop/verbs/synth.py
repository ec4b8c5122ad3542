"""`openhop synth`: area and clock frequency of a build on a part."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from fpga.builds import synthesise_build
from fpga.devices import RESOURCES, Device, device, device_for
from fpga.records import compare, load, record_path, save
from golden.params import preset
from openhop.output import bar, require_writable, show, table, write_json


def main(
    *,
    build_name: str,
    device_name: str | None,
    seeds: int,
    blocks: bool,
    record: bool,
    json: Path | None,
) -> int:
    """Synthesise, print and write; 0 if the core fits the part, else 1."""
    build = preset(build_name)
    part = device(device_name) if device_name else device_for(build.name)
    require_writable(json, record_path(build.name, part.name) if record else None)
    with bar(f"{build.name} on {part.name}") as shown:

        def progress(done: int, total: int, text: str) -> None:
            shown.show(text, done, total)

        result = synthesise_build(build, part, seeds=seeds, blocks=blocks, progress=progress)
    show(_report(result, part))
    write_json(json, result)
    if record:
        show([Text(f"Recorded in {save(result)}")])
    return 0 if result["fits"] else 1


def _report(result: dict, part: Device) -> Iterator[RenderableType]:
    title = f"{result['preset']}, {result['lanes']} lanes, on {part.part}, {result['seeds']} seeds"
    area = table(title, "", "of the core", *RESOURCES, "fmax median", "min", "max")
    rows = [("core", 1, result), *((b["name"], b["instances"], b) for b in result["blocks"])]
    for name, instances, figures in rows:
        fmax = figures["fmax_mhz"]
        speeds = [f"{fmax[key]:.1f}" for key in ("median", "min", "max")] if fmax else ["-"] * 3
        costs = (f"{figures[resource]:,}" for resource in RESOURCES)
        area.add_row(name, f"{instances}x", *costs, *speeds)
    area.add_section()
    area.add_row("part", "", *(f"{getattr(part, resource):,}" for resource in RESOURCES))
    yield area
    if not result["fits"]:
        yield Text(f"Does not fit: {result['reason']}", "bold red")
    yield Text(", ".join(f"{tool} {version}" for tool, version in result["tools"].items()))
    record = load(result["preset"], result["device"])
    if record:
        changes = compare(record, result)
        yield Text("As recorded" if not changes else "Other than recorded:")
        yield from (Text(f"  {change}") for change in changes)
