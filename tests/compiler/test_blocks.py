"""Block sizes: passes of all lanes, unless branches that are joined ask for another size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.blocks import PASS_OVERHEAD, block_channels, branch_channels, turns
from compiler.errors import CompileError
from compiler.memory import lay_out
from compiler.plan import LayerPlan, plan_network
from golden.network import Conv, Network, TensorFormat
from golden.requant import Shift
from tests.layers import NULLHOP as SIXTEEN
from tests.layers import TINY

NULLHOP = SIXTEEN.replace(word_pixels=8, depthwise=False)
U8 = TensorFormat(8, signed=False, scale=1.0)


def one_by_one(inputs: int, outputs: int) -> Conv:
    return Conv(
        name=f"to {outputs}",
        weights=np.ones((outputs, inputs, 1, 1), int),
        bias=np.zeros(outputs, int),
        in_format=U8,
        out_format=U8,
        requant=Shift(0),
    )


def joined(*channels: int) -> Network:
    """Branches of so many channels, which all read the input; a layer joins them."""
    layers = (*(one_by_one(3, count) for count in channels), one_by_one(sum(channels), 5))
    branches = tuple(range(1, len(channels) + 1))
    return Network("joined", (4, 4, 3), U8, layers, sources=(*[(0,)] * len(channels), branches))


def test_a_chain_has_blocks_of_all_lanes():
    layers = (one_by_one(3, 300), one_by_one(300, 40), one_by_one(40, 7))
    assert block_channels(Network("chain", (4, 4, 3), U8, layers), NULLHOP) == [128] * 4


@pytest.mark.parametrize(
    ("channels", "size", "branch"),
    [
        ((64, 64), 128, 64),
        ((128, 128), 128, 256),
        ((256, 256), 128, 512),
        ((192, 192), 128, 192),  # 128 and 64, twice
        ((192, 192, 40), 128, 192),
        ((128, 64), 128, 192),
        ((256, 64), 128, 320),
        ((64, 128, 32, 32), 32, 256),
        ((192, 256), 64, 448),
        ((24, 16), 128, 24),
    ],
)
def test_branches_go_together(channels, size, branch):
    network = joined(*channels)
    assert block_channels(network, NULLHOP) == [128, *[size] * len(channels), 128]
    assert branch_channels(channels, size, NULLHOP) == branch
    descriptor = plan_network(network, NULLHOP)[-1].descriptors[0]
    assert (descriptor.block_channels, descriptor.branch_channels) == (size, branch)


@pytest.mark.parametrize(
    ("channels", "block", "branch"),
    [
        ((20,), 128, 20),
        ((300,), 128, 300),
        ((192, 192), 96, 384),
        ((192, 192), 80, 192),
        ((192, 200), 128, 0),  # the last is larger
        ((192, 128, 64), 128, 0),
        ((20, 20), 128, 0),  # no whole words
        ((24, 20), 24, 44),
    ],
)
def test_branch_channels(channels, block, branch):
    assert branch_channels(channels, block, NULLHOP) == branch


def test_what_is_joined_twice_has_one_size():
    layers = (one_by_one(3, 64), one_by_one(3, 96), one_by_one(160, 32), one_by_one(192, 7))
    network = Network("twice", (4, 4, 3), U8, layers, sources=((0,), (0,), (1, 2), (1, 2, 3)))
    assert block_channels(network, NULLHOP) == [128, 32, 32, 32, 128]


def test_branches_that_are_no_whole_words_are_refused():
    with pytest.raises(
        CompileError,
        match=r"^layer 'to 5': joins branches of 64, 20 channels, which are not whole map "
        "words of 8 pixels of build 'nullhop'; let all branches but the last have a multiple",
    ):
        block_channels(joined(64, 20, 9), NULLHOP)


@pytest.mark.parametrize(
    ("channels", "block", "passes", "expected"),
    [
        (128, 128, 1, 1),
        (64, 64, 1, 1 / 2),
        (192, 64, 3, 3 / 2),
        (192, 96, 2, 2),
        (48, 16, 3, 3 / 8),
        (20, 16, 2, 2 / 8),
    ],
)
def test_turns(channels, block, passes, expected):
    assert turns(channels, block, NULLHOP) == expected + passes * PASS_OVERHEAD


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 30))
def test_blocks_are_what_the_descriptor_says(words, last):
    network = joined(*(TINY.word_pixels * count for count in words), last)
    plans = plan_network(network, TINY)
    program = lay_out(plans, network.sources)
    for plan, taken in zip(plans, program.taken, strict=True):
        assert isinstance(plan, LayerPlan)
        found = [channels for channels, _ in taken.blocks]
        assert {tuple(d.in_blocks) for d in plan.descriptors} == {tuple(found)}
