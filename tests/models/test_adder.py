"""The bundled AdderNets are those of their records, and the records are good enough."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from models.adder import evaluate, floats, graph, integers, work
from models.adder.data import DEFAULT_DATA
from models.adder.networks import NETWORKS, AdderNet
from models.adder.quantise import ranges
from openhop.library import load
from openhop.pictures import load_picture
from tests.test_house import ROOT

README = (ROOT / "models" / "README.md").read_text()
#: The files that the records were measured with: quantise.py writes the same bytes in every run.
DIGESTS = {
    "digits_adder.onnx": "62a86903803d54cb0f496ae84c1073a2756996b2150f9b95bfe7a5fae6f25be7",
    "digits_adder_float.npz": "f51d7e0e9d245da195060d8447f604b9d3e10a2237d16c7c8321c0dab74d24f3",
    "fashion_adder.onnx": "92ab1873a7228f416bb55a481bb82e77b53deb43ca17626db6955f89c974a66c",
    "fashion_adder_float.npz": "d1dc8935423a8b30cb7cb205abf60c5f0c28fe54e8359eaed11d4e630b174b5f",
}
#: What each network has to reach, and by how much 8 bits may differ from float.
LEAST_TOP1 = {"digits": 0.975, "fashion": 0.87}
MOST_LOST = 0.003
HELD_OUT = {"digits": 1500, "fashion": 10_000}
#: Sample pictures that the network takes for something else; models/README.md names them.
MISTAKEN = {"digits": {}, "fashion": {"0023_ankleboot": "sandal"}}
#: Where the pictures may be: models/adder/data.py says how to get them.
DATA = {
    "digits": Path(os.environ.get("MNIST_DIGITS", DEFAULT_DATA["digits"])),
    "fashion": Path(os.environ.get("FASHION_MNIST", DEFAULT_DATA["fashion"])),
}


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def network(request) -> AdderNet:
    return request.param


@pytest.fixture(scope="module")
def record(network) -> dict:
    return json.loads((network.folder / "accuracy.json").read_text())


@pytest.fixture(scope="module")
def model(network) -> onnx.ModelProto:
    return onnx.load(network.onnx)


def sample_pictures(network: AdderNet) -> tuple[list[Path], np.ndarray, np.ndarray]:
    """Files of the sample pictures, their pixels [N, 28, 28] and their classes [N]."""
    paths = sorted((network.folder / "pictures").iterdir())
    names = network.labels()
    pixels = []
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", (28, 28))
            pixels.append(np.asarray(picture))
    return paths, np.stack(pixels), np.array([names.index(p.stem.split("_")[1]) for p in paths])


@pytest.mark.parametrize(("name", "digest"), list(DIGESTS.items()), ids=list(DIGESTS))
def test_the_files_are_those_that_were_measured(name, digest):
    path = ROOT / "models" / name.split(".")[0].removesuffix("_float") / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_the_record_is_good_enough(network, record):
    top1 = record["top1"]
    assert record["held_out_pictures"] == HELD_OUT[network.name]
    assert min(top1.values()) >= LEAST_TOP1[network.name]
    assert abs(top1["int8"] - top1["float"]) <= MOST_LOST
    assert top1["golden"] == top1["int8"]
    assert record["golden_scores_that_differ"] == 0


def test_the_readme_says_what_the_record_says(network, record):
    rows = dict(re.findall(rf"^\| {network.name}, (\S+) \| ([\d.]+) % \|$", README, re.MULTILINE))
    assert rows == {name: f"{100 * share:.2f}" for name, share in record["top1"].items()}
    table = re.findall(
        rf"^\| {network.name}, (\w+)( layers)? \| ([\d,]+) \|(.*)\|$", README, re.MULTILINE
    )
    assert len(table) == len(record["layers"])
    for name, layers, count, shares in table:
        layer = record["layers"]["adder_layers" if layers else name]
        keys = ("zeros_in_input", "left_nonzero", "left_live", "weights_dead", "weights_full")
        told = [f"{100 * layer[key]:.1f}" if key in layer else "" for key in keys]
        assert int(count.replace(",", "")) == layer["operations"]
        assert [share.strip().removesuffix(" %") for share in shares.split("|")] == told


def test_weights_are_those_of_the_network(network, record):
    weights = floats.load_weights(network.weights)
    for layer in network.layers:
        assert weights[f"{layer.name}_w"].shape == layer.shape
        if layer.kind == "adder":
            # A max pool may come before the gain.
            assert weights[f"{layer.name}_gain"].min() > 0
    assert int(weights["seed"]) == record["training"]["seed"]
    assert int(weights["epochs"]) == record["training"]["epochs"] == network.epochs


def test_the_digits_network_has_adders_alone():
    assert {layer.kind for layer in NETWORKS["digits"].layers} == {"adder"}


def test_the_fashion_network_has_convolutions_at_its_ends_alone():
    first, *inner, last = (layer.kind for layer in NETWORKS["fashion"].layers)
    assert (first, last) == ("conv", "conv")
    assert set(inner) == {"adder"}


def test_the_files_are_onnx_with_one_node_of_ours(network, model):
    onnx.checker.check_model(model, full_check=True)
    assert {item.domain: item.version for item in model.opset_import} == {"": 21, "openhop": 1}
    ours = [node for node in model.graph.node if node.domain]
    assert {(node.domain, node.op_type) for node in ours} == {("openhop", "AdderConv")}
    assert [node.name for node in work.layers(model)] == [layer.name for layer in network.layers]
    (given,), (result,) = model.graph.input, model.graph.output
    assert [d.dim_value for d in given.type.tensor_type.shape.dim][1:] == [1, 28, 28]
    assert [d.dim_value for d in result.type.tensor_type.shape.dim][1:] == [10]
    properties = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert properties == {
        "openhop.labels": network.labels(),
        "openhop.input": {"mode": "L", "size": [28, 28], "scale": 255},
    }


def test_adder_nodes_have_the_stated_form(model):
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "AdderConv"]
    for node in nodes:
        weights, bias, scale, zero = (constants[name] for name in node.input[1:])
        filters = len(weights)
        assert (weights.dtype, weights.ndim) == (np.int16, 4)
        assert (bias.dtype, bias.shape) == (np.int32, (filters,))
        assert (scale.dtype, scale.shape) == (np.float32, (filters,))
        assert (zero.dtype, zero.shape) == (np.uint8, ())
        assert scale.min() > 0
        assert set(integers.attributes(node)) == {"kernel_shape", "strides", "pads", "group"}
    # They are not clipped to what a pixel can be: what lies beyond joins the bias.
    everything = np.concatenate([constants[node.input[1]].ravel() for node in nodes])
    assert everything.min() < 0
    assert everything.max() > 255


def test_the_file_is_made_from_the_weights(network, model):
    """Calibrated on the sample pictures alone: all but the scales of maps is the same."""
    weights = floats.load_weights(network.weights)
    _, pixels, classes = sample_pictures(network)
    x = floats.to_input(pixels)
    again = graph.int8_model(network, weights, ranges(network, weights, x))
    assert [node.name for node in again.graph.node] == [node.name for node in model.graph.node]
    scores = integers.run(again, x)[graph.OUTPUT]
    assert (scores.argmax(1) == classes).sum() >= len(classes) - 2 - len(MISTAKEN[network.name])


def test_there_are_pictures_of_every_class(network):
    paths, _, classes = sample_pictures(network)
    assert len(paths) >= 20
    assert all(re.fullmatch(r"\d{4}_\w+\.png", path.name) for path in paths)
    counts = Counter(classes.tolist())
    assert set(counts) == set(range(10))
    assert min(counts.values()) >= 2


def test_pictures_that_are_taken_for_something_else(network, model):
    paths, pixels, classes = sample_pictures(network)
    given = integers.run(model, floats.to_input(pixels))[graph.OUTPUT].argmax(1)
    names = network.labels()
    wrong = {
        path.stem: names[answer]
        for path, answer, right in zip(paths, given, classes, strict=True)
        if answer != right
    }
    assert wrong == MISTAKEN[network.name]
    for picture, label in wrong.items():
        assert re.search(rf"`{picture}`\s\({label}\)", README)


def test_golden_gives_the_same_values(network, model):
    """Every layer's map, of every sample picture; integers.py and golden share no code."""
    golden = load(network.onnx)
    paths, pixels, _ = sample_pictures(network)
    values = integers.run(model, floats.to_input(pixels))
    # Golden pools inside the layer before.
    pooled = {node.input[0]: node.output[0] for node in model.graph.node if "Pool" in node.op_type}
    names = [node.output[0] for node in work.layers(model)]
    for n, path in enumerate(paths):
        maps = golden.run(load_picture(path, golden))[-len(names) :]
        for name, y in zip(names, maps, strict=True):
            assert np.array_equal(y, values[pooled.get(name, name)][n].transpose(1, 2, 0)), name


def test_the_scores_of_a_measurement_are_golden_s(network, model):
    _, pixels, _ = sample_pictures(network)
    scores = integers.run(model, floats.to_input(pixels))[graph.OUTPUT]
    assert np.array_equal(evaluate.golden_scores(model, pixels), scores)


@pytest.mark.bench
def test_measuring_anew_gives_the_record(network, record, tmp_path):
    """All held-out pictures; MNIST_DIGITS and FASHION_MNIST name the folders of the data sets."""
    folder = DATA[network.name]
    if not folder.is_dir():
        pytest.skip("needs the data set: models/adder/data.py")
    out = tmp_path / "accuracy.json"
    command = [sys.executable, "-m", "models.adder.evaluate", network.name]
    subprocess.run([*command, "--data", folder, "--out", out], check=True, cwd=ROOT)
    measured = json.loads(out.read_text())
    for key in set(record) - {"versions"}:
        assert measured[key] == record[key]
