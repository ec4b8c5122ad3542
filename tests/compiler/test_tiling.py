"""Tiles of weights: what stays whole, what is cut and where, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import CompileError
from compiler.plan import plan_layer
from compiler.tiling import Scans, Tiling, choose_tiling
from golden.descriptor import descriptor_words
from golden.network import Conv, TensorFormat
from golden.params import Build, ceil_div
from golden.requant import Shift
from tests.layers import NULLHOP, TINY

S16 = TensorFormat(16, signed=True, scale=1.0)
#: 16 weights per half; words of 4 channels; sums of 16 columns of two rows.
SMALL = TINY.replace(weight_words=32)


def a_layer(channels: int, kernel: tuple[int, int] = (1, 1), stride: int = 1) -> Conv:
    return Conv(
        name="conv/1",
        weights=np.ones((2, channels, *kernel), np.int64),
        bias=np.zeros(2, np.int64),
        in_format=S16,
        out_format=S16,
        requant=Shift(0),
        stride=(stride, stride),
    )


def tiling(
    layer: Conv, build: Build = SMALL, columns: int = 4, down: int = 1, ring: int | None = None
) -> Tiling:
    scans = Scans(
        kernel=layer.kernel,
        uniform=False,
        channels=layer.in_channels,
        stride_h=layer.stride[0],
        columns=columns,
        down=down,
        ring=ring,
    )
    return choose_tiling(layer.name, build, scans)


def test_weights_that_fit_half_stay_whole():
    assert tiling(a_layer(16), columns=99) == Tiling(
        alone=False,
        resident=True,
        tiles=1,
        tile_words=4,
        tile_weights=16,
        last_weights=16,
        region=1,
        window=7,
    )


def test_one_weight_more_takes_two_tiles_that_stay_in_a_half_each():
    # 5 words of 4 channels: 3, rounded up to 4 for the two banks, and 1 channel left.
    assert tiling(a_layer(17)) == Tiling(
        alone=False,
        resident=True,
        tiles=2,
        tile_words=4,
        tile_weights=16,
        last_weights=1,
        region=4,
        window=3,
    )


def test_three_tiles_do_not_stay():
    found = tiling(a_layer(33))
    assert (found.tiles, found.resident, found.last_weights) == (3, False, 1)


def test_without_sums_enough_the_weights_lie_alone_across_both_halves():
    # 17 columns want 32 sums of two rows, and a lane has 32 in all.
    found = tiling(a_layer(32), columns=17)
    assert found == Tiling(
        alone=True,
        resident=True,
        tiles=1,
        tile_words=8,
        tile_weights=32,
        last_weights=32,
        region=1,
        window=7,
    )
    assert not tiling(a_layer(32), columns=16).alone


def test_a_word_that_does_not_fit_half_is_not_cut():
    # 5 weights per channel and 4 channels in a word: 20 of 16, but 30 of 32 for 6 channels.
    found = tiling(a_layer(6, (5, 1)))
    assert (found.alone, found.tiles, found.last_weights) == (True, 1, 30)


@pytest.mark.parametrize(
    ("layer", "columns", "message"),
    [
        (
            a_layer(33),
            17,
            (
                "needs 33 weights per output channel, build 'tiny' has 32, and 64 sums per lane to "
                "take them in parts, it has 32: use a build with more weight_words or acc_words"
            ),
        ),
        (
            a_layer(7, (5, 1)),
            2,
            (
                "needs 35 weights per output channel, build 'tiny' has 32, but room for 16 at a "
                "time, and a map word takes 20: use a build with more weight_words"
            ),
        ),
    ],
)
def test_what_fits_neither_way_is_refused_in_words(layer, columns, message):
    with pytest.raises(CompileError) as caught:
        tiling(layer, columns=columns)
    assert str(caught.value) == f"layer 'conv/1': {message}"


@pytest.mark.parametrize(
    ("words", "banks", "tile_words"),
    [
        (5, 1, 3),  # two tiles as even as can be
        (5, 2, 4),  # rounded up to whole turns of the banks
        (5, 8, 3),  # 8 would not fit
        (9, 2, 4),
        (9, 4, 4),
        (12, 1, 4),
    ],
)
def test_tiles_are_even_or_whole_turns_of_the_banks(words, banks, tile_words):
    build = SMALL.replace(clusters=banks)
    assert tiling(a_layer(4 * words), build).tile_words == tile_words


@pytest.mark.parametrize(
    ("columns", "window", "region"),
    [(1, 1, 8), (2, 1, 8), (3, 3, 4), (4, 3, 4), (5, 7, 2), (8, 7, 2), (9, 15, 1), (16, 15, 1)],
)
def test_a_region_has_as_many_stripes_as_there_are_sums_for(columns, window, region):
    found = tiling(a_layer(40), columns=columns)
    assert (found.window, found.region) == (window, region)


@pytest.mark.parametrize(
    ("stride", "down", "ring", "region"),
    [
        # A stripe of 3x3 takes 4 rows, each more of a region 2.
        (1, 1, 3, 1),
        (1, 1, 4, 1),
        (1, 1, 5, 1),
        (1, 1, 6, 2),
        (1, 1, 8, 3),
        (1, 1, 99, 4),
        # Every second stripe: 4 more rows each, and the other team is up to 2 rows away.
        (1, 2, 6, 1),
        (1, 2, 9, 1),
        (1, 2, 10, 2),
        # Stride 2: a stripe of 5 rows, each more 4.
        (2, 1, 8, 1),
        (2, 1, 9, 2),
    ],
)
def test_a_region_has_its_rows_on_chip(stride, down, ring, region):
    layer = a_layer(16, (3, 3), stride)
    build = TINY.replace(weight_words=2 * 4 * 9)
    assert tiling(layer, build, columns=4, down=down, ring=ring).region == region


@given(
    channels=st.integers(1, 300),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    columns=st.integers(1, 40),
    down=st.integers(1, 8),
    ring=st.none() | st.integers(8, 60),
    words=st.sampled_from([64, 200, 1024]),
    banks=st.sampled_from([1, 2, 8]),
)
def test_what_is_chosen_fits(channels, kernel, columns, down, ring, words, banks):
    build = TINY.replace(weight_words=words, clusters=banks, acc_words=64)
    layer = a_layer(channels, kernel)
    size = kernel[0] * kernel[1]
    col_words = ceil_div(channels, build.word_pixels)
    try:
        found = tiling(layer, build, columns=columns, down=down, ring=ring)
    except CompileError:
        assert channels * size > words
        assert columns > 16 or size * 4 > words // 2 or col_words > 127
        return
    assert (found.tiles - 1) * found.tile_weights + found.last_weights == channels * size
    assert found.tile_words * (found.tiles - 1) < col_words <= found.tile_words * found.tiles
    if found.tiles > 1:
        assert found.tile_weights == found.tile_words * build.word_pixels * size
        assert found.last_weights <= found.tile_weights
        # The two rows of all columns of a region's stripes.
        assert columns <= found.window + 1
        assert 2 * (found.window + 1) * found.region <= build.acc_words
        last_row = (found.region - 1) * 2 * down + kernel[0] + 1
        assert found.region == 1 or ring is None or last_row + 2 * (down - 1) <= ring
    else:
        assert (found.region, found.window, found.resident) == (1, build.window - 1, True)
    most = words if found.alone else words // 2
    assert max(found.tile_weights, found.last_weights) <= most
    # Alone only where there is no other way.
    assert not found.alone or channels * size > words // 2
    assert found.resident == (found.tiles <= 2)


@pytest.mark.parametrize(
    ("shape", "channels", "kernel", "tiles", "region"),
    [
        # VGG-16 and ResNet-50.
        ((14, 14, 512), 512, (3, 3), 2, 7),  # all stripes, so that tile 0 is free early
        ((28, 28, 256), 512, (3, 3), 1, 1),
        ((7, 7, 2048), 512, (1, 1), 1, 1),
        ((7, 7, 512), 2048, (1, 1), 1, 1),
    ],
)
def test_the_deepest_layers_of_known_networks_on_nullhop(shape, channels, kernel, tiles, region):
    layer = Conv(
        name="deep",
        weights=np.ones((channels, shape[2], *kernel), np.int64),
        bias=np.zeros(channels, np.int64),
        in_format=S16,
        out_format=S16,
        requant=Shift(0),
        pads=(kernel[0] // 2,) * 4,
    )
    for d in plan_layer(layer, shape, NULLHOP).descriptors:
        assert (d.tiles, d.region, d.resident) == (tiles, region, True)
        assert not d.alone
        assert d.loads == tiles
        assert len(d.words()) == descriptor_words(NULLHOP)
