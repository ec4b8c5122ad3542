"""`openhop bench`: a table of layers, or a trained network, beside ideal and dense machines."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from compiler.errors import CompileError
from golden.params import Build, preset
from openhop import library, views
from openhop.bench_records import compare, load, record_path, save
from openhop.benching import Bench, bench, bench_network
from openhop.figures import Sums, is_pool
from openhop.frames import Frame
from openhop.output import bar, require_writable, show, table, write_json
from openhop.peers import ARRAY, Systolic
from openhop.views import percent
from sim.network import Engine


def main(
    *,
    table: str,
    build_name: str,
    engine: Engine,
    zeros: float | None,
    frame: Frame,
    independent: bool,
    layers: str,
    json: Path | None,
    record: bool,
) -> int:
    """Run, print and write; 0 if every layer ran and all is as the models say, else 1."""
    build = preset(build_name)
    if not library.is_table(table):
        given = {
            "--zeros": zeros is not None,
            "--frame": frame != "random",
            "--independent": independent,
            "--layers": bool(layers),
        }
        _require_plain(table, given)
        return _network(table, build, engine, json, record=record)
    path = library.table_path(table)
    share = None if zeros is None else zeros / 100
    place = record_path(path.stem, build.name, share, frame, independent=independent)
    bundled = path in library.tables().values()
    names = [name.strip() for name in layers.split(",") if name.strip()]
    if record:
        _require_recordable(path, names, bundled=bundled)
        place.parent.mkdir(exist_ok=True)
    require_writable(json, place if record else None)
    with bar(f"preparing {build.name}, once for all runs") as shown:
        result = bench(
            path,
            build,
            engine=engine,
            zeros=share,
            frame=frame,
            independent=independent,
            names=names,
            progress=shown.show,
        )
    show(_report(result))
    show(_changes(result, place if bundled else None))
    write_json(json, result.json())
    if record:
        show([Text(f"Recorded in {save(result)}")])
    return 0 if result.passed else 1


def _network(model: str, build: Build, engine: Engine, json: Path | None, *, record: bool) -> int:
    network = library.load(model)
    pictures = library.sample_pictures(model)
    if not pictures:
        raise CompileError(model, "has no picture of its own", "use `openhop run --images`")
    place = record_path(network.name, build.name, None, "photo")
    require_writable(json, place if record else None)
    with bar(f"preparing {build.name}, once for all runs") as shown:
        result = bench_network(network, build, pictures[0], engine=engine, progress=shown.show)
    show(_report(result))
    show(_changes(result, place))
    write_json(json, result.json())
    if record:
        show([Text(f"Recorded in {save(result)}")])
    return 0 if result.passed else 1


def _require_plain(model: str, given: dict[str, bool]) -> None:
    for option in (option for option, is_given in given.items() if is_given):
        raise CompileError(
            option, f"{model} is a network, whose maps are what they are", "give a table of layers"
        )


def _require_recordable(path: Path, names: list[str], *, bundled: bool) -> None:
    if names:
        raise CompileError("--record", "needs the whole table", "leave out --layers")
    if not bundled:
        raise CompileError("--record", f"{path} is not a bundled table", "use --json FILE")


def _report(result: Bench) -> Iterator[RenderableType]:
    figures = [layer.figures for layer in result.layers]
    yield from views.layers(_title(result), figures, checked=result.engine == "rtl")
    yield from views.host(result.host)
    yield _beside(result)
    yield from views.refusals(result.refused)
    yield from _summary(result)


def _title(result: Bench) -> str:
    what = f"{result.table} on {result.preset}"
    if result.picture:
        return f"{what}, {result.picture}"
    zeros = "of the table" if result.zeros is None else f"{percent(result.zeros)} %"
    how = "chained" if result.chained else "each layer by itself"
    return f"{what}, {how}, {result.frame} frame, zeros {zeros}"


def _beside(result: Bench) -> Table:
    rows, cols = ARRAY
    beside = table(
        f"Cycles beside others'; systolic: dense {rows}x{cols} array after SCALE-Sim, the better "
        "over ours is the gain",
        *("layer", "zeros due %", "cluster.", "model", "with bus", "systolic os", "ws", "gain"),
    )

    def add(name: str, data: tuple[str, str], sums: Sums, peer: Systolic, style: str = "") -> None:
        cycles = (sums.cycles_model, sums.cycles_bus, peer.os, peer.ws)
        gain = f"{min(peer.os, peer.ws) / sums.cycles:.2f}"
        beside.add_row(name, *data, *(f"{number:,}" for number in cycles), gain, style=style)

    for layer in result.layers:
        near = "-" if layer.clustering is None else f"{layer.clustering:.2f}"
        due = "-" if layer.zeros_target is None else percent(layer.zeros_target)
        data = (due, near)
        add(layer.figures.name, data, layer.figures.sums, layer.systolic)
    beside.add_section()
    add("total", ("", ""), result.total, result.systolic, "bold")
    return beside


def _summary(result: Bench) -> Iterator[RenderableType]:
    sums = result.convolutions
    layers = [layer.figures for layer in result.layers if not is_pool(layer.figures.kind)]
    lowest = min(layers, key=lambda layer: layer.sums.utilisation)
    ideal = f" (ideal {percent(sums.dense_ops / sums.useful_ops)} %)" if sums.useful_ops else ""
    yield (
        f"Utilisation {percent(sums.utilisation)} %, lowest in {lowest.name} "
        f"({percent(lowest.sums.utilisation)} %); efficiency {percent(sums.efficiency)} %{ideal}"
    )
    if len(layers) < len(result.layers):
        more = result.total.cycles_compute / sums.cycles_compute - 1
        yield f"Pools, which have no such operations, take {percent(more)} % more"
    sums = result.total
    yield (
        f"With a bus {percent(sums.cycles_bus / sums.cycles_compute - 1)} % more cycles than "
        f"computing alone"
    )
    paper = result.published
    if paper and not result.selected and not result.refused:
        yield (
            f"NullHop: {paper.cycles:,} cycles, efficiency {percent(paper.efficiency)} % at "
            f"{percent(paper.zeros)} % zeros ({paper.source}); {percent(paper.board_efficiency)} % "
            f"on its board ({paper.board_source})"
        )
    if result.engine == "rtl":
        yield f"Bits: {'all exact' if sums.exact else 'NOT exact'}"
        yield f"Cycles: {'all' if sums.as_predicted else 'NOT'} as the cycle model predicts"
    if result.sim_cycles_per_s:
        yield f"Simulation: {result.sim_cycles_per_s:,.0f} cycles per second"


def _changes(result: Bench, place: Path | None) -> Iterator[RenderableType]:
    record = load(place) if place and not result.selected else None
    if record:
        changes = compare(record, result)
        yield Text("As recorded" if not changes else "Other than recorded:")
        yield from (Text(f"  {change}") for change in changes)
