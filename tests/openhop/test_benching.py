"""Benches on a small core: chains and single layers in RTL, bit for bit and cycle for cycle."""

import numpy as np
import onnx
import pytest
from PIL import Image

from compiler.errors import CompileError
from golden.params import preset
from openhop import library
from openhop.bench_records import FOLDER, compare, load
from openhop.benching import Bench, bench, bench_network
from openhop.fetching import fetch
from openhop.layer_table import COLUMNS, TableError
from openhop.peers import Systolic
from tests.compiler.networks import QuantisedChain

TINY = preset("tiny")
HEADER = ",".join(COLUMNS)
FIRST = "first,12,14,3,8,3,3,1,1,1,1,1,1,0,0.984"
SECOND = "second,12,14,8,12,3,3,1,1,1,1,1,1,1,0.5"
#: No build can: a stride that steps over rows of the padding.
WIDE = "wide,6,7,12,12,1,1,2,2,5,5,5,5,0,0.4"
THIRD = "third,8,9,12,6,3,3,1,1,0,0,0,0,0,0.3"


@pytest.fixture
def table(tmp_path):
    """Write lines to a table and return its path."""

    def write(*lines: str):
        path = tmp_path / "small.csv"
        path.write_text("\n".join([HEADER, *lines]))
        return path

    return write


def names(result: Bench) -> list[str]:
    return [layer.figures.name for layer in result.layers]


@pytest.mark.parametrize("frame", ["random", "clustered"])
@pytest.mark.parametrize("zeros", [None, 0.696])
def test_a_chain_in_rtl(table, frame, zeros):
    steps = []
    result = bench(
        table(FIRST, SECOND, THIRD.replace("8,9", "6,7")),
        TINY,
        frame=frame,
        zeros=zeros,
        progress=lambda *step: steps.append(step),
    )
    assert result.chained
    assert result.passed
    assert names(result) == ["first", "second", "third"]
    for layer, target in zip(result.layers, (0.016, 0.5, 0.7), strict=True):
        sums = layer.figures.sums
        assert sums.exact
        assert sums.as_predicted
        assert sums.cycles == sums.cycles_model
        assert layer.zeros_target == pytest.approx(zeros or target)
        assert sums.input_zeros == pytest.approx(layer.zeros_target, abs=0.01)
    assert result.sim_cycles_per_s
    done = [done for text, done, _ in steps if text.startswith("simulating")]
    assert done == sorted(done)
    assert 0 < done[-1] <= 3


def test_the_models_predict_what_the_rtl_does(table):
    path = table(FIRST, SECOND)
    contents = [bench(path, TINY, engine=engine).json() for engine in ("rtl", "golden")]
    aside = {"engine", "bit_exact", "as_predicted", "sim_cycles_per_s"}
    assert [content["bit_exact"] for content in contents] == [True, None]
    for content in contents:
        for part in (content, content["total"], *content["layers"]):
            for key in aside & set(part):
                del part[key]
    assert contents[0] == contents[1]


def test_a_chain_goes_on_behind_a_layer_that_cannot_run(table):
    result = bench(table(FIRST, SECOND, WIDE, THIRD), TINY)
    assert result.chained
    assert names(result) == ["first", "second", "third"]
    assert [refusal.name for refusal in result.refused] == ["wide"]
    assert "pads" in result.refused[0].reason
    assert not result.passed
    assert result.total.exact
    assert result.total.as_predicted


def test_layers_of_a_chain_are_the_same_alone(table):
    path = table(FIRST, SECOND, WIDE, THIRD)
    whole = bench(path, TINY, engine="golden")
    some = bench(path, TINY, engine="golden", names=["third", "first"])
    assert (whole.selected, some.selected) == (False, True)
    assert names(some) == ["first", "third"]
    assert some.refused == ()
    for layer in some.layers:
        (same,) = (other for other in whole.layers if other.figures.name == layer.figures.name)
        # Rows of the input are cut otherwise where the layer before is not in the program.
        assert layer.figures.sums.useful_ops == same.figures.sums.useful_ops


@pytest.mark.parametrize("frame", ["random", "clustered"])
def test_layers_by_themselves_in_rtl(table, frame):
    result = bench(table(FIRST, THIRD, WIDE), TINY, frame=frame, zeros=0.4)
    assert not result.chained
    assert names(result) == ["first", "third"]
    assert [refusal.name for refusal in result.refused] == ["wide"]
    assert result.total.exact
    assert result.total.as_predicted
    assert result.total.input_zeros == pytest.approx(0.4, abs=0.05)


def test_zeros_of_each_layer_of_a_chain_can_be_its_own(table):
    """A layer's zeros are then without structure, and the same whatever stands before it."""
    lines = (FIRST, SECOND, THIRD.replace("8,9", "6,7"))
    result = bench(table(*lines), TINY, zeros=0.4, independent=True)
    assert (result.chained, result.independent, result.passed) == (False, True, True)
    assert names(result) == ["first", "second", "third"]
    last = bench(table(*lines), TINY, zeros=0.4, independent=True, names=["third"])
    assert last.layers[0].figures == result.layers[2].figures
    chained = bench(table(*lines), TINY, zeros=0.4, engine="golden")
    assert chained.layers[2].figures.sums.useful_ops != result.layers[2].figures.sums.useful_ops


def test_what_stands_beside(table):
    result = bench(table(FIRST, SECOND), TINY, engine="golden")
    first, second = result.layers
    assert first.systolic == Systolic(os=21 * (27 + 22) - 1, ws=4 * (168 + 30) - 1)
    assert result.systolic == first.systolic + second.systolic
    content = result.json()
    assert content["total"]["cycles_systolic_os"] == first.systolic.os + second.systolic.os
    assert content["nullhop"] is None
    assert content["layers"][1]["pool"] is True


def test_a_network_with_a_picture(model, pictures):
    network = library.load(model)
    result = bench_network(network, TINY, pictures[0])
    assert (result.table, result.frame, result.picture) == ("small", "photo", "first.png")
    assert result.total.exact
    assert result.total.as_predicted
    assert [layer.figures.name for layer in result.layers] == [
        layer.name for layer in network.layers
    ]
    assert {layer.zeros_target for layer in result.layers} == {None}
    assert result.json()["picture"] == "first.png"
    assert result.host == ()


def test_layers_of_the_host_have_no_figures(tmp_path):
    """A build whose lanes cannot keep the largest product."""
    net = QuantisedChain((1, 8, 8)).conv(4).node("MaxPool", kernel_shape=[3, 3]).conv(3)
    onnx.save(net.real().end(), tmp_path / "pooled.onnx")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "picture.png")
    network = library.load(tmp_path / "pooled.onnx")
    build = TINY.replace(max_pool=False)
    result = bench_network(network, build, tmp_path / "picture.png", engine="golden")
    assert len(result.layers) == 2
    (pool,) = result.json()["host"]
    assert (pool["kind"], pool["kernel"], pool["stride"]) == ("maxpool", [3, 3], [1, 1])
    assert (pool["in_shape"], pool["out_shape"]) == ([6, 6, 4], [4, 4, 4])
    assert result.total.cycles == sum(layer.figures.sums.cycles for layer in result.layers)


def test_pools_on_the_core_take_cycles_and_no_operations(tmp_path):
    net = QuantisedChain((1, 8, 8)).conv(4).node("MaxPool", kernel_shape=[3, 3]).conv(3)
    onnx.save(net.real().end(), tmp_path / "pooled.onnx")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "picture.png")
    network = library.load(tmp_path / "pooled.onnx")
    result = bench_network(network, TINY, tmp_path / "picture.png")
    assert result.passed
    assert [layer.figures.kind for layer in result.layers] == ["conv", "maxpool", "conv"]
    pool = result.layers[1]
    assert (pool.figures.sums.dense_ops, pool.figures.sums.useful_ops) == (0, 0)
    assert pool.systolic == Systolic(os=0, ws=0)
    assert result.convolutions.cycles == result.total.cycles - pool.figures.sums.cycles
    assert result.json()["host"] == []


def test_a_table_of_which_nothing_runs(table):
    with pytest.raises(CompileError, match="pads"):
        bench(table(WIDE), TINY, engine="golden")


@pytest.mark.parametrize("lines", [[FIRST, THIRD], [FIRST, SECOND]], ids=["single", "chain"])
def test_an_impossible_layer_names_its_line(table, lines):
    # 12x14 convolutions become 6x7 after the pool: a kernel of 7x9 is larger.
    bad = "bad,6,7,12,6,7,9,1,1,0,0,0,0,0,0.3"
    with pytest.raises(TableError, match=r"small.csv line 4: layer 'bad': kernel 7x9 is larger"):
        bench(table(*lines, bad), TINY, engine="golden")


@pytest.mark.bench
@pytest.mark.parametrize("record", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_records_hold(record):
    content = load(record)
    assert content
    build = preset(content["preset"])
    if content["frame"] == "photo":
        name = content["model"]
        fetch(name)
        (picture,) = library.sample_pictures(name)
        assert picture.name == content["picture"]
        result = bench_network(library.load(name), build, picture)
    else:
        path = library.table_path(content["model"])
        result = bench(
            path,
            build,
            zeros=content["zeros"],
            frame=content["frame"],
            independent="--independent" in content["command"],
        )
    assert compare(content, result) == []
    assert result.total.exact
    assert result.total.as_predicted


@pytest.mark.bench
@pytest.mark.parametrize("table", ["vgg16", "vgg19", "squeezenet", "alexnet", "resnet50"])
def test_golden_predicts_whole_networks(table):
    result = bench(library.table_path(table), preset("nullhop"), engine="golden")
    assert result.total.cycles > 0
    assert all(
        layer.figures.sums.input_zeros == pytest.approx(layer.zeros_target, abs=0.01)
        for layer in result.layers
        if result.chained
    )
