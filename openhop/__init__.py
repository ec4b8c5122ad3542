"""OpenHop, an open sparse-CNN accelerator: the public Python API beside the command line.

    >>> import openhop
    >>> report = openhop.run("fashion", ["boot.png"], preset="tiny", engine="golden")
    >>> report.total.cycles, report.total.utilisation
    >>> openhop.load("network.onnx").layers
    >>> openhop.presets()["nullhop"].replace(name="mine", clusters=4)

`run` and `cycles` return a `openhop.running.Report`, `load` a `golden.network.Network`, `presets`
builds of the core (`golden.params.Build`), and `table_cycles` a list of
`openhop.figures.LayerFigures`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openhop.api import cycles, load, presets, run, table_cycles

__all__ = ["cycles", "load", "presets", "run", "table_cycles"]


def __getattr__(name: str) -> Any:
    # On first use, so that the command line answers at once.
    if name in __all__:
        from openhop import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
