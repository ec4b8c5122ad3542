"""Figures: what they show, and that they come out the same each time."""

import io

import numpy as np
import pytest
from PIL import Image

from openhop import plots


def test_tiles_stand_side_by_side():
    nonzero = np.zeros((2, 3, 4), bool)
    nonzero[0, 2, 1] = nonzero[1, 0, 2] = True
    grid = plots.tiles(nonzero)
    k, g, w = plots.BLACK, plots.GREY, plots.WHITE
    assert grid.tolist() == [
        [g, g, g, g, g, g, g, g, g],
        [g, k, k, k, g, k, k, w, g],
        [g, k, k, k, g, k, k, k, g],
        [g, g, g, g, g, g, g, g, g],
        [g, k, k, k, g, k, k, k, g],
        [g, w, k, k, g, k, k, k, g],
        [g, g, g, g, g, g, g, g, g],
    ]


@pytest.mark.parametrize(
    ("channels", "across", "down"), [(1, 1, 1), (10, 5, 2), (32, 8, 4), (64, 8, 8), (13, 4, 4)]
)
def test_the_grid_is_full_where_it_can_be(channels, across, down):
    grid = plots.tiles(np.zeros((1, 1, channels), bool))
    assert grid.shape == (2 * down + 1, 2 * across + 1)


def test_the_largest_map_is_shown(report):
    assert plots.largest_map(report.first).plan.layer.name == "conv1"


def test_the_same_figure_has_the_same_bytes(report):
    first, second = (plots.png(plots.saved(report)) for _ in range(2))
    assert first == second
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.width > picture.height > 400
