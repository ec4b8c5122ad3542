"""Nodes `openhop::AdderConv` against ONNX's evaluator with the node written out in NumPy."""

import itertools
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from compiler.errors import CompileError
from compiler.onnx_import import Verdict, check, import_onnx
from golden.adder import Adder
from golden.requant import Scale, Shift
from tests.compiler import oracle
from tests.compiler.networks import INPUT, HandBuilder, QuantisedChain, adder_conv, inputs

PADS = [1, 1, 1, 1]


class AdderConv(OpRun):
    """The node as `compiler/adder.py` describes it, window by window."""

    op_domain = "openhop"

    def _run(self, x, w, b, m, z, kernel_shape=None, strides=None, pads=None, group=None):
        top, left, bottom, right = pads or (0, 0, 0, 0)
        sy, sx = strides or (1, 1)
        assert list(w.shape[2:]) == list(kernel_shape or w.shape[2:])
        assert group in (None, 1)
        padded = np.pad(x[0].astype(object), ((0, 0), (top, bottom), (left, right)))
        kh, kw = w.shape[2:]
        rows = (padded.shape[1] - kh) // sy + 1
        cols = (padded.shape[2] - kw) // sx + 1
        y = np.empty((1, len(w), rows, cols), z.dtype)
        limits = np.iinfo(z.dtype)
        for o, row, col in itertools.product(range(len(w)), range(rows), range(cols)):
            window = padded[:, row * sy : row * sy + kh, col * sx : col * sx + kw]
            acc = -int(np.abs(window - w[o].astype(object)).sum())
            acc += 0 if b is None else int(b[o])
            value = np.rint(np.float32(acc) * m[o]) + int(z)
            y[0, o, row, col] = np.clip(value, limits.min, limits.max)
        return (y,)


def expected(model: onnx.ModelProto, x: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Tensors of those names for a float input."""
    evaluator = ReferenceEvaluator(oracle.exposed(model, names), new_ops=[AdderConv])
    return [oracle.hwc(value) for value in evaluator.run(names, {INPUT: x})]


NETS = {
    "padding": lambda: QuantisedChain((2, 7, 6)).adder(pads=PADS),
    "strides": lambda: QuantisedChain((2, 9, 8)).adder(pads=[0, 1, 2, 1], strides=[2, 3]),
    "pool": lambda: QuantisedChain((1, 8, 8)).adder(pads=PADS).pool().adder(5, 2),
    "signed maps": lambda: QuantisedChain((2, 6, 6)).adder(4, zero=np.int8(0)).adder(3, 2),
    "to the end": lambda: QuantisedChain((1, 8, 8)).adder(4, strides=[2, 2]).adder(5).adder(10, 1),
}


@pytest.mark.parametrize("name", NETS)
def test_every_map_equals_the_evaluator_s(name):
    net = NETS[name]()
    model = net.real().end()
    network = import_onnx(model)
    assert {type(layer) for layer in network.layers} == {Adder}
    names = [node.output[0] for node in model.graph.node if node.op_type == "AdderConv"]
    rng = np.random.default_rng(5)
    for _ in range(2):
        x = inputs(rng, net.shape) * np.float32(5.1)
        maps = network.run(network.quantise_input(oracle.hwc(x)))
        wanted = expected(model, x, names)
        for layer, before, value in zip(network.layers, maps[:-1], wanted, strict=True):
            y = replace(layer, pool=False).run(before)
            np.testing.assert_array_equal(y, value)
            assert y.dtype == value.dtype
            assert np.count_nonzero(value)


@st.composite
def nodes(draw):
    """Operands of one random node."""
    signed = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    kernel = tuple(rng.integers(1, 5, 2).tolist())
    pads = rng.integers(0, np.tile(kernel, 2)).tolist()
    cout = int(rng.integers(1, 5))
    spread = draw(st.sampled_from((50, 300, 32767)))
    weights = rng.integers(-spread, spread, (cout, 2, *kernel), np.int16, endpoint=True)
    size = np.abs(weights.astype(int)).sum() / cout
    bias = rng.integers(0, int(size) + 1, cout)
    kind = draw(st.sampled_from((np.int32, np.int64, None)))
    zero = rng.integers(-128, 128) if draw(st.booleans()) else rng.integers(0, 256)
    return {
        "x_zero": (np.int8 if signed else np.uint8)(0),
        "weights": weights,
        "bias": None if kind is None else bias.astype(kind),
        "factors": (rng.uniform(0.5, 3, cout) * 255 / size).astype(np.float32),
        "zero": np.int8(zero) if zero < 0 else np.uint8(zero),
        "pads": pads,
        "strides": rng.integers(1, 5, 2).tolist(),
        "kernel_shape": list(kernel),
    }


@given(nodes(), st.integers(0, 99))
@settings(max_examples=settings.default.max_examples // 2)
def test_a_random_node_equals_the_evaluator_s(constants, seed):
    model = adder_conv(**constants)
    x = inputs(np.random.default_rng(seed), (2, 6, 6), -1.2) * np.float32(2)
    network = import_onnx(model)
    *_, y = network.run(network.quantise_input(oracle.hwc(x)))
    np.testing.assert_array_equal(y, expected(model, x, ["yq"])[0])


def mixed() -> QuantisedChain:
    """Convolutions around adder layers."""
    net = QuantisedChain((1, 12, 12)).conv(4, pads=PADS).adder(6, pads=PADS).pool()
    return net.adder(5).conv(3)


def test_a_mixed_network_keeps_its_scales():
    net = mixed()
    network = import_onnx(net.real().end())
    assert [layer.kind for layer in network.layers] == ["conv", "adder", "adder", "conv"]
    # The convolution behind says what steps the last adder layer's map has.
    assert network.layers[2].out_format.scale == pytest.approx(float(QuantisedChain.SCALE))
    x = inputs(np.random.default_rng(1), net.shape) * np.float32(5)
    maps = network.run(network.quantise_input(oracle.hwc(x)))
    names = [node.output[0] for node in net.nodes if node.op_type == "MaxPool"]
    wanted = expected(net.end(), x, names)
    np.testing.assert_array_equal(maps[2], wanted[0])


def test_the_node_behind_says_the_scale_for_every_view():
    """Also where one node shows the map as real numbers and another takes its integers."""
    graph = HandBuilder((1, 5, 5))
    model = adder_conv((1, 5, 5), weights=np.zeros((4, 1, 3, 3), np.int16))
    graph.add("Identity", ["yq"], "zq")
    graph.add("DequantizeLinear", ["zq", np.float32(0.5), np.uint8(0)], "z")
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.initializers)
    model.graph.output[0].name = "z"
    assert import_onnx(model).layers[-1].out_format.scale == 0.5
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["a", "b", "c", "d"])
    model.graph.output.append(other)
    with pytest.raises(CompileError, match="but that is u8 of scale"):
        import_onnx(model)


def test_a_power_of_two_is_a_shift():
    """So that builds without float32 scales take it; the bits are the same."""
    same = adder_conv(factors=np.full(4, 0.125, np.float32))
    assert isinstance(import_onnx(same).layers[0].requant, Shift)
    assert isinstance(import_onnx(adder_conv()).layers[0].requant, Scale)


def test_check_names_the_node():
    verdicts = check(mixed().real().end())
    assert [node.op for node in verdicts if node.verdict is Verdict.CORE] == [
        *("QLinearConv", "AdderConv", "MaxPool", "AdderConv", "QLinearConv")
    ]
    assert verdicts[2].note == "adder 3x3, 4 to 6 channels"
    assert verdicts[3].note.startswith("with ")


NEGATIVE = np.float32([0.1, 0.2, -0.3, 0.4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_zero": np.uint8(3)}, "takes a map of 8 bits and zero point 3; quantise it to 8 bits"),
        ({"x_zero": np.int16(0)}, "takes a map of 16 bits and zero point 0; quantise it to 8 bits"),
        (
            {"factors": NEGATIVE},
            "scale of channel 2 must be positive, finite and normal, not -0.3.*; train batch",
        ),
        ({"factors": np.ones(3, np.float32)}, "requant must have a scale for each of 4 output"),
        ({"factors": np.ones(4)}, "stores its factors as float64; use float32"),
        ({"factors": np.ones((4, 1), np.float32)}, "stores its factors with 2 dimensions; M has 1"),
        ({"weights": np.ones((4, 2, 3, 3), np.int8)}, "stores its weights as int8; use int16"),
        ({"weights": np.ones((4, 3, 3, 3), np.int16)}, "takes 3 channels, not 2"),
        ({"weights": np.ones((4, 2, 9, 9), np.int16)}, "kernel 9x9 is larger than the padded map"),
        ({"weights": np.ones((4, 2, 3), np.int16)}, "stores its weights with 3 dimensions; W has"),
        ({"bias": np.ones(4, np.float32)}, "stores its bias as float32; use int32 or int64"),
        ({"bias": np.ones(2, np.int32)}, r"bias must have the shape \(4,\), not \(2,\)"),
        ({"zero": np.int16(0)}, "stores its zero point as int16; use uint8 or int8"),
        ({"zero": np.uint8([1, 2])}, "stores its zero point with 1 dimensions; Z has 0"),
        ({"group": 2}, "has 2 groups; use group=1"),
        ({"strides": [5, 1]}, r"has strides \[5, 1\]; use 1 to 4"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(changes, message):
    with pytest.raises(CompileError, match=rf"^make_yq \(AdderConv\): {message}") as info:
        import_onnx(adder_conv(**changes))
    assert "\n" not in str(info.value)


def test_a_missing_input_is_refused():
    graph = HandBuilder()
    graph.add("QuantizeLinear", [INPUT, np.float32(0.1), np.uint8(0)], "xq")
    graph.add("AdderConv", ["xq", np.zeros((1, 2, 3, 3), np.int16), None], "y")
    with pytest.raises(CompileError, match="has no factors M; the file is incomplete"):
        import_onnx(graph.model("y"))


def test_real_numbers_and_vectors_are_refused():
    graph = HandBuilder()
    weights = np.zeros((1, 2, 3, 3), np.int16)
    operands = [weights, None, np.ones(1, np.float32), np.uint8(0)]
    graph.add("AdderConv", [INPUT, *operands], "y")
    with pytest.raises(CompileError, match="its input is not quantised; quantise the network"):
        import_onnx(graph.model("y"))
    flat = QuantisedChain().node("Flatten").node("AdderConv", *operands)
    with pytest.raises(CompileError, match="takes a vector; put it before the Flatten"):
        import_onnx(flat.end(2))


def test_the_name_alone_is_not_enough():
    model = adder_conv()
    model.graph.node[1].domain = "com.microsoft"
    with pytest.raises(CompileError, match=r"is of domain 'com\.microsoft'; use standard"):
        import_onnx(model)
