"""Cuts: kernels, channels, columns and rows are all there, once, and what is cut fits the build."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.cuts import (
    ChannelPart,
    MapLayout,
    choose_bands,
    choose_split,
    cut_columns,
    cut_evenly,
    grouped,
    kernel_pieces,
    map_layout,
    splits,
    ungrouped,
)
from compiler.plan import plan_layer
from compiler.tiling import open_columns
from golden.params import ceil_div
from tests.layers import BUILDS, NULLHOP, TINY, a_layer

#: Two words to 16 pixels.
EIGHT = NULLHOP.replace(word_pixels=8, depthwise=False)

# Ranges.


@pytest.mark.parametrize(
    ("size", "most", "cut"),
    [
        (1, 3, [1]),
        (3, 3, [3]),
        (4, 3, [2, 2]),
        (7, 3, [2, 2, 3]),
        (11, 7, [5, 6]),
        (12, 4, [4, 4, 4]),
    ],
)
def test_even_cuts(size, most, cut):
    assert [b - a for a, b in cut_evenly(size, most)] == cut


@given(st.integers(1, 300), st.integers(1, 20))
def test_even_cuts_are_few_and_nearly_equal(size, most):
    ranges = cut_evenly(size, most)
    assert [at for cut in ranges for at in range(*cut)] == list(range(size))
    sizes = [b - a for a, b in ranges]
    assert len(ranges) == ceil_div(size, most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("cols", "parts", "even", "cut"),
    [
        (7, 1, False, [7]),
        (7, 2, False, [4, 3]),
        (7, 3, False, [3, 3, 1]),
        (7, 8, False, [1] * 7),
        (9, 4, False, [3, 3, 3]),
        (8, 3, True, [4, 4]),
        (10, 2, True, [6, 4]),
        (10, 8, True, [2] * 5),
        (2, 4, True, [2]),
    ],
)
def test_cuts(cols, parts, even, cut):
    ranges = cut_columns(0, cols, parts, even=even)
    assert [b - a for a, b in ranges] == cut
    assert [a for a, _ in ranges] == np.cumsum([0, *cut[:-1]]).tolist()


@given(st.integers(1, 100), st.integers(1, 8), st.booleans())
def test_cuts_share_out_all_columns(half, parts, even):
    cols = 2 * half if even else half
    ranges = cut_columns(0, cols, parts, even=even)
    assert [column for cut in ranges for column in range(*cut)] == list(range(cols))
    assert len(ranges) <= parts
    widest = max(b - a for a, b in ranges)
    assert widest == ceil_div(half, parts) * (2 if even else 1)
    assert not even or all(a % 2 == 0 for a, _ in ranges)


@given(st.integers(0, 50), st.integers(1, 100), st.integers(1, 8), st.booleans())
def test_cuts_may_begin_anywhere(first, width, parts, even):
    """Where they are even, from an even column on."""
    first *= 2 if even else 1
    width *= 2 if even else 1
    ranges = cut_columns(first, first + width, parts, even=even)
    assert ranges == tuple(
        (a + first, b + first) for a, b in cut_columns(0, width, parts, even=even)
    )


# The kernel.


@given(st.sampled_from((*BUILDS, NULLHOP)), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_pieces_tile_the_kernel(build, kernel):
    pieces = kernel_pieces(a_layer((1, 1, *kernel)), build)
    covered = np.zeros(kernel, int)
    for piece in pieces:
        covered[slice(*piece.rows), slice(*piece.cols)] += 1
        assert 1 <= piece.height == piece.rows[1] - piece.rows[0] <= build.k_max
        assert 1 <= piece.width == piece.cols[1] - piece.cols[0] <= build.k_max
    assert (covered == 1).all()
    assert len(pieces) == math.prod(ceil_div(k, build.k_max) for k in kernel)


# The map.


@pytest.mark.parametrize(
    ("shape", "build", "rows"),
    [
        ((9, 16, 4), TINY, 9),
        ((99, 16, 4), TINY, 64),  # two columns to an address
        ((99, 16, 9), TINY, 16),  # 3 words of 4 on 2 banks
        ((99, 512, 8), TINY, 1),
        ((99, 513, 8), TINY, 0),
        ((224, 224, 64), NULLHOP, 8),
    ],
)
def test_ring_rows(shape, build, rows):
    layer = a_layer((4, shape[2], 3, 3))
    assert min(shape[0], map_layout(layer, shape, build).capacity) == rows


def places(layout: MapLayout, clusters: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Bank and address of every map word of that many rows and columns, as `hdl.intake` says."""
    found = []
    for y, x, w in np.ndindex(*shape, layout.col_words):
        bank = (w + layout.col_words * (y + layout.scan_rows * x)) % clusters
        column = x >> layout.pack if layout.pack else x * layout.col_pitch + w // clusters
        found.append((int(bank), y * layout.row_pitch + column))
    return found


@given(
    st.sampled_from(BUILDS),
    st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 60)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 3),
)
def test_every_word_of_a_map_has_a_place_of_its_own(build, shape, kernel, stride, spare):
    words = ceil_div(shape[2], build.word_pixels)
    whole = shape[0] * shape[1] * ceil_div(words, build.clusters)
    build = build.replace(map_words=max(2, whole * (spare + 1) // 3))
    layer = a_layer((1, shape[2], *kernel), stride=stride)
    layout = map_layout(layer, shape, build)
    assert layout.col_words == words
    assert layout.capacity == build.map_words // layout.row_pitch
    rows = min(shape[0], layout.capacity)
    found = places(layout, build.clusters, (rows, shape[1]))
    assert len(set(found)) == len(found)
    assert all(address < build.map_words for _, address in found)
    # A scan meets the words of a column in the banks one after the other.
    pieces = kernel_pieces(layer, build)
    assert layout.scan_rows >= max(piece.height for piece in pieces) + stride[0]
    # Columns share addresses where nothing else helps, and where they fill the banks.
    narrow = words < build.clusters and build.clusters % words == 0
    assert bool(layout.pack) == (narrow and whole > build.map_words)
    if layout.pack:
        assert words << layout.pack == build.clusters


# Channels.


def check_parts(layer, build, parts: list[ChannelPart]) -> None:
    """Every output channel in one slice, which reads the words of its groups and no others."""
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    pixels, lanes = build.word_pixels, build.lanes_per_cluster
    words = ceil_div(layer.in_channels, pixels)
    following = 0
    for part in parts:
        assert part.channels[0] == following < part.channels[1]
        following = part.channels[1]
        assert part.slices * ceil_div(part.block, lanes) <= build.clusters or part.slices == 1
        for n in range(part.slices):
            first = part.channels[0] + n * part.block
            end = min(first + part.block, part.channels[1])
            assert end - first <= build.lanes
            first_word = part.first_word + n * part.slice_words
            assert first_word + part.slice_words <= words
            read = range(first_word * pixels, (first_word + part.slice_words) * pixels)
            used = range(first // outs * ins, ((end - 1) // outs + 1) * ins)
            assert read.start <= used.start
            assert used.stop <= read.stop
            assert used.start // pixels == first_word
            assert ceil_div(used.stop, pixels) == first_word + part.slice_words
        # A slice's lanes follow those of the one before: whole groups of lanes, but for the last.
        assert part.slices == 1 or part.block % lanes == 0
    assert following == layer.out_channels


@given(st.sampled_from(BUILDS), st.integers(1, 60), st.integers(1, 200), st.data())
def test_without_groups_every_pass_reads_everything(build, ins, outs, data):
    layer = a_layer((outs, ins, 1, 1))
    block = data.draw(st.integers(1, build.lanes))
    parts = ungrouped(layer, build, block)
    check_parts(layer, build, parts)
    assert all(part.slices == 1 and part.sharing is None for part in parts)
    assert len(parts) == ceil_div(outs, block)


@given(
    st.sampled_from((*BUILDS, NULLHOP)),
    st.integers(2, 64),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_a_slice_reads_the_words_of_its_groups_alone(build, groups, ins, outs):
    layer = a_layer((groups * outs, ins, 1, 1), groups=groups)
    parts = grouped(layer, build)
    if parts is None:
        return
    check_parts(layer, build, parts)
    narrow = outs < build.lanes_per_cluster or ins % build.word_pixels
    assert all(part.sharing == (outs if narrow else None) for part in parts)
    for part in parts:
        assert part.block % build.word_pixels == 0 or part is parts[-1] or not narrow


@pytest.mark.parametrize(
    ("build", "groups", "ins", "outs", "expected"),
    [
        # Depthwise: a word or two of channels for one or two clusters of 16, and what is left.
        (NULLHOP, 130, 1, 1, [((0, 128), 32, 0, 1), ((128, 130), 32, 4, 1)]),
        (EIGHT, 130, 1, 1, [((0, 128), 16, 0, 2), ((128, 130), 16, 16, 1)]),
        # Eight wide groups, each in a cluster of its own.
        (EIGHT, 8, 16, 16, [((0, 128), 16, 0, 2)]),
        # Groups wider than a cluster: two clusters each, all groups in one pass.
        (EIGHT, 2, 8, 32, [((0, 64), 32, 0, 1)]),
        # Wider than the core: passes of one group each, as even as can be.
        (
            TINY,
            2,
            4,
            12,
            [((n * 4, n * 4 + 4), 4, word, 1) for n, word in enumerate((0, 0, 0, 1, 1, 1))],
        ),
    ],
)
def test_groups_by_hand(build, groups, ins, outs, expected):
    parts = grouped(a_layer((groups * outs, ins, 1, 1), groups=groups), build)
    assert parts
    found = [(p.channels, p.block, p.first_word, p.slice_words) for p in parts]
    assert found == expected


@pytest.mark.parametrize(
    ("build", "groups", "ins", "outs"),
    [
        (TINY, 4, 1, 3),  # 3 lanes of 4: whole clusters hold 4 groups, more than there are lanes
        (TINY, 3, 4, 7),  # no blocks of whole map words
        (TINY.replace(lanes_per_cluster=2), 8, 1, 1),  # a word of 4 channels, 4 lanes: fits
    ],
)
def test_groups_that_do_not_go_together_with_words_and_clusters(build, groups, ins, outs):
    layer = a_layer((groups * outs, ins, 1, 1), groups=groups)
    assert (grouped(layer, build) is None) == (build.lanes_per_cluster == 4)


# Splits.


@pytest.mark.parametrize(
    ("teams", "ways"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (3, [(3, 1), (1, 2), (1, 3)]),
        (8, [(8, 1), (4, 2), (2, 3), (2, 4), (1, 5), (1, 6), (1, 7), (1, 8)]),
    ],
)
def test_ways_to_split(teams, ways):
    assert list(splits(teams)) == ways


def test_the_split_follows_the_cost():
    layer = a_layer((4, 4, 3, 3))
    # 6 rows, 2 teams: 3 stripes come out even over columns only.
    split = choose_split(layer, 6, (0, 8), 2, capacity=99)
    assert (split.down, split.ranges) == (1, ((0, 4), (4, 8)))
    # 4 rows, 7 columns: two stripes each for itself.
    split = choose_split(layer, 4, (0, 7), 2, capacity=99)
    assert (split.down, split.ranges) == (2, ((0, 7),))
    # More teams than stripes and columns.
    split = choose_split(layer, 2, (0, 1), 8, capacity=99)
    assert (split.down, split.ranges) == (1, ((0, 1),))


def test_teams_of_vgg_s_largest_layer_take_turns_with_stripes():
    """Stripes that lie side by side have much the same zeros; left and right halves need not."""
    plan = plan_layer(a_layer((64, 64, 3, 3), pads=(1,) * 4), (224, 224, 64), NULLHOP)
    (d,) = plan.descriptors
    teams = {(work.first_stripe, work.stripe_step) for work in d.clusters}
    columns = {(work.first_col, work.end_col) for work in d.clusters}
    assert (teams, columns) == ({(0, 2), (1, 2)}, {(0, 224)})


@given(
    kernel=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    stride=st.integers(1, 4),
    rows=st.integers(1, 60),
    first=st.integers(0, 9),
    width=st.integers(1, 40),
    teams=st.integers(1, 8),
    capacity=st.integers(1, 60),
    padding=st.integers(0, 20),
    acc_words=st.sampled_from((16, 32, 256)),
    pool=st.booleans(),
)
def test_a_band_has_its_sums_and_its_rows(
    kernel, stride, rows, first, width, teams, capacity, padding, acc_words, pool
):
    build = NULLHOP.replace(acc_words=acc_words)
    layer = a_layer((2, 1, *kernel), stride=(stride, 1), pool=pool)
    unit = 2 if pool else 1
    rows, window = rows * unit, (first * unit, (first + width) * unit)
    height = max(1, (rows - 1) * stride + kernel[0] - padding)
    tallest = max(piece.height for piece in kernel_pieces(layer, build))

    def needed(kernel_rows: int) -> int:
        """Rows on chip for a stripe of one output row, or of two; never more than there are."""
        return min(kernel_rows if rows == 1 else kernel_rows + stride, height)

    split = choose_bands(layer, build, height, rows, window, teams, capacity)
    if split is None:
        # Not even of one piece there are rows for one stripe; or there are no sums for one, not
        # even with the columns cut over all teams.
        ranges = cut_columns(*window, teams, even=pool)
        no_sums = 2 * open_columns(max(b - a for a, b in ranges)) > acc_words
        assert no_sums or capacity < needed(tallest)
        return
    assert [column for cut in split.ranges for column in range(*cut)] == list(range(*window))
    assert 1 <= split.down * len(split.ranges) <= teams
    assert 1 <= split.rows <= rows
    assert split.rows == rows or split.rows % 2 == 0
    stripes = ceil_div(ceil_div(split.rows, 2), split.down)
    assert 2 * open_columns(split.columns) * stripes <= acc_words
    # Rows of one piece at a time only where those of the whole kernel find no room.
    assert split.by_piece == (capacity < needed(kernel[0]))
    under = tallest if split.by_piece else kernel[0]
    assert capacity >= min((split.rows - 1) * stride + under, height)


def test_bands_are_as_high_as_sums_and_rows_let_them_be():
    layer = a_layer((2, 1, 9, 9))
    build = TINY.replace(acc_words=32)
    # 32 sums of two rows and 4 columns: 4 stripes for each of two teams.
    split = choose_bands(layer, build, 48, 40, (0, 4), 2, capacity=99)
    assert split
    assert (split.down, split.ranges, split.rows) == (2, ((0, 4),), 16)
    # 12 rows on chip are enough for 4 rows of output.
    split = choose_bands(layer, build, 48, 40, (0, 4), 2, capacity=12)
    assert split
    assert (split.rows, split.by_piece) == (4, False)
    assert choose_bands(layer, build, 48, 40, (0, 40), 1, capacity=99) is None


def test_pieces_bring_their_own_rows_where_there_is_no_room_for_those_of_the_kernel():
    """Nine kernel rows in pieces of four and five."""
    layer = a_layer((2, 1, 9, 9))

    def bands(rows: int, capacity: int) -> tuple[int, bool] | None:
        split = choose_bands(layer, TINY, rows + 8, rows, (0, 4), 2, capacity)
        return split and (split.rows, split.by_piece)

    assert bands(40, 10) == (2, False)
    assert bands(40, 9) == (4, True)  # 4 + 5 - 1 = 8 rows
    assert bands(40, 6) == (2, True)
    assert bands(40, 5) is None
    # A single row of output.
    assert bands(1, 9) == (1, False)
    assert bands(1, 8) == (1, True)
    assert bands(1, 5) == (1, True)
    assert bands(1, 4) is None
