"""The adder layer against Python integers and PyTorch, and its sparse form against it."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.adder import Adder, Folded, adder2d, sparse2d
from golden.conv import ConvError, output_size
from golden.formats import IntFormat
from golden.network import Network, NetworkError, TensorFormat
from golden.requant import Scale, Shift
from tests.golden.test_conv import geometries

DATA = Path(__file__).parent / "data" / "adder.npz"
U8, S8, S16 = IntFormat(8, False), IntFormat(8, True), IntFormat(16, True)


def plain_adder(x, weights, bias, stride, pads):
    """-sum |x - w| by definition, in Python integers; x = 0 in the padding."""
    (H, W, C), (channels, _, kh, kw) = x.shape, weights.shape
    rows, cols = output_size((H, W), (kh, kw), stride, pads)
    out = np.empty((rows, cols, channels), object)
    for oy, ox, o in np.ndindex(out.shape):
        out[oy, ox, o] = int(bias[o])
        for ky, kx, c in itertools.product(range(kh), range(kw), range(C)):
            y, x_ = oy * stride[0] + ky - pads[0], ox * stride[1] + kx - pads[1]
            pixel = int(x[y, x_, c]) if 0 <= y < H and 0 <= x_ < W else 0
            out[oy, ox, o] -= abs(pixel - int(weights[o, c, ky, kx]))
    return out


@st.composite
def operands(draw, pixels=(U8, S8, S16)):
    """Map, weights up to 16 bits, bias, geometry, and the pixels' format."""
    kernel, stride, pads, size = draw(geometries(largest=7))
    ints = draw(st.sampled_from(pixels))
    cin, cout = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    x = rng.integers(ints.min, ints.max, (*size, cin), ints.dtype, endpoint=True)
    x[rng.random(x.shape) < draw(st.sampled_from((0.0, 0.5, 1.0)))] = 0
    spread = draw(st.sampled_from((0, 100, 200, 32767)))
    weights = rng.integers(-spread, spread, (cout, cin, *kernel), np.int16, endpoint=True)
    edges = (ints.min, ints.min + 1, ints.max, min(ints.max + 1, 32767))
    weights.flat[:: 1 + len(edges)] = draw(st.sampled_from(edges))
    bias = rng.integers(-(1 << 30), 1 << 30, cout)
    return x, weights, bias, stride, pads, ints


@given(operands())
def test_the_direct_form_is_the_definition(given_):
    x, weights, bias, stride, pads, _ = given_
    result = adder2d(x, weights, bias, stride=stride, pads=pads)
    assert result.dtype == np.int64
    assert (result == plain_adder(x, weights, bias, stride, pads)).all()


@given(operands())
def test_the_sparse_form_equals_the_direct_one(given_):
    """On every integer input: signed and unsigned, padding and strides, weights of any size."""
    x, weights, bias, stride, pads, ints = given_
    folded = Folded.of(weights, bias, ints)
    ints.check(folded.weights)
    sparse = sparse2d(x, folded, stride=stride, pads=pads)
    assert (sparse == adder2d(x, weights, bias, stride=stride, pads=pads)).all()


@pytest.mark.parametrize("ints", [U8, S8])
def test_the_identity_holds_for_every_pixel_and_weight(ints):
    """One tap, all pixels of 8 bits, and weights to beyond both ends."""
    x = np.arange(ints.min, ints.max + 1)[:, np.newaxis, np.newaxis]
    weights = np.arange(-300, 301)[:, np.newaxis, np.newaxis, np.newaxis]
    folded = Folded.of(weights, np.zeros(len(weights), np.int64), ints)
    assert (sparse2d(x, folded)[:, 0] == -np.abs(x[:, 0] - weights[:, 0, 0].T)).all()


def test_a_zero_pixel_and_a_dead_weight_add_nothing():
    """The sums of minima and of pixels alone say so: what is left is the folded bias."""
    weights = np.array([-7, 0, 3]).reshape(3, 1, 1, 1)
    folded = Folded.of(weights, np.array([10, 10, 10]), U8)
    assert folded.weights.ravel().tolist() == [0, 0, 3]
    assert sparse2d(np.zeros((1, 1, 1), np.uint8), folded).ravel().tolist() == [3, 10, 7]
    # With w <= 0 only -x is left.
    assert sparse2d(np.full((1, 1, 1), 50), folded)[0, 0, :2].tolist() == [3 - 50, 10 - 50]


def test_equals_pytorch_on_integers():
    """Vectors by `tests/golden/data/adder_torch.py`."""
    with np.load(DATA) as data:
        cases = json.loads(str(data["geometry"]))
        assert len(cases) == 7
        for index, geometry in enumerate(cases):
            x, weights, y = (data[f"{name}{index}"] for name in "xwy")
            kwargs = {name: tuple(value) for name, value in geometry.items()}
            bias = np.zeros(len(weights), np.int64)
            assert (adder2d(x, weights, bias, **kwargs) == y).all()
            ints = S8 if x.dtype == np.int8 else U8
            assert (sparse2d(x, Folded.of(weights, bias, ints), **kwargs) == y).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_codes_are_sign_and_magnitude(bits):
    """Of negative weights the magnitude less one, so that -2**(bits - 1) has a code."""
    lowest = -(1 << bits - 1)
    weights = np.array([5, 0, -1, -5, lowest, -lowest - 1]).reshape(-1, 1, 1, 1)
    folded = Folded.of(weights, np.zeros(len(weights), np.int64), IntFormat(bits, True))
    codes = folded.codes(bits).ravel()
    sign = 1 << bits - 1
    assert codes.tolist() == [5, 0, sign, sign | 4, sign | (sign - 1), sign - 1]


def adder_layer(**changes):
    form = TensorFormat(8, signed=False, scale=1.0)
    given = {
        "name": "add",
        "weights": np.arange(-9, 9).reshape(2, 1, 3, 3) * 20,
        "bias": np.array([700, 900]),
        "in_format": form,
        "out_format": form,
        "requant": Shift(1),
        "pads": (1, 1, 1, 1),
    }
    return Adder(**(given | changes))


def test_a_network_pools_what_is_left_after_the_pixels_were_taken_off():
    """-sum |x - w| is pooled: the largest sum of minima may stand elsewhere."""
    x = np.random.default_rng(1).integers(0, 256, (6, 6, 1), np.uint8)
    layer = adder_layer(pool=True, bias=np.array([4000, 4000]), requant=Scale(np.float32([0.1, 3])))
    sums = plain_adder(x, layer.weights, layer.bias, (1, 1), (1, 1, 1, 1)).astype(np.int64)
    pooled = sums.reshape(3, 2, 3, 2, 2).max(axis=(1, 3))
    _, y = Network("net", x.shape, layer.in_format, (layer,)).run(x)
    factors = np.float32([0.1, 3])
    assert (y == np.clip(np.rint(pooled.astype(np.float32) * factors), 0, 255)).all()
    assert (layer.accumulate(x) == sums).all()


def test_what_the_lanes_hold():
    layer = adder_layer()
    assert (layer.pe, layer.kind, layer.weight_bits) == ("l1", "adder", 8)
    assert (layer.lane_weights(8) == np.clip(layer.weights, 0, 255)).all()
    assert layer.lane_bias.tolist() == [700 - 900, 900 - 720]
    signed = adder_layer(in_format=TensorFormat(8, signed=True, scale=1.0))
    assert signed.lane_weights(8).reshape(2, 9)[0].tolist()[:3] == [255, 255, 255]
    assert signed.lane_weights(16).reshape(2, 9)[0].tolist()[-1] == 32768 + 19


@given(operands(pixels=(U8, S8)))
def test_no_sum_reaches_further_than_it_says(given_):
    """The bias, and what is between, counted from any order of the terms."""
    x, weights, bias, stride, pads, ints = given_
    form = TensorFormat(8, signed=ints.signed, scale=1.0)
    layer = adder_layer(weights=weights, bias=bias, in_format=form)
    folded = layer.folded
    minima = sparse2d(np.full_like(x, ints.max), folded, stride=stride, pads=pads)
    assert np.abs(folded.bias).max() <= layer.reach
    assert np.abs(minima).max() <= layer.reach
    highest = folded.bias + 2 * np.abs(folded.weights).sum(axis=(1, 2, 3))
    assert highest.max() <= layer.reach
    assert ints.max * weights[0].size <= layer.reach


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"in_format": TensorFormat(8, False, 1.0, 3)},
            r"layer 'add': \|x - w\| needs an input map of zero point 0, not 3",
        ),
        ({"kind": "conv"}, "layer 'add': kind must be 'adder', not 'conv'"),
        ({"bias": np.zeros(3, np.int64)}, r"layer 'add': bias must have the shape \(2,\)"),
    ],
)
def test_a_layer_that_contradicts_itself_is_refused(changes, text):
    with pytest.raises(NetworkError, match=text):
        adder_layer(**changes)


def test_operands_that_do_not_go_together_are_refused():
    x, bias = np.zeros((3, 3, 2), np.uint8), np.zeros(1, np.int64)
    with pytest.raises(ConvError, match=r"a map \(3, 3, 2\) does not go with weights \(1, 1, 3, 3"):
        adder2d(x, np.zeros((1, 1, 3, 3), np.int64), bias)
    with pytest.raises(ConvError, match=r"kernel \(4, 4\) is larger than map \(3, 3, 2\)"):
        adder2d(x, np.zeros((1, 2, 4, 4), np.int64), bias)
