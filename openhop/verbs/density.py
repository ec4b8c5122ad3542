"""`openhop density`: cycles of multiplying and of L1 lanes over the share of zeros."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from golden.params import presets
from openhop.density import Sweep, record_path, save, sweep
from openhop.output import bar, require_writable, show, table, write_json
from openhop.running import names
from openhop.views import percent
from sim.network import Engine


def main(*, build_names: str, engine: Engine, json: Path | None, record: bool) -> int:
    """Run, print and write; 0 if builds and models agree everywhere, else 1."""
    builds = presets(build_names)
    require_writable(json, record_path(builds) if record else None)
    with bar(f"preparing {names(builds)}, once for all runs") as shown:
        result = sweep(builds, engine, progress=shown.show)
    show(_report(result))
    write_json(json, result.json())
    if record:
        show([Text(f"Recorded in {save(result)}")])
    return 0 if result.passed else 1


def _report(result: Sweep) -> Iterator[RenderableType]:
    layer = result.json()["layer"]
    columns = [f"{build.name} cycles" for build in result.builds]
    shown = table(
        f"{layer}, on {names(result.builds)}",
        *("zeros %", *columns, "model", "dense", "ideal", "util. %", "eff. %", "alike"),
    )
    for point in result.points:
        first = point.sums[0]
        shown.add_row(
            percent(point.zeros),
            *(f"{sums.cycles:,}" for sums in point.sums),
            f"{first.cycles_model:,}",
            f"{first.cycles_dense:,.0f}",
            f"{first.cycles_ideal:,.0f}",
            percent(first.utilisation),
            percent(first.efficiency),
            "yes" if point.alike else "NO",
        )
    yield shown
    if result.engine == "rtl":
        exact = all(sums.exact for point in result.points for sums in point.sums)
        predicted = all(sums.as_predicted for point in result.points for sums in point.sums)
        yield f"Bits: {'all exact' if exact else 'NOT exact'}"
        yield f"Cycles: {'all' if predicted else 'NOT'} as the cycle model predicts"
