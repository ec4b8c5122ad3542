"""Weights in tiles: which input channels' weights are in the lanes at a time."""

from dataclasses import dataclass

from compiler.errors import CompileError
from golden.network import Conv
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


def choose_tiling(
    layer: Conv, build: Build, *, columns: int, down: int, ring: int | None
) -> Tiling:
    """Cut a layer's weights so that they fit the lanes, and load while they compute if they can.

    One tile that fits half of the memory needs nothing more: the other half takes the next pass's
    weights meanwhile. Two or more tiles need an open sum for every output of a region, so that one
    tile computes while the next one comes; then any number of channels fits.

    Parameters
    ----------
    columns :
        Output columns of the widest cluster.
    down :
        Stripes from one of a team to its next.
    ring :
        Input rows on chip at a time; None if all of them are.

    Raises
    ------
    CompileError
        If the weights fit neither as they are nor in tiles, or take too many of them.
    """
    kernel_h, kernel_w = layer.kernel
    size, words = kernel_h * kernel_w, ceil_div(layer.in_channels, build.word_pixels)
    weights = size * layer.in_channels
    whole = {"tiles": 1, "tile_words": words, "tile_weights": weights, "last_weights": weights}
    single = {"resident": True, "region": 1, "window": build.window - 1, **whole}
    if weights <= build.half_words:
        return Tiling(alone=False, **single)

    open_columns = max(2, 1 << (columns - 1).bit_length())
    word_weights = build.word_pixels * size
    most = build.half_words // word_weights
    if 2 * open_columns <= build.acc_words and most:
        tile_words = ceil_div(words, ceil_div(words, most))
        rounded = ceil_div(tile_words, build.clusters) * build.clusters
        if rounded <= most:  # a tile of whole turns of the banks leaves no gap between rows
            tile_words = rounded
        tiles = ceil_div(words, tile_words)
        if tiles > TILES_MAX:
            raise CompileError(
                f"layer {layer.name!r}",
                f"needs {weights} weights per output channel in {tiles} tiles, which are above "
                f"the {TILES_MAX} of the core: use a build with more weight_words than the "
                f"{build.weight_words} of {build.name!r}",
            )
        region = build.acc_words // (2 * open_columns)
        if ring is not None:
            step = 2 * layer.stride[0] * down
            slack = step - 2 * layer.stride[0]  # other teams are up to so many rows away
            region = min(region, (ring - kernel_h - layer.stride[0] - slack) // step + 1)
        return Tiling(
            alone=False,
            resident=tiles <= 2,
            tiles=tiles,
            tile_words=tile_words,
            tile_weights=tile_words * word_weights,
            last_weights=weights - (tiles - 1) * tile_words * word_weights,
            region=max(1, region),
            window=open_columns - 1,
        )
    if weights <= build.weight_words:
        return Tiling(alone=True, **single)
    needs = f"needs {weights} weights per output channel, build {build.name!r} has "
    if not most:
        raise CompileError(
            f"layer {layer.name!r}",
            f"{needs}{build.weight_words}, but room for {build.half_words} at a time, and a map "
            f"word takes {word_weights}: use a build with more weight_words",
        )
    raise CompileError(
        f"layer {layer.name!r}",
        f"{needs}{build.weight_words}, and {2 * open_columns} sums per lane to take them in "
        f"parts, it has {build.acc_words}: use a build with more weight_words or acc_words",
    )
