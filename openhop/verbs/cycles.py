"""`openhop cycles`: what the cycle model predicts for a network or for a table of layers."""

from pathlib import Path
from typing import Any

from compiler.errors import CompileError
from golden.params import Build, preset, presets
from openhop import library, views
from openhop.figures import LayerFigures, total
from openhop.layer_table import Refusal, table_figures
from openhop.output import bar, require_writable, show, write_json
from openhop.running import run_network


def main(*, model: str, images: list[Path], build_name: str | None, json: Path | None) -> int:
    """Predict, print and write; 0, or 1 if the build cannot run some layers of a table."""
    require_writable(json)
    if library.is_table(model):
        return _table(library.table_path(model), preset(build_name or "nullhop"), json)
    return _network(model, images, build_name, json)


def _network(model: str, images: list[Path], build_name: str | None, json: Path | None) -> int:
    network = library.load(model)
    builds = presets(build_name or library.default_preset(network))
    pictures = images or library.sample_pictures(model)
    with bar(f"predicting {network.name}") as shown:
        report = run_network(
            network,
            builds,
            pictures,
            engine="golden",
            progress=lambda done: shown.show(f"predicting {network.name}", done, len(pictures)),
        )
    show(views.report(report))
    write_json(json, report.json())
    return 0


def _table(path: Path, build: Build, json: Path | None) -> int:
    with bar(path.name) as shown:
        results = list(table_figures(path, build, progress=shown.show))
    layers = [result for result in results if isinstance(result, LayerFigures)]
    refused = [result for result in results if isinstance(result, Refusal)]
    if not layers:
        raise CompileError(f"layer {refused[0].name!r}", refused[0].reason)
    title = f"{path.stem} on {build.name}, random pixels of the densities given"
    show([*views.layers(title, layers, checked=False), *views.refusals(refused)])
    write_json(json, _json(path, build, layers, refused))
    return 1 if refused else 0


def _json(
    path: Path, build: Build, layers: list[LayerFigures], refused: list[Refusal]
) -> dict[str, Any]:
    return {
        "model": path.stem,
        "preset": build.name,
        "layers": [layer.json() for layer in layers],
        "refused": [{"name": refusal.name, "reason": refusal.reason} for refusal in refused],
        "total": total(layer.sums for layer in layers).json(),
    }
