"""Layers that are not quantised yet: what they are made of, and what does not fit."""

import numpy as np
import pytest
from onnx import helper

from compiler.errors import CompileError
from compiler.geometry import read_convolution
from compiler.onnx_import import import_onnx
from compiler.quantised import Steps
from compiler.sums import convolution, fully_connected, global_average
from compiler.tensors import Tensor, Values
from golden.network import TensorFormat
from tests.compiler.networks import QuantisedChain

FORMAT = TensorFormat(8, False, 0.5, 3)


def steps(*shape: int) -> Steps:
    """Weights that can be told apart."""
    values = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    return Steps(values=values, scale=np.ones(shape[0]), bits=8)


def test_a_convolution_has_the_shape_of_its_window():
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 0, 0, 2], strides=[2, 1])
    source = Tensor((7, 5, 2), Values((0,)), form=FORMAT)
    weights = steps(6, 2, 3, 3)
    window = read_convolution(node, weights.values.shape)
    layer, shape = convolution(node, source, FORMAT, weights, None, window)
    assert (shape.shape, shape.flat) == ((3, 5, 6), False)
    assert (layer.name, layer.in_format, layer.kind) == ("conv", FORMAT, "conv")
    assert (layer.stride, layer.pads, layer.groups) == ((2, 1), (1, 0, 0, 2), 1)
    assert layer.weights is weights


def test_a_fully_connected_layer_takes_the_map_channel_by_channel():
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "gemm")
    source = Tensor((2, 3, 4), Values((0,)), form=FORMAT, flat=True)
    layer, shape = fully_connected(node, source, FORMAT, steps(5, 24), None, gain=0.25)
    assert (shape.shape, shape.flat) == ((1, 1, 5), True)
    assert (layer.kind, layer.gain) == ("fc", 0.25)
    assert layer.weights.values.shape == (5, 4, 2, 3)
    assert layer.weights.values.ravel().tolist() == list(range(5 * 24))


def test_a_global_average_covers_its_map():
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"], "average")
    layer, shape = global_average(node, Tensor((4, 6, 9), Values((0,)), form=FORMAT), FORMAT)
    assert (shape.shape, layer.kernel, layer.channels) == ((1, 1, 9), (4, 6), 9)
    with pytest.raises(CompileError, match="pools a vector; remove it"):
        global_average(node, Tensor((1, 1, 9), Values((0,)), flat=True), FORMAT)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (QuantisedChain().conv().node("Flatten").conv(), r"\(QLinearConv\): convolves a vector;"),
        (QuantisedChain().conv().gemm(5, 48), r"\(QGemm\): multiplies a map; put a Flatten befo"),
        (QuantisedChain().conv().node("Flatten").gemm(5, 47), "are for 47 inputs, but it takes 48"),
        (QuantisedChain((2, 2, 6)).conv(), "its 3x3 kernel is larger than its map of 2x6 with pa"),
    ],
)
def test_weights_that_do_not_fit_are_refused(net, message):
    with pytest.raises(CompileError, match=message) as caught:
        import_onnx(net.end())
    assert "\n" not in str(caught.value)
