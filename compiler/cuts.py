"""How a layer is cut: its kernel into pieces, its channels into slices, its map into bands."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, gcd

from compiler.tiling import open_columns
from golden.network import Conv
from golden.params import Build, ceil_div

Range = tuple[int, int]
Shape = tuple[int, int, int]

#: Cycles that a stripe costs a cluster beside its visits, for choosing a split.
STRIPE_OVERHEAD = 16
#: Cycles that an output column costs beside its visits.
COLUMN_OVERHEAD = 2


def cut_evenly(size: int, most: int) -> tuple[Range, ...]:
    """Cut [0, size) into as few ranges of at most `most` as there can be, of nearly equal size."""
    parts = ceil_div(size, most)
    marks = [size * i // parts for i in range(parts + 1)]
    return tuple(pairwise(marks))


def cut_columns(first: int, end: int, parts: int, *, even: bool) -> tuple[Range, ...]:
    """Cut columns into at most `parts` ranges of nearly equal width, of even width if asked."""
    unit = 2 if even else 1
    step = ceil_div(ceil_div(end - first, unit), parts) * unit
    return tuple((at, min(at + step, end)) for at in range(first, end, step))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of the kernel: its rows and columns. The pieces' sums add up to the layer's."""

    rows: Range
    cols: Range

    @property
    def height(self) -> int:
        """Kernel rows."""
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        """Kernel columns."""
        return self.cols[1] - self.cols[0]


def kernel_pieces(layer: Conv, build: Build) -> tuple[Piece, ...]:
    """Cut a kernel into pieces that the build takes."""
    kernel_h, kernel_w = layer.kernel
    return tuple(
        Piece(rows=rows, cols=cols)
        for rows in cut_evenly(kernel_h, build.k_max)
        for cols in cut_evenly(kernel_w, build.k_max)
    )


@dataclass(frozen=True, kw_only=True)
class MapLayout:
    """How an input map lies in the banks; fields as in `golden.descriptor.PASS_WORDS`.

    Parameters
    ----------
    capacity : int
        Rows that the banks hold, be it more than the map has.
    """

    col_words: int
    col_pitch: int
    row_pitch: int
    scan_rows: int
    pack: int
    capacity: int


@dataclass(frozen=True, kw_only=True)
class MapPart:
    """The blocks [first, end) of the input map that a pass is given.

    Parameters
    ----------
    blocks : (int, int)
    channel, channels : int
        Their first channel, and how many they have.
    block_channels, branch_channels : int
        Channels of its blocks and of its branches (`golden.descriptor.block_sizes`).
    """

    blocks: Range
    channel: int
    channels: int
    block_channels: int
    branch_channels: int


def map_part(sizes: tuple[int, ...], blocks: tuple[int, int], channels: Range) -> MapPart:
    """Choose the blocks that hold some channels; all where those are not of one size.

    `sizes` are the channels of all blocks, `blocks` those of a block and of a branch.
    """
    starts = (0, *accumulate(sizes))
    first = bisect_right(starts, channels[0]) - 1
    end = bisect_left(starts, channels[1])
    given = sizes[first:end]
    if any(size != given[0] for size in given[:-1]) or given[-1] > given[0]:
        first, end = 0, len(sizes)
    whole = (first, end) == (0, len(sizes))
    count = starts[end] - starts[first]
    return MapPart(
        blocks=(first, end),
        channel=starts[first],
        channels=count,
        block_channels=blocks[0] if whole else given[0],
        branch_channels=blocks[1] if whole else count,
    )


def map_layout(layer: Conv, in_shape: Shape, build: Build) -> MapLayout:
    """Lay a map out over the banks, several columns to an address if it does not fit otherwise.

    `in_shape` is (H, W, C) of the part of the map that a pass is given.
    """
    height, width, channels = in_shape
    col_words = ceil_div(channels, build.word_pixels)
    pieces = kernel_pieces(layer, build)
    scan_rows = max(piece.height for piece in pieces) + layer.stride[0]
    col_pitch = ceil_div(col_words, build.clusters)
    row_pitch, pack = width * col_pitch, 0
    narrow = col_words < build.clusters and build.clusters % col_words == 0
    if narrow and height * row_pitch > build.map_words:
        # The words of adjacent columns lie in different banks if their distance is odd.
        pack = (build.clusters // col_words).bit_length() - 1
        row_pitch, scan_rows = ceil_div(width, 1 << pack), scan_rows | 1
    return MapLayout(
        col_words=col_words,
        col_pitch=col_pitch,
        row_pitch=row_pitch,
        scan_rows=scan_rows,
        pack=pack,
        capacity=build.map_words // row_pitch,
    )


@dataclass(frozen=True, kw_only=True)
class ChannelPart:
    """What channels a pass computes, and what part of a column it reads for them.

    Parameters
    ----------
    channels : (int, int)
        Output channels [first, end) of the pass.
    block : int
        Output channels of a slice: a team's, and a block of the output map.
    first_word, slice_words : int
        Map words that slice 0 reads, the next slice those that follow.
    sharing : int or None
        Output channels that use a pixel; None if all of the slice do.
    """

    channels: Range
    block: int
    first_word: int
    slice_words: int
    sharing: int | None = None

    @property
    def slices(self) -> int:
        """Slices of the pass."""
        return ceil_div(self.channels[1] - self.channels[0], self.block)


def ungrouped(layer: Conv, build: Build, block: int) -> list[ChannelPart]:
    """Cut the output channels of an ordinary convolution: a block a pass, each reads everything."""
    words = ceil_div(layer.in_channels, build.word_pixels)
    return [
        ChannelPart(
            channels=(first, min(first + block, layer.out_channels)),
            block=block,
            first_word=0,
            slice_words=words,
        )
        for first in range(0, layer.out_channels, block)
    ]


def grouped(layer: Conv, build: Build) -> list[ChannelPart] | None:
    """Cut a grouped convolution, so that a slice reads whole words and no more than it needs.

    A slice is one group or part of it where groups are wide, several groups where they are narrow.
    Returns None where the groups do not go together with map words and clusters.
    """
    lanes, pixels = build.lanes_per_cluster, build.word_pixels
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    if outs >= lanes and ins % pixels == 0:
        fitting = [b for b in range(pixels, min(outs, build.lanes) + 1, pixels) if outs % b == 0]
        if not fitting:
            return None
        # Few clusters idle, then few passes.
        block = min(fitting, key=lambda b: (outs // b / (build.clusters // ceil_div(b, lanes)), -b))
        words = ins // pixels
        several = block == outs and block % lanes == 0
        count = max(1, build.clusters // ceil_div(block, lanes)) if several else 1
        return [
            ChannelPart(
                channels=(first, min(first + count * block, layer.out_channels)),
                block=block,
                first_word=first // outs * words,
                slice_words=words,
            )
            for first in range(0, layer.out_channels, count * block)
        ]
    step = lanes // gcd(outs, lanes)
    while step * ins % pixels or step * outs % pixels:
        step += lanes // gcd(outs, lanes)
    block, words = step * outs, step * ins // pixels
    if block > build.lanes:
        return None
    count = build.clusters // (block // lanes)
    parts = []
    whole = layer.out_channels // block * block
    cuts = [*range(0, whole, count * block), whole, layer.out_channels]
    for first, end in sorted(set(pairwise(cuts))):
        if first == end:
            continue
        first_channel = first // outs * ins
        channels = min(words * pixels, layer.in_channels - first_channel)
        parts.append(
            ChannelPart(
                channels=(first, end),
                block=block,
                first_word=first_channel // pixels,
                slice_words=ceil_div(channels, pixels),
                sharing=outs,
            )
        )
    return parts


def splits(teams: int) -> Iterator[tuple[int, int]]:
    """Ways to split over at most that many teams: over stripes, over columns."""
    for over_columns in range(1, teams + 1):
        yield teams // over_columns, over_columns


@dataclass(frozen=True, kw_only=True)
class Split:
    """How teams share out a band: stripes from one of a team to its next, and column ranges.

    `rows` are the convolution's rows of a band, all of them if no band is needed. `by_piece` says
    that not all rows under the kernel are on chip together, but those of one piece at a time.
    """

    down: int
    ranges: tuple[Range, ...]
    rows: int
    by_piece: bool = False

    @property
    def columns(self) -> int:
        """Output columns of the widest range."""
        return max(end - first for first, end in self.ranges)


def arrival_cycles(in_shape: Shape, build: Build) -> int:
    """Estimate the cycles in which a map comes in, half of its pixels zeros.

    The intake takes a sparsity map, or the pixels of a step, per cycle, and the bus has its width.
    """
    height, width, channels = in_shape
    groups = ceil_div(channels, 16)
    steps = groups + ceil_div(channels, build.step_pixels)
    beats = (2 * groups + build.act_bytes * channels / 2) / build.bus_bytes
    return height * width * ceil(max(steps, beats))


def choose_split(
    layer: Conv, rows: int, window: Range, teams: int, capacity: int | None, arrival: int = 0
) -> Split:
    """Split a window of columns over teams, with the least estimated cycles.

    Where the map comes in more slowly than that, `arrival` cycles, teams share out the columns of
    every stripe: all are then done with a row soon after it has come, the last row, too.

    `capacity` is how many input rows are on chip at a time; None if all of them are.
    """
    stripes = ceil_div(rows, 2)
    kernel_h, _ = layer.kernel

    # Teams that are stripes apart need all rows between them on chip.
    fitting = [
        (down, across)
        for down, across in splits(teams)
        if down == 1 or capacity is None or capacity >= 2 * layer.stride[0] * down + kernel_h + 1
    ] or [(1, teams)]

    def cost(split: tuple[int, int]) -> tuple[int, int]:
        over_stripes, over_columns = split
        turns = ceil_div(stripes, over_stripes)
        return turns * _stripe_cost(layer, window, over_columns), over_columns

    down, across = min(fitting, key=cost)
    abreast = min(((1, n) for n in range(1, teams + 1)), key=cost)
    if cost(abreast)[0] < arrival:
        down, across = abreast
    return Split(
        down=min(down, stripes),
        ranges=cut_columns(*window, across, even=layer.pool),
        rows=rows,
    )


def choose_bands(
    layer: Conv,
    build: Build,
    height: int,
    rows: int,
    window: Range,
    teams: int,
    capacity: int,
) -> Split | None:
    """Split for a kernel in pieces: all sums of a band stay open, and its rows on chip.

    `height` are the input map's rows. Returns None if one stripe's sums or rows have no room.
    """
    stride_h = layer.stride[0]

    def stripes_on_chip(kernel_h: int) -> int:
        if capacity >= height:
            return ceil_div(rows, 2)
        if rows == 1:
            return int(capacity >= kernel_h)
        return ((capacity - kernel_h) // stride_h + 1) // 2

    most = stripes_on_chip(layer.kernel[0])
    by_piece = most < 1
    if by_piece:
        most = stripes_on_chip(max(piece.height for piece in kernel_pieces(layer, build)))
    best: tuple[int, Split] | None = None
    for down, across in splits(teams):
        ranges = cut_columns(*window, across, even=layer.pool)
        columns = open_columns(max(end - first for first, end in ranges))
        stripes = min(build.acc_words // (2 * columns) * down, most, ceil_div(rows, 2))
        if stripes < 1:
            continue
        turns = ceil_div(rows, 2 * stripes) * ceil_div(stripes, down)
        cost = turns * _stripe_cost(layer, window, across)
        if best is None or cost < best[0]:
            split = Split(
                down=min(down, stripes),
                ranges=ranges,
                rows=min(2 * stripes, rows),
                by_piece=by_piece,
            )
            best = cost, split
    return best[1] if best else None


def _stripe_cost(layer: Conv, window: Range, across: int) -> int:
    """Estimated cycles of a stripe; half of the pixels taken for zeros."""
    kernel_h, kernel_w = layer.kernel
    ranges = cut_columns(*window, across, even=layer.pool)
    width = max(end - first for first, end in ranges)
    work = kernel_h * kernel_w * layer.in_channels // layer.groups + COLUMN_OVERHEAD
    return width * work + STRIPE_OVERHEAD + kernel_w
