"""Dense machines: the closed forms against published totals, and NullHop's figures."""

import math

import pytest

from golden.conv import output_size
from golden.params import ceil_div
from openhop import library
from openhop.layer_table import TableLayer, read_table
from openhop.peers import NULLHOP, Systolic, systolic


def table(name: str) -> list[TableLayer]:
    return read_table(library.table_path(name))


def macs(row: TableLayer) -> int:
    positions = output_size(row.in_shape[:2], row.kernel, row.stride, row.pads)
    return math.prod(positions) * math.prod(row.kernel) * row.in_shape[2] * row.out_channels


def peer(row: TableLayer, array: tuple[int, int]) -> Systolic:
    height, width, channels = row.in_shape
    top, left, bottom, right = row.pads
    padded = (height + top + bottom, width + left + right)
    return systolic(padded, row.kernel, row.stride, (channels, row.out_channels), array)


@pytest.mark.parametrize(
    ("name", "layers", "mmac", "os", "ws", "ws_large"),
    [
        ("squeezenet", 26, 352.5, 3_285_998, 3_081_206, 492_876),
        ("alexnet", 8, 595.9, 4_802_234, 5_243_620, 809_028),
        ("resnet50", 53, 4087.1, 35_616_543, 38_375_167, 6_269_233),
        ("vgg19", 16, 19_508.4, 155_258_608, 157_227_024, 20_904_564),
    ],
)
def test_the_tables_give_the_totals_of_scale_sim(name, layers, mmac, os, ws, ws_large):
    rows = table(name)
    assert len(rows) == layers
    assert round(sum(map(macs, rows)) / 1e6, 1) == mmac
    small = sum((peer(row, (8, 16)) for row in rows), Systolic(os=0, ws=0))
    assert small == Systolic(os=os, ws=ws)
    assert sum(peer(row, (32, 32)).ws for row in rows) == ws_large


def test_a_layer_by_hand():
    """5x6 padded, kernel 3x2, stride 2x1: 2x5 positions; K = 3 * 2 * 4 = 24, 20 filters."""
    assert systolic((5, 6), (3, 2), (2, 1), (4, 20)) == Systolic(
        os=2 * 2 * (24 + 22) - 1, ws=3 * 2 * (10 + 30) - 1
    )


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_published_cycles_and_efficiency_agree(name):
    paper = NULLHOP[name]
    dense = sum(map(macs, table(name))) / 128
    assert dense / paper.cycles == pytest.approx(paper.efficiency, rel=2e-3)
    assert 1 / (1 - paper.zeros) == pytest.approx(paper.efficiency, rel=2e-3)
    assert paper.json()["cycles"] == paper.cycles


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vgg_is_a_chain_of_3x3_layers(name):
    rows = table(name)
    assert rows[0].in_shape == (224, 224, 3)
    assert sum(row.pool for row in rows) == 5
    assert {(row.kernel, row.stride, row.pads) for row in rows} == {((3, 3), (1, 1), (1,) * 4)}


def test_resnet_blocks_fit_together():
    """The three layers of a branch take what the one before gives; the strides are the 3x3's."""
    rows = {row.name: row for row in table("resnet50")}
    for name, row in rows.items():
        if name.endswith(("branch2b", "branch2c")):
            before = rows[name[:-1] + chr(ord(name[-1]) - 1)]
            size = ceil_div(before.in_shape[0], before.stride[0])
            assert row.in_shape == (size, size, before.out_channels)
        assert row.stride == (1, 1) or not name.endswith(("2a", "2c"))
