"""Pools and reshapes between the layers."""

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.onnx_import import import_onnx
from tests.compiler import oracle
from tests.compiler.networks import QuantisedChain, inputs


def test_a_pool_joins_the_layer_before():
    model = QuantisedChain((2, 9, 8)).conv().pool().conv(4).real().end()
    network = import_onnx(model)
    assert [layer.pool for layer in network.layers] == [True, False]
    assert network.shapes == [(9, 8, 2), (3, 3, 3), (1, 1, 4)]
    x = inputs(np.random.default_rng(1), (2, 9, 8))
    expected = oracle.reference(model, x)
    assert (1, True) in expected
    oracle.compare(expected, network, x)


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
        (QuantisedChain().pool(), r"\(MaxPool\): pools the network's input; a pool must follow"),
        (QuantisedChain((2, 9, 9)).conv().pool().pool(), r"\(MaxPool\): pools another pool; a"),
        (QuantisedChain((2, 3, 5)).conv().pool(), r"\(MaxPool\): pools a map of 1x3; remove it"),
        (QuantisedChain().conv().node("Flatten").pool(), r"\(MaxPool\): pools a vector; remove"),
        (QuantisedChain().conv().node("Flatten").conv(), r"\(QLinearConv\): convolves a vector;"),
        (QuantisedChain().conv().gemm(5, 48), r"\(QGemm\): multiplies a map; put a Flatten befo"),
        (QuantisedChain().conv().node("Flatten").gemm(5, 47), "are for 47 inputs, but it takes 48"),
        (QuantisedChain((2, 2, 6)).conv(), "its 3x3 kernel is larger than its map of 2x6 with pa"),
        (QuantisedChain().real().node("Relu"), r"\(Relu\): acts on the network's input; it must"),
    ],
)
def test_what_does_not_fit_is_refused(net, message):
    with pytest.raises(CompileError, match=message) as caught:
        import_onnx(net.end())
    assert "\n" not in str(caught.value)
