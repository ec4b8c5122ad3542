"""Pools, bit for bit against ONNX Runtime and Python's fractions; and what they refuse."""

from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from golden.formats import Rounding
from golden.pooling import AvgPool, MaxPool
from golden.requant import Scale, Shift
from golden.tensors import NetworkError, TensorFormat
from tests.golden import onnxrun

S16 = TensorFormat(16, True, 2.0**-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
@pytest.mark.parametrize("seed", range(12))
def test_max_pool_is_onnx_s(dtype, seed):
    """Maps of 16 bits go through ONNX Runtime as float32, which holds their values exactly."""
    rng = np.random.default_rng(seed)
    kernel, stride = (tuple(rng.integers(1, top, 2).tolist()) for top in (6, 4))
    pads = tuple(rng.integers(0, np.tile(kernel, 2)).tolist())
    size = rng.integers(6, 14, 2).tolist()
    bits = 16 if dtype == np.float32 else 8
    form = TensorFormat(bits, dtype != np.uint8, 0.5)
    limits = form.ints
    shape = (*size, int(rng.integers(1, 9)))
    x = rng.integers(limits.min, limits.max, shape, limits.dtype, endpoint=True)
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=kernel, strides=stride, pads=list(pads)
    )
    (expected,) = onnxrun.run([node], x.astype(dtype), {"y": np.dtype(dtype)}, {})
    layer = MaxPool("pool", kernel, stride, form, pads)
    y = layer.run(x)
    assert layer.out_shape(x.shape) == y.shape == expected.shape
    assert y.dtype == x.dtype
    assert (y == expected).all()


def test_a_window_that_does_not_fit_is_left_out():
    layer = MaxPool("pool", (3, 3), (2, 2), S16)
    assert [layer.out_shape((n, n, 7)) for n in (113, 56, 27)] == [
        (56, 56, 7),
        (27, 27, 7),
        (13, 13, 7),
    ]


def global_average(x, in_format, out_format):
    """ONNX Runtime's QLinearGlobalAveragePool."""
    H, W, C = x.shape
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    numbers = {"xs": in_format.scale, "ys": out_format.scale}
    zeros = {"xz": in_format.zero_point, "yz": out_format.zero_point}
    graph = helper.make_graph(
        [
            helper.make_node(
                "QLinearGlobalAveragePool",
                ["x", "xs", "xz", "ys", "yz"],
                ["y"],
                domain="com.microsoft",
            )
        ],
        "test",
        [helper.make_tensor_value_info("x", kind, (1, C, H, W))],
        [helper.make_tensor_value_info("y", kind, (1, C, 1, 1))],
        [
            *(helper.make_tensor(n, TensorProto.FLOAT, (), [v]) for n, v in numbers.items()),
            *(helper.make_tensor(n, kind, (), [v]) for n, v in zeros.items()),
        ],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return onnxrun.to_hwc(session.run(None, {"x": onnxrun.to_nchw(x)})[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(12))
def test_the_average_is_onnx_runtime_s(dtype, seed):
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)

    def form(low, high):
        scale = float(np.float32(rng.uniform(low, high)))
        zero = int(rng.integers(limits.min, limits.max, endpoint=True))
        return TensorFormat(8, dtype == np.int8, scale, zero)

    in_format, out_format = form(0.01, 0.1), form(0.003, 0.05)
    shape = tuple(rng.integers(1, 15, 3).tolist())
    x = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    factor = np.float32(in_format.scale) / (
        np.float32(out_format.scale) * np.float32(shape[0] * shape[1])
    )
    requant = Scale(np.full(shape[2], factor, np.float32))
    layer = AvgPool("mean", shape[:2], in_format, out_format, requant)
    y = layer.run(x)
    assert layer.out_shape(shape) == y.shape == (1, 1, shape[2])
    assert y.dtype == dtype
    assert (y == global_average(x, in_format, out_format)).all()


def test_a_shift_rounds_the_exact_mean_once():
    """Ties to even, by Python's fractions."""
    rng = np.random.default_rng(5)
    layer = AvgPool("mean", (4, 2), S16, S16, Shift(3, Rounding.HALF_EVEN))
    for _ in range(200):
        x = rng.integers(-9, 9, (4, 2, 3))
        expected = [round(Fraction(int(total), 8)) for total in x.sum(axis=(0, 1))]
        assert layer.run(x).ravel().tolist() == expected


def test_an_average_saturates():
    layer = AvgPool("mean", (2, 2), S16, S16, Shift(0))
    assert layer.run(np.full((2, 2, 1), 30000)).item() == 32767
    assert layer.run(np.full((2, 2, 1), -30000)).item() == -32768


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((0, 3), (1, 1)), r"kernel and stride must be positive, not \(0, 3\) and \(1, 1\)"),
        (((3, 3), (1, 0)), r"kernel and stride must be positive, not \(3, 3\) and \(1, 0\)"),
        (((3, 3), (1, 1), S16, (0, 3, 0, 0)), r"pads must be 0 to less than the kernel \(3, 3\)"),
        (((3, 3), (1, 1), S16, (0, 0, -1, 0)), r"pads must be 0 to .*, not \(0, 0, -1, 0\)"),
    ],
)
def test_impossible_pools_are_refused(arguments, text):
    kernel, stride, form, pads = (*arguments, S16, (0, 0, 0, 0))[:4]
    with pytest.raises(NetworkError, match=f"^layer 'pool': {text}"):
        MaxPool("pool", kernel, stride, form, pads)


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (MaxPool("p", (3, 3), (1, 1), S16), (2, 9, 1), "kernel 3x3 is larger than the padded map"),
        (AvgPool("p", (3, 3), S16, S16, Shift(0)), (3, 4, 1), "averages maps of 3x3, not 3x4"),
        (
            AvgPool("p", (3, 3), S16, S16, Scale(np.ones(2, np.float32))),
            (3, 3, 5),
            "requant must have a scale for each of 5 channels, not 2",
        ),
    ],
)
def test_maps_that_a_pool_cannot_take_are_refused(layer, shape, text):
    with pytest.raises(NetworkError, match=f"^layer 'p': {text}"):
        layer.out_shape(shape)
