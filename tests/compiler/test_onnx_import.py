"""The importer as a whole: verdicts on nodes, metadata, and the bundled networks."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from compiler.errors import CompileError
from compiler.onnx_import import HINTS, NodeVerdict, Verdict, check, import_onnx
from golden.requant import Scale, Shift
from openhop.pictures import load_picture
from tests.compiler import oracle
from tests.compiler.networks import Builder, QuantisedChain, inputs, qdq_conv, quantise
from tests.test_house import ROOT

FASHION = ROOT / "models" / "fashion"
PICTURES = sorted((FASHION / "pictures").glob("*.png"))
NAMES = ["fashion", "fashion_int16"]

CORE, FOLDED, HOST, UNSUPPORTED = Verdict


def classifier() -> onnx.ModelProto:
    net = Builder((1, 8, 8)).conv(4, (3, 3)).relu().pool().flatten().gemm(3, 36)
    return quantise(net.node("Softmax").model())


def test_a_verdict_on_every_node_of_qoperator_form():
    assert [(item.op, item.verdict, item.note) for item in check(classifier())] == [
        ("QuantizeLinear", HOST, "quantises the picture"),
        ("QLinearConv", CORE, "conv 3x3, 1 to 4 channels"),
        ("MaxPool", CORE, "with conv0"),
        ("Flatten", FOLDED, ""),
        ("QGemm", CORE, "fc 3x3, 4 to 3 channels"),
        ("QLinearSoftmax", HOST, "behind the last layer; the label is the largest value of that"),
        ("DequantizeLinear", HOST, "behind the last layer; the label is the largest value of that"),
    ]


def test_a_verdict_on_every_node_of_qdq_form():
    assert [(item.name, item.verdict, item.note) for item in check(qdq_conv(relu=True))] == [
        ("make_xq", HOST, "quantises the picture"),
        ("make_xr", FOLDED, ""),
        ("make_w", FOLDED, ""),
        ("make_sums", CORE, "conv 3x3, 2 to 4 channels"),
        ("make_rectified", CORE, "with make_sums"),
        ("make_yq", FOLDED, ""),
        ("make_y", HOST, "gives the result as real numbers"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_node_of_a_bundled_network_is_unsupported(name):
    assert UNSUPPORTED not in {item.verdict for item in check(FASHION / f"{name}.onnx")}


def test_a_node_that_no_output_needs_is_folded():
    net = classifier()
    net.graph.node.append(helper.make_node("Abs", ["x"], ["nowhere"], "lost"))
    assert check(net)[-1] == NodeVerdict("lost", "Abs", FOLDED, "no output needs it")
    assert len(import_onnx(net).layers) == 2


def test_what_follows_an_unsupported_node_is_judged_as_far_as_it_can_be():
    net = QuantisedChain((2, 12, 12)).conv().node("Transpose").conv(dilations=[2, 2]).conv()
    net.node("Flatten").node("ArgMax")
    *_, transpose, dilated, conv, flatten, argmax = check(net.end(rank=2))
    assert transpose.verdict is dilated.verdict is UNSUPPORTED
    assert transpose.note == (
        "Transpose is not supported; export the network with channels first (N x C x H x W)"
    )
    assert dilated.note.startswith("has dilations [2, 2]; use an ordinary kernel")
    note = "not checked in full: it follows an unsupported node"
    assert (conv.verdict, conv.note) == (CORE, note)
    assert (flatten.verdict, flatten.note) == (FOLDED, note)
    assert (argmax.verdict, argmax.note) == (HOST, note)


@pytest.mark.parametrize("op", [*HINTS, "NonMaxSuppression"])
def test_an_unsupported_node_is_named_with_a_hint(op):
    net = QuantisedChain().conv()
    net.node("Abs")
    model = net.end()
    model.graph.node[-1].op_type, model.graph.node[-1].domain = op, "com.microsoft"
    hint = HINTS.get(op, "the core has convolutions, Gemm, MatMul, Relu and 2x2 MaxPool")
    message = f"make_t2 ({op}): {op} is not supported; {hint}"
    with pytest.raises(CompileError) as caught:
        import_onnx(model)
    assert str(caught.value) == message
    assert check(model)[-1].verdict is UNSUPPORTED


def test_a_node_of_another_domain_is_refused():
    net = QuantisedChain().conv().node("Softmax").end()
    net.graph.node[-1].domain = "vendor"
    net.opset_import.append(helper.make_opsetid("vendor", 1))
    with pytest.raises(CompileError, match="is of domain 'vendor'; use standard ONNX nodes"):
        import_onnx(net)


def test_softmax_between_layers_is_refused():
    net = QuantisedChain().conv().real().node("Softmax")
    net.node("QuantizeLinear", net.SCALE, net.ZERO).conv().real()
    with pytest.raises(
        CompileError, match=r"\(Softmax\): Softmax stands between two layers; the h"
    ):
        import_onnx(net.end())


@pytest.mark.parametrize("tail", [[], ["Softmax"], ["Softmax", "ArgMax"], ["Sigmoid", "Identity"]])
def test_the_network_ends_with_its_last_layer(tail):
    net = Builder((1, 8, 8)).conv(4, (3, 3)).relu().flatten().gemm(10, 144)
    for op in tail:
        net.node(op, **{"axis": 1} if op == "ArgMax" else {})
    model = net.model()
    if "ArgMax" in tail:
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    quantised = quantise(model)
    network = import_onnx(quantised)
    assert [layer.name for layer in network.layers] == ["conv0", "gemm3"]
    x = inputs(np.random.default_rng(4), (1, 8, 8))
    oracle.compare(oracle.reference(quantised, x), network, x)


def test_names_labels_and_preprocessing(tmp_path):
    net = classifier()
    net.graph.name = "inner"
    given = {"mode": "L", "size": [8, 8], "scale": 255}
    helper.set_model_props(
        net, {"openhop.input": json.dumps(given), "openhop.labels": '["a", "b", "c"]'}
    )
    path = tmp_path / "outer.onnx"
    onnx.save(net, path)
    network = import_onnx(path)
    assert (network.name, import_onnx(net).name) == ("outer", "inner")
    assert network.labels == ("a", "b", "c")
    assert network.preprocessing == given


def test_a_wrong_number_of_labels_is_refused():
    net = classifier()
    helper.set_model_props(net, {"openhop.labels": '["a", "b"]'})
    with pytest.raises(CompileError, match="has 2 labels for 3 results"):
        import_onnx(net)


def test_the_bundled_networks_have_the_requantisers_of_their_form():
    assert {type(item.requant) for item in import_onnx(FASHION / "fashion.onnx").layers} == {Scale}
    layers = import_onnx(FASHION / "fashion_int16.onnx").layers
    assert {type(item.requant) for item in layers} == {Shift}


@pytest.mark.parametrize("name", NAMES)
def test_bundled_labels_equal_onnxruntime(name):
    path = FASHION / f"{name}.onnx"
    network, session = import_onnx(path), oracle.session(onnx.load(path))
    assert len(network.labels) == 10
    assert len(PICTURES) == 24
    for picture in PICTURES:
        (scores,) = session.run(None, {"image": network_input(picture)})
        label = network.run(load_picture(picture, network))[-1].argmax()
        assert label == scores.argmax(), picture.name


@pytest.mark.parametrize(
    ("name", "reference"),
    [("fashion", oracle.reference), ("fashion_int16", oracle.exact_reference)],
)
def test_every_tensor_of_a_bundled_network_is_exact(name, reference):
    model = onnx.load(FASHION / f"{name}.onnx")
    network = import_onnx(model)
    for picture in PICTURES[::8]:
        x = network_input(picture)
        expected = reference(model, x)
        assert len(expected) >= 1 + len(network.layers)
        oracle.compare(expected, network, x)


def network_input(path: Path) -> np.ndarray:
    """A picture as the bundled networks take it, float32 (1, 1, 28, 28)."""
    with Image.open(path) as picture:
        return (np.asarray(picture, np.float32) / np.float32(255))[np.newaxis, np.newaxis]
