"""Which cells the floorplan holds, and where."""

import itertools

import pytest

from fpga.devices import DEVICES
from fpga.floorplan import PLANS, fix_sites, floorplan
from golden.params import preset

PART = "lfe5u-85f"
#: Per type: rows and columns of an LFE5U-85F's sites (nextpnr's list of them).
ROWS = {"MULT18X18D": {10, 34, 58}, "DP16KD": {22, 46, 70, 82}}

#: A multiplier that is no lane's.
SHARED = "dut.requant.lane_0.path.partial_MULT18X18D_P0"


def cells(clusters: int, lanes: int) -> dict[str, str]:
    """What a core's netlist has for so many lanes, and something else."""
    found = {SHARED: "MULT18X18D"}
    for cluster, lane in itertools.product(range(clusters), range(lanes)):
        of_lane = f"dut.cluster_{cluster}.lane_{lane}"
        found |= {
            f"{of_lane}.product_TRELLIS_FF_Q_DI_MULT18X18D_P0": "MULT18X18D",
            f"{of_lane}.weights.ram.words.0.0": "DP16KD",
            f"{of_lane}.sums.ram.words.0.0": "TRELLIS_DPR16X4",
        }
    return found


@pytest.mark.parametrize("build", [preset("ecp5_85f"), preset("nullhop")], ids=lambda b: b.name)
def test_every_lane_has_sites_of_its_own_in_its_cluster_s_areas(build):
    plan = floorplan(PART, cells(build.clusters, build.lanes_per_cluster))
    assert plan.pop(SHARED) in PLANS[PART].shared.sites["MULT18X18D"]
    assert len(plan) == len(set(plan.values())) == 2 * build.lanes
    areas = PLANS[PART].lanes
    share = len(areas) // build.clusters
    for name, site in plan.items():
        cluster = int(name.split(".")[1].removeprefix("cluster_"))
        kind = "DP16KD" if "weights" in name else "MULT18X18D"
        own = areas[cluster * share : (cluster + 1) * share]
        assert any(site in area.sites[kind] for area in own)


def test_areas_share_no_site_and_lie_on_the_part():
    taken = [
        (kind, site)
        for area in (*PLANS[PART].lanes, PLANS[PART].shared)
        for kind, sites in area.sites.items()
        for site in sites
    ]
    assert len(taken) == len(set(taken))
    for kind, site in taken:
        x, y, _ = site.split("/")
        assert 4 <= int(x[1:]) <= 120
        assert int(y[1:]) in ROWS[kind]
    used = {kind: sum(k == kind for k, _ in taken) for kind in ROWS}
    assert used["MULT18X18D"] <= DEVICES[PART].dsp
    assert used["DP16KD"] <= DEVICES[PART].bram


def test_what_is_no_lane_s_takes_the_shared_sites_if_they_are_enough():
    sites = PLANS[PART].shared.sites["MULT18X18D"]
    netlist = cells(2, 2)
    del netlist[SHARED]
    lanes = floorplan(PART, netlist)
    for number in (4, len(sites), len(sites) + 1):
        others = {f"dut.requant.lane_{n:02}.path": "MULT18X18D" for n in range(number)}
        plan = floorplan(PART, netlist | others)
        assert {name: plan.pop(name) for name in netlist if name in plan} == lanes
        assert plan == (dict(zip(others, sites, strict=False)) if number <= len(sites) else {})


def test_other_memories_are_not_fixed():
    netlist = cells(2, 2) | {"dut.requant.biases.0.0": "DP16KD"}
    assert "dut.requant.biases.0.0" not in floorplan(PART, netlist)


def test_the_same_part_of_all_banks_stands_side_by_side():
    banks = [f"dut.banks.bank_{b}.ram.words.0.{n}" for b in range(4) for n in range(3)]
    plan = floorplan(PART, cells(2, 2) | dict.fromkeys(banks, "DP16KD"))
    sites = PLANS[PART].shared.sites["DP16KD"]
    assert {plan[name] for name in banks} <= set(sites)
    in_order = sorted(banks, key=lambda name: sites.index(plan[name]))
    assert [int(name.rsplit(".", 1)[1]) for name in in_order] == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("lanes", [16, 32])
def test_lanes_stand_from_the_middle_outwards(lanes):
    """First come blocks of four, or of eight in two rows."""
    clusters = 128 // lanes
    plan = floorplan(PART, cells(clusters, lanes))
    for cluster in range(clusters):
        columns = [
            int(plan[f"dut.cluster_{cluster}.lane_{lane}.weights.ram.words.0.0"].split("/")[0][1:])
            for lane in range(lanes)
        ]
        blocks = [abs(sum(columns[n : n + 8]) / 8 - 62) for n in range(0, lanes, 8)]
        assert blocks == sorted(blocks)
        assert len({column < 62 for column in columns}) == 1


@pytest.mark.parametrize(
    ("device", "netlist"),
    [
        ("lfe5u-25f", cells(8, 16)),
        (PART, cells(9, 16)),
        (PART, cells(8, 20)),
        (PART, {"dut.lane_0.weights.ram.words.0.0": "DP16KD"}),
        (PART, {f"dut.cluster_0.lane_0.weights.ram.words.0.{n}": "DP16KD" for n in range(2)}),
    ],
    ids=[
        "no areas",
        "more clusters than areas",
        "more lanes than sites",
        "no cluster",
        "two memories a lane",
    ],
)
def test_nothing_is_fixed(device, netlist):
    assert floorplan(device, netlist) == {}


def test_the_netlist_gets_the_sites():
    found = {
        name: {"type": kind, "attributes": {"src": "there"}} for name, kind in cells(1, 2).items()
    }
    design = {"modules": {"LUT4": {}, "top": {"cells": found}}}
    assert not fix_sites(design, "lfe5u-25f")
    assert all(cell["attributes"] == {"src": "there"} for cell in found.values())
    assert fix_sites(design, PART)
    at = {name: cell["attributes"].get("BEL") for name, cell in found.items()}
    assert {name: site for name, site in at.items() if site} == floorplan(PART, cells(1, 2))
