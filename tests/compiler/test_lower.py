"""Lowering: the control stream, read back word by word."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.lower import control_streams, pack_weights
from compiler.passes import LayerPlan, PassPlan
from compiler.plan import plan_layer
from golden.descriptor import PassDescriptor, descriptor_words
from golden.network import Conv, TensorFormat
from golden.params import Build
from golden.requant import Scale
from tests.golden.test_adder import adder_layer
from tests.layers import BUILDS, NULLHOP, TINY, TINY8, TINY_L1, Case, cases, grouped_cases
from tests.sim.shapes import SMALL, grouped_layers, large_kernels, narrow_windows


def signed(bits: int, value: int) -> int:
    return value - (value >> bits - 1 << bits)


class Reader:
    """Takes a control stream apart, word by word."""

    def __init__(self, build: Build, words: list[int]):
        self.build, self.words, self.at = build, words, 0

    def take(self) -> int:
        self.at += 1
        return self.words[self.at - 1]

    def parameters(self) -> list[tuple[int, int]]:
        """Bias and scale (float32 bits) of every lane of a group."""
        return [(signed(64, self.take()), self.take()) for _ in range(self.build.lanes_per_cluster)]

    def weights(self) -> list[int]:
        """The weights of a group's lanes at one address."""
        lanes: list[int] = []
        while len(lanes) < self.build.lanes_per_cluster:
            beat = self.take()
            for _ in range(self.build.weights_per_beat):
                beat, weight = divmod(beat, 1 << self.build.weight_bits)
                lanes.append(signed(self.build.weight_bits, weight))
            assert beat == 0
        return lanes


def regions(d: PassDescriptor) -> int:
    """How often a team starts again with the first tile: those of the team with most stripes."""
    first = min(work.first_stripe for work in d.clusters if work.active)
    stripes = range(first, d.stripes, d.clusters[0].stripe_step)
    return len(range(0, len(stripes), d.region))


def weight(layer: Conv, output: int | None, channel: int | None, tap: tuple[int, int]) -> int:
    """Of an output channel for an input channel; of a lane without one, or another group's, 0."""
    if output is None or channel is None:
        return 0
    first = output * layer.groups // layer.out_channels * layer.weights.shape[1]
    if not first <= channel < first + layer.weights.shape[1]:
        return 0
    return int(layer.weights[output, channel - first, *tap])


def check_pass(reader: Reader, layer: Conv, p: PassPlan) -> None:
    """Descriptor; parameters of all groups; then tile by tile the weights of all groups."""
    build, d = reader.build, p.descriptor
    assert [reader.take() for _ in range(descriptor_words(build))] == d.words()
    # The lanes' channels; those without one follow at the end of the last group.
    count = d.groups * build.lanes_per_cluster
    channels = [
        c if c < p.channels[1] else None for c in range(p.channels[0], p.channels[0] + count)
    ]
    assert channels[: d.out_channels] == list(range(*p.channels))
    lanes = build.lanes_per_cluster
    groups = [channels[first : first + lanes] for first in range(0, count, lanes)]
    for group in groups:
        for channel, (bias, scale) in zip(group, reader.parameters(), strict=True):
            assert bias == (0 if channel is None else layer.bias[channel])
            factor = np.uint32(scale).view(np.float32)
            has_scale = channel is not None and isinstance(layer.requant, Scale)
            assert factor == (layer.requant.scale[channel] if has_scale else 0)

    # The input channels of each slice's tiles.
    words, tile_words = d.slice_words, d.tile_words
    n_slices = len(groups) // d.team_groups
    slices = [
        [
            range(
                (first_word + first) * build.word_pixels,
                min(
                    (first_word + min(first + tile_words, words)) * build.word_pixels,
                    layer.in_channels,
                ),
            )
            for first in range(0, words, tile_words)
        ]
        for first_word in range(p.part.first_word, p.part.first_word + words * n_slices, words)
    ]
    for tiles in slices:
        assert len(tiles) == d.tiles
        taps = p.piece.height * p.piece.width
        sizes = [(1 if d.depthwise else len(tile)) * taps for tile in tiles]
        assert sizes == [d.tile_weights] * (len(tiles) - 1) + [d.last_weights]
    # Weights that stay are loaded once, others for each region.
    loads = list(range(d.tiles)) * (1 if d.resident else regions(d))
    assert d.loads == len(loads)
    for tile in loads:
        for n, group in enumerate(groups):
            # Within a tile the address is (channel x kernel_h + row) x kernel_w + column; in a
            # depthwise pass a lane has one channel, its own.
            inputs: Iterable[int | None] = slices[n // d.team_groups][tile]
            if d.depthwise:
                inputs = [None]
            for c, *tap in product(inputs, range(*p.piece.rows), range(*p.piece.cols)):
                wanted = [weight(layer, k, k if c is None else c, (tap[0], tap[1])) for k in group]
                assert reader.weights() == wanted


def check_plan(plan: LayerPlan) -> None:
    streams = control_streams(plan)
    for words, p in zip(streams, plan.passes, strict=True):
        assert words.dtype == np.uint64
        reader = Reader(plan.build, words.tolist())
        check_pass(reader, plan.layer, p)
        assert reader.at == len(words)


@given(
    cases((*BUILDS, NULLHOP, TINY8.replace(lanes_per_cluster=16))) | grouped_cases(),
    st.booleans(),
)
def test_the_stream_holds_the_layer(case, scale):
    check_plan(replace(case, scale=scale and "scale" in case.build.requant).plan)


@given(st.one_of(grouped_layers(SMALL), large_kernels(SMALL), narrow_windows(SMALL)))
@settings(max_examples=settings.default.max_examples // 2)
def test_the_stream_holds_layers_in_pieces_slices_and_windows(case):
    check_plan(plan_layer(case.layer, case.x.shape, SMALL, dense=case.dense))


def test_tiles_that_do_not_stay_come_again_for_every_region():
    """Of 13 words of 4 channels 5 fit at a time; 4 stripes, one after the other, and 2 groups."""
    build = TINY.replace(map_words=1024)
    case = Case(build=build, shape=(8, 16, 52), kernel=(5, 5), pads=(2, 2, 2, 2), channels=7)
    (d,) = case.plan.descriptors
    assert (d.tiles, d.tile_words, d.resident, d.region, d.loads) == (3, 5, False, 1, 12)
    assert (d.tile_weights, d.last_weights) == (500, 300)
    (stream,) = control_streams(case.plan)
    head = 8 + 2 + 2 * 2 * 4
    loads = stream[head:].reshape(4, 2 * (500 + 500 + 300))
    np.testing.assert_array_equal(loads[1:], loads[:1].repeat(3, axis=0))
    assert len(np.unique(loads[0])) > 1000


@pytest.mark.parametrize(
    ("build", "weights", "words"),
    [
        (TINY, [[1], [2], [3], [4]], [0x0004_0003_0002_0001]),
        (TINY, [[-1], [-32768]], [0x0000_0000_8000_FFFF]),
        (TINY, [[1, -2, 3]], [1, 0xFFFE, 3]),
        (TINY8, [[1, 5], [2, 6], [3, 7], [-4, 8]], [0xFC030201, 0x08070605]),
        (NULLHOP, [[n] for n in range(9)], [0x0003_0002_0001_0000, 0x0007_0006_0005_0004, 8, 0]),
    ],
)
def test_weights_in_words(build: Build, weights, words):
    assert pack_weights(np.array(weights), build).tolist() == words


def test_a_negative_bias_is_extended_to_the_whole_word():
    case = Case(build=TINY, shape=(1, 1, 1), kernel=(1, 1), channels=2)
    layer = replace(case.layer, bias=np.array([-1, -(1 << 38)]))
    stream = np.concatenate(control_streams(replace(case.plan, layer=layer))).tolist()
    assert stream[10] == (1 << 64) - 1
    assert stream[12] == (1 << 64) - (1 << 38)


@pytest.mark.parametrize("is_signed", [False, True])
def test_an_adder_layer_is_folded_on_its_way(is_signed):
    """Weights clipped, as codes where pixels are signed; the bias less what every window costs."""
    form = TensorFormat(8, signed=is_signed, scale=1.0)
    layer = adder_layer(in_format=form)
    plan = plan_layer(layer, (5, 5, 1), TINY_L1)
    ((words,), (p,)) = control_streams(plan), plan.passes
    reader = Reader(TINY_L1, words.tolist())
    for _ in p.descriptor.words():
        reader.take()
    biases = [bias for bias, _ in reader.parameters()]
    assert biases == [700 - 900, 900 - 720, 0, 0]
    for w in layer.weights.reshape(2, 9).T.tolist():
        lanes = [weight & 255 for weight in reader.weights()]
        if is_signed:
            held = [max(-128, min(127, value)) for value in w]
            assert lanes == [v if v >= 0 else 128 | -v - 1 for v in held] + [0, 0]
        else:
            assert lanes == [max(0, min(255, value)) for value in w] + [0, 0]
    assert reader.at == len(reader.words)
