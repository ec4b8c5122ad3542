"""The scripts that made the bundled networks: they load, and their pure parts do what they say."""

import ast
import gzip
import importlib
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.models.test_fashion import FASHION, LABELS, PICTURES

SCRIPTS = sorted(path.stem for path in FASHION.glob("*.py"))
#: Needs torch, which is not among the dependencies of a test.
UNLOADED = {"train"}


@pytest.fixture(scope="module")
def scripts():
    """Import the scripts as they import each other, by their bare names; then forget them."""
    sys.path.insert(0, str(FASHION))
    try:
        yield {name: importlib.import_module(name) for name in SCRIPTS if name not in UNLOADED}
    finally:
        sys.path.remove(str(FASHION))
        for name in SCRIPTS:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def data(scripts) -> ModuleType:
    return scripts["data"]


@pytest.fixture(scope="module")
def graph(scripts) -> ModuleType:
    return scripts["graph"]


def sample_pixels() -> tuple[np.ndarray, np.ndarray]:
    """The sample pictures [N, 28, 28] and their classes [N]."""
    classes = np.array([LABELS.index(path.stem.split("_")[1]) for path in PICTURES])
    pixels = []
    for path in PICTURES:
        with Image.open(path) as picture:
            pixels.append(np.asarray(picture))
    return np.stack(pixels), classes


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


def test_no_script_is_forgotten():
    assert SCRIPTS == ["data", "evaluate", "graph", "quantise", "samples", "train"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_compiles_and_says_what_it_is(name):
    source = (FASHION / f"{name}.py").read_text()
    assert ast.get_docstring(ast.parse(source))
    compile(source, name, "exec")


def test_loading_a_script_runs_nothing(scripts):
    assert set(scripts) == set(SCRIPTS) - UNLOADED


def test_idx_files(data, tmp_path):
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (5, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 5, np.uint8)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pictures)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels)
    read, classes = data.load_split(tmp_path, data.TEST)
    assert np.array_equal(read, pictures)
    assert np.array_equal(classes, labels)
    assert classes.dtype == np.int64


def test_another_file_is_no_idx_file(data, tmp_path):
    path = tmp_path / "odd.gz"
    path.write_bytes(gzip.compress(b"\x00\x00\x0d\x01" + bytes(8)))
    with pytest.raises(ValueError, match="not an IDX file of unsigned bytes"):
        data.read_idx(path)


def test_without_the_data_set_it_says_how_to_get_it(data, tmp_path):
    with pytest.raises(SystemExit, match=r"t10k-images-idx3-ubyte.gz not found; data.py says how"):
        data.load_split(tmp_path, data.TEST)


def test_input_is_pixel_over_255(data):
    x = data.to_input(np.array([[[0, 51, 255]]], np.uint8))
    assert (x.shape, x.dtype) == ((1, 1, 1, 3), np.float32)
    assert x.ravel().tolist() == [0.0, np.float32(0.2), 1.0]


def test_class_names(data):
    assert data.class_names() == LABELS
    assert len(LABELS) == 10


def test_samples_are_the_first_two_of_each_class_and_four_others(scripts):
    labels = np.repeat(np.arange(10), 30)
    chosen = scripts["samples"].choose(labels)
    firsts = [30 * label + index for label in range(10) for index in range(2)]
    assert chosen == sorted([*firsts, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("largest", "limit", "exponent"),
    [(1.0, 1, 0), (1.0, 127, -6), (127.0, 127, 0), (127.5, 127, 1), (0.001, 32767, -24)],
)
def test_a_scale_is_the_smallest_power_of_two_that_fits(graph, largest, limit, exponent):
    assert graph.exponent(largest, limit) == exponent
    assert largest / 2.0**exponent <= limit < largest / 2.0 ** (exponent - 1)


def test_steps_round_half_to_even_and_never_wrap(graph):
    values = np.array([0.5, 1.5, -0.5, 2.25])
    assert graph.to_steps(values, 0, np.int16).tolist() == [0, 2, 0, 2]
    assert graph.to_steps(values, -2, np.int16).tolist() == [2, 6, -2, 9]
    with pytest.raises(OverflowError, match="40000 does not fit into int16"):
        graph.to_steps(np.array([40000.0]), 0, np.int16)


def test_the_float_model_is_built_from_the_weights(scripts, graph, data):
    model = graph.float_model(graph.load_weights(FASHION / "fashion_float.npz"))
    onnx.checker.check_model(model, full_check=True)
    pixels, classes = sample_pixels()
    share = scripts["evaluate"].accuracy(model, data.to_input(pixels), classes)
    assert share >= 22 / 24


def test_the_16_bit_model_keeps_the_labels(scripts, graph, data):
    """Calibrated on the sample pictures alone: other scales than the committed model's."""
    weights = graph.load_weights(FASHION / "fashion_float.npz")
    pixels, classes = sample_pixels()
    x = data.to_input(pixels)
    largest = scripts["quantise"].largest_magnitudes(graph.float_model(weights), x)
    model = graph.int16_model(weights, largest)
    onnx.checker.check_model(model, full_check=True)
    assert scripts["evaluate"].accuracy(model, x, classes) >= 22 / 24
    assert scripts["evaluate"].saturated(model, x) == 0


def test_zeros_are_counted_in_every_layer_s_input(scripts, data):
    pixels, _ = sample_pixels()
    shares = scripts["evaluate"].zero_shares(
        onnx.load(FASHION / "fashion.onnx"), data.to_input(pixels)
    )
    assert list(shares) == [*(f"conv{index}" for index in range(6)), "fc"]
    assert shares["conv0"] == round(float((pixels == 0).mean()), 4)


def test_calibration_takes_every_picture_once(scripts):
    quantise = scripts["quantise"]
    x = np.arange(150, dtype=np.float32).reshape(150, 1, 1, 1)
    reader = quantise.Pictures(x)
    batches = []
    while (batch := reader.get_next()) is not None:
        batches.append(batch["image"])
    assert [len(batch) for batch in batches] == [64, 64, 22]
    assert np.array_equal(np.concatenate(batches), x)
