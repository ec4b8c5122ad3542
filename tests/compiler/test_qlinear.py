"""QOperator form against ONNX Runtime, bit for bit at every quantised tensor."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import QuantType

from compiler.errors import CompileError
from compiler.onnx_import import import_onnx
from tests.compiler import oracle
from tests.compiler.networks import (
    INPUT,
    OUTPUT,
    Builder,
    HandBuilder,
    QuantisedChain,
    inputs,
    qlinear_conv,
    quantise,
)

U8, S8 = QuantType.QUInt8, QuantType.QInt8


def reshaped() -> Builder:
    net = Builder((2, 6, 6)).conv(3, (3, 3)).relu()
    return net.node("Reshape", net.constant("shape", np.array([-1, 48]))).gemm(5, 48)


NETS: dict[str, Callable[[], Builder]] = {
    "conv": lambda: Builder((1, 9, 9)).conv(4, (3, 3)),
    "no bias": lambda: Builder((2, 9, 9)).conv(4, (3, 3), bias=False).relu(),
    "same upper": lambda: Builder((2, 9, 8)).conv(4, (3, 2), strides=[2, 2], auto_pad="SAME_UPPER"),
    "same lower": lambda: Builder((2, 9, 8)).conv(4, (2, 4), strides=[1, 3], auto_pad="SAME_LOWER"),
    "valid": lambda: Builder((2, 9, 8)).conv(4, (5, 1), auto_pad="VALID").relu(),
    "rectangles": lambda: Builder((3, 12, 9)).conv(5, (1, 7), pads=[0, 3, 2, 1], strides=[3, 2]),
    "pools": lambda: (
        Builder((3, 15, 13)).conv(8, (3, 3), pads=[1, 1, 1, 1]).relu().pool().conv(6, (3, 3)).pool()
    ),
    "classifier": lambda: (
        Builder((3, 11, 9)).conv(5, (3, 3), pads=[1, 1, 1, 1]).relu().pool().flatten()
        .gemm(7, 5 * 5 * 4).relu().gemm(4, 7, transposed=False)
    ),
    "matmul": lambda: Builder((2, 4, 5)).conv(3, (2, 2)).relu().flatten().matmul(6, 3 * 3 * 4),
    "groups": lambda: Builder((6, 9, 8)).conv(9, (3, 3), group=3, pads=[1, 0, 1, 2]).relu(),
    "depthwise": lambda: (
        Builder((5, 9, 8)).conv(5, (3, 3), group=5, strides=[2, 2]).relu().conv(4, (1, 1))
    ),
    "large kernel": lambda: Builder((2, 19, 17)).conv(4, (11, 9), strides=[4, 2]).relu(),
    "vector": lambda: Builder((20,)).gemm(9, 20).relu().gemm(3, 9, bias=False),
    "reshape": reshaped,
}  # fmt: skip


@pytest.mark.parametrize("low", [0.0, -0.7], ids=["grey", "signed"])
@pytest.mark.parametrize("name", NETS)
def test_every_tensor_equals_onnxruntime(name, low):
    net = NETS[name]()
    quantised = quantise(net.model(), low=low)
    network = import_onnx(quantised)
    rng = np.random.default_rng(5)
    for _ in range(3):
        x = inputs(rng, net.shape, low)
        expected = oracle.reference(quantised, x)
        assert len(expected) > len(network.layers)
        oracle.compare(expected, network, x)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(("maps", "weights"), [(U8, S8), (U8, U8), (S8, S8)])
def test_every_type_equals_onnxruntime(maps, weights, per_channel):
    net = Builder((3, 10, 9)).conv(6, (3, 3), pads=[1, 1, 1, 1]).pool().conv(4, (2, 2)).relu()
    if maps == U8:  # ONNX Runtime has no QGemm on s8
        net.flatten().gemm(5, 4 * 4 * 3)
    quantised = quantise(net.model(), maps=maps, weights=weights, per_channel=per_channel, low=-0.5)
    x = inputs(np.random.default_rng(6), net.shape, -0.5)
    oracle.compare(oracle.reference(quantised, x), import_onnx(quantised), x)


def test_a_relu_on_the_quantised_map_joins_the_layer():
    net = Builder((3, 10, 9)).conv(6, (3, 3)).relu().pool().conv(4, (2, 2)).relu()
    quantised = quantise(net.model(), low=-0.5, ActivationSymmetric=True)
    assert "Relu" in {node.op_type for node in quantised.graph.node}
    network = import_onnx(quantised)
    assert [layer.relu for layer in network.layers] == [True, True]
    x = inputs(np.random.default_rng(6), net.shape, -0.5)
    oracle.compare(oracle.reference(quantised, x), network, x)


@st.composite
def convolutions(draw):
    """Constants, attributes and seed of a random QLinearConv, input map of shape (C, H, W)."""
    kernel = [draw(st.integers(1, 7)) for _ in "hw"]
    pads = [draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4)]
    size = [draw(st.integers(max(1, kernel[a] - pads[a] - pads[a + 2]), 12)) for a in (0, 1)]
    channels, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x_type, w_type = draw(st.sampled_from([("u1", "u1"), ("u1", "i1"), ("i1", "i1")]))
    limits = np.iinfo(x_type)
    w_low, w_high = {"u1u1": (0, 255), "u1i1": (-128, 127), "i1i1": (-64, 63)}[x_type + w_type]
    per_channel = outputs if draw(st.booleans()) else 1
    w_zero = np.zeros(per_channel, w_type)
    if w_type == "u1":
        w_zero[:] = draw(st.integers(0, 255))
    w_scale = rng.uniform(0.001, 0.02, per_channel).astype(np.float32)
    depth = channels * kernel[0] * kernel[1]
    return (channels, *size), rng, {
        "x_scale": np.float32(draw(st.sampled_from([1 / 255, 0.02, 2.0**-7]))),
        "x_zero": np.array(draw(st.integers(limits.min, limits.max)), x_type),
        "weights": rng.integers(w_low, w_high, (outputs, channels, *kernel), w_type, endpoint=True),
        "w_scale": draw(st.sampled_from([w_scale, np.full_like(w_scale, 2.0**-8)])),
        "w_zero": w_zero,
        "y_scale": np.float32(draw(st.sampled_from([0.01, 2.0**-5])) * np.sqrt(depth)),
        "y_zero": np.array(draw(st.integers(limits.min, limits.max)), x_type),
        "bias": rng.integers(-5000, 5000, outputs, np.int32) if draw(st.booleans()) else None,
        "strides": [draw(st.integers(1, 4)) for _ in "hw"],
        "pads": pads,
    }  # fmt: skip


@settings(max_examples=settings.default.max_examples // 2)
@given(convolutions())
def test_a_random_convolution_equals_onnxruntime(case):
    shape, rng, constants = case
    model = qlinear_conv(shape, **constants)
    x = inputs(rng, shape, -1.0)
    expected = oracle.reference(model, x)
    assert len(expected) == 2
    oracle.compare(expected, import_onnx(model), x)


def gemm(
    *,
    bias: object = None,
    y_scale: object = np.float32(0.05),
    y_zero: object = np.uint8(4),
    **given,
) -> HandBuilder:
    """A QGemm of 12 inputs and 5 outputs, its output a float if `y_scale` is None."""
    rng = np.random.default_rng(4)
    shape = (5, 12) if given.get("transB") else (12, 5)
    weights = rng.integers(-128, 127, shape).astype(np.int8)
    scales = rng.uniform(0.005, 0.02, 5).astype(np.float32)
    graph = HandBuilder((12,))
    graph.add("QuantizeLinear", [INPUT, np.float32(0.01), np.uint8(9)], "xq")
    operands = ["xq", np.float32(0.01), np.uint8(9), weights, scales, np.zeros(5, np.int8), bias]
    result = OUTPUT if y_scale is None else "yq"
    graph.add("QGemm", [*operands, y_scale, y_zero], result, **given)
    if y_scale is not None:
        graph.add("DequantizeLinear", ["yq", y_scale, y_zero], OUTPUT)
    return graph


@pytest.mark.parametrize("alpha", [1.0, 0.37, 2.5])
@pytest.mark.parametrize("bias", [None, np.arange(-2000, 3000, 1000, np.int32)], ids=["", "bias"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_equals_onnxruntime(alpha, bias, transposed):
    model = gemm(bias=bias, alpha=alpha, transB=transposed).model()
    network = import_onnx(model)
    rng = np.random.default_rng(8)
    for _ in range(20):
        x = inputs(rng, (12,), -0.1)
        oracle.compare(oracle.reference(model, x), network, x)


def test_one_bias_row_serves_gemm():
    row = np.arange(5, dtype=np.int32)[np.newaxis]
    np.testing.assert_array_equal(import_onnx(gemm(bias=row).model()).layers[0].bias, np.arange(5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transA": 1}, "has transA=1; transpose its input before quantising"),
        ({"y_scale": None, "y_zero": None}, "its output stays in floating point; quantise it too"),
        ({"alpha": -1.0}, "scale of channel 0 must be positive, finite and normal"),
        ({"bias": np.zeros(5, np.float32)}, "stores its bias as float32; use int32"),
        ({"bias": np.zeros(3, np.int32)}, "has 3 biases for 5 output channels"),
    ],
)
def test_a_gemm_that_cannot_run_is_refused(changes, message):
    with pytest.raises(CompileError, match=rf"\(QGemm\): {message}"):
        import_onnx(gemm(**changes).model())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_scale": np.float32([0.01, 0.02])}, "a map has 2 scales; quantise maps per tensor"),
        ({"x_zero": np.uint16(3)}, "a map is uint16; quantise maps to uint8, int8, int16"),
        ({"y_scale": np.float32(0)}, "a map has the scale 0.0; scales must be positive"),
        ({"w_scale": np.float32([1, 2])}, "has 2 scales of its weights for 4 output channels"),
        ({"w_scale": np.float32(-1)}, "a scale of its weights is -1.0; it must be positive"),
        ({"w_zero": np.int8([0, 0, 0])}, "has 3 zero points of its weights for 4 output channels"),
        ({"weights": np.ones((4, 2, 3, 3), np.int32)}, "stores its weights as int32; use int8"),
        ({"weights": np.ones((4, 3, 3, 3), np.int8)}, "its weights are for 3 channels, its input"),
        ({"bias": np.ones(4, np.int64)}, "stores its bias as int64; use int32"),
        ({"w_scale": np.float32(1e-38)}, "scale of channel 0 must be positive, finite and normal"),
    ],
)
def test_a_convolution_that_cannot_run_is_refused(changes, message):
    with pytest.raises(CompileError, match=rf"\((QuantizeLinear|QLinearConv)\): {message}"):
        import_onnx(qlinear_conv(**changes))


def test_a_format_that_is_not_that_of_the_input_is_refused():
    model = qlinear_conv()
    graph = HandBuilder()
    graph.add("QuantizeLinear", [INPUT, np.float32(0.02), np.uint8(3)], "xq")
    model.graph.node[0].CopyFrom(graph.nodes[0])
    model.graph.initializer.extend(graph.initializers)
    for name in ("xq_1", "xq_2"):
        stale = next(item for item in model.graph.initializer if item.name == name)
        model.graph.initializer.remove(stale)
    with pytest.raises(
        CompileError,
        match=r"takes its input as u8 of scale 0\.0\d+ and zero point 3, but that is u8",
    ):
        import_onnx(model)


def test_float_input_is_refused():
    graph = HandBuilder()
    constants = [np.float32(0.1), np.uint8(0), np.ones((1, 2, 1, 1), np.int8), np.float32(0.1)]
    operands = [INPUT, *constants, np.int8(0), np.float32(0.1), np.uint8(0)]
    graph.add("QLinearConv", operands, OUTPUT)
    with pytest.raises(CompileError, match="its input is not quantised; quantise the network"):
        import_onnx(graph.model())


def test_an_average_of_integers():
    net = QuantisedChain((2, 9, 8)).conv(5)
    steps = [net.SCALE, net.ZERO, np.float32(0.004), np.uint8(7)]
    net.node("QLinearGlobalAveragePool", *steps)
    net.node("DequantizeLinear", *steps[2:])
    model = net.end()
    network = import_onnx(model)
    assert [layer.kind for layer in network.layers] == ["conv", "avgpool"]
    oracle.compare_layers(model, network, inputs(np.random.default_rng(1), (2, 9, 8)))


def test_an_average_with_its_channels_last_is_refused():
    net = QuantisedChain().conv()
    steps = [net.SCALE, net.ZERO] * 2
    net.node("QLinearGlobalAveragePool", *steps, channels_last=1)
    with pytest.raises(CompileError, match="has its channels last; export it with channels first"):
        import_onnx(net.real().end())


def test_a_concat_that_changes_the_scale_is_refused():
    net = QuantisedChain().conv()
    left, right = net.branches(3, 3)
    steps = [net.SCALE, net.ZERO]
    other = [np.float32(0.5), net.ZERO, left, *steps, right, *steps]
    net.last = net.add("QLinearConcat", other, "joined", axis=1)
    with pytest.raises(
        CompileError, match=r"changes a map of u8 of scale 0.01.* to u8 of scale 0.5 and zero point"
    ):
        import_onnx(net.end())
