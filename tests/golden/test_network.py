"""Layers and networks, bit for bit against ONNX Runtime; and what they refuse."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from onnx import helper

from golden.conv import conv2d
from golden.formats import Rounding
from golden.network import Conv, Network, NetworkError, TensorFormat
from golden.pooling import AvgPool, MaxPool
from golden.requant import Scale, Shift
from tests.golden import onnxrun


def tensor_format(dtype, scale, zero_point):
    return TensorFormat(8, np.dtype(dtype).kind == "i", float(np.float32(scale)), int(zero_point))


def onnx_format(form):
    return form.ints.dtype, form.scale, form.zero_point


def random_format(rng, dtype, scale):
    limits = np.iinfo(dtype)
    return tensor_format(dtype, scale, rng.integers(limits.min, limits.max, endpoint=True))


def qlinear_layer(rng, pair, ties, x_format=None, **options):
    """A random layer, its input, and the graph's weights with their zero point and scales.

    With `ties`, every scale is a power of two and weights are small, so that many results lie
    halfway between two integers.
    """
    x, x_zero, weights, w_zero, stride, pads = onnxrun.random_conv(rng, *pair)
    if ties:
        weights = (w_zero + (weights.astype(np.int64) - w_zero) // 32).astype(weights.dtype)
    shifted = weights.astype(np.int64) - w_zero
    bias = rng.integers(-1000, 1000, len(weights)) * (1 if ties else 20)
    spread = conv2d(x, shifted, bias, stride=stride, pads=pads, zero_point=x_zero).std() / 60 + 0.5
    if ties:
        x_scale = 2.0 ** int(rng.integers(-8, 3))
        w_scales = np.exp2(rng.integers(-9, -6, len(weights))).astype(np.float32)
        y_scale = x_scale * 2.0 ** (round(np.log2(spread)) - int(rng.integers(6, 9)))
    else:
        x_scale = rng.uniform(0.001, 3)
        w_scales = rng.uniform(0.0005, 0.02, len(weights)).astype(np.float32)
        y_scale = x_scale * 0.01 * spread
    x_format = tensor_format(pair[0], x_scale, x_zero)
    y_format = random_format(rng, pair[0], y_scale)
    layer = Conv(
        name="conv",
        weights=shifted,
        bias=bias,
        in_format=x_format,
        out_format=y_format,
        requant=Scale.from_scales(x_format.scale, w_scales, y_format.scale),
        stride=stride,
        pads=pads,
        **options,
    )
    return layer, x, (weights, w_zero, w_scales)


@pytest.mark.parametrize("ties", [False, True], ids=["any", "ties"])
@pytest.mark.parametrize(
    "pair", onnxrun.QLINEAR_PAIRS, ids=lambda p: "".join(t.__name__ for t in p)
)
@pytest.mark.parametrize("seed", range(60))
def test_a_layer_is_qlinearconv(pair, ties, seed):
    rng = np.random.default_rng((seed, ties))
    layer, x, (weights, w_zero, w_scales) = qlinear_layer(rng, pair, ties)
    node = onnxrun.qlinear_conv_node("c", "x", "y", weights, layer.stride, layer.pads)
    constants = onnxrun.qlinear_conv_constants(
        "c",
        onnx_format(layer.in_format),
        weights,
        w_scales,
        w_zero,
        layer.bias,
        onnx_format(layer.out_format),
    )
    (expected,) = onnxrun.run([node], x, {"y": layer.out_format.ints.dtype}, constants)
    result = layer.run(x)
    assert result.dtype == expected.dtype
    assert (result == expected).all()


def test_the_power_of_two_cases_have_ties():
    """The cases above would show little if no result lay halfway between two integers."""
    ties = results = 0
    for seed in range(60):
        layer, x, _ = qlinear_layer(
            np.random.default_rng((seed, True)), onnxrun.QLINEAR_PAIRS[1], True
        )
        exact = layer.accumulate(x) * layer.requant.scale.astype(float)
        ties += np.count_nonzero(exact % 1 == 0.5)
        results += exact.size
    assert ties > results / 50


@pytest.mark.parametrize("seed", range(30))
def test_grouped_sums_are_those_of_conv_integer(seed):
    rng = np.random.default_rng(seed)
    groups, ins, outs = (int(n) for n in rng.integers((2, 1, 1), (7, 4, 4)))
    kernel, stride, pads = (
        tuple(rng.integers(*r).tolist()) for r in ((1, 4, 2), (1, 3, 2), (0, 3, 4))
    )
    form = random_format(rng, np.uint8, 1.0)
    layer = Conv(
        name="grouped",
        weights=rng.integers(-128, 128, (groups * outs, ins, *kernel), np.int8),
        bias=rng.integers(-1000, 1000, groups * outs),
        in_format=form,
        out_format=form,
        requant=Shift(0),
        stride=stride,
        pads=pads,
        groups=groups,
    )
    assert (layer.in_channels, layer.out_channels) == (groups * ins, groups * outs)
    x = rng.integers(0, 256, (*rng.integers(3, 8, 2), groups * ins), np.uint8)
    sums = onnxrun.conv_integer(
        x, form.zero_point, layer.weights, 0, stride=stride, pads=pads, groups=groups
    )
    assert (layer.accumulate(x) == sums + layer.bias).all()


def test_a_group_sees_its_own_channels_alone():
    """Depthwise, and two channels for each."""
    weights = np.arange(1, 9).reshape(8, 1, 1, 1)
    layer = small_layer(weights=weights, bias=np.zeros(8, int), groups=4)
    x = np.array([1, 10, 100, 1000], np.int16).reshape(1, 1, 4)
    assert layer.accumulate(x).ravel().tolist() == [1, 2, 30, 40, 500, 600, 7000, 8000]


def random_network(rng, layers=4):
    """A random chain of u8 layers, with the nodes and constants of the same ONNX graph."""
    shape = (int(rng.integers(18, 26)), int(rng.integers(18, 26)), int(rng.integers(1, 6)))
    form = random_format(rng, np.uint8, 0.02)
    x = rng.integers(0, 256, shape, np.uint8)
    chain, nodes, constants, tensor, sample = [], [], {}, "x", x
    for index in range(layers):
        name, last = f"layer{index}", index == layers - 1
        cin, cout = sample.shape[2], int(rng.integers(1, 20))
        kernel = sample.shape[:2] if last else tuple(rng.integers(1, 4, 2).tolist())
        pads = (0, 0, 0, 0) if last else tuple(rng.integers(0, np.tile(kernel, 2)).tolist())
        weights = rng.integers(-64, 64, (cout, cin, *kernel), np.int8)
        bias = rng.integers(-9000, 9000, cout)
        sums = conv2d(sample, weights, bias, pads=pads, zero_point=form.zero_point)
        w_scales = rng.uniform(0.001, 0.01, cout).astype(np.float32)
        out = random_format(rng, np.uint8, form.scale * 0.005 * (sums.std() / 60 + 0.5))
        layer = Conv(
            name=name,
            weights=weights,
            bias=bias,
            in_format=form,
            out_format=out,
            requant=Scale.from_scales(form.scale, w_scales, out.scale),
            pads=pads,
            relu=bool(rng.integers(2)),
            pool=not last and bool(rng.integers(2)),
            kind="fc" if last else "conv",
        )
        chain.append(layer)
        nodes.append(onnxrun.qlinear_conv_node(name, tensor, f"{name}.sums", weights, (1, 1), pads))
        constants |= onnxrun.qlinear_conv_constants(
            name, onnx_format(form), weights, w_scales, 0, bias, onnx_format(out)
        )
        tensor = f"{name}.sums"
        if layer.pool:
            nodes.append(
                helper.make_node(
                    "MaxPool", [tensor], [f"{name}.pool"], kernel_shape=[2, 2], strides=[2, 2]
                )
            )
            tensor = f"{name}.pool"
        # Without a ReLU this changes nothing: the lowest raw value there is.
        constants[f"{name}.low"] = np.array(out.zero_point if layer.relu else 0, np.uint8)
        nodes.append(helper.make_node("Max", [tensor, f"{name}.low"], [name]))
        tensor, form, sample = name, out, layer.run(sample)
    network = Network("random", shape, chain[0].in_format, tuple(chain))
    return network, x, nodes, constants


@pytest.mark.parametrize("seed", range(20))
def test_a_network_is_the_onnx_graph(seed):
    network, x, nodes, constants = random_network(np.random.default_rng(seed))
    outputs = {layer.name: np.dtype(np.uint8) for layer in network.layers}
    expected = onnxrun.run(nodes, x, outputs, constants)
    maps = network.run(x)
    assert [m.shape for m in maps] == network.shapes
    assert len(maps) == 1 + len(expected)
    assert (maps[0] == x).all()
    for result, reference in zip(maps[1:], expected, strict=True):
        assert (result == reference).all()


S16 = TensorFormat(16, True, 2.0**-8)


def small_layer(**changes):
    """A 16-bit layer that shifts, 2 to 3 channels, 3x3."""
    rng = np.random.default_rng(9)
    options = {
        "name": "small",
        "weights": rng.integers(-32768, 32768, (3, 2, 3, 3)),
        "bias": rng.integers(-(1 << 30), 1 << 30, 3),
        "in_format": S16,
        "out_format": S16,
        "requant": Shift(17, Rounding.HALF_EVEN),
    }
    return Conv(**(options | changes))


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("zero", [0, -1001])
def test_a_16_bit_layer_follows_the_stated_order(pool, relu, rounding, zero):
    """Bias, pool, ReLU, requantise, saturate, one after the other in Python."""
    layer = small_layer(
        requant=Shift(16, rounding),
        relu=relu,
        pool=pool,
        pads=(1, 0, 1, 2),
        out_format=TensorFormat(16, True, 0.5, zero),
    )
    x = np.random.default_rng(2).integers(-32768, 32768, (7, 8, 2), np.int16)
    sums = layer.accumulate(x)
    rows, cols, channels = layer.conv_shape(x.shape)
    assert sums.shape == (rows, cols, channels)
    step = 2 if pool else 1
    expected = np.empty(layer.out_shape(x.shape), np.int64)
    for y, x_, c in np.ndindex(expected.shape):
        best = max(
            int(v) for v in sums[y * step : (y + 1) * step, x_ * step : (x_ + 1) * step, c].flat
        )
        fraction = Fraction(max(best, 0) if relu else best, 1 << 16)
        value = round(fraction) if rounding is Rounding.HALF_EVEN else fraction.__floor__()
        expected[y, x_, c] = min(max(value + zero, -32768), 32767)
    result = layer.run(x)
    assert result.dtype == np.int16
    assert (result == expected).all()
    assert expected.max() == 32767
    assert len(np.unique(expected)) > 20


@pytest.mark.parametrize(
    ("form", "relu", "clamp"),
    [
        (TensorFormat(8, False, 1.0, 0), True, (0, 255)),
        (TensorFormat(8, False, 1.0, 3), True, (3, 255)),
        (TensorFormat(8, False, 1.0, 3), False, (0, 255)),
        (TensorFormat(8, True, 1.0, -5), True, (-5, 127)),
        (TensorFormat(16, True, 1.0, 0), True, (0, 32767)),
        (TensorFormat(16, True, 1.0, 0), False, (-32768, 32767)),
    ],
)
def test_relu_is_a_clamp(form, relu, clamp):
    assert small_layer(out_format=form, relu=relu).clamp == clamp


def test_a_layer_knows_its_figures():
    layer = small_layer(stride=(2, 1), pads=(1, 1, 1, 1), pool=True)
    assert (layer.in_channels, layer.out_channels, layer.kernel) == (2, 3, (3, 3))
    assert layer.conv_shape((9, 9, 2)) == (5, 9, 3)
    assert layer.out_shape((9, 9, 2)) == (2, 4, 3)
    assert layer.weight_bits == 16
    assert small_layer(weights=np.full((3, 2, 3, 3), -128)).weight_bits == 8
    assert small_layer(weights=np.full((3, 2, 3, 3), 128)).weight_bits == 16


@pytest.mark.parametrize("bias", [-5, 0, 7])
def test_sums_of_pixels_above_zero_stay_within_their_reach(bias):
    """It is reached where the pixels of one sign of the weights are as large as can be."""
    rng = np.random.default_rng(4)
    weights = rng.integers(-99, 100, (3, 2, 3, 3))
    form = TensorFormat(16, True, 1.0, -3)
    layer = small_layer(weights=weights, bias=np.full(3, bias), in_format=form)
    largest = form.ints.max - form.zero_point
    found = []
    for sign in (1, -1):
        for output in weights:
            pixels = np.where(sign * output > 0, largest, 0).transpose(1, 2, 0)
            found.append(int(np.abs(conv2d(pixels, weights, layer.bias)).max()))
    reached = max(found)
    assert layer.reach_above_zero - 2 * abs(bias) <= reached <= layer.reach_above_zero
    assert layer.reach_above_zero < layer.reach


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"weights": np.zeros((3, 2, 3), int)},
            r"weights must be \(Cout, Cin / groups, kh, kw\), not \(3, 2, 3\)",
        ),
        ({"weights": np.zeros((3, 0, 3, 3), int)}, r"weights must be .*, not \(3, 0, 3, 3\)"),
        ({"weights": np.zeros((3, 2, 3, 3))}, "weights must be integers, not float64"),
        (
            {"weights": np.full((3, 2, 3, 3), 32768)},
            r"weights at \(0, 0, 0, 0\) must be -32768 to 32767 \(s16\), not 32768",
        ),
        ({"groups": 2}, "has 3 output channels, which are not 2 equal groups"),
        ({"groups": 0}, "has 3 output channels, which are not 0 equal groups"),
        ({"bias": np.zeros(2, int)}, r"bias must have the shape \(3,\), not \(2,\)"),
        ({"bias": np.zeros(3)}, "bias must be integers, not float64"),
        ({"bias": np.array([0, 1 << 47, 0])}, r"bias at \(1,\) must be .*s48"),
        (
            {"requant": Scale(np.ones(2, np.float32))},
            "requant must have a scale for each of 3 output channels, not 2",
        ),
        ({"stride": (0, 1)}, r"stride must be two positive numbers, not \(0, 1\)"),
        ({"pads": (0, 0, -1, 0)}, r"pads must be four numbers, none negative, not \(0, 0, -1, 0\)"),
        ({"kind": "dense"}, "kind must be 'conv' or 'fc', not 'dense'"),
    ],
)
def test_impossible_layers_are_refused(changes, text):
    with pytest.raises(NetworkError, match=f"^layer 'small': {text}"):
        small_layer(**changes)


@pytest.mark.parametrize(
    ("changes", "shape", "text"),
    [
        ({}, (9, 9, 3), "takes 2 channels, not 3"),
        ({}, (2, 9, 2), "kernel 3x3 is larger than the padded map of 2x9"),
        ({"pool": True}, (3, 9, 2), "has one row or one column, and nothing is left to pool"),
        ({"kind": "fc"}, (3, 4, 2), "its kernel must be the map, 3x4"),
        ({"kind": "fc", "pads": (1, 1, 1, 1)}, (3, 3, 2), "without stride or padding"),
    ],
)
def test_maps_that_a_layer_cannot_take_are_refused(changes, shape, text):
    with pytest.raises(NetworkError, match=f"^layer 'small': .*{text}"):
        small_layer(**changes).out_shape(shape)


def small_network(**changes):
    options = {
        "name": "net",
        "input_shape": (8, 8, 2),
        "input_format": S16,
        "layers": (small_layer(), small_layer(name="next", weights=np.ones((3, 3, 1, 1), int))),
    }
    return Network(**(options | changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"input_shape": (8, 8)}, r"input_shape must be \(H, W, C\), not \(8, 8\)"),
        ({"input_shape": (8, 8, 4)}, "layer 'small': takes 2 channels, not 4"),
        ({"layers": ()}, "network 'net' has no layers"),
        ({"layers": (small_layer(), small_layer())}, "layer 'small': takes 2 channels, not 3"),
        (
            {"input_format": TensorFormat(16, True, 0.5)},
            "layer 'small': takes .*, but the input gives .*",
        ),
        ({"labels": ("a", "b")}, "network 'net' has 2 labels for 108 results"),
        (
            {"preprocessing": {"means": 3}},
            "preprocessing 'means' is unknown: choose of mode, size, ",
        ),
    ],
)
def test_impossible_networks_are_refused(changes, text):
    with pytest.raises(NetworkError, match=f"^{text}"):
        small_network(**changes)


def test_a_layer_must_take_what_the_one_before_gives():
    first = small_layer(name="first", out_format=replace(S16, zero_point=3))
    with pytest.raises(NetworkError, match=r"^layer 'next': takes .*, but layer 'first' gives "):
        small_network(layers=(first, small_network().layers[1]))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((8, 9, 2), int), r"input must have the shape \(8, 8, 2\), not \(8, 9, 2\)"),
        (np.full((8, 8, 2), 1 << 15), r"input at \(0, 0, 0\) must be -32768 to 32767"),
        (np.zeros((8, 8, 2)), "input must be integers, not float64"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, text):
    with pytest.raises(NetworkError, match=f"^{text}"):
        small_network().run(x)


def test_a_picture_is_prepared_as_the_network_says():
    picture = np.arange(128, dtype=np.uint8).reshape(8, 8, 2)
    plain = small_network().quantise_input(picture)
    assert (plain == np.rint(picture / np.float32(255) * 256)).all()
    network = small_network(preprocessing={"mode": "RGB", "mean": [3, 5], "scale": [1.0, 2.0]})
    expected = np.stack([(picture[..., 0] - 3.0), (picture[..., 1] - 5.0) / 2], axis=-1) * 256
    assert (network.quantise_input(picture) == expected).all()
    assert (network.quantise_input(np.full((8, 8, 2), 0.5)) == 128).all()


def test_a_grey_picture_may_come_without_its_channel():
    network = small_network(
        input_shape=(8, 8, 1), layers=(small_layer(weights=np.ones((3, 1, 3, 3), int)),)
    )
    assert network.quantise_input(np.zeros((8, 8), np.uint8)).shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((8, 8), np.uint8), r"image must have the shape \(8, 8, 2\), not \(8, 8\)"),
        (np.zeros((8, 8, 2), int), "image must be uint8 or floating point, not int64"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(image, text):
    with pytest.raises(NetworkError, match=f"^{text}$"):
        small_network().quantise_input(image)


def one_by_one(name, inputs, outputs, rng, **options):
    weights = rng.integers(-99, 99, (outputs, inputs, 1, 1))
    return small_layer(name=name, weights=weights, bias=np.arange(outputs), **options)


def branched(rng, **changes):
    """A fire module and what comes before and behind it, a pool in one branch."""
    layers = (
        one_by_one("squeeze", 2, 3, rng),
        one_by_one("left", 3, 4, rng),
        small_layer(name="right", weights=rng.integers(-99, 99, (3, 3, 3, 3)), pads=(1, 1, 1, 1)),
        one_by_one("last", 9, 2, rng),
    )
    options = {"layers": layers, "sources": ((0,), (1,), (1,), (2, 0, 3))}
    return small_network(**(options | changes))


def test_branches_are_joined_along_the_channels():
    rng = np.random.default_rng(3)
    network = branched(rng)
    assert network.shapes == [(8, 8, 2), (8, 8, 3), (8, 8, 4), (8, 8, 3), (8, 8, 2)]
    assert network.in_shapes == [(8, 8, 2), (8, 8, 3), (8, 8, 3), (8, 8, 9)]
    x = rng.integers(-999, 999, (8, 8, 2)).astype(np.int16)
    squeeze, left, right, last = network.layers
    maps = network.run(x)
    s = squeeze.run(x)
    joined = np.concatenate([left.run(s), x, right.run(s)], axis=2)
    assert (network.input_map(3, maps) == joined).all()
    for found, expected in zip(
        maps, [x, s, left.run(s), right.run(s), last.run(joined)], strict=True
    ):
        assert (found == expected).all()


def test_without_sources_each_layer_takes_the_one_before():
    assert small_network().sources == ((0,), (1,))


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        (((0,), (1,)), "sources must be given for 4 layers, not 2"),
        (((0,), (1,), (1,), ()), r"layer 'last': takes the tensors \(\), there are 0 to 3 before"),
        (((0,), (2,), (1,), (2, 3)), r"layer 'left': takes the tensors \(2,\), there are 0 to 1"),
        (((0,), (1,), (-1,), (2, 3)), r"layer 'right': takes the tensors \(-1,\), there are 0 to"),
        (((0,), (1,), (1,), (2, 3)), "layer 'last': takes 9 channels, not 7"),
    ],
)
def test_impossible_branches_are_refused(sources, text):
    with pytest.raises(NetworkError, match=f"^{text}"):
        branched(np.random.default_rng(0), sources=sources)


def test_branches_must_be_alike():
    rng = np.random.default_rng(0)
    layers = list(branched(rng).layers)
    unlike = [*layers[:2], replace(layers[2], out_format=replace(S16, scale=0.5)), layers[3]]
    with pytest.raises(NetworkError, match=r"layer 'last': takes .*, but layer 'right' gives"):
        branched(rng, layers=tuple(unlike))
    smaller = [*layers[:2], replace(layers[2], pads=(0, 0, 0, 0)), layers[3]]
    with pytest.raises(NetworkError, match="layer 'last': concatenates maps of 8x8, 8x8, 6x6"):
        branched(rng, layers=tuple(smaller))


def test_pools_are_layers():
    pools = (
        MaxPool("max", (3, 3), (2, 2), S16),
        AvgPool("mean", (3, 3), S16, S16, Shift(3, Rounding.HALF_EVEN)),
    )
    network = small_network(layers=pools)
    assert network.shapes == [(8, 8, 2), (3, 3, 2), (1, 1, 2)]
    x = np.random.default_rng(1).integers(-999, 999, (8, 8, 2))
    assert (network.run(x)[-1] == pools[1].run(pools[0].run(x))).all()
