"""What a build cannot run is refused in words, and no more than that."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.checks import check_layer
from compiler.errors import CompileError
from compiler.plan import plan_layer
from golden.network import TensorFormat
from golden.requant import Scale
from tests.layers import NULLHOP, TINY, TINY8, UP5K, a_layer

EIGHT = TensorFormat(8, signed=False, scale=1.0)
ONE = (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("layer", "shape", "build", "message"),
    [
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
            a_layer((2, 2, 3, 3), pads=(1, 1, 3, 1), stride=(4, 1)),
            (8, 8, 2),
            TINY,
            (
                "pads (1, 1, 3, 1) must be smaller than the kernel 3x3, whose stride (4, 1) is "
                "larger"
            ),
        ),
        (
            a_layer((2, 2, 3, 1), pads=(1, 1, 1, 0), stride=(1, 2)),
            (8, 8, 2),
            TINY,
            (
                "pads (1, 1, 1, 0) must be smaller than the kernel 3x1, whose stride (1, 2) is "
                "larger"
            ),
        ),
        (
            a_layer((2, 1, 1, 4), EIGHT, pads=(0, 2, 0, 1), stride=(1, 3)),
            (8, 8, 1),
            UP5K,
            (
                "pads (0, 2, 0, 1) must be smaller than the kernel 1x4, whose stride (1, 3) is "
                "larger than its pieces of 2"
            ),
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
        check_layer(layer, shape, build)
    assert str(caught.value) == f"layer 'conv/1': {message}"


def test_maps_above_zero_need_narrower_sums():
    weights = np.ones((2, 2, 1, 1), int)
    weights[:, 0] = -1
    layer = a_layer(ONE, TensorFormat(8, False, 1.0), bias=np.array([0, (1 << 23) - 300]))
    layer = replace(layer, weights=weights)
    with pytest.raises(CompileError, match="accumulators need 25 bits"):
        check_layer(layer, (8, 8, 2), UP5K)
    check_layer(layer, (8, 8, 2), UP5K, positive=True)


@pytest.mark.parametrize(
    ("layer", "shape", "rows", "held", "channels"),
    [
        (a_layer((2, 16, 3, 3)), (8, 128, 16), 4, 2, 16),
        # Of a kernel in pieces, the rows of one of them.
        (a_layer((2, 8, 8, 3)), (9, 128, 8), 5, 4, 8),
        (a_layer((2, 8, 3, 3), stride=(3, 1)), (8, 100, 8), 6, 5, 8),
        # Of a single output row, those under the kernel and no more; of a low map, all.
        (a_layer((2, 16, 3, 3)), (3, 128, 16), 3, 2, 16),
        (a_layer((2, 16, 5, 3), pads=(2, 0, 2, 0)), (3, 128, 16), 3, 2, 16),
        # Of groups, the blocks of 8 channels that a pass is given.
        (a_layer((16, 1, 3, 3), groups=16), (8, 200, 16), 4, 2, 8),
    ],
)
def test_too_few_rows_on_chip_are_refused_by_the_plan(layer, shape, rows, held, channels):
    check_layer(layer, shape, TINY)
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, shape, TINY)
    assert str(caught.value) == (
        f"layer 'conv/1': needs {rows} input rows on chip, build 'tiny' holds {held} of "
        f"{shape[1]} columns and {channels} channels: use a build with more map_words"
    )


@pytest.mark.parametrize(
    ("layer", "shape", "build"),
    [
        (a_layer((2, 1, 3, 3), EIGHT), (8, 8, 1), UP5K),
        # A kernel in pieces.
        (a_layer((2, 1, 5, 2), EIGHT), (8, 8, 1), UP5K),
        (a_layer((2, 1, 1, 4), EIGHT, pads=(0, 1, 0, 1), stride=(1, 3)), (8, 8, 1), UP5K),
        (a_layer((2, 1, 4, 4), EIGHT, pads=(4, 9, 9, 4), stride=(2, 2)), (8, 8, 1), UP5K),
        # Two columns to an address.
        (a_layer((2, 4, 3, 3), stride=(3, 1)), (8, 100, 4), TINY),
        (a_layer((2, 2, 1, 1)), (2, 512, 2), TINY.replace(map_words=1024)),
        (a_layer((2, 2, 3, 3), pads=(2, 2, 2, 2), stride=(4, 4)), (8, 8, 2), TINY),
        (a_layer((2, 2, 3, 3), pads=(3, 9, 4, 5), stride=(3, 3)), (8, 8, 2), TINY),
        (a_layer((2, 113, 3, 3)), (3, 3, 113), TINY),
        (a_layer((2, 8, 1, 1)), (8, 8, 8), TINY.replace(word_pixels=16)),
        (a_layer((2, 8, 3, 3)), (8, 128, 8), TINY),
        # Rows for a piece of the kernel, and for the blocks that a pass is given.
        (a_layer((2, 8, 8, 3)), (9, 100, 8), TINY),
        (a_layer((16, 1, 3, 3), groups=16), (8, 128, 16), TINY),
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
    check_layer(layer, shape, build)
    assert plan_layer(layer, shape, build).layer is layer


def test_blocks_of_channels_are_whole_map_words():
    layer = a_layer((2, 9, 1, 1))
    check_layer(layer, (8, 8, 9), TINY, in_block=8)
    check_layer(layer, (8, 8, 9), TINY, in_block=9)
    with pytest.raises(CompileError, match="9 input channels come in blocks of 6, which are not"):
        check_layer(layer, (8, 8, 9), TINY, in_block=6)
