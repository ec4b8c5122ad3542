"""`openhop run`: files, JSON keys, exit codes; on RTL and by the models."""

import dataclasses
import json

import onnx
import pytest

from openhop.figures import CAUSES
from openhop.library import sample_pictures
from openhop.verbs import run as verb
from tests.openhop.networks import adder_classifier

KEYS = {
    *("model", "preset", "engine", "images", "correct", "bit_exact", "labels"),
    *("pictures", "layers", "total", "sim_cycles_per_s"),
}
SUMS = {
    *("dense_ops", "useful_ops", "cycles", "cycles_model", "cycles_compute", "cycles_bus"),
    "cycles_ideal",
}
RATIOS = {"input_zeros", "utilisation", "efficiency"}
SHAPE = {"name", "kind", "in_shape", "out_shape", "kernel", "stride"}
LANES = {"tiny": 8, "nullhop": 128}
CLUSTERS = {"tiny": 2, "nullhop": 8}


def check_promises(content: dict) -> None:
    """What users' scripts rely on: the keys, and that the figures go together."""
    assert set(content) == KEYS
    layers, total = content["layers"], content["total"]
    assert set(total) == SUMS | RATIOS | {"stalls"}
    for layer in layers:
        assert set(layer) == SHAPE | set(total)
    for key in SUMS:
        assert total[key] == pytest.approx(sum(layer[key] for layer in layers))
    for cause in CAUSES:
        assert total["stalls"][cause] == sum(layer["stalls"][cause] for layer in layers)
    lanes = LANES[content["preset"]]
    for item in (*layers, total):
        assert set(item["stalls"]) == set(CAUSES)
        assert item["cycles_ideal"] == item["useful_ops"] / lanes
        assert item["utilisation"] == item["cycles_ideal"] / item["cycles_compute"]
        assert item["efficiency"] == item["dense_ops"] / lanes / item["cycles_compute"]
        assert item["cycles_ideal"] <= item["cycles_compute"] <= item["cycles"]
        assert item["cycles"] <= item["cycles_bus"]
        assert 0 <= item["input_zeros"] < 1
        assert sum(item["stalls"].values()) == item["cycles"] * CLUSTERS[content["preset"]]
    assert len(content["labels"]) == content["images"]


@pytest.mark.parametrize(
    ("mixed", "preset", "kinds"),
    [
        (False, "tiny_l1", ["adder", "adder"]),
        (True, "tiny8+tiny_l1", ["conv", "adder", "conv"]),
    ],
)
def test_adder_layers_on_rtl(openhop, pictures, tmp_path, mixed, preset, kinds):
    model, out = tmp_path / "sums.onnx", tmp_path / "run.json"
    onnx.save(adder_classifier(mixed=mixed), model)
    result = openhop("run", model, "--images", *pictures, "--preset", preset, "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Bits: all exact" in result.stdout
    assert "Cycles: all as the cycle model predicts" in result.stdout
    content = json.loads(out.read_text())
    assert (content["preset"], content["bit_exact"]) == (preset, True)
    assert [layer["kind"] for layer in content["layers"]] == kinds


@pytest.mark.parametrize(
    ("mixed", "preset"), [(False, "nullhop_l1"), (True, "nullhop8+nullhop_l1")]
)
def test_the_layers_choose_the_builds(openhop, pictures, tmp_path, mixed, preset):
    model, out = tmp_path / "sums.onnx", tmp_path / "out.json"
    onnx.save(adder_classifier(mixed=mixed), model)
    assert openhop("check", model).stdout.rstrip().endswith(f"{preset} runs this network")
    args = ("--images", *pictures, "--json", out)
    for verb_name in (("run", "--engine", "golden"), ("cycles",)):
        assert openhop(verb_name[0], model, *args, *verb_name[1:]).exit_code == 0
        assert json.loads(out.read_text())["preset"] == preset


def test_lanes_of_the_wrong_kind_are_refused(refusal, pictures, tmp_path):
    model = tmp_path / "sums.onnx"
    onnx.save(adder_classifier(), model)
    args = ("run", model, "--images", *pictures, "--preset")
    assert refusal(*args, "nullhop") == (
        "layer 'make_t1': needs lanes that add |x - w|, those of build 'nullhop' multiply"
    )
    assert "do not share maps" in refusal(*args, "nullhop+nullhop_l1")


def test_rtl(openhop, model, pictures, tmp_path):
    out, wave = tmp_path / "run.json", tmp_path / "run.vcd"
    args = ("--images", *pictures, "--preset", "tiny", "--json", out, "--wave", wave)
    result = openhop("run", model, *args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Bits: all exact" in result.stdout
    assert "Cycles: all as the cycle model predicts" in result.stdout
    content = json.loads(out.read_text())
    check_promises(content)
    assert (content["model"], content["preset"], content["engine"]) == ("small", "tiny", "rtl")
    assert (content["images"], content["correct"], content["bit_exact"]) == (2, None, True)
    assert content["sim_cycles_per_s"] > 0
    assert content["total"]["cycles"] == content["total"]["cycles_model"]
    assert wave.read_text().startswith("$")
    assert set(tmp_path.iterdir()) == {out, wave}


def test_the_bundled_network_by_the_models(openhop, tmp_path):
    out, page, plot = (tmp_path / name for name in ("run.json", "run.html", "run.png"))
    pictures = sample_pictures("fashion")[:2]
    files = ("--json", out, "--html", page, "--plot", plot)
    result = openhop("run", "--engine", "golden", "--images", *pictures, *files)
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(out.read_text())
    check_promises(content)
    assert (content["model"], content["preset"], content["engine"]) == (
        "fashion",
        "nullhop",
        "golden",
    )
    assert (content["correct"], content["bit_exact"]) == (2, None)
    assert content["sim_cycles_per_s"] is None
    assert content["labels"] == ["ankleboot", "pullover"]
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_copied_file_is_the_network_too(openhop, tmp_path):
    """What the README does with a network of one's own."""
    path, picture = tmp_path / "own.onnx", sample_pictures("fashion")[2]
    path.write_bytes((picture.parents[1] / "fashion.onnx").read_bytes())
    shown = tmp_path / "photo.png"
    shown.write_bytes(picture.read_bytes())
    result = openhop("run", path, "--images", shown, "--engine", "golden")
    assert result.exit_code == 0
    assert "photo.png  trouser" in result.stdout
    assert "own on nullhop, 1 picture" in result.stdout
    assert "Labels:" not in result.stdout  # the picture's name does not say what it shows


@pytest.mark.parametrize("what", ["exact", "as_predicted"])
def test_a_difference_is_exit_1(openhop, model, pictures, tmp_path, monkeypatch, what):
    def run_network(*args, **options):
        report = run(*args, **options)
        first, *rest = report.layers
        wrong = dataclasses.replace(first, sums=dataclasses.replace(first.sums, **{what: False}))
        return dataclasses.replace(report, engine="rtl", layers=(wrong, *rest))

    run = verb.run_network
    monkeypatch.setattr(verb, "run_network", run_network)
    out = tmp_path / "run.json"
    args = ("--images", *pictures, "--preset", "tiny", "--engine", "golden", "--json", out)
    result = openhop("run", model, *args)
    assert result.exit_code == 1
    assert "NOT" in result.stdout
    assert json.loads(out.read_text())["bit_exact"] is (what != "exact")
