"""Chains of layers: no branches, quantised to their end, which is the output."""

import numpy as np
import pytest

from compiler.chain import describe
from compiler.errors import CompileError
from compiler.onnx_import import Verdict, check, import_onnx
from golden.network import TensorFormat
from tests.compiler.networks import (
    INPUT,
    OUTPUT,
    Builder,
    HandBuilder,
    QuantisedChain,
    model,
    qlinear_conv,
    quantise,
)


def test_layers_take_the_names_of_the_float_network():
    net = Builder((2, 9, 9)).conv(3, (3, 3)).relu().conv(4, (3, 3))
    assert [layer.name for layer in import_onnx(quantise(net.model())).layers] == ["conv0", "conv2"]


def test_a_layer_without_a_name_takes_that_of_its_output():
    unnamed = qlinear_conv()
    unnamed.graph.node[1].name = ""
    assert import_onnx(unnamed).layers[0].name == "yq"


def test_input_and_formats():
    network = import_onnx(qlinear_conv((2, 7, 5)))
    assert network.input_shape == (7, 5, 2)
    assert network.input_format == TensorFormat(8, False, float(np.float32(0.01)), 3)
    assert network.layers[0].in_format == network.input_format
    assert network.layers[0].out_format == TensorFormat(8, False, float(np.float32(0.04)), 5)


def test_a_format_in_words():
    assert describe(TensorFormat(16, True, 0.25, -3)) == "s16 of scale 0.25 and zero point -3"


def test_a_branch_is_refused():
    net = QuantisedChain().conv()
    trunk, channels = net.last, net.channels
    net.conv(3, pads=[1, 1, 1, 1])
    left, net.last, net.channels = net.last, trunk, channels
    net.conv(3, pads=[1, 1, 1, 1])
    scales = [net.SCALE, net.ZERO]
    total = net.add("QLinearAdd", [left, *scales, net.last, *scales, *scales], "total")
    net.last = total
    branched = net.real().end()
    with pytest.raises(
        CompileError,
        match=r"make_t3 \(QLinearConv\): takes 't1', which another layer has taken already; "
        "OpenHop runs chains of layers, without branches",
    ):
        import_onnx(branched)
    verdicts = {item.op: item for item in check(branched)}
    assert verdicts["QLinearAdd"].verdict is Verdict.UNSUPPORTED


def test_a_pool_on_a_tensor_that_a_layer_takes_too_is_refused():
    net = QuantisedChain().conv()
    taken = net.last
    pooled = net.pool().real().last
    net.last = taken
    net.conv().real()
    both = model(net.nodes, net.initializers, (1, 2, 6, 6), (pooled, net.last))
    with pytest.raises(CompileError, match=f"takes '{taken}', which another layer has taken"):
        import_onnx(both)


def test_an_output_before_the_end_is_refused():
    net = QuantisedChain().conv().node("Identity")
    middle = net.last
    net.conv().real()
    both = model(net.nodes, net.initializers, (1, 2, 6, 6), (net.last, middle))
    with pytest.raises(
        CompileError, match=f"output '{middle}': is not the end of the chain of layers; remove it"
    ):
        import_onnx(both)


def test_several_outputs_may_show_the_end():
    net = QuantisedChain().conv().real()
    scores = net.last
    net.node("Softmax")
    both = model(net.nodes, net.initializers, (1, 2, 6, 6), (scores, net.last))
    assert len(import_onnx(both).layers) == 1


def test_a_result_in_floating_point_is_refused():
    graph = HandBuilder()
    scale, zero = np.float32(0.5), np.int8(0)
    graph.add("QuantizeLinear", [INPUT, scale, zero], "xq")
    graph.add("DequantizeLinear", ["xq", scale, zero], "xr")
    graph.add("DequantizeLinear", [np.ones((2, 2, 1, 1), np.int8), scale, zero], "w")
    graph.add("Conv", ["xr", "w"], "sums")
    graph.add("Softmax", ["sums"], OUTPUT)
    with pytest.raises(
        CompileError, match=r"make_sums \(Conv\): its output stays in floating point; quantise it"
    ):
        import_onnx(graph.model())
    verdicts = {item.name: item.verdict for item in check(graph.model())}
    assert verdicts["make_sums"] is Verdict.UNSUPPORTED
    assert verdicts["make_y"] is Verdict.HOST


def test_a_network_without_layers_is_refused():
    with pytest.raises(CompileError, match="network: has no layer for the core; it needs a Conv"):
        import_onnx(QuantisedChain().real().end())


def test_a_constant_in_place_of_the_map_is_refused():
    graph = QuantisedChain()
    graph.last = graph.add("MaxPool", [np.ones((1, 2, 6, 6), np.float32)], "p", kernel_shape=[2, 2])
    with pytest.raises(CompileError, match=r"\(MaxPool\): its first input 'p_0' is constant; fold"):
        import_onnx(graph.end())
