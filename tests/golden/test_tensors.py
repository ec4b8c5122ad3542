"""Formats of maps: QuantizeLinear, bit for bit against ONNX Runtime, and what is refused."""

import numpy as np
import pytest
from onnx import helper

from golden.tensors import NetworkError, TensorFormat
from tests.golden import onnxrun

S16 = TensorFormat(16, True, 2.0**-8)


def tensor_format(dtype, scale, zero_point):
    return TensorFormat(8, np.dtype(dtype).kind == "i", float(np.float32(scale)), int(zero_point))


def random_format(rng, dtype, scale):
    limits = np.iinfo(dtype)
    return tensor_format(dtype, scale, rng.integers(limits.min, limits.max, endpoint=True))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((12, True, 1.0, 0), "a map must have 8 or 16 bits, not 12"),
        ((8, True, 0.0, 0), "scale must be positive and finite, not 0.0"),
        ((8, True, float("nan"), 0), "scale must be positive and finite, not nan"),
        ((8, True, float("inf"), 0), "scale must be positive and finite, not inf"),
        ((8, False, 1.0, -1), r"zero point must be 0 to 255 \(u8\), not -1"),
        ((8, True, 1.0, 128), r"zero point must be -128 to 127 \(s8\), not 128"),
    ],
)
def test_impossible_formats_are_refused(arguments, text):
    with pytest.raises(NetworkError, match=f"^{text}$"):
        TensorFormat(*arguments)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(8))
def test_quantise_is_quantizelinear(dtype, seed):
    rng = np.random.default_rng(seed)
    scale = 2.0 ** -rng.integers(1, 7) if seed % 2 else rng.uniform(0.001, 0.1)
    form = random_format(rng, dtype, scale)
    x = np.concatenate(
        [
            (rng.integers(-999, 999, 500) * np.float32(form.scale) / 2),  # ties, or next to them
            rng.normal(0, 100 * form.scale, 500),
            [1e30, -1e30, np.inf, -np.inf, 0.0],
        ]
    ).astype(np.float32)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    constants = {"s": np.float32(form.scale), "z": np.array(form.zero_point, dtype)}
    (expected,) = onnxrun.run([node], x.reshape(1, 1, -1), {"y": np.dtype(dtype)}, constants)
    result = form.quantise(x)
    assert result.dtype == dtype
    assert (result == expected.ravel()).all()
    raw = np.arange(form.ints.min, form.ints.max + 1)
    assert (form.quantise(form.dequantise(raw)) == raw).all()


def test_what_is_not_a_number_is_not_quantised():
    with pytest.raises(NetworkError, match=r"^a value to quantise is not a number$"):
        S16.quantise(np.array([0.0, np.nan]))
