"""The planner: every output once, every product once, maps no more often than needed."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.cuts import Range, arrival_cycles, choose_split, cut_columns, kernel_pieces
from compiler.errors import CompileError
from compiler.plan import LayerPlan, plan_layer
from golden.descriptor import PassDescriptor, descriptor_words
from golden.params import Build, ceil_div
from tests.golden.scanning import Place, bank_of, rows_out
from tests.layers import NULLHOP, TINY, a_layer, cases
from tests.sim.layers import Case as Layer
from tests.sim.shapes import SMALL, grouped_layers, large_kernels, narrow_windows

#: Few rows on chip: those of one piece of a kernel at a time.
LOW = SMALL.replace(name="low", map_words=96)


def planned(layers: st.SearchStrategy[Layer], build: Build) -> st.SearchStrategy[LayerPlan]:
    return layers.map(lambda case: plan_layer(case.layer, case.x.shape, build, dense=case.dense))


#: Kernels in pieces, groups of channels, and columns a window after the other.
OTHER_SHAPES = st.one_of(
    planned(grouped_layers(SMALL), SMALL),
    planned(large_kernels(SMALL), SMALL),
    planned(large_kernels(LOW), LOW),
    planned(narrow_windows(SMALL), SMALL),
)
ALL_SHAPES = cases(rows=12, cols=12).map(lambda case: case.plan) | OTHER_SHAPES


# What comes out.


@given(ALL_SHAPES)
def test_every_output_is_in_one_segment(plan):
    rows, cols, channels = plan.out_shape
    seen = Counter()
    starts = np.cumsum([0, *(block for block, _ in plan.out_blocks)]).tolist()
    assert starts[-1] == channels
    for _, ranges in plan.out_blocks:
        ends = [0, *(b for _, b in ranges)]
        assert list(ranges) == list(pairwise(ends))
    for p in plan.passes:
        assert p.channels[1] - p.channels[0] == p.descriptor.out_channels <= plan.build.lanes
        for segment in p.segments:
            assert segment.columns in plan.out_blocks[segment.block][1]
            block = range(starts[segment.block], starts[segment.block + 1])
            assert set(block) <= set(range(*p.channels))
            seen.update(product([segment.row], range(*segment.columns), block))
    assert seen == Counter(product(range(rows), range(cols), range(channels)))


@given(cases(rows=12, cols=12))
def test_a_context_is_a_row_of_a_teams_stripes(case):
    """Context 2 x team + row: what the core says, in the order in which the team computes."""
    for p in case.plan.passes:
        d = p.descriptor
        made = defaultdict(list)
        for work in d.clusters:
            if not work.active or work.group:
                continue
            for stripe in range(work.first_stripe, d.stripes, work.stripe_step):
                columns = (work.first_col, work.end_col)
                if d.pool:
                    made[2 * work.team].append((stripe, (columns[0] // 2, columns[1] // 2)))
                    continue
                for lower in range(min(2, d.out_rows - 2 * stripe)):
                    made[2 * work.team + lower].append((2 * stripe + lower, columns))
        found = defaultdict(list)
        for segment in p.segments:
            found[segment.context].append((segment.row, segment.columns))
        assert found == made
        assert max(found) < 16


# Who computes it.


@given(cases(rows=12, cols=12))
def test_every_sum_is_computed_by_one_lane(case):
    """Each stripe and column once in every group, teams alike in all but their group."""
    for p in case.plan.passes:
        d = p.descriptor
        assert len(d.clusters) == case.build.clusters
        assert d.groups == ceil_div(d.out_channels, case.build.lanes_per_cluster)
        done = Counter()
        teams = defaultdict(list)
        lanes = defaultdict(set)
        for work in d.clusters:
            if work.active:
                columns = range(work.first_col, work.end_col)
                stripes = range(work.first_stripe, d.stripes, work.stripe_step)
                assert stripes
                assert columns
                done.update(product([work.group], stripes, columns))
                teams[work.team].append(work)
                lanes[work.group].add(work.lanes)
        assert done == Counter(product(range(d.groups), range(d.stripes), range(d.out_cols)))
        for members in teams.values():
            assert [work.group for work in members] == list(range(d.groups))
            assert len({replace(work, group=0, lanes=0) for work in members}) == 1
        assert all(len(numbers) == 1 for numbers in lanes.values())
        assert sum(map(sum, lanes.values())) == d.out_channels
        # The drain takes a team's clusters from its lead on.
        for team, members in teams.items():
            assert d.clusters.index(members[0]) == team * d.groups


@given(ALL_SHAPES)
def test_every_product_is_added_once(plan):
    """Each output channel, row and column with each kernel tap and each map word of its group."""
    layer, build = plan.layer, plan.build
    lanes, pixels = build.lanes_per_cluster, build.word_pixels
    shrink = 2 if layer.pool else 1
    rows, cols, channels = (*(n * shrink for n in plan.out_shape[:2]), layer.out_channels)
    words = ceil_div(layer.in_channels, pixels)
    if not layer.pool:
        assert (rows, cols) == layer.conv_shape(plan.in_shape)[:2]
    added = np.zeros((rows, cols, channels, *layer.kernel, words), np.uint8)
    for p in plan.passes:
        d, top = p.descriptor, p.out_rows[0] * shrink
        assert d.out_rows == (p.out_rows[1] - p.out_rows[0]) * shrink
        for work in d.clusters:
            if not work.active:
                continue
            stripes = range(work.first_stripe, d.stripes, work.stripe_step)
            own = [top + row for stripe in stripes for row in rows_out(d, stripe)]
            first = p.channels[0] + work.group * lanes
            first_word = p.part.first_word + work.slice * d.slice_words
            added[
                np.ix_(
                    own,
                    range(work.first_col, work.end_col),
                    range(first, min(first + lanes, p.channels[1])),
                    range(*p.piece.rows),
                    range(*p.piece.cols),
                    range(first_word, first_word + d.slice_words),
                )
            ] += 1
    ins = layer.in_channels // layer.groups
    for channel in range(channels):
        first = channel * layer.groups // channels * ins
        needed = range(first // pixels, ceil_div(first + ins, pixels))
        assert (added[:, :, channel][..., needed] == 1).all()
    assert added.max() == 1  # of others' words, the weights are zeros


@given(OTHER_SHAPES)
def test_the_passes_of_a_sum_follow_each_other(plan):
    """Piece by piece, in order: the first opens the sums, the last one lets them go."""
    pieces = kernel_pieces(plan.layer, plan.build)
    assert len(plan.passes) % len(pieces) == 0
    for first in range(0, len(plan.passes), len(pieces)):
        group = plan.passes[first : first + len(pieces)]
        assert [p.piece for p in group] == list(pieces)
        assert [p.descriptor.continues for p in group] == [n > 0 for n in range(len(pieces))]
        assert [p.descriptor.stays for p in group] == [n > 0 for n in range(len(pieces))][::-1]
        assert [bool(p.segments) for p in group] == [not p.descriptor.stays for p in group]
        # The same sums, in the same clusters, of the same blocks of the map, and of all rows under
        # the kernel if they find room together.
        assert len({(p.part, p.given, p.out_rows) for p in group}) == 1
        assert len({p.in_rows for p in group}) == 1 or any(
            p.descriptor.ring_rows < len(rows_under_kernel(plan, p.out_rows)) for p in group
        )
        shares = {
            tuple(replace(work, first_address=0, first_bank=0) for work in p.descriptor.clusters)
            for p in group
        }
        assert len(shares) == 1
        if len(group) > 1:
            assert len({(p.descriptor.region, p.descriptor.window) for p in group}) == 1


def rows_under_kernel(plan: LayerPlan, out_rows: Range) -> range:
    """Rows of the map that a band's windows cover, of the whole kernel."""
    layer, shrink = plan.layer, 2 if plan.layer.pool else 1
    first = out_rows[0] * shrink * layer.stride[0] - layer.pads[0]
    end = (out_rows[1] * shrink - 1) * layer.stride[0] - layer.pads[0] + layer.kernel[0]
    return range(max(0, first), min(end, plan.in_shape[0]))


@given(OTHER_SHAPES)
def test_a_pass_is_given_the_rows_that_it_reads(plan):
    """Rows count from the first one given, in the map that stands in the banks already or comes."""
    layer = plan.layer
    on_chip = None
    bands = []
    for p in plan.passes:
        d, shrink = p.descriptor, 2 if layer.pool else 1
        assert d.in_rows == p.in_rows[1] - p.in_rows[0]
        # The first row of the first output's window, in the map.
        window = p.out_rows[0] * shrink * layer.stride[0] - layer.pads[0] + p.piece.rows[0]
        assert p.in_rows[0] - d.pad_top == window
        assert d.pad_left == layer.pads[1] - p.piece.cols[0]
        read = {
            window + row * d.stride_h + ky for row in range(d.out_rows) for ky in range(d.kernel_h)
        }
        assert read & set(range(plan.in_shape[0])) <= set(range(*p.in_rows))
        bands += [p.out_rows] if not bands or bands[-1] != p.out_rows else []
        # All rows stay in the banks if they find room, until others, or other blocks, come.
        assert d.load_map == (on_chip != (p.in_rows, p.given.blocks, d.pack))
        on_chip = (p.in_rows, p.given.blocks, d.pack) if d.ring_rows == d.in_rows else None
    ends = [0, *(end for _, end in bands)]
    assert bands == list(pairwise(ends))


@given(ALL_SHAPES)
def test_a_pass_is_given_the_blocks_that_it_reads(plan):
    """Words count from the first block given; blocks that are not of one size come all together."""
    build = plan.build
    starts = range(0, plan.in_shape[2], plan.in_block)
    for p in plan.passes:
        d, (first, end) = p.descriptor, p.given.blocks
        given = range(plan.in_shape[2])[starts[first] :][: (end - first) * plan.in_block]
        assert (p.given.channel, p.given.channels) == (given.start, len(given))
        assert d.in_channels == len(given)
        sizes = [min(plan.in_block, plan.in_shape[2] - start) for start in starts[first:end]]
        assert d.in_blocks == sizes
        assert d.first_word * build.word_pixels + given.start == (
            p.part.first_word * build.word_pixels
        )
        words = p.part.first_word + p.part.slices * p.part.slice_words
        read = range(
            p.part.first_word * build.word_pixels,
            min(words * build.word_pixels, plan.in_shape[2]),
        )
        assert given.start <= read.start < read.stop <= given.stop
        # No block for nothing.
        assert read.start < given.start + sizes[0]
        assert read.stop > given.stop - sizes[-1]


@given(ALL_SHAPES)
def test_the_first_pass_and_the_last_one_say_so(plan):
    count = len(plan.passes)
    assert [(d.first, d.last) for d in plan.descriptors] == [
        (n == 0, n == count - 1) for n in range(count)
    ]
    assert plan.descriptors[0].load_map


def test_passes_go_band_by_band_then_channels_then_pieces():
    """Sums for two stripes of eight columns a team; 12 output channels, of which a pass has 8."""
    build = TINY.replace(clusters=1, lanes_per_cluster=8, acc_words=32)
    plan = plan_layer(a_layer((12, 1, 8, 1)), (13, 8, 1), build)
    assert [(p.out_rows, p.channels, p.piece.rows) for p in plan.passes] == [
        (rows, channels, piece)
        for rows in ((0, 4), (4, 6))
        for channels in ((0, 8), (8, 12))
        for piece in ((0, 4), (4, 8))
    ]
    assert [d.continues for d in plan.descriptors] == [False, True] * 4
    assert [d.stays for d in plan.descriptors] == [True, False] * 4
    # A band's rows come once, and serve all its passes.
    assert [d.load_map for d in plan.descriptors] == ([True] + [False] * 3) * 2
    assert [p.in_rows for p in plan.passes] == [(0, 11)] * 4 + [(4, 13)] * 4


def test_pieces_bring_their_own_rows():
    """Five rows of the eight under the kernel find room, those of a piece and of its second row."""
    build = TINY.replace(map_words=5 * 16)
    plan = plan_layer(a_layer((2, 8, 8, 1)), (9, 16, 8), build)
    assert [p.in_rows for p in plan.passes] == [(0, 5), (4, 9)]
    assert [d.load_map for d in plan.descriptors] == [True, True]
    assert [d.pad_top for d in plan.descriptors] == [0, 0]
    assert {d.ring_rows for d in plan.descriptors} == {5}
    # With room for all nine, they come once.
    plan = plan_layer(a_layer((2, 8, 8, 1)), (9, 16, 8), TINY)
    assert [p.in_rows for p in plan.passes] == [(0, 9), (0, 9)]
    assert [d.load_map for d in plan.descriptors] == [True, False]
    assert [d.pad_top for d in plan.descriptors] == [0, -4]


def test_passes_of_groups_are_given_their_own_blocks():
    """Depthwise, 8 channels a pass, which are a block of the map; a large block serves two."""
    layer = a_layer((20, 1, 3, 3), groups=20)
    plan = plan_layer(layer, (8, 8, 20), TINY)
    assert [p.given.blocks for p in plan.passes] == [(0, 1), (1, 2), (2, 3)]
    assert [d.load_map for d in plan.descriptors] == [True, True, True]
    assert [(p.part.first_word, p.descriptor.first_word) for p in plan.passes] == [
        (0, 0),
        (2, 0),
        (4, 0),
    ]
    plan = plan_layer(layer, (8, 8, 20), TINY, in_blocks=(16, 20))
    assert [p.given.blocks for p in plan.passes] == [(0, 1), (0, 1), (1, 2)]
    assert [d.load_map for d in plan.descriptors] == [True, False, True]
    assert [p.descriptor.first_word for p in plan.passes] == [0, 2, 0]


@pytest.mark.parametrize("kind", ["maxpool", "avgpool", None])
def test_a_pool_s_weights_are_the_same_under_all_of_the_kernel(kind):
    layer = a_layer((8, 1, 3, 3), groups=8)
    (p,) = plan_layer(layer, (8, 8, 8), TINY, kind=kind).passes
    d, pool = p.descriptor, kind is not None
    assert (d.uniform, d.maximum) == (pool, kind == "maxpool")
    assert d.kernel_size == (1 if pool else 9)
    assert d.row_step == (0 if pool else 3)
    assert d.word_step == d.kernel_size * 4
    assert (d.kernel_h, d.kernel_w) == (3, 3)


@given(cases())
def test_descriptors_say_what_the_layer_is(case):
    plan, layer, build = case.plan, case.layer, case.build
    height, width, depth = case.shape
    rows, cols, _ = layer.conv_shape(case.shape)
    last = len(plan.passes) - 1
    for n, d in enumerate(plan.descriptors):
        assert (d.first, d.last) == (n == 0, n == last)
        assert (d.in_rows, d.in_cols, d.in_channels) == case.shape
        # Of a pooled layer, only the rows and columns that the pool takes.
        assert (d.out_rows, d.out_cols) == (
            (rows // 2 * 2, cols // 2 * 2) if case.pool else (rows, cols)
        )
        assert (d.kernel_h, d.kernel_w, d.pad_top, d.pad_left) == (*case.kernel, *case.pads[:2])
        assert d.kernel_size == d.kernel_h * d.kernel_w
        assert (d.stride_h, d.stride_w) == case.stride
        assert d.last_tap * d.stride_w + d.last_phase == d.kernel_w - 1
        assert d.last_phase < d.stride_w
        taps = [len(range(phase, d.kernel_w, d.stride_w)) for phase in range(d.stride_w)]
        assert d.taps == sum(count * 8**phase for phase, count in enumerate(taps))
        assert d.row_step == d.stride_h * d.kernel_w
        weights = (d.tiles - 1) * d.tile_weights + d.last_weights
        assert weights == d.kernel_size * depth
        assert d.word_step == d.kernel_size * build.word_pixels
        assert d.block_channels == build.lanes
        assert d.col_words == ceil_div(depth, build.word_pixels)
        assert d.col_pitch == ceil_div(d.col_words, build.clusters)
        shared = 1 << d.pack
        assert d.row_pitch == (ceil_div(width, shared) if d.pack else d.col_pitch * width)
        assert not d.pack or d.col_words * shared == build.clusters
        assert d.scan_rows >= d.kernel_h + d.stride_h
        assert not d.pack or d.scan_rows % 2 == 1
        assert (d.clamp_low, d.clamp_high) == layer.clamp
        # The ring fits, would not fit once more, and holds what a stripe needs.
        assert d.ring_rows * d.row_pitch <= build.map_words
        assert d.ring_rows == height or (d.ring_rows + 1) * d.row_pitch > build.map_words
        assert d.ring_rows >= min(height, d.kernel_h + d.stride_h)
        assert d.ring_words == d.ring_rows * d.row_pitch
        assert d.load_map == (n == 0 or d.ring_rows < height)
        for work in d.clusters:
            if work.active:
                x = max(0, work.first_col * d.stride_w - d.pad_left)
                assert work.first_address == x * d.col_pitch
                assert work.first_bank == bank_of(build, d, Place(0, x, 0))
        assert len(d.words()) == descriptor_words(build)


@given(cases())
def test_what_a_stride_leaves_out_is_passed_over(case):
    """From the last row or column that an output sees to the next one in use."""
    build = case.build
    for d in case.plan.descriptors:
        if d.out_rows == 1:
            assert (d.jump_rows, d.jump_words, d.row_skip) == (1, d.row_pitch, 0)
            continue
        for kernel, stride, jump in [
            (d.kernel_h, d.stride_h, d.jump_rows),
            (d.kernel_w, d.stride_w, d.jump_columns),
        ]:
            used = {n * stride + k for n in range(3) for k in range(kernel)}
            assert jump == min(x for x in used if x >= kernel) - (kernel - 1)
        assert d.jump_words == d.jump_rows * d.row_pitch
        assert d.column_jump == d.jump_columns * d.col_pitch
        banks = [
            bank_of(build, d, place)
            for place in [
                Place(1, 1, 0),
                Place(d.jump_rows, 1, 0),
                Place(1, d.jump_columns, 0),
            ]
        ]
        assert (banks[1] - banks[0]) % build.clusters == d.row_skip
        assert (banks[2] - banks[0]) % build.clusters == d.column_skip


@given(cases(rows=12))
def test_teams_never_wait_for_each_other_for_ever(case):
    """The ring has room for all stripes that are under way at once."""
    for d in case.plan.descriptors:
        down = max(work.stripe_step for work in d.clusters if work.active)
        apart = 2 * (down - 1) * d.stride_h
        assert down == 1 or d.ring_rows >= min(d.in_rows, apart + d.kernel_h + d.stride_h)


# Splits.


def working(d: PassDescriptor) -> tuple[int, int, int]:
    """Clusters with work, stripes of one, and columns of the widest."""
    works = [work for work in d.clusters if work.active]
    return (
        len(works),
        ceil_div(d.stripes, works[0].stripe_step),
        max(work.end_col - work.first_col for work in works),
    )


@pytest.mark.parametrize(
    ("channels", "clusters", "stripes", "cols"),
    [
        # One group on eight clusters: eight teams, two of them stacked.
        (16, 8, 8, 8),
        # Two, three and four groups: four teams, two, two.
        (32, 8, 16, 8),
        (40, 6, 16, 16),
        (64, 8, 16, 16),
        # Five and more: one team.
        (80, 5, 16, 32),
        (128, 8, 16, 32),
    ],
)
def test_few_groups_share_out_stripes_and_columns(channels, clusters, stripes, cols):
    layer = a_layer((channels, 16, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (32, 32, 16), NULLHOP).descriptors
    count, down, wide = working(d)
    assert count == clusters
    assert down * wide == stripes * cols


def test_a_small_map_on_chip_is_split_over_stripes_however_many():
    """One column of 8 rows: nothing to cut but stripes, all rows on chip from the start."""
    layer = a_layer((16, 16, 3, 1), pads=(1, 0, 1, 0))
    (d,) = plan_layer(layer, (8, 1, 16), NULLHOP).descriptors
    assert d.ring_rows == d.in_rows == 8
    assert working(d) == (4, 1, 1)


def test_a_tight_ring_is_split_over_columns_alone():
    build = TINY.replace(map_words=4 * 16)
    layer = a_layer((4, 8, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (16, 16, 8), build).descriptors
    assert d.ring_rows == 4
    assert working(d) == (2, 8, 8)
    assert {work.stripe_step for work in d.clusters} == {1}


@pytest.mark.parametrize(
    ("channels", "pixels", "cycles"),
    [
        (8, 8, 2),  # a sparsity map and a map word
        (16, 8, 3),
        (64, 8, 12),
        (16, 16, 3),  # 2 bytes of sparsity map, 16 of values, 8 of them in a cycle
        (64, 16, 9),
        (33, 32, 6),  # of a word of two sparsity maps, one at a time
    ],
)
def test_arrival(channels, pixels, cycles):
    build = NULLHOP.replace(word_pixels=pixels, depthwise=False)
    assert arrival_cycles((3, 5, channels), build) == 3 * 5 * cycles


def test_where_the_map_comes_in_slowly_teams_stand_abreast():
    layer = a_layer((16, 64, 1, 1))
    # Four stripes apart at a time, two abreast, is the least work;
    split = choose_split(layer, 56, (0, 56), 8, capacity=29)
    assert (split.down, split.ranges) == (4, ((0, 28), (28, 56)))
    # but while rows come in more slowly than they are worked off, seven columns each.
    slow = arrival_cycles((56, 56, 64), NULLHOP)
    split = choose_split(layer, 56, (0, 56), 8, capacity=29, arrival=slow)
    assert (split.down, split.ranges) == (1, cut_columns(0, 56, 8, even=False))
    (d,) = plan_layer(layer, (56, 56, 64), NULLHOP).descriptors
    assert working(d) == (8, 28, 7)
    # Three times as many sums for each pixel take longer than the map.
    (d,) = plan_layer(a_layer((48, 64, 1, 1)), (56, 56, 64), NULLHOP).descriptors
    assert working(d)[1:] != (28, 7)


def test_a_map_that_is_on_chip_already_does_not_come_in():
    """The first pass waits for the map, the second has it."""
    layer = a_layer((8 + 4, 16, 1, 1))
    first, second = plan_layer(layer, (8, 8, 16), TINY).descriptors
    assert (first.load_map, second.load_map) == (True, False)
    assert working(second) == (2, 2, 8)


def test_pooled_cuts_are_even():
    layer = a_layer((4, 4, 3, 3), pads=(1, 1, 1, 1), pool=True)
    plan = plan_layer(layer, (3, 11, 4), TINY)
    (p,) = plan.passes
    works = p.descriptor.clusters
    assert [(work.first_col, work.end_col) for work in works] == [(0, 6), (6, 10)]
    assert plan.out_blocks == ((4, ((0, 3), (3, 5))),)
    assert plan.out_shape == (1, 5, 4)
    assert (p.descriptor.out_rows, p.descriptor.out_cols) == (2, 10)


def test_many_channels_take_several_passes():
    plan = plan_layer(a_layer((20, 3, 1, 1)), (4, 4, 3), TINY)
    assert [p.channels for p in plan.passes] == [(0, 8), (8, 16), (16, 20)]
    assert [d.groups for d in plan.descriptors] == [2, 2, 1]
    assert [d.load_map for d in plan.descriptors] == [True, False, False]
    steps = [d.clusters[0].stripe_step for d in plan.descriptors]
    splits = zip(plan.out_blocks, steps, strict=True)
    assert [len(ranges) * step for (_, ranges), step in splits] == [1, 1, 2]
    assert [work.lanes for work in plan.descriptors[2].clusters] == [4, 4]


def test_a_map_that_does_not_stay_on_chip_is_sent_for_each_pass():
    build = TINY.replace(map_words=5 * 4)
    plan = plan_layer(a_layer((20, 8, 3, 3)), (6, 4, 8), build)
    assert [d.load_map for d in plan.descriptors] == [True, True, True]


# Windows of columns.


def test_a_map_with_more_columns_than_sums_goes_a_window_at_a_time():
    """Weights for 1152 products in three tiles, 32 sums per lane for at most 16 columns."""
    build = TINY.replace(map_words=(1 << 14) - 1)
    plan = plan_layer(a_layer((2, 128, 3, 3)), (8, 70, 128), build)
    ends = [
        (min(w.first_col for w in d.clusters), max(w.end_col for w in d.clusters))
        for d in plan.descriptors
    ]
    assert ends == [(0, 17), (17, 34), (34, 51), (51, 68)]
    assert [d.load_map for d in plan.descriptors] == [True, False, False, False]
    assert {working(d)[2] for d in plan.descriptors} <= set(range(1, 17))
    ((channels, ranges),) = plan.out_blocks
    assert channels == 2
    assert [column for a, b in ranges for column in range(a, b)] == list(range(68))


@pytest.mark.parametrize(("pool", "ends"), [(False, (5, 9)), (True, (6, 10))])
def test_the_sums_of_a_kernel_in_pieces_go_a_window_at_a_time(pool, ends):
    """Sums for 8 columns of two rows."""
    build = TINY.replace(clusters=1, acc_words=16)
    layer = a_layer((2, 1, 8, 1), pool=pool)
    descriptors = plan_layer(layer, (9, ends[1], 1), build).descriptors
    works = [d.clusters[0] for d in descriptors]
    assert [(work.first_col, work.end_col) for work in works] == [
        *((0, ends[0]),) * 2,
        *(ends,) * 2,
    ]
    assert [d.window for d in descriptors] == [7, 7, 3, 3]


def test_the_most_loads_fit_the_descriptor_and_one_more_region_is_refused():
    """Sums for two stripes of two columns, be it one column at a time; a team of two clusters."""
    build = TINY.replace(k_max=3, weight_words=2 * 4 * 9, acc_words=8, map_words=(1 << 14) - 1)
    layer = a_layer((8, 4 * 39, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (420, 2, 4 * 39), build).descriptors
    assert (d.tiles, d.region, d.loads) == (39, 2, 4095)
    assert len(d.words()) == descriptor_words(build)
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, (421, 2, 4 * 39), build)
    assert str(caught.value) == (
        "layer 'conv/1': loads 39 tiles of weights 106 times over, 4134 loads are above the 4095 "
        "of the core: use a build with more weight_words or acc_words"
    )


def test_a_low_map_stays_on_chip_under_a_kernel_in_pieces():
    """Fewer rows than the kernel has: all of them are there, for every piece."""
    layer = a_layer((2, 8, 8, 3), pads=(4, 0, 4, 0))
    for width in (64, 128):
        plan = plan_layer(layer, (4, width, 8), TINY)
        assert {p.in_rows for p in plan.passes} == {(0, 4)}
        assert [d.load_map for d in plan.descriptors] == [True] + [False] * (len(plan.passes) - 1)
