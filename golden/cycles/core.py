"""The cycle model: exact cycles and causes of a layer, from its data, without simulation.

The model and the hardware share the pass descriptor and nothing else. It holds where the streams
at the core's pins never stall; then no cluster's timing depends on another's, except that teams
take turns at the drain and that the intake and the loader wait for what is still needed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from golden.cycles.causes import Counts, account
from golden.cycles.intake import row_cycles
from golden.cycles.output import OutputTiming
from golden.cycles.passes import Loader, PassRun, Scanned
from golden.cycles.scan import scan_geometry
from golden.descriptor import PassDescriptor
from golden.params import Build, ceil_div

Ranges = Sequence[Sequence[tuple[int, int]]]


@dataclass(frozen=True, kw_only=True)
class PassData:
    """A pass and its part of the layer.

    Parameters
    ----------
    descriptor : PassDescriptor
    in_blocks, in_channels, in_rows : (int, int)
        Blocks, channels and rows [first, end) of the input map that it is given.
    out_rows, channels : (int, int)
        Rows and channels [first, end) of the output map that it computes.
    """

    descriptor: PassDescriptor
    in_blocks: tuple[int, int]
    in_channels: tuple[int, int]
    in_rows: tuple[int, int]
    out_rows: tuple[int, int]
    channels: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class LayerData:
    """What the timing of a layer depends on.

    Parameters
    ----------
    passes : sequence of PassData
        The layer's passes (`compiler.plan`).
    x, y : ndarray of int, shapes (H, W, Cin) and (H', W', Cout)
        Raw input and output map.
    in_ranges :
        For each block of the input map the column ranges into which its rows are cut.
    """

    passes: Sequence[PassData]
    x: np.ndarray
    y: np.ndarray
    in_ranges: Ranges


def pixel_counts(x: np.ndarray, zero_point: int, pixels: int) -> np.ndarray:
    """Non-zero pixels of so many channels each: (H, W, ceil(C / pixels)) from raw (H, W, C)."""
    height, width, channels = x.shape
    words = ceil_div(channels, pixels)
    mask = np.zeros((height, width, words * pixels), np.uint8)
    mask[:, :, :channels] = x != zero_point
    return mask.reshape(height, width, words, pixels).sum(axis=3, dtype=np.int64)


def word_counts(build: Build, x: np.ndarray, zero_point: int) -> np.ndarray:
    """Non-zero pixels of each map word: (H, W, col_words) from raw values (H, W, C)."""
    return pixel_counts(x, zero_point, build.word_pixels)


def layer_counts(
    build: Build,
    passes: Sequence[PassData],
    x: np.ndarray,
    y: np.ndarray,
    in_ranges: Ranges,
) -> Counts:
    """Predict the counters of one layer by itself; parameters as of `LayerData`."""
    (counts,) = chain_counts(build, [LayerData(passes=passes, x=x, y=y, in_ranges=in_ranges)])
    return counts


def chain_counts(build: Build, layers: Iterable[LayerData]) -> Iterator[Counts]:
    """Predict the counters of layers whose control streams follow each other without a gap.

    A layer's weights are then loaded while the one before still computes.
    """
    loader = Loader(build)
    ended = -1  # last cycle of the pass before
    for layer in layers:
        zero = layer.passes[0].descriptor.in_zero
        counts = word_counts(build, layer.x, zero)
        step_counts = pixel_counts(layer.x, zero, build.step_pixels)
        scanned: dict[tuple[int, ...], Scanned] = {}
        total = Counts()
        for part in layer.passes:
            d = part.descriptor
            rows_given, (first, end) = slice(*part.in_rows), part.in_channels
            first_word, first_step = first // build.word_pixels, first // build.step_pixels
            given = counts[rows_given, :, first_word : first_word + d.col_words]
            steps = step_counts[rows_given, :, first_step : ceil_div(end, build.step_pixels)]
            rows = row_cycles(build, d, steps, layer.in_ranges[slice(*part.in_blocks)])
            y = layer.y[slice(*part.out_rows), :, slice(*part.channels)]
            output = OutputTiming(build, d, y)
            start = loader.take(d, ended)
            since = max(ended + 1, start.first_word) if d.first else ended + 1
            same = scanned.setdefault((*part.in_channels, *part.in_rows, *scan_geometry(d)), {})
            run = PassRun(build, d, given, same, rows, output, start).run()
            loader.leave(d, run)
            ended = run.finish
            total += account(build, d, run, since)
        yield total
