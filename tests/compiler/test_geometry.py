"""Windows of convolutions and pools: pads, and what the core does not have."""

import numpy as np
import pytest
from onnx import helper

from compiler.errors import CompileError
from compiler.geometry import read_convolution, read_pool, read_window
from golden.conv import max_pool, output_size
from tests.golden import onnxrun


def node(op: str = "Conv", **given):
    return helper.make_node(op, ["x", "w"], ["y"], "n", **given)


def test_defaults():
    window = read_convolution(node(), (4, 2, 3, 5))
    assert (window.kernel, window.stride, window.pads(9, 9)) == ((3, 5), (1, 1), (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("given", "pads"),
    [
        ({"pads": [1, 2, 3, 4]}, (1, 2, 3, 4)),
        ({"auto_pad": "NOTSET", "pads": [1, 2, 3, 4]}, (1, 2, 3, 4)),
        ({"auto_pad": "VALID"}, (0, 0, 0, 0)),
        ({"auto_pad": "SAME_UPPER"}, (1, 1, 1, 2)),
        ({"auto_pad": "SAME_LOWER"}, (1, 2, 1, 1)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 4]}, (1, 1, 1, 2)),
    ],
)
def test_pads(given, pads):
    assert read_window(node(**given), (3, 4)).pads(9, 9) == pads


def test_same_pads_keep_the_size_over_the_stride():
    rng = np.random.default_rng(2)
    for _ in range(200):
        size, kernel, stride = (tuple(rng.integers(1, top, 2).tolist()) for top in (20, 8, 5))
        upper, lower = (
            read_window(node(auto_pad=kind, strides=stride), kernel).pads(*size)
            for kind in ("SAME_UPPER", "SAME_LOWER")
        )
        expected = tuple(-(-edge // step) for edge, step in zip(size, stride, strict=True))
        assert output_size(size, kernel, stride, upper) == expected
        assert lower == (upper[2], upper[3], upper[0], upper[1])
        assert all(
            0 <= after - before <= 1 for before, after in zip(upper[:2], upper[2:], strict=True)
        )


@pytest.mark.parametrize(
    ("given", "weights", "message"),
    [
        ({"group": 3}, (4, 1, 3, 3), "has 3 groups for 4 output channels; the file contradicts"),
        ({"dilations": [1, 2]}, (4, 2, 3, 3), r"has dilations \[1, 2\]; use an ordinary kernel"),
        ({"strides": [1, 5]}, (4, 2, 3, 3), r"has strides \[1, 5\]; use 1 to 4"),
        ({"kernel_shape": [3, 2]}, (4, 2, 3, 3), r"kernel_shape \[3, 2\] is not that of the wei"),
        ({"pads": [0, -1, 0, 0]}, (4, 2, 3, 3), r"has negative pads \[0, -1, 0, 0\]; crop"),
        ({"auto_pad": "SAME"}, (4, 2, 3, 3), "auto_pad 'SAME' is unknown; use NOTSET, VALID"),
        ({}, (4, 2, 3), "has a kernel of 1 dimensions; use two: maps are N x C x H x W"),
        ({}, (4, 2, 3, 3, 3), "has a kernel of 3 dimensions; use two"),
    ],
)
def test_a_convolution_that_the_core_lacks_is_refused(given, weights, message):
    with pytest.raises(CompileError, match=rf"n \(Conv\): {message}"):
        read_convolution(node(**given), weights)


@pytest.mark.parametrize(
    ("given", "size", "pads"),
    [
        ({}, (5, 7), (0, 0, 0, 0)),
        ({"pads": [1, 0, 1, 2]}, (5, 7), (1, 0, 1, 2)),
        ({"auto_pad": "SAME_UPPER"}, (5, 8), (1, 0, 1, 1)),
        ({"auto_pad": "SAME_UPPER", "ceil_mode": 1}, (5, 8), (1, 0, 1, 1)),
        ({"ceil_mode": 1}, (5, 7), (0, 0, 0, 0)),
        ({"ceil_mode": 1}, (6, 8), (0, 0, 1, 1)),
        ({"ceil_mode": 1, "pads": [1, 1, 1, 1]}, (6, 8), (1, 1, 2, 2)),
        # A window that begins behind the map and its first padding is left out.
        ({"ceil_mode": 1, "kernel_shape": [1, 1], "strides": [3, 3]}, (5, 7), (0, 0, 0, 0)),
    ],
)
def test_pads_of_a_pool(given, size, pads):
    pool = node("MaxPool", **{"kernel_shape": [3, 3], "strides": [2, 2], **given})
    assert read_pool(pool, *size).pads(*size) == pads


def test_a_pool_is_as_large_as_onnx_runtime_s():
    rng = np.random.default_rng(3)
    for _ in range(60):
        kernel = rng.integers(1, 5, 2).tolist()
        given = {
            "kernel_shape": kernel,
            "strides": rng.integers(1, 4, 2).tolist(),
            "pads": rng.integers(0, np.tile(kernel, 2)).tolist(),
            "ceil_mode": int(rng.integers(2)),
        }
        x = rng.normal(size=(*rng.integers(5, 12, 2).tolist(), 2)).astype(np.float32)
        pool = helper.make_node("MaxPool", ["x"], ["y"], **given)
        (expected,) = onnxrun.run([pool], x, {"y": np.dtype(np.float32)}, {})
        window = read_pool(pool, *x.shape[:2])
        pads = window.pads(*x.shape[:2])
        found = max_pool(x.view(np.int32), window.kernel, window.stride, pads)
        assert found.shape == expected.shape, given


def test_a_pool_of_one_dimension_is_refused():
    with pytest.raises(CompileError, match=r"n \(MaxPool\): has a kernel of 1 dimensions"):
        read_pool(node("MaxPool", kernel_shape=[2]), 5, 6)


def test_a_pool_with_indices_is_refused():
    pool = node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    pool.output.append("indices")
    with pytest.raises(CompileError, match=r"n \(MaxPool\): gives indices; remove its second"):
        read_pool(pool, 4, 4)
