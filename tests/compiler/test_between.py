"""Pools and reshapes between the layers."""

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.onnx_import import import_onnx
from tests.compiler import oracle
from tests.compiler.networks import INPUT, OUTPUT, HandBuilder, QuantisedChain, inputs


def test_a_pool_joins_the_layer_before():
    model = QuantisedChain((2, 9, 8)).conv().pool().conv(4).real().end()
    network = import_onnx(model)
    assert [layer.pool for layer in network.layers] == [True, False]
    assert network.shapes == [(9, 8, 2), (3, 3, 3), (1, 1, 4)]
    x = inputs(np.random.default_rng(1), (2, 9, 8))
    expected = oracle.reference(model, x)
    assert (1, True) in expected
    oracle.compare(expected, network, x)


POOLS = [
    {"kernel_shape": [3, 3], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [1, 3], "pads": [2, 1, 0, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("given", POOLS, ids=str)
def test_another_pool_is_a_layer_of_its_own(given):
    net = QuantisedChain((2, 11, 10)).conv().node("MaxPool", **given).conv(4)
    model = net.real().end()
    network = import_onnx(model)
    assert [layer.kind for layer in network.layers] == ["conv", "maxpool", "conv"]
    oracle.compare_layers(model, network, inputs(np.random.default_rng(1), (2, 11, 10)))


def test_a_pool_of_what_no_convolution_gives_is_a_layer_of_its_own():
    net = QuantisedChain((2, 41, 38)).pool().conv().pool().pool().conv(4)
    model = net.real().end()
    network = import_onnx(model)
    assert [layer.kind for layer in network.layers] == ["maxpool", "conv", "maxpool", "conv"]
    assert [layer.pool for layer in network.layers] == [False, True, False, False]


def test_a_pool_of_what_another_layer_takes_too_is_a_layer_of_its_own():
    net = QuantisedChain().conv(4)
    (left,) = net.branches(3)
    net.last, net.channels = "t1", 4
    net.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    small = net.last
    net.last, net.channels = left, 3
    large = net.pool().last
    model = net.concat(large, small, channels=7).node("Flatten").gemm(5, 28).real().end(rank=2)
    network = import_onnx(model)
    assert [layer.kind for layer in network.layers] == ["conv", "conv", "maxpool", "fc"]
    assert network.sources == ((0,), (1,), (1,), (2, 3))
    x = inputs(np.random.default_rng(1), (2, 6, 6))
    maps = network.run(network.quantise_input(oracle.hwc(x)))
    (scores,) = oracle.run(model, [network.layers[-1].name.removeprefix("make_")], x)
    assert (maps[-1].ravel() == scores.ravel()).all()


def test_a_pool_that_is_not_quantised_is_refused():
    graph = HandBuilder()
    scale, zero = np.float32(0.5), np.int16(0)
    graph.add("QuantizeLinear", [INPUT, scale, zero], "xq")
    graph.add("DequantizeLinear", ["xq", scale, zero], "xr")
    graph.add("DequantizeLinear", [np.ones((2, 2, 1, 1), np.int16), scale, None], "w")
    graph.add("Conv", ["xr", "w"], "sums")
    graph.add("MaxPool", ["sums"], OUTPUT, kernel_shape=[3, 3])
    with pytest.raises(
        CompileError,
        match=r"\(MaxPool\): its input is not quantised; put QuantizeLinear and Deq.* make_sums",
    ):
        import_onnx(graph.model())


def test_a_pool_of_nothing_but_padding_is_refused():
    net = QuantisedChain().node("MaxPool", kernel_shape=[2, 2], pads=[0, 2, 0, 0])
    with pytest.raises(CompileError, match=r"\(MaxPool\): pads must be 0 to less than the kernel"):
        import_onnx(net.conv().real().end())


@pytest.mark.parametrize(
    ("op", "axis"), [("Concat", 2), ("Concat", -1), ("QLinearConcat", 2), ("QLinearConcat", 0)]
)
def test_maps_are_joined_along_their_channels_only(op, axis):
    net = QuantisedChain().conv()
    left, right = net.branches(3, 3)
    if op == "Concat":
        net.last = net.add("Concat", [left, right], "joined", axis=axis)
    else:
        net.concat(left, right, channels=6)
        net.nodes[-1].attribute[0].i = axis
    with pytest.raises(CompileError, match=rf"\({op}\): joins maps along axis {axis}; join chan"):
        import_onnx(net.conv().real().end())


@pytest.mark.parametrize(
    ("op", "constant", "given"),
    [
        ("Flatten", None, {}),
        ("Flatten", None, {"axis": 1}),
        ("Flatten", None, {"axis": -3}),
        ("Reshape", np.array([1, 48]), {}),
        ("Reshape", np.array([1, -1]), {}),
        ("Reshape", np.array([-1, 48]), {}),
        ("Reshape", np.array([0, -1]), {}),
    ],
)
def test_a_map_becomes_a_vector_channel_by_channel(op, constant, given):
    constants = [] if constant is None else [constant]
    model = QuantisedChain().conv().node(op, *constants, **given).gemm(5, 48).real().end(rank=2)
    network = import_onnx(model)
    assert network.layers[1].weights.shape == (5, 3, 4, 4)
    x = inputs(np.random.default_rng(1), (2, 6, 6))
    oracle.compare(oracle.reference(model, x), network, x)


def test_a_vector_may_be_flattened_again():
    net = QuantisedChain().conv().node("Flatten").node("Flatten", axis=-1).gemm(5, 48)
    assert import_onnx(net.real().end(rank=2)).shapes[-1] == (1, 1, 5)


def test_squeeze_makes_a_vector_of_single_pixels():
    net = QuantisedChain((2, 3, 3)).conv(7).node("Squeeze", np.array([2, -1])).gemm(5, 7)
    network = import_onnx(net.real().end(rank=2))
    assert network.shapes == [(3, 3, 2), (1, 1, 7), (1, 1, 5)]


def test_identity_and_dropout_leave_no_trace():
    net = QuantisedChain().node("Identity").conv().node("Identity").pool().node("Identity")
    network = import_onnx(net.real().node("Dropout").end())
    assert [layer.pool for layer in network.layers] == [True]


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (QuantisedChain().conv().node("Flatten", axis=2), r"\(Flatten\): gives another shape"),
        (QuantisedChain().conv().node("Flatten", axis=-1), r"\(Flatten\): gives another shape"),
        (QuantisedChain().conv().node("Reshape", np.array([3, 16])), r"\(Reshape\): gives anoth"),
        (QuantisedChain().conv().node("Reshape", np.array([1, 3, 16])), "than a vector; flatten"),
        (QuantisedChain().conv().node("Squeeze", np.array([0])), r"\(Squeeze\): gives another"),
        (QuantisedChain().conv().node("Squeeze", np.array([2, 3])), r"\(Squeeze\): gives anothe"),
        (QuantisedChain((2, 3, 5)).conv().pool(), r"\(MaxPool\): pools a map of 1x3; remove it"),
        (QuantisedChain().conv().node("Flatten").pool(), r"\(MaxPool\): pools a vector; remove"),
        (QuantisedChain().real().node("Relu"), r"\(Relu\): acts on the network's input; it must"),
    ],
)
def test_what_does_not_fit_is_refused(net, message):
    with pytest.raises(CompileError, match=message) as caught:
        import_onnx(net.end())
    assert "\n" not in str(caught.value)
