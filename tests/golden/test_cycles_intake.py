"""The intake's cycle model against a walk through the bytes.

Against the hardware it stands in tests/hdl/test_intake.py.
"""

from itertools import accumulate, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.cycles.intake import row_cycles
from golden.descriptor import block_sizes
from golden.params import Build, ceil_div, preset
from golden.segment import encode_sparse

TINY, TINY8, NULLHOP = preset("tiny"), preset("tiny8"), preset("nullhop")
#: Two map words to a sparsity map.
HALVES = NULLHOP.replace(word_pixels=8, depthwise=False)


def a_pass(
    channels: int, block_channels: int = 128, *, branch_channels: int = 4095, dense: bool = False
) -> SimpleNamespace:
    """What the model needs of a pass descriptor."""
    in_blocks = block_sizes(channels, branch_channels, block_channels)
    return SimpleNamespace(in_channels=channels, in_blocks=in_blocks, dense=dense)


def word_counts(build: Build, pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    n = build.step_pixels
    real = np.zeros((height, width, ceil_div(channels, n) * n), int)
    real[:, :, :channels] = pixels != 0
    return real.reshape(height, width, -1, n).sum(axis=3)


def walk(build: Build, segment: bytes, channels: int) -> int:
    """Cycles of one sparse segment, byte by byte: the first bus word, the steps, the end."""
    cycles, fill, to_come, at = 0, 0, len(segment), 0

    def cycle(need: int) -> bool:
        nonlocal cycles, fill, to_come
        cycles += 1
        done = fill >= need
        come = min(8, to_come) if fill <= build.intake_bytes - 8 else 0
        fill += come - need * done
        to_come -= come
        return done

    def step(need: int) -> None:
        while not cycle(need):
            pass

    step(0)
    while at < len(segment):
        for first in range(0, channels, 16):
            bits = int.from_bytes(segment[at : at + 2], "little")
            step(2)
            at += 2
            for c in range(0, min(16, channels - first), build.step_pixels):
                count = (bits >> c & (1 << build.step_pixels) - 1).bit_count()
                step(count * build.act_bytes)
                at += count * build.act_bytes
    step(0)
    return cycles


@pytest.mark.parametrize(
    ("build", "counts", "channels", "dense", "cycles"),
    [
        # One cycle of the row, two of the segment; an empty column is a map and its words.
        (TINY, [[0]], 4, False, 3 + 2),
        (TINY, [[0, 0, 0, 0]], 16, False, 3 + 5),
        (HALVES, [[0, 0, 0]], 20, False, 3 + 5),
        (NULLHOP, [[0, 0]], 20, False, 3 + 4),
        # 10 bytes: the second bus word comes while the map is decoded.
        (TINY, [[4]], 4, False, 3 + 2),
        (TINY8, [[8]], 8, False, 3 + 2),
        # 18 bytes: the word waits a cycle for the third bus word.
        (HALVES, [[8]], 8, False, 3 + 3),
        # 18 bytes, of which the last two wait for the third.
        (TINY8.replace(word_pixels=16), [[16]], 16, False, 3 + 3),
        # Dense: values only, also those that are zero.
        (TINY, [[0]], 3, True, 3 + 1),
        (TINY, [[0, 0]], 8, True, 3 + 2),
        (HALVES, [[0, 0]], 16, True, 3 + 4),
    ],
)
def test_small_maps_by_hand(build, counts, channels, dense, cycles):
    result = row_cycles(build, a_pass(channels, dense=dense), np.array([counts]))
    assert result.tolist() == [cycles]
    assert result.dtype == np.int64


def test_every_segment_costs_two_cycles():
    counts = np.zeros((2, 6, 5), int)
    ranges = [[(0, 6)], [(0, 2), (2, 3), (3, 6)]]
    whole = row_cycles(HALVES, a_pass(40, 16), counts)
    split = row_cycles(HALVES, a_pass(40, 32), counts, ranges)
    assert whole.tolist() == [1 + 3 * 2 + 6 * (3 + 5)] * 2
    assert split.tolist() == [1 + 4 * 2 + 6 * (3 + 5)] * 2


@given(
    build=st.sampled_from([TINY, TINY8, HALVES, NULLHOP]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 50)),
    groups=st.integers(1, 3),
    branch=st.integers(1, 4),
    edges=st.sets(st.integers(1, 5)),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_equals_a_walk_through_the_bytes(build, shape, groups, branch, edges, density, seed):
    rng = np.random.default_rng(seed)
    pixels = (rng.random(shape) < density).astype(f"u{build.act_bytes}")
    height, width, channels = shape
    ranges = list(pairwise([0, *sorted(e for e in edges if e < width), width]))
    sizes = block_sizes(channels, 16 * branch, 16 * groups)
    blocks = [(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
    wanted = [
        1
        + sum(
            walk(
                build,
                encode_sparse(np.ascontiguousarray(pixels[y : y + 1, a:b, c:d]), 0)[0].tobytes(),
                d - c,
            )
            for c, d in blocks
            for a, b in ranges
        )
        for y in range(height)
    ]
    counts = word_counts(build, pixels)
    loaded = a_pass(channels, 16 * groups, branch_channels=16 * branch)
    result = row_cycles(build, loaded, counts, [ranges] * len(blocks))
    assert result.tolist() == wanted
