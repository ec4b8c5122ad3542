"""Pools as convolutions of the core, and whose they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.host import HostPlan
from compiler.passes import LayerPlan
from compiler.plan import plan_network
from compiler.pools import as_convolution, never_negative, runs_on_core
from golden.network import Conv, Layer, Network, TensorFormat
from golden.params import Build
from golden.pooling import AvgPool, MaxPool
from golden.requant import Scale, Shift
from tests.layers import TINY, TINY8, TINY_L1, UP5K, a_layer

U8 = TensorFormat(8, False, 1.0)
S8 = TensorFormat(8, True, 1.0)
NO_MAX = TINY.replace(name="no_max", max_pool=False)


@st.composite
def max_pools(draw: st.DrawFn) -> tuple[MaxPool, np.ndarray]:
    """Max-pools of any shape, and maps that are nowhere below their zero point."""
    kernel = draw(st.tuples(*[st.integers(1, 5)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 4)] * 2))
    pads = draw(st.tuples(*(st.integers(0, k - 1) for k in kernel * 2)))
    shape = [draw(st.integers(max(1, k - pads[i] - pads[i + 2]), 9)) for i, k in enumerate(kernel)]
    form = draw(st.sampled_from((U8, TensorFormat(8, True, 1.0, -5), TensorFormat(16, True, 1.0))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(form.zero_point, form.ints.max, (*shape, draw(st.integers(1, 6))))
    x[rng.random(x.shape) < draw(st.sampled_from((0, 0.5, 1)))] = form.zero_point
    return MaxPool("max", kernel, stride, form, pads), x.astype(form.ints.dtype)


def largest_products(layer: Conv, x: np.ndarray) -> np.ndarray:
    """What lanes make of a map that keep the largest product instead of the sum, and 0 if none."""
    top, left, bottom, right = layer.pads
    pixels = np.pad(
        x.astype(np.int64) - layer.in_format.zero_point,
        ((top, bottom), (left, right), (0, 0)),
    )
    rows, cols, channels = layer.conv_shape(x.shape)
    (stride_h, stride_w), (kernel_h, kernel_w) = layer.stride, layer.kernel
    acc = np.zeros((rows, cols, channels), np.int64)
    for row, col, channel in np.ndindex(*acc.shape):
        y, left_col = row * stride_h, col * stride_w
        under = pixels[y : y + kernel_h, left_col : left_col + kernel_w, channel]
        acc[row, col, channel] = (under * layer.weights[channel, 0]).max()
    return layer.requant.apply(acc + layer.bias, layer.out_format.zero_point, *layer.clamp)


@given(max_pools())
def test_the_largest_products_are_the_max_pool(case):
    pool, x = case
    layer = as_convolution(pool, x.shape[2])
    assert (layer.name, layer.groups) == (pool.name, x.shape[2])
    assert (layer.in_format, layer.out_format) == (pool.form, pool.form)
    assert layer.out_shape(x.shape) == pool.out_shape(x.shape)
    np.testing.assert_array_equal(largest_products(layer, x), pool.run(x))


@given(
    st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 9)),
    st.sampled_from((U8, S8, TensorFormat(8, False, 1.0, 7), TensorFormat(16, True, 1.0))),
    st.sampled_from((U8, TensorFormat(8, True, 1.0, -9))),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_the_mean_is_a_depthwise_convolution(shape, taken, given_out, scale, seed):
    rng = np.random.default_rng(seed)
    pixels = shape[0] * shape[1]
    requant = (
        Scale((rng.uniform(0.5, 2, shape[2]) / pixels).astype(np.float32)) if scale else Shift(5)
    )
    pool = AvgPool("mean", shape[:2], taken, given_out, requant)
    x = rng.integers(taken.ints.min, taken.ints.max, shape, endpoint=True)
    layer = as_convolution(pool, shape[2])
    assert layer.out_shape(shape) == pool.out_shape(shape)
    np.testing.assert_array_equal(layer.run(x), pool.run(x))


def conv(taken: TensorFormat, form: TensorFormat, *, relu: bool = False) -> Conv:
    return a_layer((2, 2, 1, 1), taken, out_format=form, relu=relu)


@pytest.mark.parametrize(
    ("form", "known"),
    [
        (U8, True),
        (S8, False),
        (TensorFormat(8, False, 1.0, 1), False),
        (TensorFormat(8, True, 1.0, -128), True),
        (TensorFormat(16, True, 1.0), False),
    ],
)
def test_an_input_is_never_negative_if_its_zero_point_is_the_least_value(form, known):
    network = Network("one", (4, 4, 2), form, (conv(form, U8),))
    assert never_negative(network) == [known, True]


@pytest.mark.parametrize(
    ("form", "relu", "known"),
    [
        (S8, False, False),
        (S8, True, True),
        (U8, False, True),
        (TensorFormat(8, False, 1.0, 9), False, False),
        (TensorFormat(8, False, 1.0, 9), True, True),
    ],
)
def test_a_layer_s_output_is_never_negative_if_it_is_clamped(form, relu, known):
    """A pool hands on what it knows."""
    layers = (
        conv(S8, form, relu=relu),
        MaxPool("max", (2, 2), (1, 1), form),
        AvgPool("mean", (3, 3), form, U8, Shift(3)),
    )
    network = Network("three", (4, 4, 2), S8, layers)
    assert never_negative(network) == [False, known, known, known]


def test_what_is_joined_is_never_negative_if_all_its_parts_are():
    layers: tuple[Layer, ...] = (
        conv(U8, S8, relu=True),
        conv(U8, S8),
        MaxPool("both", (2, 2), (1, 1), S8),
        MaxPool("first", (2, 2), (1, 1), S8),
    )
    network = Network("joined", (4, 4, 2), U8, layers, sources=((0,), (0,), (1, 2), (1,)))
    assert never_negative(network) == [True, True, False, False, True]


@pytest.mark.parametrize("build", [TINY, TINY8, UP5K, TINY_L1, NO_MAX], ids=lambda b: b.name)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_whose_a_pool_is(build: Build, positive, joined):
    largest = MaxPool("max", (2, 2), (2, 2), U8)
    mean = AvgPool("mean", (4, 4), U8, U8, Shift(4))
    mac = build.pe == "mac" and not joined
    assert runs_on_core(mean, build, positive=positive, joined=joined) == mac
    assert runs_on_core(largest, build, positive=positive, joined=joined) == (
        mac and build.max_pool and positive
    )


@pytest.mark.parametrize(
    ("build", "form", "cores"),
    [
        (TINY8, U8, [True, True]),
        (TINY8, S8, [False, True]),
        (TINY8.replace(max_pool=False), U8, [False, True]),
        (TINY_L1, U8, [False, False]),
    ],
)
def test_pools_in_a_plan(build, form, cores):
    pools = (MaxPool("max", (3, 3), (2, 2), form), AvgPool("mean", (4, 4), form, form, Shift(4)))
    network = Network("net", (9, 9, 11), form, pools)
    plans = plan_network(network, build)
    assert [isinstance(plan, LayerPlan) for plan in plans] == cores
    assert [isinstance(plan, HostPlan) for plan in plans] == [not core for core in cores]
    assert [plan.kind for plan in plans] == ["maxpool", "avgpool"]
    assert [plan.out_shape for plan in plans] == network.shapes[1:]
    assert [[d.maximum for d in plan.descriptors] for plan in plans] == [
        [kind == "maxpool"] * len(plan.descriptors)
        for kind, plan in zip(("maxpool", "avgpool"), plans, strict=True)
    ]
    assert [bool(plan.descriptors) for plan in plans] == cores


def test_a_pool_that_is_joined_is_the_host_s():
    layers: tuple[Layer, ...] = (
        MaxPool("max", (3, 3), (1, 1), U8, (1, 1, 1, 1)),
        a_layer((8, 8, 1, 1), U8),
        a_layer((4, 16, 1, 1), U8),
    )
    network = Network("join", (4, 4, 8), U8, layers, sources=((0,), (0,), (1, 2)))
    pool, *others = plan_network(network, TINY8)
    assert isinstance(pool, HostPlan)
    assert all(isinstance(plan, LayerPlan) for plan in others)
