"""`openhop vectors`: the golden model's vectors as files, and a testbench that replays them."""

from pathlib import Path

from rich.text import Text

from compiler.errors import CompileError
from golden.params import presets
from openhop import library
from openhop.output import bar, require_folder, require_writable, show, table, write_json
from openhop.vectors import layer_vectors, write_vectors


def main(
    *, model: str, folder: Path, images: list[Path], build_name: str | None, json: Path | None
) -> int:
    """Compute, write and print what was written; 0."""
    require_writable(json)
    require_folder(folder)
    network = library.load(model)
    build, *others = presets(build_name or library.default_preset(network))
    if others:
        raise CompileError(
            network.name,
            "has layers for two builds, and a testbench replays one core",
            "give one --preset and a network of convolutions or of adder layers alone",
        )
    x, source = library.first_input(network, images or library.sample_pictures(model))
    layers = []
    count = len(network.layers)
    with bar("planning") as shown:
        for vectors in layer_vectors(network, build, x):
            layers.append(vectors)
            shown.show(vectors.plan.layer.name, len(layers), count)
        shown.show("writing Verilog")
        files = write_vectors(folder, network, build, layers, source=source)
    figures = table(
        f"{network.name} on {build.name}, {source}",
        *("layer", "files", "control words", "map words", "out words", "cycles"),
        left=2,
    )
    for layer in layers:
        sizes = (len(layer.control), len(layer.beats), len(layer.out), layer.counts.cycles)
        figures.add_row(layer.plan.layer.name, f"{layer.stem}.*", *(f"{size:,}" for size in sizes))
    show([figures, Text(f"To replay them in Verilator: make -C {folder}")])
    write_json(
        json,
        {
            "model": network.name,
            "preset": build.name,
            "input": source,
            "files": [path.name for path in files],
            "layers": [
                {
                    "name": layer.plan.layer.name,
                    "stem": layer.stem,
                    "control_words": len(layer.control),
                    "map_words": len(layer.beats),
                    "out_words": len(layer.out),
                    "cycles": layer.counts.cycles,
                }
                for layer in layers
            ],
        },
    )
    return 0
