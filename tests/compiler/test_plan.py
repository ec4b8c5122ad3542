"""Plans: layers checked, planned for their builds, and refused in words."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.errors import CompileError
from compiler.plan import plan_layer, plan_network
from golden.descriptor import descriptor_words
from golden.network import Network, TensorFormat
from golden.requant import Scale, Shift
from tests.golden.test_adder import adder_layer
from tests.layers import NULLHOP, S16, TINY, TINY8, TINY_L1, UP5K, Case, a_layer


@pytest.mark.parametrize("requant", [Shift(3), Scale(np.full(4, 0.25, np.float32))])
@pytest.mark.parametrize("relu", [False, True])
def test_requantisation_in_the_descriptor(requant, relu):
    out = TensorFormat(8, signed=False, scale=1.0, zero_point=7)
    layer = a_layer(
        (4, 2, 1, 1), TensorFormat(8, True, 1.0, -3), requant=requant, out_format=out, relu=relu
    )
    (d,) = plan_layer(layer, (2, 2, 2), TINY).descriptors
    assert (d.signed_in, d.in_zero, d.out_zero) == (True, -3, 7)
    assert (d.clamp_low, d.clamp_high) == (7 if relu else 0, 255)
    is_shift = isinstance(requant, Shift)
    assert (d.requant, d.rounding, d.shift) == ((0, 0, 3) if is_shift else (1, 0, 0))


def test_only_the_first_map_may_come_dense():
    layers = tuple(a_layer((2, 2, 1, 1)) for _ in range(2))
    network = Network("two", (3, 3, 2), S16, layers)
    plans = plan_network(network, TINY, dense_input=True)
    assert [plan.dense for plan in plans] == [True, False]
    assert [plan.descriptors[0].dense for plan in plans] == [True, False]
    assert [plan.dense for plan in plan_network(network, TINY)] == [False, False]
    assert [plan.in_shape for plan in plans] == network.shapes[:2]
    assert [plan.out_shape for plan in plans] == network.shapes[1:]


@pytest.mark.parametrize("word_pixels", [4, 8, 16, 32])
@pytest.mark.parametrize("clusters", [1, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 4), (7, 1), (7, 4)])
def test_what_is_not_refused_fits_the_descriptor(word_pixels, clusters, kernel, stride):
    """The most input channels that the planner takes, in as many tiles as it takes."""
    lanes = max(16, word_pixels // clusters)  # blocks are of whole words
    build = NULLHOP.replace(
        word_pixels=word_pixels,
        clusters=clusters,
        lanes_per_cluster=lanes,
        map_words=(1 << 14) - 1,
        depthwise=False,
    )
    pads = (kernel - 1,) * 4
    layer = a_layer((2, 2048, kernel, kernel), stride=(stride, stride), pads=pads)
    (d,) = plan_layer(layer, (4, 4, 2048), build).descriptors
    assert len(d.words()) == descriptor_words(build)


def test_what_does_not_fit_in_windows_either_is_refused_as_it_was_at_first():
    build = TINY.replace(weight_words=64)
    with pytest.raises(CompileError) as caught:
        plan_layer(a_layer((2, 128, 3, 3)), (8, 8, 128), build)
    assert str(caught.value) == (
        "layer 'conv/1': needs 1152 weights per output channel, build 'tiny' has 64, but room for "
        "32 at a time, and a map word takes 36: use a build with more weight_words"
    )


def test_a_plan_is_checked_first():
    with pytest.raises(CompileError, match=r"stride .* is not supported"):
        plan_layer(a_layer((2, 2, 1, 1), stride=(5, 1)), (8, 8, 2), TINY)


def test_the_most_tiles_fit_the_descriptor_and_one_more_is_refused():
    build = TINY.replace(weight_words=2 * 4 * 9, map_words=4096)
    layer = a_layer((2, 4 * 127, 3, 3), pads=(1, 1, 1, 1))
    (d,) = plan_layer(layer, (8, 4, 4 * 127), build).descriptors
    assert (d.tiles, d.tile_words) == (127, 1)
    assert len(d.words()) == descriptor_words(build)
    layer = a_layer((2, 4 * 127 + 1, 3, 3), pads=(1, 1, 1, 1))
    with pytest.raises(CompileError) as caught:
        plan_layer(layer, (8, 4, 4 * 127 + 1), build)
    assert str(caught.value) == (
        "layer 'conv/1': needs 4581 weights per output channel in 128 tiles, which are above the "
        "127 of the core: use a build with more weight_words than the 72 of 'tiny'"
    )


def test_a_case_of_every_build_can_be_planned():
    for build in (TINY, TINY8, UP5K, NULLHOP):
        plan = Case(build=build, pool=True, pads=(1, 1, 1, 1)).plan
        assert plan.out_shape == (3, 2, 6)


def test_a_layer_runs_on_its_own_kind_of_lanes():
    adds = adder_layer()
    with pytest.raises(
        CompileError, match=r"^layer 'add': needs lanes that add \|x - w\|, those of"
    ):
        plan_layer(adds, (5, 5, 1), TINY8)
    with pytest.raises(
        CompileError, match="needs lanes that multiply, those of build 'tiny_l1' add"
    ):
        plan_layer(Case(build=TINY_L1).layer, (6, 5, 5), TINY_L1)
    assert plan_layer(adds, (5, 5, 1), TINY_L1).passes
    form = adds.in_format
    network = Network("both", (5, 5, 1), form, (adds, replace(adds, name="two", **TWO_TO_TWO)))
    assert [plan.build for plan in plan_network(network, (TINY8, TINY_L1))] == [TINY_L1] * 2


TWO_TO_TWO = {"weights": np.ones((2, 2, 3, 3), np.int64)}


def test_folded_sums_are_held_to_the_accumulator():
    """Weights of any size run, as long as what they leave in the bias fits."""
    build = TINY_L1.replace(acc_bits=24)
    wide = adder_layer(weights=np.full((2, 1, 3, 3), 32767), pads=(0, 0, 0, 0))
    assert plan_layer(wide, (5, 5, 1), build).passes
    wider = adder_layer(weights=np.full((2, 60, 3, 3), 32767), pads=(0, 0, 0, 0))
    with pytest.raises(CompileError, match="accumulators need 26 bits, build 'tiny_l1' has 24"):
        plan_layer(wider, (5, 5, 60), build)
