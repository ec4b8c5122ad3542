"""The public Python API; `openhop` re-exports it."""

from collections.abc import Sequence
from pathlib import Path

from golden.network import Network
from golden.params import PRESETS, Build
from golden.params import preset as find_preset
from golden.params import presets as find_presets
from openhop import library
from openhop.figures import LayerFigures
from openhop.layer_table import Refusal, table_figures
from openhop.running import Progress, Report, run_network
from sim.network import Engine


def presets() -> dict[str, Build]:
    """Return the builds that have a name; `Build.replace` makes others of them."""
    return dict(PRESETS)


def load(model: str | Path = library.DEFAULT_NETWORK) -> Network:
    """Read a network.

    Parameters
    ----------
    model : str or path
        Name of a bundled network, or an ONNX file.

    Raises
    ------
    CompileError
        Names what OpenHop cannot take, and what to change.
    """
    return library.load(model)


def run(
    model: str | Path | Network = library.DEFAULT_NETWORK,
    pictures: Sequence[str | Path] | None = None,
    *,
    preset: str | Build | None = None,
    engine: Engine = "rtl",
    wave: str | Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run pictures through a network and compare every bit and every cycle with the models.

    Parameters
    ----------
    model : str, path or Network
        Name of a bundled network, an ONNX file, or a network.
    pictures : sequence of paths, optional
        Picture files; those bundled with the network if absent.
    preset : str or Build, optional
        The build of the core, or names joined by "+" of builds side by side; if absent, of the
        size of the paper, with the lanes that the layers need.
    engine : "rtl" or "golden"
        "rtl" simulates the generated Verilog; "golden" computes with the models alone.
    wave : path, optional
        File for the waveforms of the RTL, `.vcd` or `.fst`.
    progress : callable, optional
        Called with the pictures done so far, fractions included.

    Returns
    -------
    Report
        `layers` and `total` hold the figures, `passed` says whether everything agreed.

    Raises
    ------
    CompileError
        If a picture or the network does not fit.
    BuildError
        If there is no such preset.
    SimulationError
        If the core cannot be compiled, meets a fault or does not end.
    """
    network = model if isinstance(model, Network) else load(model)
    name = library.default_preset(network) if preset is None else preset
    if pictures is None:
        pictures = [] if isinstance(model, Network) else library.sample_pictures(model)
    return run_network(
        network,
        name if isinstance(name, Build) else find_presets(name),
        [Path(picture) for picture in pictures],
        engine=engine,
        wave=Path(wave) if wave else None,
        progress=progress,
    )


def cycles(
    model: str | Path | Network = library.DEFAULT_NETWORK,
    pictures: Sequence[str | Path] | None = None,
    *,
    preset: str | Build | None = None,
) -> Report:
    """Predict cycles by the models alone; parameters as for `run`."""
    return run(model, pictures, preset=preset, engine="golden")


def table_cycles(
    table: str | Path, *, preset: str | Build = "nullhop"
) -> list[LayerFigures | Refusal]:
    """Predict the cycles of a table of layers (`openhop.layer_table`), each by itself.

    Parameters
    ----------
    table : str or path
        Name of a bundled table, or a CSV file.
    preset : str or Build
        The build of the core.

    Returns
    -------
    list of LayerFigures or Refusal
        A refusal says why the build cannot run that layer.

    Raises
    ------
    TableError
        Names the line and the column that cannot be read.
    """
    return list(table_figures(library.table_path(table), _build(preset)))


def _build(preset: str | Build) -> Build:
    return preset if isinstance(preset, Build) else find_preset(preset)
