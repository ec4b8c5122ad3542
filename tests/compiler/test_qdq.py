"""Q/DQ form: 8 bits against ONNX Runtime, 16 bits against ONNX's evaluator in float64."""

import numpy as np
import pytest
from onnx import helper
from onnxruntime.quantization import QuantFormat, QuantType

from compiler.errors import CompileError
from compiler.onnx_import import check, import_onnx
from golden.formats import Rounding
from golden.network import TensorFormat
from golden.requant import Shift
from tests.compiler import oracle
from tests.compiler.networks import (
    INPUT,
    OUTPUT,
    Builder,
    HandBuilder,
    inputs,
    qdq_conv,
    quantise,
)
from tests.compiler.test_qlinear import NETS

U8, S8 = QuantType.QUInt8, QuantType.QInt8


def test_every_8_bit_tensor_equals_onnxruntime():
    for name in NETS:
        net = NETS[name]()
        quantised = quantise(net.model(), form=QuantFormat.QDQ, low=-0.3)
        x = inputs(np.random.default_rng(5), net.shape, -0.3)
        expected = oracle.reference(quantised, x)
        network = import_onnx(quantised)
        assert len(expected) > len(network.layers), name
        oracle.compare(expected, network, x)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("maps", "weights"), [(U8, S8), (U8, U8), (S8, S8)])
def test_every_8_bit_type_equals_onnxruntime(maps, weights, symmetric):
    net = Builder((3, 10, 9)).conv(6, (3, 3), pads=[1, 1, 1, 1]).relu().pool()
    net.conv(4, (2, 2)).flatten().gemm(5, 4 * 4 * 3)
    quantised = quantise(
        net.model(),
        form=QuantFormat.QDQ,
        maps=maps,
        weights=weights,
        low=-0.5,
        ActivationSymmetric=symmetric,
    )
    network = import_onnx(quantised)
    assert network.layers[0].relu == symmetric  # or the output's zero point does it
    x = inputs(np.random.default_rng(6), net.shape, -0.5)
    oracle.compare(oracle.reference(quantised, x), network, x)


@pytest.mark.parametrize("relu", [False, True])
def test_16_bits_are_exact(relu):
    rng = np.random.default_rng(3)
    model = qdq_conv(
        weights=rng.integers(-32768, 32768, (4, 2, 3, 3)).astype(np.int16),
        x_scale=np.float32(2.0**-15),
        bias=rng.integers(-(2**31), 2**31, 4).astype(np.int32),
        b_scale=np.float32(2.0**-21),
        y_scale=np.float32(2.0**-5),
        pads=[0, 1, 2, 0],
        strides=[2, 1],
        relu=relu,
    )
    network = import_onnx(model)
    (layer,) = network.layers
    assert (layer.requant, layer.relu) == (Shift(16, Rounding.HALF_EVEN), relu)
    assert layer.out_format == TensorFormat(16, True, 2.0**-5)
    for _ in range(20):
        x = inputs(rng, (2, 6, 6), -1.0)
        expected = oracle.exact_reference(model, x)
        assert len(expected) == 2
        oracle.compare(expected, network, x)


def test_16_bits_equal_onnxruntime_where_float32_is_exact():
    model = qdq_conv()  # 7-bit weights x 8-bit pixels x 18: within 24 bits
    network = import_onnx(model)
    rng = np.random.default_rng(3)
    for _ in range(20):
        x = inputs(rng, (2, 6, 6), -1.0)
        oracle.compare(oracle.reference(model, x), network, x)


def test_a_16_bit_classifier_is_exact():
    model = classifier()
    network = import_onnx(model)
    assert [(layer.kind, layer.pool) for layer in network.layers] == [("conv", True), ("fc", False)]
    assert network.layers[1].weights.shape == (5, 3, 2, 2)
    rng = np.random.default_rng(3)
    for _ in range(20):
        x = inputs(rng, (2, 6, 6), -1.0)
        expected = oracle.exact_reference(model, x)
        assert set(expected) == {(0, False), (1, False), (2, False)}
        oracle.compare(expected, network, x)


def classifier(**gemm: object):
    """Conv, Relu, MaxPool, Flatten and Gemm in 16 bits, without Q/DQ behind pool and Flatten."""
    rng = np.random.default_rng(9)
    step, zero = np.float32(2.0**-12), np.int16(0)
    graph = HandBuilder()
    graph.add("QuantizeLinear", [INPUT, step, zero], "xq")
    graph.add("DequantizeLinear", ["xq", step, zero], "xr")
    weights = rng.integers(-3000, 3000, (3, 2, 3, 3)).astype(np.int16)
    scales = np.float32([2.0**-12, 2.0**-13, 2.0**-12])
    graph.add("DequantizeLinear", [weights, scales, np.zeros(3, np.int16)], "w", axis=0)
    graph.add("Conv", ["xr", "w"], "sums")
    graph.add("Relu", ["sums"], "rectified")
    graph.add("QuantizeLinear", ["rectified", step, zero], "hq")
    graph.add("DequantizeLinear", ["hq", step, zero], "hr")
    graph.add("MaxPool", ["hr"], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    graph.add("Flatten", ["pooled"], "flat")
    weights = rng.integers(-3000, 3000, (12, 5)).astype(np.int16)
    graph.add("DequantizeLinear", [weights, step, zero], "wf")
    bias = rng.integers(-(2**23), 2**23, 5).astype(np.int32)
    graph.add("DequantizeLinear", [bias, np.float32(2.0**-22), None], "bf")
    graph.add("Gemm", ["flat", "wf", "bf"], "scores", **gemm)
    graph.add("QuantizeLinear", ["scores", step, zero], "yq")
    graph.add("DequantizeLinear", ["yq", step, zero], OUTPUT)
    model = graph.model()
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    return model


@pytest.mark.parametrize(
    ("gemm", "message"),
    [
        ({"transA": 1}, "has transA=1; transpose its input before quantising"),
        ({"alpha": 0.5}, "has alpha=0.5; fold it into the weights"),
        ({"beta": 2.0}, "has beta=2; fold it into the weights"),
        ({"transB": 1}, "its weights are for 5 inputs, but it takes 12"),
    ],
)
def test_a_gemm_that_cannot_run_is_refused(gemm, message):
    with pytest.raises(CompileError, match=rf"make_scores \(Gemm\): {message}"):
        import_onnx(classifier(**gemm))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_zero": np.int16(-3)}, "a 16-bit map has the zero point -3; 16-bit maps need zero"),
        ({"x_zero": np.uint16(0)}, "a map is uint16; quantise maps to uint8, int8, int16"),
        (
            {"weights": np.ones((4, 2, 3, 3), np.uint16)},
            "stores its weights as uint16; use int8 or uint8 or int16",
        ),
        ({"bias": np.ones(4, np.int16)}, "stores its bias as int16; use int32"),
        (
            {"bias": np.ones(4, np.int32), "b_zero": np.int32(1)},
            "its bias has a zero point; quantise it symmetrically",
        ),
    ],
)
def test_a_convolution_that_cannot_run_is_refused(changes, message):
    with pytest.raises(CompileError, match=rf"\((QuantizeLinear|Conv)\): {message}"):
        import_onnx(qdq_conv(**changes))


def test_scales_along_another_axis_are_refused():
    model = qdq_conv(w_scale=np.float32([2.0**-6] * 4))
    (node,) = [item for item in model.graph.node if item.name == "make_w"]
    node.attribute[0].i = 1
    with pytest.raises(
        CompileError, match="takes scales of its weights along axis 1; give one per out"
    ):
        import_onnx(model)


def test_float_weights_are_refused():
    net = Builder((2, 6, 6)).conv(3, (3, 3)).relu()
    with pytest.raises(
        CompileError,
        match=r"conv0 \(Conv\): has its weights in floating point; quantise the network first, wi",
    ):
        import_onnx(net.model())


def test_computed_weights_are_refused():
    graph = HandBuilder()
    graph.add("Relu", [INPUT], "w")
    graph.add("Conv", [INPUT, "w"], OUTPUT)
    with pytest.raises(CompileError, match="acts on the network's input"):
        import_onnx(graph.model())
    (_, conv) = check(graph.model())
    assert conv.note == "takes computed weights 'w'; only the map may be computed"


def test_constants_may_pass_an_identity():
    model = qdq_conv()
    (node,) = [item for item in model.graph.node if item.name == "make_w"]
    model.graph.node.insert(0, helper.make_node("Identity", [node.input[0]], ["same"]))
    node.input[0] = "same"
    expected = import_onnx(qdq_conv()).layers[0].weights
    np.testing.assert_array_equal(import_onnx(model).layers[0].weights, expected)


def test_quantising_a_constant_is_refused():
    graph = HandBuilder()
    scale, zero = np.float32(0.5), np.int16(0)
    weights = np.ones((3, 2, 3, 3), np.float32)
    graph.add("QuantizeLinear", [weights, scale, zero], "wq")
    graph.add("DequantizeLinear", ["wq", scale, zero], "w")
    graph.add("Conv", [INPUT, "w"], OUTPUT)
    with pytest.raises(CompileError, match=r"make_wq \(QuantizeLinear\): quantises a constant; st"):
        import_onnx(graph.model())


def test_blocked_weights_are_refused():
    model = qdq_conv()
    (node,) = [item for item in model.graph.node if item.name == "make_w"]
    node.attribute.append(helper.make_attribute("block_size", 2))
    with pytest.raises(CompileError, match="has a block_size; give one scale per output channel"):
        import_onnx(model)


def test_a_change_of_scale_between_layers_is_refused():
    graph = HandBuilder()
    graph.add("QuantizeLinear", [INPUT, np.float32(0.5), np.uint8(0)], "xq")
    graph.add("DequantizeLinear", ["xq", np.float32(0.5), np.uint8(0)], "xr")
    graph.add("QuantizeLinear", ["xr", np.float32(0.25), np.uint8(0)], "yq")
    graph.add("DequantizeLinear", ["yq", np.float32(0.25), np.uint8(0)], OUTPUT)
    with pytest.raises(
        CompileError, match=r"make_yq \(QuantizeLinear\): changes the scale or zero"
    ):
        import_onnx(graph.model())


def test_a_layer_on_unquantised_sums_is_refused():
    graph = HandBuilder()
    scale, zero = np.float32(0.5), np.int8(0)
    graph.add("QuantizeLinear", [INPUT, scale, zero], "xq")
    graph.add("DequantizeLinear", ["xq", scale, zero], "xr")
    graph.add("DequantizeLinear", [np.ones((2, 2, 1, 1), np.int8), scale, zero], "w")
    graph.add("Conv", ["xr", "w"], "first")
    graph.add("Conv", ["first", "w"], OUTPUT)
    with pytest.raises(
        CompileError,
        match=r"make_y \(Conv\): its input is not quantised; put QuantizeLinear and Dequantize"
        r"Linear behind make_first \(Conv\)",
    ):
        import_onnx(graph.model())
