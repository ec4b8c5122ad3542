"""No multiplier in the lanes of an L1 build, as Yosys maps them onto parts that have some."""

from collections.abc import Callable

import pytest
from amaranth.lib import wiring

from fpga.devices import DEVICES
from fpga.synth import synthesise
from golden.params import Build, preset
from hdl.cluster import Cluster
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane
from hdl.requant import Requantiser

PARTS = ("lfe5u-25f", "up5k")


def multipliers(component: wiring.Component, part: str) -> int:
    """DSP blocks that a component takes; without placement."""
    return synthesise(component, DEVICES[part], seeds=0)["dsp"]


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("make", [L1Lane, WindowSum])
def test_lanes_have_none(make: Callable[[Build], wiring.Component], part: str) -> None:
    assert multipliers(make(preset("tiny_l1")), part) == 0


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_cluster_has_one_less_for_each_lane(part: str) -> None:
    """What is left computes addresses, in the fetcher and the walker."""
    adding, multiplying = preset("tiny_l1"), preset("tiny8")
    assert multipliers(Cluster(adding), part) == (
        multipliers(Cluster(multiplying), part) - multiplying.lanes_per_cluster
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_others_have_some(part: str) -> None:
    """Else the tests above would show nothing; the requantiser's are counted here, apart."""
    assert multipliers(Lane(preset("tiny8")), part) == 1
    assert multipliers(Requantiser(preset("tiny_l1")), part) > 0
