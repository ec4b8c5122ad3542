"""Lowering: the control stream, read back word by word."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.lower import control_streams, pack_weights
from compiler.plan import LayerPlan
from golden.cycles.core import control_words
from golden.params import Build
from tests.layers import BUILDS, NULLHOP, TINY, TINY8, Case, cases


def signed(bits: int, value: int) -> int:
    return value - (value >> bits - 1 << bits)


def read_back(plan: LayerPlan, words: list[int]) -> tuple[list[int], list[int], np.ndarray]:
    """Biases, scales (float32 bits) and weights (channel, address) of all lanes of all passes."""
    build = plan.build
    biases, scales, weights = [], [], []
    stream = iter(words)
    for d in plan.descriptors:
        assert [next(stream) for _ in range(5 + build.clusters)] == d.words()
        for _ in range(d.groups):
            for _ in range(build.lanes_per_cluster):
                biases.append(signed(64, next(stream)))
                scales.append(next(stream))
            group = []
            for _ in range(d.weight_count):
                lanes: list[int] = []
                while len(lanes) < build.lanes_per_cluster:
                    beat = next(stream)
                    for _ in range(build.weights_per_beat):
                        beat, weight = divmod(beat, 1 << build.weight_bits)
                        lanes.append(signed(build.weight_bits, weight))
                    assert beat == 0
                group.append(lanes)
            weights += np.transpose(group).tolist()
    assert list(stream) == []
    return biases, scales, np.array(weights)


@given(cases((*BUILDS, NULLHOP, TINY8.replace(lanes_per_cluster=16))), st.booleans())
def test_the_stream_holds_the_layer(case, scale):
    case = replace(case, scale=scale)
    plan, layer = case.plan, case.layer
    stream = np.concatenate(control_streams(plan))
    assert stream.dtype == np.uint64
    words = stream.tolist()
    assert len(words) == sum(control_words(case.build, d) for d in plan.descriptors)
    biases, scales, weights = read_back(plan, words)

    # Lanes without a channel follow at the end of the last group of a pass.
    lanes = case.build.lanes_per_cluster
    at = channel = 0
    for p in plan.passes:
        for n in range(p.descriptor.groups * lanes):
            if n < p.descriptor.out_channels:
                assert biases[at] == layer.bias[channel]
                factor = np.uint32(scales[at]).view(np.float32)
                assert factor == (layer.requant.scale[channel] if scale else 0)
                # The address of a weight is (channel x kernel_h + row) x kernel_w + column.
                _, depth, kernel_h, kernel_w = layer.weights.shape
                for c in range(depth):
                    for ky in range(kernel_h):
                        first = (c * kernel_h + ky) * kernel_w
                        row = weights[at, first : first + kernel_w]
                        assert row.tolist() == layer.weights[channel, c, ky].tolist()
                channel += 1
            else:
                assert (biases[at], scales[at], weights[at].any()) == (0, 0, False)
            at += 1
    assert (at, channel) == (len(biases), layer.out_channels)


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
    assert stream[7] == (1 << 64) - 1
    assert stream[9] == (1 << 64) - (1 << 38)
