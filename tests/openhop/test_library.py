"""Bundled networks, pictures and tables, and how names are resolved."""

import numpy as np
import pytest

from compiler.errors import CompileError
from openhop import library
from openhop.layer_table import read_table
from tests.openhop.networks import two_layers


@pytest.mark.parametrize("name", library.NETWORKS)
def test_bundled_networks_load_and_have_pictures(name):
    network = library.load(name)
    pictures = library.sample_pictures(name)
    assert len(pictures) == 24
    assert all(library.true_label(path, network) in network.labels for path in pictures)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CompileError, match=r"'?fashon'?: is neither.*fashion, fashion-int16"):
        library.load("fashon")


def test_a_file_comes_without_pictures(tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(library.model_path("fashion").read_bytes())
    assert library.load(path).name == "own"
    assert library.sample_pictures(path) == []


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("0000_ankleboot.png", "ankleboot"),
        ("17_bag.jpg", "bag"),
        ("0000_shoe.png", None),
        ("ankleboot.png", None),
        ("x_ankleboot.png", None),
    ],
)
def test_the_right_label_stands_in_the_name(tmp_path, name, label):
    assert library.true_label(tmp_path / name, library.load("fashion")) == label


@pytest.mark.parametrize("path", library.tables().values(), ids=library.tables())
def test_bundled_tables_can_be_read(path):
    assert len(read_table(path)) >= 7


def test_tables_and_networks_of_one_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not library.is_table("fashion")
    assert library.is_table("fashion.csv")
    assert library.is_table("vgg16")
    assert not library.is_table("vgg17")
    assert library.table_path("vgg16") == library.table_path("vgg16.csv")
    own = tmp_path / "vgg16.csv"
    own.write_text("")
    assert library.table_path("vgg16.csv").resolve() == own


def test_without_a_picture_the_input_is_random_and_half_zero():
    network = two_layers()
    x, source = library.first_input(network, [])
    again, _ = library.first_input(network, [])
    assert source == "random"
    assert x.shape == network.input_shape
    assert np.array_equal(x, again)
    assert 0.4 < np.mean(x == network.input_format.zero_point) < 0.6
