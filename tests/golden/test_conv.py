"""Convolution, pooling and counts: against plain loops in Python integers, and ONNX Runtime."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from golden import conv
from golden.conv import ConvError, conv2d
from tests.golden import onnxrun


def plain_conv(x, weights, bias, stride, pads, zero_point):
    """Sums by definition, in Python integers."""
    (H, W, _), (channels, _, kh, kw) = x.shape, weights.shape
    rows, cols = conv.output_size((H, W), (kh, kw), stride, pads)
    out = np.empty((rows, cols, channels), object)
    for oy, ox, o in np.ndindex(out.shape):
        out[oy, ox, o] = int(bias[o])
        for ky, kx in itertools.product(range(kh), range(kw)):
            y, x_ = oy * stride[0] + ky - pads[0], ox * stride[1] + kx - pads[1]
            if 0 <= y < H and 0 <= x_ < W:
                out[oy, ox, o] += sum(
                    (int(p) - zero_point) * int(w)
                    for p, w in zip(x[y, x_], weights[o, :, ky, kx], strict=True)
                )
    return out


@st.composite
def geometries(draw, largest=9):
    """Kernel, stride, pads and a map size that the kernel fits."""
    kernel = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = tuple(draw(st.integers(0, 3)) for _ in range(4))
    size = tuple(
        draw(st.integers(max(1, kernel[axis] - pads[axis] - pads[axis + 2]), largest))
        for axis in (0, 1)
    )
    return kernel, stride, pads, size


@settings(max_examples=settings.default.max_examples // 2)
@given(geometries(), st.data())
def test_conv_is_the_definition(geometry, data):
    (kh, kw), stride, pads, size = geometry
    cin, cout = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    x_type = data.draw(st.sampled_from([np.uint8, np.int8, np.int16, np.uint16]))
    w_type = data.draw(st.sampled_from([np.int8, np.int16]))
    limits = np.iinfo(x_type)
    zero = data.draw(
        st.sampled_from([0, limits.min, limits.max]) | st.integers(limits.min, limits.max)
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    x = rng.integers(limits.min, limits.max, (*size, cin), x_type, endpoint=True)
    weights = rng.integers(
        np.iinfo(w_type).min, np.iinfo(w_type).max, (cout, cin, kh, kw), w_type, endpoint=True
    )
    bias = rng.integers(-(1 << 40), 1 << 40, cout)
    result = conv2d(x, weights, bias, stride=stride, pads=pads, zero_point=zero)
    assert result.dtype == np.int64
    assert (result == plain_conv(x, weights, bias, stride, pads, zero)).all()


@pytest.mark.parametrize(
    ("x", "w", "terms", "kind", "blocks"),
    [
        (255, 127, 518, np.float32, 1),  # 518 x 255 x 127 is the last below 2**24
        (255, 127, 519, np.float32, 2),
        (255, -127, 2000, np.float32, 4),
        (1 << 10, 1 << 10, 16, np.float32, 1),  # exactly 2**24
        (1 << 10, (1 << 10) + 1, 16, np.float64, 1),
        (-32768, 32767, 50, np.float64, 1),
        (65535, -32768, 4608, np.float64, 1),
        ((1 << 30) - 1, 32767, 300, np.int64, 1),
    ],
)
def test_sums_are_exact_at_the_limits_of_each_number_type(x, w, terms, kind, blocks):
    """Large odd sums, where a float type too narrow would round."""
    values = np.full((1, 1, terms), x, np.int64)
    values[0, 0, -1] -= 1 - x % 2
    weights = np.full((1, terms, 1, 1), w, np.int64)
    bias = np.array([1])
    matrix = weights.reshape(terms, 1)
    plan = conv._plan(matrix, bias, int(np.abs(values).max()))
    expected = sum(int(v) * w for v in values.flat) + 1
    assert (plan[0], len(plan[1]) - 1) == (kind, blocks)
    assert int(conv2d(values, weights, bias)[0, 0, 0]) == expected


@pytest.mark.parametrize("weight", [1, 127, 32767])
def test_a_wide_bias_is_added_exactly(weight):
    x, weights = np.full((1, 1, 3), 1025, np.int16), np.full((1, 3, 1, 1), weight)
    bias = np.array([(1 << 62) + 1])
    assert int(conv2d(x, weights, bias)[0, 0, 0]) == (1 << 62) + 1 + 3 * 1025 * weight


def test_a_wide_map_is_less_its_zero_point_exactly():
    x = np.array([[[(1 << 40) + 3]]])
    result = conv2d(x, np.array([[[[5]]]]), np.zeros(1, int), zero_point=1 << 40)
    assert int(result[0, 0, 0]) == 15


def test_the_zero_point_counts_in_the_bound():
    """Pixels less their zero point are larger than any raw value."""
    x = np.full((1, 1, 1000), 127, np.int8)
    x[0, 0, 0] = -128
    weights = np.full((1, 1000, 1, 1), 127)
    result = conv2d(x, weights, np.zeros(1, int), zero_point=-128)
    assert int(result[0, 0, 0]) == 999 * 255 * 127


def test_every_block_of_a_plan_is_within_float32():
    rng = np.random.default_rng(5)
    weights = rng.integers(-128, 128, (4608, 64))
    kind, cuts = conv._plan(weights, np.zeros(64, np.int64), 255)
    sums = [np.abs(weights[a:b]).sum(axis=0).max() * 255 for a, b in itertools.pairwise(cuts)]
    assert kind == np.float32
    assert (cuts[0], cuts[-1]) == (0, 4608)
    assert len(cuts) > 3
    assert max(sums) <= 1 << 24


def test_sums_beyond_64_bits_are_refused():
    x, weights = np.full((1, 1, 4), 1 << 40), np.full((1, 4, 1, 1), 1 << 24)
    with pytest.raises(ConvError, match=r"^sums need 68 bits, more than 64$"):
        conv2d(x, weights, np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones((1, 3, 1, 1), int), r"a map \(4, 4, 2\) does not go with weights \(1, 3, 1, 1\)"),
        (np.ones((1, 2, 5, 1), int), r"kernel \(5, 1\) is larger than map \(4, 4, 2\)"),
    ],
)
def test_operands_that_do_not_go_together_are_refused(weights, text):
    with pytest.raises(ConvError, match=text):
        conv2d(np.ones((4, 4, 2), int), weights, np.zeros(1, int))


@pytest.mark.parametrize(("x_type", "w_type"), [*onnxrun.QLINEAR_PAIRS, (np.int8, np.uint8)])
@pytest.mark.parametrize("seed", range(25))
def test_sums_are_those_of_conv_integer(x_type, w_type, seed):
    rng = np.random.default_rng(seed)
    x, x_zero, weights, w_zero, stride, pads = onnxrun.random_conv(rng, x_type, w_type)
    expected = onnxrun.conv_integer(x, x_zero, weights, w_zero, stride, pads)
    result = conv2d(
        x,
        weights.astype(np.int64) - w_zero,
        np.zeros(len(weights), np.int64),
        stride=stride,
        pads=pads,
        zero_point=x_zero,
    )
    assert (result == expected).all()


@pytest.mark.parametrize("seed", range(25))
def test_16_bit_sums_are_those_of_conv_integer_on_split_bytes(seed):
    """An operand is 256 x its upper byte, less 128 to be signed, + its lower byte."""
    rng = np.random.default_rng(seed)
    x, _, weights, _, stride, pads = onnxrun.random_conv(rng, np.uint8, np.uint8)
    x = rng.integers(-32768, 32768, x.shape, np.int16)
    weights = rng.integers(-32768, 32768, weights.shape, np.int16)

    def split(values):
        wide = values.astype(np.int64)
        upper, lower = (wide >> 8) + 128, wide & 255
        return ((upper.astype(np.uint8), 128, 256), (lower.astype(np.uint8), 0, 1))

    expected = sum(
        onnxrun.conv_integer(x_byte, x_zero, w_byte, w_zero, stride, pads).astype(np.int64)
        * (x_weight * w_weight)
        for x_byte, x_zero, x_weight in split(x)
        for w_byte, w_zero, w_weight in split(weights)
    )
    result = conv2d(x, weights, np.zeros(len(weights), np.int64), stride=stride, pads=pads)
    assert (result == expected).all()


def test_fully_connected_is_a_matrix_product():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (3, 4, 5), np.uint8)
    weights = rng.integers(-128, 128, (7, 5, 3, 4))
    bias = rng.integers(-999, 999, 7)
    result = conv.fully_connected(x, weights, bias, zero_point=11)
    vector = (x.astype(int) - 11).transpose(2, 0, 1).reshape(-1)
    assert result.shape == (1, 1, 7)
    assert (result[0, 0] == weights.reshape(7, -1) @ vector + bias).all()
    with pytest.raises(ConvError, match=r"kernel \(3, 3\) is not the size of the map \(3, 4\)"):
        conv.fully_connected(x, weights[..., :3], bias)


@pytest.mark.parametrize("x_type", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(20))
def test_max_pool_is_that_of_onnx(x_type, seed):
    rng = np.random.default_rng(seed)
    kernel = tuple(rng.integers(1, 6, 2).tolist())
    stride = tuple(rng.integers(1, 5, 2).tolist())
    pads = tuple(rng.integers(0, np.tile(kernel, 2)).tolist())
    size = rng.integers(5, 12, 2)
    limits = np.iinfo(x_type)
    x = rng.integers(limits.min, limits.max, (*size, 3), x_type, endpoint=True)
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=kernel, strides=stride, pads=pads, ceil_mode=0
    )
    (expected,) = onnxrun.run([node], x, {"y": np.dtype(x_type)}, {})
    assert (conv.max_pool(x, kernel, stride, pads) == expected).all()


def test_2x2_pool_drops_odd_ends_and_keeps_negative_sums():
    x = np.arange(-35, 0).reshape(5, 7, 1) * 3
    assert conv.max_pool2x2(x)[..., 0].tolist() == [[-81, -75, -69], [-39, -33, -27]]


@pytest.mark.parametrize(
    ("kernel", "pads", "text"),
    [
        ((2, 2), (0, 2, 0, 0), "must be smaller than the kernel"),
        ((5, 2), (0, 0, 0, 0), "is larger than map"),
    ],
)
def test_pools_that_cannot_be_are_refused(kernel, pads, text):
    with pytest.raises(ConvError, match=text):
        conv.max_pool(np.zeros((4, 4, 1), int), kernel, (1, 1), pads)


def test_bound_is_reached_and_never_passed():
    rng = np.random.default_rng(3)
    weights = rng.integers(-128, 128, (6, 4, 3, 3), np.int8)
    weights[2] = -128
    bias = rng.integers(-5000, 5000, 6)
    limit = conv.bound(weights, bias, 255)
    assert limit == max(
        sum(abs(int(w)) for w in weights[o].flat) * 255 + abs(int(bias[o])) for o in range(6)
    )
    sign = -1 if bias[2] > 0 else 1
    worst = conv2d(
        np.full((3, 3, 4), 255, np.uint8), -sign * weights.astype(int), sign * np.abs(bias)
    )
    assert np.abs(worst).max() == limit


@pytest.mark.parametrize(
    ("magnitude", "bits"), [(0, 1), (1, 2), (127, 8), (128, 9), ((1 << 39) - 1, 40), (1 << 39, 41)]
)
def test_bits_hold_a_magnitude_and_its_negative(magnitude, bits):
    assert conv.bits_needed(magnitude) == bits


@given(geometries(), st.integers(1, 3), st.booleans(), st.integers(0, 1 << 32))
def test_useful_ops_counts_every_product(geometry, channels, pool, seed):
    kernel, stride, pads, size = geometry
    rng = np.random.default_rng(seed)
    nonzero = rng.random((*size, channels)) < rng.random()
    rows, cols = conv.output_size(size, kernel, stride, pads)
    if pool:
        rows, cols = rows // 2 * 2, cols // 2 * 2
    count = 0
    for oy, ox, ky, kx in itertools.product(range(rows), range(cols), *map(range, kernel)):
        y, x = oy * stride[0] + ky - pads[0], ox * stride[1] + kx - pads[1]
        if 0 <= y < size[0] and 0 <= x < size[1]:
            count += int(nonzero[y, x].sum())
    assert conv.useful_ops(nonzero, kernel, stride, pads, (rows, cols)) == count
