"""The scripts that made the AdderNets: they load, and their pure parts do what they say."""

import ast
import ctypes
import importlib
import json
import subprocess

import numpy as np
import onnx
import pytest
from onnx import helper

from models.adder import data, evaluate, floats, graph, integers, quantise, samples, sums, work
from models.adder.networks import DIGITS, FASHION, NETWORKS, AdderNet, Layer
from tests.compiler import oracle
from tests.test_house import ROOT

FOLDER = ROOT / "models" / "adder"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
#: Need torch, which is not among the dependencies of a test.
UNLOADED = {"layer", "train"}
GEOMETRIES = [(3, 1, [1] * 4), (3, 2, [1] * 4), (4, 1, [0] * 4), (2, 1, [0, 1, 1, 0])]


def naive(x, weights, stride, pads, term):
    """Sum of term(x, w) over every window, one output at a time, in Python's integers."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))).astype(object)
    k = weights.shape[2]
    high, wide = ((size - k) // stride + 1 for size in x.shape[2:])
    out = np.zeros((len(x), len(weights), high, wide), object)
    for n, o, i, j in np.ndindex(out.shape):
        window = x[n, :, i * stride : i * stride + k, j * stride : j * stride + k]
        out[n, o, i, j] = term(window, weights[o].astype(object)).sum()
    return out


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_compiles_and_says_what_it_is(name):
    source = (FOLDER / f"{name}.py").read_text()
    assert ast.get_docstring(ast.parse(source))
    compile(source, name, "exec")


def test_no_script_needs_torch_but_those_that_train():
    for name in SCRIPTS:
        if name not in UNLOADED:
            importlib.import_module(f"models.adder.{name}")
        assert ("import torch" in (FOLDER / f"{name}.py").read_text()) == (name in UNLOADED)


@pytest.mark.parametrize(("kernel", "stride", "pads"), GEOMETRIES)
def test_distances_are_the_definition(rng, kernel, stride, pads):
    x = rng.integers(0, 256, (2, 3, 7, 8), np.uint8)
    weights = rng.integers(-3000, 3000, (5, 3, kernel, kernel)).astype(np.int16)
    y = sums.distances(x, weights, stride, pads)
    assert y.dtype == np.int32
    assert (y == naive(x, weights, stride, pads, lambda a, b: -abs(a - b))).all()


def test_distances_of_weights_at_the_ends_of_16_bits(rng):
    x = rng.integers(0, 256, (1, 1, 4, 4), np.uint8)
    weights = np.array([-(2**15), 2**15 - 1, 0, -1], np.int16).reshape(1, 1, 2, 2)
    y = sums.distances(x, weights, 1, [0] * 4)
    assert (y == naive(x, weights, 1, [0] * 4, lambda a, b: -abs(a - b))).all()


def test_distances_of_floats(rng):
    x, weights = rng.random((2, 3, 5, 5), np.float32), rng.random((4, 3, 3, 3), np.float32)
    y = sums.distances(x, weights, 1, [1] * 4)
    assert y.dtype == np.float32
    assert np.allclose(
        y, naive(x, weights, 1, [1] * 4, lambda a, b: -abs(a - b)).astype(float), rtol=1e-5
    )


@pytest.mark.parametrize(("kernel", "stride", "pads"), GEOMETRIES)
def test_products_are_the_definition(rng, kernel, stride, pads):
    x = rng.integers(0, 256, (2, 3, 7, 8), np.uint8)
    weights = rng.integers(-128, 128, (5, 3, kernel, kernel), np.int8)
    y = sums.products(x, weights, stride, pads)
    assert (y == naive(x, weights, stride, pads, lambda a, b: a * b)).all()


def test_max_pool_drops_an_odd_edge():
    x = np.arange(15).reshape(1, 1, 3, 5)
    assert sums.pooled(x, 2, 2).tolist() == [[[[6, 8]]]]


def test_requantisation_rounds_half_to_even_before_the_zero_point_and_saturates():
    acc = np.array([1, 3, 5, -1, -3, 10**6, -(10**6)]).reshape(1, 1, 1, 7)
    y = integers.requantised(acc, np.array([0.5], np.float32), np.uint8(3))
    assert y.ravel().tolist() == [3, 5, 5, 3, 1, 255, 0]


def small_network(kinds=("conv", "adder", "conv")) -> tuple[AdderNet, dict[str, np.ndarray]]:
    """Three small layers, a pool behind the first two, and random weights."""
    rng = np.random.default_rng(2)
    shapes = [(1, 4, 3, 1, 1, True), (4, 6, 3, 1, 1, True), (6, 10, 7, 1, 0, False)]
    layers = tuple(
        Layer(f"layer{n}", kind, *shape)
        for n, (kind, shape) in enumerate(zip(kinds, shapes, strict=True))
    )
    weights = {}
    for layer in layers:
        name = layer.name
        weights[f"{name}_w"] = rng.normal(0, 1, layer.shape).astype(np.float32)
        if layer.kind == "conv":
            weights[f"{name}_b"] = rng.normal(0, 1, layer.maps_out).astype(np.float32)
        else:
            taps = weights[f"{name}_w"][0].size
            weights[f"{name}_gain"] = rng.uniform(0.1, 0.3, layer.maps_out).astype(np.float32)
            weights[f"{name}_offset"] = (taps * weights[f"{name}_gain"]).astype(np.float32)
    return AdderNet("fashion", layers, epochs=1, shift=0, mirror=False), weights


@pytest.fixture
def pictures(rng):
    return floats.to_input(rng.integers(0, 256, (20, 28, 28), np.uint8))


def test_stock_nodes_give_what_onnx_runtime_gives(pictures):
    """All nodes but the adders."""
    network, weights = small_network(("conv",) * 3)
    model = graph.int8_model(network, weights, quantise.ranges(network, weights, pictures))
    del model.opset_import[1]
    (expected,) = oracle.session(model).run(None, {graph.INPUT: pictures})
    assert np.array_equal(integers.run(model, pictures)[graph.OUTPUT], expected)


@pytest.mark.parametrize("kinds", [("conv", "adder", "conv"), ("adder",) * 3], ids="-".join)
def test_8_bits_are_near_to_float(pictures, kinds):
    network, weights = small_network(kinds)
    model = graph.int8_model(network, weights, quantise.ranges(network, weights, pictures))
    onnx.checker.check_model(model, full_check=True)
    expected = floats.scores(network, weights, pictures)
    scores = integers.run(model, pictures)[graph.OUTPUT]
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.99


def test_the_adder_s_bias_and_scale_are_its_batch_norm(pictures):
    """One layer by hand: every output within one step of the float one."""
    network, weights = small_network(("adder",) * 3)
    model = graph.int8_model(network, weights, quantise.ranges(network, weights, pictures))
    values = integers.run(model, pictures)
    y = floats.run(network, weights, pictures)["layer0"]
    (node,) = (node for node in model.graph.node if node.name == "layer0")
    step = y.max() / 255
    assert np.abs(values[node.output[0]] - y / step).max() <= 1.5


def test_a_negative_gain_is_refused(pictures):
    network, weights = small_network()
    ranges = quantise.ranges(network, weights, pictures)
    weights["layer1_gain"][2] = -0.5
    with pytest.raises(ValueError, match=r"layer1: a gain is -0.5; they must be positive"):
        graph.int8_model(network, weights, ranges)


def test_steps_round_half_to_even_and_never_wrap():
    values = np.array([0.5, 1.5, -0.5, 2.25])
    assert graph.to_steps(values, 1, np.int16).tolist() == [0, 2, 0, 2]
    with pytest.raises(OverflowError, match="40000 does not fit into int16"):
        graph.to_steps(np.array([40000.0]), 1, np.int16)


def test_scores_get_headroom(pictures):
    network, weights = small_network()
    seen = floats.run(network, weights, pictures)["layer2"]
    low, high = quantise.ranges(network, weights, pictures)["layer2"]
    assert (low, high) == (1.25 * float(seen.min()), 1.25 * float(seen.max()))


@pytest.mark.parametrize("key", ["strides", "group"])
def test_an_unknown_geometry_is_refused(key):
    values = {"strides": [1, 1], "pads": [0] * 4, "group": 1}
    values[key] = {"strides": [1, 2], "group": 2}[key]
    node = helper.make_node("AdderConv", ["x"], ["y"], "odd", domain="openhop", **values)
    with pytest.raises(ValueError, match="odd: its strides must be equal, and there may be one"):
        integers.geometry(node)


def test_operations_are_counted_tap_by_tap(rng):
    x = rng.integers(0, 3, (2, 3, 6, 5), np.uint8)
    weights = rng.integers(-2, 3, (4, 3, 3, 3)).astype(np.int16)
    found = work.operations(x, weights, 2, [1] * 4)

    def count(term):
        return naive(x, weights, 2, [1] * 4, term).sum()

    assert found == {
        "dense": count(lambda a, _b: a * 0 + 1),
        "nonzero": count(lambda a, _b: a != 0),
        "live": count(lambda a, b: (a != 0) & (b > 0)),
    }


def test_the_report_adds_up_the_adder_layers(pictures):
    network, weights = small_network()
    model = graph.int8_model(network, weights, quantise.ranges(network, weights, pictures))
    table = work.report(model, pictures)
    assert list(table) == ["layer0", "layer1", "layer2", "adder_layers"]
    assert "left_live" not in table["layer0"]
    for key in ("operations", "left_nonzero", "left_live"):
        assert table["adder_layers"][key] == table["layer1"][key]
    assert table["layer1"]["operations"] == 14 * 14 * 9 * 4 * 6
    assert 0 < table["layer1"]["left_live"] < table["layer1"]["left_nonzero"] < 1


def test_ties_and_answers():
    scores = np.array([[1, 3, 3], [2, 1, 0], [5, 5, 5]])
    assert evaluate.tied(scores) == 2
    assert evaluate.answers(scores).tolist() == [1, 0, 0]


def test_samples_are_the_first_two_of_each_class_and_four_others():
    labels = np.repeat(np.arange(10), 30)
    chosen = samples.choose(labels)
    firsts = [30 * label + index for label in range(10) for index in range(2)]
    assert chosen == sorted([*firsts, 2, 3, 4, 5])


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_layers_fit_each_other(network):
    size, maps = 28, 1
    for layer in network.layers:
        assert layer.maps_in == maps
        size, maps = layer.size_out(size), layer.maps_out
    assert (size, maps) == (1, 10)
    assert len(network.labels()) == 10


def write_digits(folder, counts):
    for digit, count in enumerate(counts):
        shares = [round((digit * 20 + n % 20) / 255, 3) for n in range(count) for _ in range(784)]
        (folder / f"{digit}.json").write_text(json.dumps({"data": shares}))


def test_digits_are_read_and_split(tmp_path, monkeypatch):
    write_digits(tmp_path, [3] * 10)
    monkeypatch.setattr(data, "HELD_OUT_DIGITS", 6)
    everything, classes = data.read_digits(tmp_path)
    assert (everything.shape, everything.dtype) == ((30, 28, 28), np.uint8)
    assert everything[:, 0, 0].tolist() == [20 * d + n for d in range(10) for n in range(3)]
    assert classes.tolist() == [d for d in range(10) for _ in range(3)]
    train, held = (data.load(DIGITS, tmp_path, held_out=held) for held in (False, True))
    assert (len(train[1]), len(held[1])) == (24, 6)
    together = np.concatenate([train[0], held[0]])[:, 0, 0]
    assert sorted(together.tolist()) == sorted(everything[:, 0, 0].tolist())
    again = data.load(DIGITS, tmp_path, held_out=True)
    assert np.array_equal(again[0], held[0])


@pytest.mark.parametrize("network", [DIGITS, FASHION], ids=lambda network: network.name)
def test_without_the_data_set_it_says_how_to_get_it(network, tmp_path):
    with pytest.raises(SystemExit, match=r"not found; .*data.py says how to get the data set"):
        data.load(network, tmp_path, held_out=True)


def test_the_loops_of_the_trained_layer(rng, tmp_path):
    """l1.cpp against its definition; rows that fill no block of six are among them."""
    file = tmp_path / "l1.so"
    source = FOLDER / "l1.cpp"
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", "-w", source, "-o", file], check=True)
    library = ctypes.CDLL(str(file))
    N, K, F = 20, 32, 64
    x, w, g = (rng.normal(0, 1, shape).astype(np.float32) for shape in ((N, K), (F, K), (N, F)))
    y, gx = np.empty((N, F), np.float32), np.empty((N, K), np.float32)

    def call(function, *arrays):
        places = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        function(*(ctypes.c_long(size) for size in (N, K, F)), *places)

    call(library.l1_forward, x, np.ascontiguousarray(w.T), y)
    call(library.l1_backward, x, w, g, gx)
    apart = x[:, None] - w
    assert np.allclose(y, np.abs(apart).sum(2), rtol=1e-5)
    assert np.allclose(gx, (g[:, :, None] * (-apart).clip(-1, 1)).sum(1), rtol=1e-4, atol=1e-5)
