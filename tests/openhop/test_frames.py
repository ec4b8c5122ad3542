"""Seeded maps and weights: the zeros that were asked for, alone or in clusters."""

import numpy as np
import pytest

from openhop.frames import clustering, frame_map, frame_weights, spread

SHAPE = (24, 30, 8)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("largest", [255, 32767])
@pytest.mark.parametrize("zeros", [0, 0.016, 0.7, 1])
@pytest.mark.parametrize("frame", ["random", "clustered"])
def test_maps_have_the_zeros(frame, zeros, largest):
    x = frame_map(rng(), SHAPE, zeros, largest, frame)
    assert x.shape == SHAPE
    assert np.mean(x == 0) == pytest.approx(zeros, abs=0.002)
    assert x.min() >= 0
    assert x.max() <= largest
    if zeros < 1:
        assert x.max() > 0.9 * largest
    assert np.array_equal(x, frame_map(rng(), SHAPE, zeros, largest, frame))


@pytest.mark.parametrize("zeros", [0.3, 0.7])
def test_zeros_of_a_clustered_map_are_in_clusters(zeros):
    loose, clustered = (
        frame_map(rng(), SHAPE, zeros, 255, frame) == 0 for frame in ("random", "clustered")
    )
    near = clustering(loose)
    assert near is not None
    assert abs(near) < 0.1
    assert (clustering(clustered) or 0) > 0.9
    assert spread(clustered) > 2 * spread(loose)


@pytest.mark.parametrize("largest", [7, 127, 3640, 32767])
@pytest.mark.parametrize("frame", ["random", "clustered"])
@pytest.mark.parametrize("shape", [(20, 16, 3, 3), (20, 300, 1, 1), (20, 1, 5, 7)])
def test_weights_stay_in_range_and_differ(frame, largest, shape):
    weights = frame_weights(rng(), shape, largest, frame)
    assert (weights.shape, weights.dtype) == (shape, np.int16)
    assert np.abs(weights.astype(int)).max() <= largest
    assert len({channel.tobytes() for channel in weights}) > 1
    assert weights.min() < 0 < weights.max()


def test_kernels_of_clustered_weights_are_low_pass():
    weights = frame_weights(rng(), (6, 4, 3, 3), 1000, "clustered")
    middle = weights[:, :, 1, 1]
    assert np.array_equal(weights[:, :, 0, 1] * 2, middle)
    assert np.array_equal(weights[:, :, 2, 2] * 4, middle)


def test_clustering_of_maps_that_are_easy_to_see():
    rows, cols = np.indices((8, 8))
    board = ((rows + cols) % 2 == 0)[:, :, np.newaxis]
    assert clustering(board) == -1
    halves = (cols < 4)[:, :, np.newaxis]
    assert clustering(halves) == pytest.approx(104 / 112 - 8 / 112, abs=0.01)
    assert clustering(np.ones((8, 8, 3), bool)) is None
    assert clustering(np.ones((1, 1, 3), bool)) is None


def test_spread_of_maps_that_are_easy_to_see():
    halves = np.zeros((4, 4, 5), bool)
    assert spread(halves) == 0
    halves[:2] = True
    assert spread(halves) == 0.5
