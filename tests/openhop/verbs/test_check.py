"""`openhop check`: a verdict on every node, for one build."""

import json

import onnx
import pytest

from compiler.onnx_import import Verdict
from openhop.library import NETWORKS, default_preset, load
from tests.compiler.networks import QuantisedChain
from tests.openhop.networks import Builder, classifier, quantise


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bundled_networks_run(openhop, tmp_path, name):
    out = tmp_path / "check.json"
    result = openhop("check", name, "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    builds = default_preset(load(name))
    assert result.stdout.rstrip().endswith(f"{builds} runs this network")
    content = json.loads(out.read_text())
    assert set(content) == {"model", "preset", "supported", "nodes"}
    assert (content["model"], content["supported"]) == (name, True)
    assert {key for node in content["nodes"] for key in node} == {
        *("name", "type", "verdict", "note"),
    }
    assert {node["verdict"] for node in content["nodes"]} <= set(Verdict)


def test_an_unknown_node_is_exit_1(openhop, tmp_path):
    path, out = tmp_path / "odd.onnx", tmp_path / "check.json"
    odd = classifier()
    flatten = next(node for node in odd.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Abs"
    flatten.ClearField("attribute")
    onnx.save(odd, path)
    result = openhop("check", path, "--json", out)
    assert (result.exit_code, result.stderr) == (1, "")
    assert "nullhop cannot run this network: 1 of 6 nodes unsupported" in result.stdout
    content = json.loads(out.read_text())
    assert content["supported"] is False
    (node,) = (node for node in content["nodes"] if node["verdict"] == "unsupported")
    assert node["type"] == "Abs"
    assert "the core has convolutions" in node["note"]


def test_what_no_build_can_do_is_unsupported(openhop, tmp_path):
    """A stride that steps over padding: ONNX and the golden model have it, the core has not."""
    path = tmp_path / "padded.onnx"
    net = Builder((1, 8, 8)).conv(4, (1, 1), pads=[1] * 4, strides=[2, 2]).relu().pool().flatten()
    onnx.save(quantise(net.gemm(3, 4 * 2 * 2).model()), path)
    out = tmp_path / "check.json"
    result = openhop("check", path, "--json", out)
    assert result.exit_code == 1
    nodes = json.loads(out.read_text())["nodes"]
    (node,) = (node for node in nodes if node["verdict"] == "unsupported")
    assert node["name"] == "conv0_quant"
    assert "must be smaller than the kernel" in node["note"]


def test_branches_that_a_build_cannot_join_are_unsupported(openhop, tmp_path):
    path, out = tmp_path / "joined.onnx", tmp_path / "check.json"
    net = QuantisedChain().conv()
    left, right = net.branches(4, 5)
    onnx.save(net.concat(left, right, channels=9).conv(3).real().end(), path)
    assert openhop("check", path, "--preset", "tiny").exit_code == 0
    assert openhop("check", path, "--preset", "tiny8", "--json", out).exit_code == 1
    nodes = json.loads(out.read_text())["nodes"]
    (node,) = (node for node in nodes if node["verdict"] == "unsupported")
    assert node["name"] == "make_t5"
    assert node["note"].startswith("joins branches of 4 channels, which are not whole map words")


def test_what_a_build_is_too_small_for_is_unsupported(openhop, tmp_path):
    out = tmp_path / "check.json"
    assert openhop("check", "fashion", "--preset", "up5k", "--json", out).exit_code == 1
    content = json.loads(out.read_text())
    notes = {n["name"]: n["note"] for n in content["nodes"] if n["verdict"] == "unsupported"}
    assert content["preset"] == "up5k"
    assert set(notes) == {*(f"conv{i}_quant" for i in range(6)), "fc_quant"}
    assert notes["conv0_quant"].startswith("needs the 'scale' requantiser, build 'up5k' has shift")
