"""Graphs of layers: branches joined by Concat, quantised to their end, which is the output."""

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.onnx_import import Verdict, check, import_onnx
from golden.network import TensorFormat
from tests.compiler import oracle
from tests.compiler.networks import (
    INPUT,
    OUTPUT,
    Builder,
    HandBuilder,
    QuantisedChain,
    inputs,
    model,
    qlinear_conv,
    quantise,
)


def test_layers_take_the_names_of_the_float_network():
    net = Builder((2, 9, 9)).conv(3, (3, 3)).relu().conv(4, (3, 3))
    assert [layer.name for layer in import_onnx(quantise(net.model())).layers] == ["conv0", "conv2"]


def test_input_and_formats():
    network = import_onnx(qlinear_conv((2, 7, 5)))
    assert network.input_shape == (7, 5, 2)
    assert network.input_format == TensorFormat(8, False, float(np.float32(0.01)), 3)
    assert network.layers[0].in_format == network.input_format
    assert network.layers[0].out_format == TensorFormat(8, False, float(np.float32(0.04)), 5)


def test_branches_are_joined():
    net = QuantisedChain().conv(4)
    left, right = net.branches(3, 5)
    model = net.concat(left, right, channels=8).conv(6).real().end()
    network = import_onnx(model)
    assert network.sources == ((0,), (1,), (1,), (2, 3))
    assert network.in_shapes == [(6, 6, 2), (4, 4, 4), (4, 4, 4), (4, 4, 8)]
    oracle.compare_layers(model, network, inputs(np.random.default_rng(1), (2, 6, 6)))
    verdicts = {item.op: item for item in check(model)}
    concat = verdicts["QLinearConcat"]
    assert (concat.verdict, concat.note) == (Verdict.FOLDED, "a longer list of blocks")


def test_joined_branches_are_joined_again():
    """As in DenseNet: the input, and all that came before."""
    net = QuantisedChain((3, 6, 6))
    joined, channels = [net.last], 3
    for outputs in (2, 4):
        (new,) = net.branches(outputs)
        channels += outputs
        net.concat(net.nodes[-1].input[0], new, channels=channels)
        joined.append(new)
    network = import_onnx(net.conv(5).real().end())
    assert network.sources == ((0,), (0, 1), (0, 1, 2))
    assert network.in_shapes[-1] == (6, 6, 9)


def qdq_fire(rng, exponents=(-8, -8)):
    """Two branches of 16 bits, between Q/DQ pairs of power-of-two scales, and a layer behind."""
    graph = HandBuilder((3, 6, 6))

    def steps(name, e):
        scale, zero = np.float32(2.0**e), np.int16(0)
        graph.add("QuantizeLinear", [name, scale, zero], f"{name}_q")
        return graph.add("DequantizeLinear", [f"{name}_q", scale, zero], f"{name}_r")

    def conv(name, source, inputs, outputs, size, e):
        shape = (outputs, inputs, size, size)
        weights = rng.integers(-9999, 9999, shape).astype(np.int16)
        graph.add("DequantizeLinear", [weights, np.float32(2.0**-14), None], f"{name}_w", axis=0)
        pads = [size // 2] * 4
        graph.add("Conv", [source, f"{name}_w"], name, pads=pads)
        return steps(graph.add("Relu", [name], f"{name}_relu"), e)

    x = steps(INPUT, -10)
    squeeze = conv("squeeze", x, 3, 4, 1, -9)
    branches = [
        conv(name, squeeze, 4, 3, size, e)
        for name, size, e in zip(("left", "right"), (1, 3), exponents, strict=True)
    ]
    joined = steps(graph.add("Concat", branches, "joined", axis=1), exponents[0])
    last = conv("last", joined, 6, 5, 1, -9)
    mean = steps(graph.add("GlobalAveragePool", [last], "mean"), -9)
    return graph.model(mean)


def test_branches_of_16_bits():
    rng = np.random.default_rng(2)
    model = qdq_fire(rng)
    network = import_onnx(model)
    assert network.sources == ((0,), (1,), (1,), (2, 3), (4,))
    assert [layer.kind for layer in network.layers] == ["conv"] * 4 + ["avgpool"]
    notes = {item.name: (item.verdict, item.note) for item in check(model)}
    assert notes["make_joined"] == (Verdict.FOLDED, "a longer list of blocks")
    assert notes["make_joined_q"] == notes["make_joined_r"] == (Verdict.FOLDED, "")
    assert notes["make_left_relu"] == (Verdict.CORE, "with make_left")
    assert notes["make_mean"] == (Verdict.HOST, "average 6x6: between two layers of the core")
    x = inputs(rng, (3, 6, 6))
    names = [f"{name}_relu_q" for name in ("squeeze", "left", "right", "last")] + ["mean_q"]
    expected = oracle.exact_run(model, names, x)
    maps = network.run(network.quantise_input(oracle.hwc(x)))
    for name, value, found in zip(names, expected, maps[1:], strict=True):
        np.testing.assert_array_equal(found, oracle.hwc(value), err_msg=name)


def test_branches_must_share_a_scale():
    with pytest.raises(
        CompileError,
        match=r"make_joined \(Concat\): joins a map of s16 of scale 0.0039.* with one of s16 of "
        "scale 0.0078.*; let all branches have one scale",
    ):
        import_onnx(qdq_fire(np.random.default_rng(2), (-8, -7)))


def test_branches_must_be_of_one_size():
    net = QuantisedChain().conv(4)
    (left,) = net.branches(3)
    net.last, net.channels = "t1", 4
    right = net.conv(3).last
    with pytest.raises(CompileError, match=r"\(QLinearConcat\): joins maps of 4x4, 2x2; they"):
        import_onnx(net.concat(left, right, channels=6).conv().real().end())


def test_a_relu_on_what_other_nodes_take_too_is_refused():
    net = QuantisedChain().conv(4).real()
    real = net.last
    net.node("Relu")
    net.last = net.add("Concat", [net.last, real], "both", axis=1)
    both = net.node("QuantizeLinear", net.SCALE, net.ZERO).node("Flatten").gemm(2, 128)
    with pytest.raises(
        CompileError, match=r"\(Relu\): acts on 't2', which other nodes take as it is; let them"
    ):
        import_onnx(both.real().end(rank=2))


def test_a_relu_behind_a_pool_or_a_concat_is_refused():
    net = QuantisedChain().conv(4)
    left, right = net.branches(3, 3)
    net.concat(left, right, channels=6).real().node("Relu")
    with pytest.raises(CompileError, match=r"\(Relu\): acts on a pool or a Concat; it must follow"):
        import_onnx(net.end())


def test_sums_that_became_a_map_cannot_be_taken_any_more():
    graph = HandBuilder()
    scale, zero = np.float32(0.5), np.int16(0)
    graph.add("QuantizeLinear", [INPUT, scale, zero], "xq")
    graph.add("DequantizeLinear", ["xq", scale, zero], "xr")
    graph.add("DequantizeLinear", [np.ones((2, 2, 1, 1), np.int16), scale, None], "w")
    graph.add("Conv", ["xr", "w"], "sums")
    for name in ("one", "two"):
        graph.add("QuantizeLinear", ["sums", scale, zero], f"{name}_q")
        graph.add("DequantizeLinear", [f"{name}_q", scale, zero], name)
    graph.add("Concat", ["one", "two"], OUTPUT, axis=1)
    with pytest.raises(
        CompileError, match=r"make_two_q \(Qu.*: takes 'sums', which another node has made part of"
    ):
        import_onnx(graph.model())


def test_a_sum_of_branches_is_refused():
    net = QuantisedChain().conv()
    scales = [net.SCALE, net.ZERO]
    left, right = net.branches(3, 3)
    net.last = net.add("QLinearAdd", [left, *scales, right, *scales, *scales], "total")
    with pytest.raises(CompileError, match=r"\(QLinearAdd\): QLinearAdd is not supported; join br"):
        import_onnx(net.real().end())


def test_an_output_before_the_end_is_refused():
    net = QuantisedChain().conv().node("Identity")
    middle = net.last
    net.conv().real()
    both = model(net.nodes, net.initializers, (1, 2, 6, 6), (net.last, middle))
    with pytest.raises(
        CompileError, match=f"output '{middle}': is not what the last layer gives; remove it"
    ):
        import_onnx(both)


def test_a_concat_at_the_end_is_refused():
    net = QuantisedChain().conv()
    left, right = net.branches(3, 3)
    with pytest.raises(CompileError, match="is not what the last layer gives"):
        import_onnx(net.concat(left, right, channels=6).real().end())


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
