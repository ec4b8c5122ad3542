"""Runs over pictures: labels, sums, progress, and what happens if the core is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from compiler.errors import CompileError
from golden.network import Network
from golden.params import preset
from openhop import running
from openhop.figures import Sums, total
from openhop.library import load, sample_pictures
from openhop.running import Picture, label, run_network
from sim.network import NetworkRunner
from tests.openhop.networks import two_layers

FASHION = sample_pictures("fashion")


@pytest.fixture(scope="module")
def report():
    """Two pictures through the bundled network, by the models: a right and a wrong label."""
    wrong = next(path for path in FASHION if path.name.startswith("0023"))
    return run_network(load("fashion"), preset("nullhop"), [FASHION[1], wrong], engine="golden")


@pytest.fixture
def picture(tmp_path):
    """A picture for the network of two layers."""
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(2).integers(0, 256, (9, 10, 3), np.uint8)
    pixels[::2, 1::3] = 0
    Image.fromarray(pixels).save(path)
    return path


def test_labels(report):
    assert [picture.json() for picture in report.pictures] == [
        {"file": "0001_pullover.png", "label": "pullover", "truth": "pullover", "correct": True},
        {"file": "0023_ankleboot.png", "label": "sandal", "truth": "ankleboot", "correct": False},
    ]
    assert report.correct == 1


def test_layers_are_summed_over_pictures(report):
    single = run_network(load("fashion"), preset("nullhop"), [FASHION[1]], engine="golden")
    assert [layer.name for layer in report.layers] == [layer.name for layer in single.layers]
    for one, both in zip(single.layers, report.layers, strict=True):
        assert both.sums.dense_ops == 2 * one.sums.dense_ops
        assert one.sums.cycles < both.sums.cycles
    assert report.total == total(layer.sums for layer in report.layers)
    assert [run.x.shape for run in report.first] == [layer.in_shape for layer in report.layers]
    assert np.array_equal(report.first[0].x, single.first[0].x)


def test_the_headline_is_about_3x3_layers_with_many_channels(report):
    assert [layer.name for layer in report.wide] == ["conv3", "conv4", "conv5"]


def test_json_has_the_documented_keys(report):
    content = report.json()
    assert list(content) == [
        "model",
        "preset",
        "engine",
        "images",
        "correct",
        "bit_exact",
        "labels",
        "pictures",
        "layers",
        "host",
        "total",
        "sim_cycles_per_s",
    ]
    assert (content["model"], content["preset"], content["engine"]) == (
        "fashion",
        "nullhop",
        "golden",
    )
    assert (content["images"], content["correct"]) == (2, 1)
    assert content["labels"] == ["pullover", "sandal"]
    for key in ("cycles", "dense_ops", "useful_ops", "cycles_ideal"):
        assert content["total"][key] == sum(layer[key] for layer in content["layers"])


def test_golden_compares_nothing(report):
    assert report.json()["bit_exact"] is None
    assert report.json()["sim_cycles_per_s"] is None
    assert report.passed


def test_rtl_agrees(picture):
    done = []
    report = run_network(
        two_layers(), preset("tiny"), [picture, picture], engine="rtl", progress=done.append
    )
    assert report.passed
    assert report.bit_exact is True
    assert report.sim_cycles_per_s > 0
    assert report.correct is None
    assert done == sorted(done)
    assert {1, 2} <= set(done)


class Broken(NetworkRunner):
    """The models in place of RTL, with one thing wrong in the last layer."""

    what = ""

    def __init__(self, network: Network, build, **_: object) -> None:
        super().__init__(network, build, engine="golden")

    def run(self, x, progress=None):
        *rest, last = super().run(x, progress)
        if self.what == "bits":
            y = last.y.copy()
            y[0, 0, 0] ^= 1
            return [*rest, replace(last, y=y)]
        return [*rest, replace(last, counters=last.counters | {"decode": 1_000_000})]


@pytest.mark.parametrize("what", ["bits", "counters"])
def test_a_wrong_core_does_not_pass(picture, monkeypatch, what):
    monkeypatch.setattr(Broken, "what", what)
    monkeypatch.setattr(running, "NetworkRunner", Broken)
    report = run_network(two_layers(), preset("tiny"), [picture])
    assert not report.passed
    assert report.bit_exact == (what != "bits")
    assert [layer.sums.exact and layer.sums.as_predicted for layer in report.layers] == [
        True,
        False,
    ]


def test_without_pictures_nothing_runs():
    with pytest.raises(CompileError, match="pair: has no bundled pictures; name some with"):
        run_network(two_layers(), preset("tiny"), [])


def test_a_bad_picture_is_found_before_anything_runs(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "NetworkRunner", None)
    with pytest.raises(CompileError, match=r"missing.png: No such file"):
        run_network(two_layers(), preset("tiny"), [picture, tmp_path / "missing.png"])


def test_a_label_is_the_first_largest_value():
    y = np.zeros((1, 1, 18), np.int8)
    y[0, 0, [4, 7]] = 3
    assert label(two_layers(), y) == "4"


def test_a_picture_without_truth_is_neither_right_nor_wrong():
    assert Picture("a.png", "bag", None).correct is None


def test_progress_of_layers_becomes_progress_of_pictures():
    seen = []
    step = running._steps(seen.append, 3, 2)
    for share in (0.5, 1.0, 0.25, 1.0):
        step(0, share)
    assert seen == [3.25, 3.5, 3.625, 4.0]


def test_sums_of_a_report_are_sums(report):
    assert isinstance(report.total, Sums)
