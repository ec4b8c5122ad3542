"""Figures: the zeros of a feature map, and what skipping them saves."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from golden.params import ceil_div
from openhop.figures import LayerFigures
from openhop.running import Report
from openhop.views import percent
from sim.network import LayerRun

BLACK, GREY, WHITE = 0, 128, 255
DENSE, COMPUTE, WAIT, IDEAL = "#bbbbbb", "#1f5fa8", "#9dc3e6", "#d1495b"

#: What matplotlib would otherwise write about an SVG.
NO_METADATA = ("Creator", "Date", "Format", "Type")


def saved(report: Report) -> Figure:
    """Return the README's figure: the zeros of one map, and the cycles of all layers."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    draw_zeros(left, largest_map(report.first))
    draw_cycles(right, report.layers, len(report.pictures))
    return figure


def zeros(run: LayerRun) -> Figure:
    """Return the zeros of a layer's input map, a tile per channel."""
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    draw_zeros(figure.subplots(), run)
    return figure


def cycles(layers: Sequence[LayerFigures], pictures: int) -> Figure:
    """Return the cycles of layers per picture, beside those without skipping, and the ideal."""
    figure = Figure(figsize=(max(5.0, 0.8 * len(layers)), 4), layout="constrained")
    draw_cycles(figure.subplots(), layers, pictures)
    return figure


def largest_map(runs: Sequence[LayerRun]) -> LayerRun:
    """Return the layer with the largest input map, in which most can be seen."""
    return max(runs, key=lambda run: run.x.size)


def draw_zeros(axes: Axes, run: LayerRun) -> None:
    """Draw the input map of a layer: zeros black, the rest white."""
    zero = run.plan.layer.in_format.zero_point
    height, width, channels = run.x.shape
    share = percent(float(np.mean(run.x == zero)))
    axes.imshow(tiles(run.x != zero), cmap="gray", vmin=BLACK, vmax=WHITE, interpolation="nearest")
    axes.set_title(
        f"Input of {run.plan.layer.name}: {channels} channels of {height}x{width}\n"
        f"{share} % zeros (black), which are skipped",
        fontsize=10,
    )
    axes.set_axis_off()


def tiles(nonzero: np.ndarray) -> np.ndarray:
    """Arrange the channels of a map (H, W, C) of booleans in a grid, with grey lines between."""
    height, width, channels = nonzero.shape
    root = math.isqrt(channels - 1) + 1
    # A full grid if there is one that is not too wide.
    across = next((n for n in range(root, 2 * root + 1) if channels % n == 0), root)
    down = ceil_div(channels, across)
    grid = np.full((down * (height + 1) + 1, across * (width + 1) + 1), GREY, np.uint8)
    for channel in range(channels):
        row, column = divmod(channel, across)
        y, x = row * (height + 1) + 1, column * (width + 1) + 1
        grid[y : y + height, x : x + width] = np.where(nonzero[:, :, channel], WHITE, BLACK)
    return grid


def draw_cycles(axes: Axes, layers: Sequence[LayerFigures], pictures: int) -> None:
    """Draw for each layer the mean cycles of a picture, dense and ideal ones beside them."""
    at = np.arange(len(layers))

    def mean(amounts: Sequence[float]) -> np.ndarray:
        return np.array(amounts) / pictures / 1000

    dense = mean([layer.sums.cycles_dense for layer in layers])
    compute = mean([layer.sums.cycles_compute for layer in layers])
    waiting = mean([layer.sums.cycles - layer.sums.cycles_compute for layer in layers])
    ideal = mean([layer.sums.cycles_ideal for layer in layers])
    axes.bar(at - 0.2, dense, 0.38, color=DENSE, label="dense: every operation")
    axes.bar(at + 0.2, compute, 0.38, color=COMPUTE, label="computing, zeros skipped")
    axes.bar(
        at + 0.2, waiting, 0.38, bottom=compute, color=WAIT, label="waiting for weights or maps"
    )
    axes.hlines(ideal, at, at + 0.4, color=IDEAL, label="ideal: useful operations only")
    axes.set_xticks(at, [layer.name for layer in layers], rotation=60 if len(layers) > 9 else 0)
    axes.set_ylabel("thousand cycles per picture")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=9)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element for a page; the same figure gives the same text."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "openhop"}):  # else the elements get random names
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(NO_METADATA))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
