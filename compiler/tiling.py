"""Weights in tiles: which input channels' weights are in the lanes at a time."""

from dataclasses import dataclass

from compiler.errors import CompileError
from golden.params import TILES_MAX, Build, ceil_div


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a pass goes over its input channels; fields as in `golden.descriptor.PASS_WORDS`."""

    alone: bool
    resident: bool
    tiles: int
    tile_words: int
    tile_weights: int
    last_weights: int
    region: int
    window: int


def open_columns(columns: int) -> int:
    """Columns of accumulators that keep the sums of so many output columns open: a power of two."""
    return max(2, 1 << (columns - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class Scans:
    """What a cluster scans for one output, and the outputs that it has.

    Parameters
    ----------
    kernel : (int, int)
        Rows and columns.
    uniform : bool
        Whether a channel has one weight for all of them.
    channels : int
        Input channels that are read.
    stride_h : int
        Rows from one output row to the next.
    columns : int
        Output columns of the widest cluster.
    down : int
        Stripes from one of a team to its next.
    ring : int or None
        Input rows on chip at a time; None if all of them are.
    open_stripes : int or None
        Stripes of a team whose sums stay open beyond the pass; None if the pass finishes its sums.
    """

    kernel: tuple[int, int]
    uniform: bool
    channels: int
    stride_h: int
    columns: int
    down: int
    ring: int | None
    open_stripes: int | None = None


def choose_tiling(name: str, build: Build, scans: Scans) -> Tiling:
    """Cut a layer's weights so that they fit the lanes, and load while they compute if they can.

    One tile that fits half of the memory needs nothing more: the other half takes the next pass's
    weights meanwhile. Two or more tiles need an open sum for every output of a region, so that one
    tile computes while the next one comes; then any number of channels fits.

    Raises
    ------
    CompileError
        If the weights of layer `name` fit neither as they are nor in tiles, or take too many.
    """
    size = 1 if scans.uniform else scans.kernel[0] * scans.kernel[1]
    words = ceil_div(scans.channels, build.word_pixels)
    weights = size * scans.channels
    whole = {"tiles": 1, "tile_words": words, "tile_weights": weights, "last_weights": weights}
    columns = open_columns(scans.columns)
    beyond = scans.open_stripes is not None
    single = {
        "resident": True,
        "region": scans.open_stripes or 1,
        "window": (columns if beyond else build.window) - 1,
        **whole,
    }
    if weights <= build.half_words:
        return Tiling(alone=False, **single)

    word_weights = build.word_pixels * size
    most = build.half_words // word_weights
    if 2 * columns <= build.acc_words and most:
        tile_words = ceil_div(words, ceil_div(words, most))
        rounded = ceil_div(tile_words, build.clusters) * build.clusters
        if rounded <= most:  # a tile of whole turns of the banks leaves no gap between rows
            tile_words = rounded
        tiles = ceil_div(words, tile_words)
        if tiles > TILES_MAX:
            raise CompileError(
                f"layer {name!r}",
                f"needs {weights} weights per output channel in {tiles} tiles, which are above "
                f"the {TILES_MAX} of the core: use a build with more weight_words than the "
                f"{build.weight_words} of {build.name!r}",
            )
        region = build.acc_words // (2 * columns)
        if scans.ring is not None:
            step = 2 * scans.stride_h * scans.down
            slack = step - 2 * scans.stride_h  # other teams are up to so many rows away
            region = min(
                region, (scans.ring - scans.kernel[0] - scans.stride_h - slack) // step + 1
            )
        return Tiling(
            alone=False,
            resident=tiles <= 2,
            tiles=tiles,
            tile_words=tile_words,
            tile_weights=tile_words * word_weights,
            last_weights=weights - (tiles - 1) * tile_words * word_weights,
            region=scans.open_stripes or max(1, region),
            window=columns - 1,
        )
    if weights <= build.weight_words:
        return Tiling(alone=True, **single)
    needs = f"needs {weights} weights per output channel, build {build.name!r} has "
    if not most:
        raise CompileError(
            f"layer {name!r}",
            f"{needs}{build.weight_words}, but room for {build.half_words} at a time, and a map "
            f"word takes {word_weights}: use a build with more weight_words",
        )
    raise CompileError(
        f"layer {name!r}",
        f"{needs}{build.weight_words}, and {2 * columns} sums per lane to take them in "
        f"parts, it has {build.acc_words}: use a build with more weight_words or acc_words",
    )
