"""Layers of the host, and blocks whose rows are whole."""

import pytest

from compiler.host import HostPlan, whole_blocks
from compiler.passes import LayerPlan
from compiler.plan import plan_network
from golden.network import Network, TensorFormat
from golden.params import preset
from golden.pooling import AvgPool, MaxPool
from golden.requant import Shift

S8 = TensorFormat(8, True, 1.0)


@pytest.mark.parametrize(
    ("channels", "block", "expected"),
    [(5, 8, [5]), (8, 8, [8]), (9, 8, [8, 1]), (20, 8, [8, 8, 4]), (12, 4, [4, 4, 4])],
)
def test_whole_blocks(channels, block, expected):
    blocks = whole_blocks((3, 7, channels), block)
    assert [count for count, _ in blocks] == expected
    assert {ranges for _, ranges in blocks} == {((0, 7),)}


def test_pools_are_the_host_s():
    """Of a build whose lanes add, all are; others take the mean and not this max-pool."""
    pools = (
        MaxPool("max", (3, 3), (2, 2), S8),
        AvgPool("mean", (4, 4), S8, S8, Shift(4)),
    )
    network = Network("net", (9, 9, 11), S8, pools)
    first, second = plan_network(network, preset("tiny_l1"))
    assert isinstance(first, HostPlan)
    assert isinstance(second, HostPlan)
    assert (first.in_shape, first.out_shape) == ((9, 9, 11), (4, 4, 11))
    assert first.out_blocks == ((8, ((0, 4),)), (3, ((0, 4),)))
    assert second.out_blocks == ((8, ((0, 1),)), (3, ((0, 1),)))
    assert not first.descriptors
    assert (first.kind, second.kind) == ("maxpool", "avgpool")
    first, second = plan_network(network, preset("tiny"))
    assert isinstance(first, HostPlan)
    assert isinstance(second, LayerPlan)
