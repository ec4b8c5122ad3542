"""Tables of layers: what is refused, and where, and what random layers look like."""

import numpy as np
import pytest

from golden.adder import Adder
from golden.params import preset
from openhop import library
from openhop.figures import LayerFigures
from openhop.layer_table import (
    COLUMNS,
    Refusal,
    TableError,
    TableLayer,
    make_layer,
    read_table,
    table_figures,
)

HEADER = ",".join(COLUMNS)
GOOD = "conv,8,9,3,5,3,3,1,1,1,1,1,1,0,0.5"


@pytest.fixture
def table(tmp_path):
    """Write lines to a table and return its path."""

    def write(*lines: str):
        path = tmp_path / "layers.csv"
        path.write_text("\n".join(lines))
        return path

    return write


def test_a_line_becomes_a_layer(table):
    (layer,) = read_table(table("# a comment", "", HEADER, GOOD))
    assert layer == TableLayer(
        line=4,
        name="conv",
        in_shape=(8, 9, 3),
        out_channels=5,
        kernel=(3, 3),
        stride=(1, 1),
        pads=(1, 1, 1, 1),
        pool=False,
        density=0.5,
    )


def test_columns_may_come_in_any_order(table):
    header, good = (",".join(reversed(line.split(","))) for line in (HEADER, GOOD))
    (backwards,) = read_table(table(header, good))
    (forwards,) = read_table(table(HEADER, GOOD))
    assert backwards == forwards


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "line 1: needs one column name"),
        ([HEADER], "has no layers"),
        ([HEADER.replace("density", "zeros"), GOOD], "line 1: needs one column density"),
        ([HEADER + ",H", GOOD + ",1"], "line 1: needs one column H"),
        ([HEADER + ",bias", GOOD + ",1"], "line 1: column 'bias' is unknown"),
        ([HEADER, GOOD, GOOD + ",1"], "line 3: has 16 columns, not 15"),
        ([HEADER, "# why", GOOD.replace("conv", "")], "line 3, column name: must be the layer's"),
        ([HEADER, GOOD.replace(",8,", ",eight,")], "line 2, column H: must be a whole number from"),
        ([HEADER, GOOD.replace(",8,", ",0,")], "column H: must be a whole number from 1 to 4095"),
        ([HEADER, GOOD.replace(",8,", ",-8,")], "column H: must be a whole number .*, not '-8'"),
        ([HEADER, GOOD.replace(",9,", ",9.5,")], "column W: .*, not '9.5'"),
        ([HEADER, GOOD.replace(",0,0.5", ",2,0.5")], "column pool: .* from 0 to 1, not '2'"),
        ([HEADER, GOOD.replace("0.5", "1.5")], "column density: must be a number from 0 to 1"),
        ([HEADER, GOOD.replace("0.5", "nan")], "column density: .*, not 'nan'"),
        ([HEADER, GOOD.replace("0.5", "half")], "column density: .*, not 'half'"),
        ([HEADER, GOOD, '"open'], "line 3: "),
    ],
)
def test_errors_name_line_and_column(table, lines, reason):
    path = table(*lines)
    with pytest.raises(TableError, match=f"^{path}.*{reason}"):
        read_table(path)


def test_a_table_must_be_text(tmp_path):
    path = tmp_path / "layers.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="is not a text file"):
        read_table(path)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_random_maps_have_the_density(table, density):
    (row,) = read_table(
        table(HEADER, GOOD.replace("8,9,3", "40,50,20").replace("0.5", str(density)))
    )
    network, x = make_layer(row)
    assert np.mean(x != 0) == pytest.approx(density, abs=0.02)
    assert np.array_equal(x, make_layer(row)[1])
    if density:
        y = network.run(x)[-1]
        assert 0.3 < np.mean(y == 0) < 0.7
        assert 20 < np.mean(y[y > 0]) < 120


def test_an_impossible_layer_names_its_line(table):
    path = table(HEADER, GOOD, "big,2,2,1,1,7,7,1,1,0,0,0,0,0,1")
    figures = table_figures(path, preset("tiny"))
    assert next(figures).name == "conv"
    with pytest.raises(TableError, match=r"line 3: layer 'big': kernel 7x7 is larger"):
        next(figures)


def test_a_layer_beyond_the_build_is_refused_in_words(table):
    path = table(HEADER, "strided" + GOOD[4:].replace("1,1,1,1,1,1", "5,5,1,1,1,1"), GOOD)
    seen = []
    refused, good = table_figures(
        path, preset("tiny"), lambda name, done, all_: seen.append((name, done, all_))
    )
    assert isinstance(refused, Refusal)
    assert refused.name == "strided"
    assert "stride" in refused.reason
    assert good.sums.cycles > 0
    assert seen == [("strided", 0, 2), ("conv", 1, 2)]


def test_adder_layers_for_l1_builds():
    rows = read_table(library.table_path("fashion"))
    network, x = make_layer(rows[2], "l1")
    (layer,) = network.layers
    assert isinstance(layer, Adder)
    assert np.array_equal(x, make_layer(rows[2])[1])
    assert np.mean(layer.run(x) == 0) == pytest.approx(0.5, abs=0.05)
    path = library.table_path("fashion")
    (first, *_) = table_figures(path, preset("tiny_l1"))
    assert isinstance(first, LayerFigures)
    assert first.kind == "adder"
