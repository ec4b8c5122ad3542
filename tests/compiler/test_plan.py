"""The planner: every output once, what cannot run refused in words, work shared out well."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.cuts import arrival_cycles, choose_split, cut_columns, map_layout, splits
from compiler.errors import CompileError
from compiler.plan import plan_layer, plan_network
from golden.descriptor import PassDescriptor, descriptor_words
from golden.network import Conv, Network, TensorFormat
from golden.params import ceil_div
from golden.requant import Scale, Shift
from tests.golden.scanning import Place, bank_of
from tests.golden.test_adder import adder_layer
from tests.layers import NULLHOP, TINY, TINY8, TINY_L1, UP5K, Case, cases

S16 = TensorFormat(16, signed=True, scale=1.0)


def a_layer(
    shape: tuple[int, ...], form: TensorFormat = S16, weight: int = 1, **more: object
) -> Conv:
    """A layer of equal weights of that shape."""
    options = {"requant": Shift(0), "bias": np.zeros(shape[0], np.int64), "out_format": form}
    return Conv(name="conv/1", weights=np.full(shape, weight), in_format=form, **options | more)


# What comes out.


@given(cases(rows=12, cols=12))
def test_every_output_is_in_one_segment(case):
    plan = case.plan
    rows, cols, channels = plan.out_shape
    seen = Counter()
    starts = np.cumsum([0, *(block for block, _ in plan.out_blocks)]).tolist()
    assert starts[-1] == channels
    for _, ranges in plan.out_blocks:
        ends = [0, *(b for _, b in ranges)]
        assert list(ranges) == list(pairwise(ends))
    for p in plan.passes:
        assert p.channels[1] - p.channels[0] == p.descriptor.out_channels <= case.build.lanes
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


@pytest.mark.parametrize("requant", [Shift(3), Scale(np.full(4, 0.25, np.float32))])
@pytest.mark.parametrize("relu", [False, True])
def test_requantisation_in_the_descriptor(requant, relu):
    out = TensorFormat(8, signed=False, scale=1.0, zero_point=7)
    layer = a_layer(
        (4, 2, 1, 1), TensorFormat(8, True, 1.0, -3), requant=requant, out_format=out, relu=relu
    )
    (d,) = plan_layer(layer, (2, 2, 2), TINY).descriptors
    assert (d.signed_in, d.in_zero, d.out_zero) == (True, -3, 7)
    assert (d.clamp_low, d.clamp_high) == (7 if relu else 0, 255)
    is_shift = isinstance(requant, Shift)
    assert (d.requant, d.rounding, d.shift) == ((0, 0, 3) if is_shift else (1, 0, 0))


def test_only_the_first_map_may_come_dense():
    layers = tuple(a_layer((2, 2, 1, 1)) for _ in range(2))
    network = Network("two", (3, 3, 2), S16, layers)
    plans = plan_network(network, TINY, dense_input=True)
    assert [plan.dense for plan in plans] == [True, False]
    assert [plan.descriptors[0].dense for plan in plans] == [True, False]
    assert [plan.dense for plan in plan_network(network, TINY)] == [False, False]
    assert [plan.in_shape for plan in plans] == network.shapes[:2]
    assert [plan.out_shape for plan in plans] == network.shapes[1:]


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


@pytest.mark.parametrize(
    ("channels", "pixels", "cycles"),
    [
        (8, 8, 2),  # a sparsity map and a map word
        (16, 8, 3),
        (64, 8, 12),
        (16, 16, 3),  # 2 bytes of sparsity map, 16 of values, 8 of them in a cycle
        (64, 16, 9),
    ],
)
def test_arrival(channels, pixels, cycles):
    build = NULLHOP.replace(word_pixels=pixels)
    assert arrival_cycles((3, 5, channels), build) == 3 * 5 * cycles


def test_where_the_map_comes_in_slowly_teams_stand_abreast():
    layer = a_layer((16, 64, 1, 1))
    # Four stripes apart at a time, two abreast, is the least work;
    assert choose_split(layer, 56, 56, 8, ring=29) == (4, ((0, 28), (28, 56)))
    # but while rows come in more slowly than they are worked off, seven columns each.
    slow = arrival_cycles((56, 56, 64), NULLHOP)
    assert choose_split(layer, 56, 56, 8, ring=29, arrival=slow) == (
        1,
        cut_columns(56, 8, even=False),
    )
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


@pytest.mark.parametrize(
    ("shape", "build", "rows"),
    [
        ((9, 16, 4), TINY, 9),
        ((99, 16, 4), TINY, 64),  # two columns to an address
        ((99, 16, 9), TINY, 16),  # 3 words of 4 on 2 banks
        ((99, 512, 8), TINY, 1),
        ((99, 513, 8), TINY, 0),
        ((224, 224, 64), NULLHOP, 7),
    ],
)
def test_ring_rows(shape, build, rows):
    layer = a_layer((4, shape[2], 3, 3))
    assert min(shape[0], map_layout(layer, shape, build).capacity) == rows


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
    plan = plan_layer(a_layer((20, 3, 3, 3)), (6, 4, 3), build)
    assert [d.load_map for d in plan.descriptors] == [True, True, True]


# Refusals.

ONE = (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("layer", "shape", "build", "message"),
    [
        (
            a_layer((2, 1, 5, 2)),
            (8, 8, 1),
            UP5K,
            "kernel 5x2 is above the 3x3 of build 'up5k'",
        ),
        (
            a_layer(ONE, stride=(5, 1)),
            (8, 8, 2),
            TINY,
            "stride (5, 1) is not supported: use 1 to 4",
        ),
        (a_layer(ONE), (8, 2048, 2), TINY, "maps must be at most 2047 rows and columns"),
        (a_layer(ONE), (2048, 8, 2), TINY, "maps must be at most 2047 rows and columns"),
        (
            a_layer((2, 2, 3, 1), pads=(2, 0, 2, 0)),
            (2046, 8, 2),
            TINY,
            "maps must be at most 2047 rows and columns",
        ),
        (
            a_layer((2, 2, 3, 3), pads=(1, 1, 3, 1)),
            (8, 8, 2),
            TINY,
            "pads (1, 1, 3, 1) must be smaller than the kernel 3x3",
        ),
        (
            a_layer((2, 2, 3, 1), pads=(1, 1, 1, 0)),
            (8, 8, 2),
            TINY,
            "pads (1, 1, 1, 0) must be smaller than the kernel 3x1",
        ),
        (
            a_layer((2, 2049, 1, 1)),
            (1, 1, 2049),
            NULLHOP,
            "2049 input channels are above the 2048 of the core",
        ),
        (
            a_layer((2, 9, 1, 1)),
            (8, 8, 9),
            TINY.replace(word_pixels=16),
            (
                "9 input channels come in blocks of 8, which are not whole map words of the 16 "
                "pixels of build 'tiny': use fewer word_pixels"
            ),
        ),
        (
            a_layer((2, 128, 3, 3)),
            (8, 40, 128),
            TINY.replace(map_words=8192),
            (
                "needs 1152 weights per output channel, build 'tiny' has 1024, and 64 sums per "
                "lane to take them in parts, it has 32: use a build with more weight_words or "
                "acc_words"
            ),
        ),
        (
            a_layer((2, 16, 3, 3)),
            (8, 128, 16),
            TINY,
            (
                "needs 4 input rows on chip, build 'tiny' holds 2 of 128 columns and 16 channels: "
                "use a build with more map_words"
            ),
        ),
        (
            a_layer((2, 4, 3, 3), stride=(3, 1)),
            (8, 100, 4),
            TINY,
            (
                "needs 6 input rows on chip, build 'tiny' holds 5 of 100 columns and 4 channels: "
                "use a build with more map_words"
            ),
        ),
        (
            a_layer(ONE, TensorFormat(8, True, 1.0), weight=200),
            (8, 8, 2),
            TINY8,
            "needs 16-bit weights, build 'tiny8' has 8",
        ),
        (
            a_layer(ONE),
            (8, 8, 2),
            TINY8,
            "a map of 16 bits signed does not fit build 'tiny8' with 8-bit activations",
        ),
        (
            a_layer(ONE, out_format=TensorFormat(16, False, 1.0)),
            (8, 8, 2),
            TINY,
            "a map of 16 bits unsigned does not fit build 'tiny' with 16-bit activations",
        ),
        (
            a_layer(ONE, TensorFormat(8, True, 1.0), requant=Scale(np.full(2, 0.5, np.float32))),
            (8, 8, 2),
            UP5K,
            "needs the 'scale' requantiser, build 'up5k' has shift",
        ),
        (
            a_layer(ONE, TensorFormat(16, True, 1.0, 1)),
            (8, 8, 2),
            TINY,
            "pixels less the zero point 1 need more than 16 bits",
        ),
        (
            a_layer(ONE, TensorFormat(8, False, 1.0), bias=np.array([0, -(1 << 23)])),
            (8, 8, 2),
            UP5K,
            "accumulators need 25 bits, build 'up5k' has 24",
        ),
    ],
)
def test_refusals_are_one_clear_line(layer, shape, build, message):
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, shape, build)
    assert str(caught.value) == f"layer 'conv/1': {message}"


@pytest.mark.parametrize(
    ("layer", "shape", "build"),
    [
        (a_layer((2, 1, 3, 3)), (8, 8, 1), UP5K),
        (a_layer((2, 2, 1, 1)), (2, 512, 2), TINY.replace(map_words=1024)),
        (a_layer((2, 2, 3, 3), pads=(2, 2, 2, 2)), (8, 8, 2), TINY),
        (a_layer((2, 113, 3, 3)), (3, 3, 113), TINY),
        (a_layer((2, 8, 1, 1)), (8, 8, 8), TINY.replace(word_pixels=16)),
        (a_layer((2, 8, 3, 3)), (8, 128, 8), TINY),
        (a_layer(ONE, TensorFormat(8, True, 1.0), weight=127), (8, 8, 2), TINY8),
        (a_layer(ONE, TensorFormat(8, False, 1.0, 255)), (8, 8, 2), TINY8),
        (
            a_layer(ONE, TensorFormat(8, False, 1.0), bias=np.array([0, (1 << 23) - 511])),
            (8, 8, 2),
            UP5K,
        ),
    ],
)
def test_limits_are_not_refused(layer, shape, build):
    if build is UP5K and layer.in_format == S16:
        form = TensorFormat(8, False, 1.0)
        layer = replace(layer, in_format=form, out_format=form)
    assert plan_layer(layer, shape, build).layer is layer


@pytest.mark.parametrize("word_pixels", [4, 8, 16])
@pytest.mark.parametrize("clusters", [1, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 4), (7, 1), (7, 4)])
def test_what_is_not_refused_fits_the_descriptor(word_pixels, clusters, kernel, stride):
    """The most input channels that the planner takes, in as many tiles as it takes."""
    build = NULLHOP.replace(word_pixels=word_pixels, clusters=clusters, map_words=(1 << 14) - 1)
    pads = (kernel - 1,) * 4
    layer = a_layer((2, 2048, kernel, kernel), stride=(stride, stride), pads=pads)
    (d,) = plan_layer(layer, (4, 4, 2048), build).descriptors
    assert len(d.words()) == descriptor_words(build)


def test_the_most_tiles_fit_the_descriptor_and_one_more_is_refused():
    build = TINY.replace(weight_words=2 * 4 * 9, map_words=4096)
    layer = a_layer((2, 4 * 127, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (8, 4, 4 * 127), build).descriptors
    assert (d.tiles, d.tile_words) == (127, 1)
    assert len(d.words()) == descriptor_words(build)
    layer = a_layer((2, 4 * 127 + 1, 3, 3), pads=(1, 1, 1, 1))
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, (8, 4, 4 * 127 + 1), build)
    assert str(caught.value) == (
        "layer 'conv/1': needs 4581 weights per output channel in 128 tiles, which are above the "
        "127 of the core: use a build with more weight_words than the 72 of 'tiny'"
    )


def test_the_most_loads_fit_the_descriptor_and_one_more_region_is_refused():
    """Of 30 columns there are sums for one stripe of a team of two clusters at a time."""
    build = TINY.replace(weight_words=2 * 4 * 9, acc_words=64, map_words=(1 << 14) - 1)
    layer = a_layer((8, 4 * 39, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (210, 30, 4 * 39), build).descriptors
    assert (d.tiles, d.region, d.loads) == (39, 1, 4095)
    assert len(d.words()) == descriptor_words(build)
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, (211, 30, 4 * 39), build)
    assert str(caught.value) == (
        "layer 'conv/1': loads 39 tiles of weights 106 times over, 4134 loads are above the 4095 "
        "of the core: use a build with more weight_words or acc_words"
    )


def test_a_case_of_every_build_can_be_planned():
    for build in (TINY, TINY8, UP5K, NULLHOP):
        plan = Case(build=build, pool=True, pads=(1, 1, 1, 1)).plan
        assert plan.out_shape == (3, 2, 6)


def test_a_layer_runs_on_its_own_kind_of_lanes():
    adds = adder_layer()
    with pytest.raises(
        CompileError, match=r"^layer 'add': needs lanes that add \|x - w\|, those of"
    ):
        plan_layer(adds, (5, 5, 1), TINY8)
    with pytest.raises(
        CompileError, match="needs lanes that multiply, those of build 'tiny_l1' add"
    ):
        plan_layer(Case(build=TINY_L1).layer, (6, 5, 5), TINY_L1)
    assert plan_layer(adds, (5, 5, 1), TINY_L1).passes
    form = adds.in_format
    network = Network("both", (5, 5, 1), form, (adds, replace(adds, name="two", **TWO_TO_TWO)))
    assert [plan.build for plan in plan_network(network, (TINY8, TINY_L1))] == [TINY_L1] * 2


TWO_TO_TWO = {"weights": np.ones((2, 2, 3, 3), np.int64)}


def test_folded_sums_are_held_to_the_accumulator():
    """Weights of any size run, as long as what they leave in the bias fits."""
    build = TINY_L1.replace(acc_bits=24)
    wide = adder_layer(weights=np.full((2, 1, 3, 3), 32767), pads=(0, 0, 0, 0))
    assert plan_layer(wide, (5, 5, 1), build).passes
    wider = adder_layer(weights=np.full((2, 60, 3, 3), 32767), pads=(0, 0, 0, 0))
    with pytest.raises(CompileError, match="accumulators need 26 bits, build 'tiny_l1' has 24"):
        plan_layer(wider, (5, 5, 60), build)
