"""Layers of the host, and blocks whose rows are whole."""

import pytest

from compiler.host import HostPlan, whole_blocks
from compiler.plan import plan_network
from golden.network import Network, TensorFormat
from golden.params import preset
from golden.pooling import AvgPool, MaxPool
from golden.requant import Shift

S16 = TensorFormat(16, True, 1.0)
TINY = preset("tiny")


@pytest.mark.parametrize(
    ("channels", "block", "expected"),
    [(5, 8, [5]), (8, 8, [8]), (9, 8, [8, 1]), (20, 8, [8, 8, 4]), (12, 4, [4, 4, 4])],
)
def test_whole_blocks(channels, block, expected):
    blocks = whole_blocks((3, 7, channels), block)
    assert [count for count, _ in blocks] == expected
    assert {ranges for _, ranges in blocks} == {((0, 7),)}


def test_pools_are_the_host_s():
    pools = (
        MaxPool("max", (3, 3), (2, 2), S16),
        AvgPool("mean", (4, 4), S16, S16, Shift(4)),
    )
    first, second = plan_network(Network("net", (9, 9, 11), S16, pools), TINY)
    assert isinstance(first, HostPlan)
    assert isinstance(second, HostPlan)
    assert (first.in_shape, first.out_shape) == ((9, 9, 11), (4, 4, 11))
    assert first.out_blocks == ((8, ((0, 4),)), (3, ((0, 4),)))
    assert second.out_blocks == ((8, ((0, 1),)), (3, ((0, 1),)))
    assert not first.descriptors
