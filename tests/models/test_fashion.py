"""The bundled Fashion-MNIST networks are those of the record, and the record is good enough.

That both give ONNX Runtime's labels and values is tested in tests/compiler/test_onnx_import.py.
"""

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
from PIL import Image

from openhop.library import load
from openhop.pictures import load_picture
from tests.test_house import ROOT

FASHION = ROOT / "models" / "fashion"
RECORD = json.loads((FASHION / "accuracy.json").read_text())
README = (ROOT / "models" / "README.md").read_text()
PICTURES = sorted((FASHION / "pictures").iterdir())
LABELS = (FASHION / "labels.txt").read_text().split()
#: The files that accuracy.json was measured with: quantise.py writes the same bytes in every run.
DIGESTS = {
    "fashion.onnx": "9b22d1ada9c66e176eb994b7bd50941a5c7fedab25dc06275a23792ba7b877fb",
    "fashion_int16.onnx": "9694c7b6ccca69a975b9d058a1947a5cb048fbf9483d03aef2d403133a169a94",
    "fashion_float.npz": "38c9bb7f6f81c5b5e8c6de7ce77dd69b6d7b8c4ca25e0b491db1b1b90ffb9caa",
}
NAMES = ["fashion.onnx", "fashion_int16.onnx"]
#: Where the data set may be: models/README.md says how to get it.
DATA = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))


@pytest.mark.parametrize(("name", "digest"), list(DIGESTS.items()), ids=list(DIGESTS))
def test_the_files_are_those_that_were_measured(name, digest):
    assert hashlib.sha256((FASHION / name).read_bytes()).hexdigest() == digest


def test_the_record_is_good_enough():
    top1 = RECORD["top1"]
    assert RECORD["test_pictures"] == 10_000
    assert top1["float"] >= 0.92
    assert abs(top1["int8"] - top1["float"]) <= 0.005
    assert abs(top1["int16"] - top1["float"]) <= 0.005
    assert RECORD["int16_saturated"] == 0


def test_the_readme_says_what_the_record_says():
    rows = re.findall(r"^\| (float32|8 bits|16 bits).*\| ([\d.]+) % \|$", README, re.MULTILINE)
    top1 = RECORD["top1"]
    assert [share for _, share in rows] == [
        f"{100 * top1[name]:.2f}" for name in ("float", "int8", "int16")
    ]
    zeros = dict(re.findall(r"^\| (conv\d|fc) \|.*\| ([\d.]+) % \|$", README, re.MULTILINE))
    assert zeros == {
        name: f"{100 * share:.1f}" for name, share in RECORD["int8_zeros_in_input"].items()
    }


def test_weights_are_those_of_the_network():
    channels = [1, 32, 32, 64, 64, 128, 128]
    with np.load(FASHION / "fashion_float.npz") as weights:
        for index in range(6):
            shape = (channels[index + 1], channels[index], 3, 3)
            assert weights[f"conv{index}_w"].shape == shape
            assert weights[f"conv{index}_b"].shape == shape[:1]
        assert weights["fc_w"].shape == (10, 1152)
        assert int(weights["seed"]) == RECORD["training"]["seed"]
        assert int(weights["epochs"]) == RECORD["training"]["epochs"]


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_stock_onnx(name):
    model = onnx.load(FASHION / name)
    onnx.checker.check_model(model, full_check=True)
    opsets = {item.domain: item.version for item in model.opset_import}
    assert opsets[""] == 21
    (given,), (result,) = model.graph.input, model.graph.output
    assert [d.dim_value for d in given.type.tensor_type.shape.dim][1:] == [1, 28, 28]
    assert [d.dim_value for d in result.type.tensor_type.shape.dim][1:] == [10]
    assert (given.name, result.name) == ("image", "scores")
    properties = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert properties["openhop.labels"] == LABELS
    assert properties["openhop.input"] == {"mode": "L", "size": [28, 28], "scale": 255}


@pytest.mark.parametrize(("name", "bits"), [(NAMES[0], 8), (NAMES[1], 16)], ids=NAMES)
def test_every_map_and_weight_has_the_bits(name, bits):
    layers = load(FASHION / name).layers
    assert [layer.name for layer in layers] == [*(f"conv{index}" for index in range(6)), "fc"]
    for layer in layers:
        assert (layer.in_format.bits, layer.out_format.bits) == (bits, bits)
        assert np.abs(layer.weights).max() < 1 << (bits - 1)
        assert layer.in_format.zero_point == 0


def test_there_are_pictures_of_every_class():
    assert len(PICTURES) >= 20
    counts = Counter()
    for path in PICTURES:
        match = re.fullmatch(r"(\d{4})_(\w+)\.png", path.name)
        assert match, path.name
        counts[match[2]] += 1
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", (28, 28))
    assert set(counts) == set(LABELS)
    assert min(counts.values()) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_two_pictures_that_are_taken_for_something_else(name):
    """models/README.md names them."""
    network = load(FASHION / name)
    wrong = {}
    for path in PICTURES:
        label = LABELS[int(network.run(load_picture(path, network))[-1].argmax())]
        if label != path.stem.split("_")[1]:
            wrong[path.stem] = label
    assert wrong == {"0023_ankleboot": "sandal", "0027_tshirt": "shirt"}
    for picture, label in wrong.items():
        assert re.search(rf"`{picture}`\s\({label}\)", README)


@pytest.mark.bench
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data set: models/README.md")
def test_measuring_anew_gives_the_record(tmp_path):
    """All 10,000 pictures; FASHION_MNIST names the folder of the data set."""
    out = tmp_path / "accuracy.json"
    script = FASHION / "evaluate.py"
    subprocess.run([sys.executable, script, "--data", DATA, "--out", out], check=True)
    measured = json.loads(out.read_text())
    for key in set(RECORD) - {"versions"}:
        assert measured[key] == RECORD[key]
