"""Where the lanes of a large core stand on a part, for a placer that knows no regions.

Clusters share hardly anything but a map word per cycle. Left alone, nextpnr mixes the cells of all
of them, and half of the part's wires go to bringing together what belongs together. Each cluster
gets an area of its own instead, held by the sites of its lanes' multipliers and weight memories,
which are fixed; all else gathers around them. What clusters share has the middle of the part, held
by the map banks and by the multipliers that are no lane's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LANE = re.compile(r"(?:^|\.)cluster_(\d+)\.lane_(\d+)\.")
_BANK = re.compile(r"\bbank_\d+")


@dataclass(frozen=True)
class Area:
    """Sites by cell type, in the order in which they are taken."""

    sites: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """A part's areas: those for lanes, neighbours one after the other, and the shared one."""

    lanes: tuple[Area, ...]
    shared: Area


#: Sites of four cells: their row, and their place in it.
Blocks = Iterable[tuple[int, int]]

# On the LFE5U-85F, as nextpnr 0.11 says of a netlist that takes all sites: columns of a row's
# blocks of multipliers and of block RAMs, in each half from the middle outwards.
_HALVES = ((49, 40, 31, 22, 13, 4), (69, 78, 87, 96, 105, 114))
_MIDDLE = (58, 49, 69, 40, 78)

# Of a quarter of the part, two areas of 16 lanes, from the middle outwards: the row of each block,
# and its column in `_HALVES`.
_TOP = (
    (((10, 0), (10, 1), (10, 2), (10, 3)), ((22, 2), (46, 2), (22, 3), (46, 3))),
    (((10, 4), (34, 4), (10, 5), (34, 5)), ((22, 4), (46, 4), (22, 5), (46, 5))),
)
_BOTTOM = (
    (((58, 0), (58, 1), (58, 2), (34, 2)), ((70, 2), (82, 2), (70, 3), (82, 3))),
    (((58, 3), (34, 3), (58, 4), (58, 5)), ((70, 4), (82, 4), (70, 5), (82, 5))),
)


def _area(multipliers: Blocks, rams: Blocks) -> Area:
    """Make the area of some blocks, by row and column of the part."""
    return Area(
        {
            "MULT18X18D": tuple(
                f"X{x + offset}/Y{y}/MULT18_{z}"
                for y, x in multipliers
                for offset, z in ((0, 0), (1, 1), (4, 4), (5, 5))
            ),
            "DP16KD": tuple(f"X{x + 2 * z}/Y{y}/EBR{z}" for y, x in rams for z in range(4)),
        }
    )


def _lfe5u_85f() -> Plan:
    """Make the plan: a quarter for every 32 lanes, and a spine between left and right.

    The quarters stand clockwise. The part has fewer rows of multipliers than of block RAMs, so that
    some lanes' multipliers stand in the spine.
    """
    left, right = _HALVES
    lanes = tuple(
        _area(*([(y, columns[n]) for y, n in blocks] for blocks in area))
        for quarter, columns in ((_TOP, left), (_TOP, right), (_BOTTOM, right), (_BOTTOM, left))
        for area in quarter
    )
    shared = _area(
        [(34, x) for x in _MIDDLE],
        [(y, x) for y in (46, 70, 22, 82) for x in _MIDDLE],
    )
    return Plan(lanes, shared)


#: By die.
PLANS = {"lfe5u-85f": _lfe5u_85f()}


def _side_by_side(name: str) -> tuple[str, str]:
    """Key that brings the same part of all map banks together: clusters choose among them."""
    return _BANK.sub("bank", name), name


def fix_sites(design: dict, die: str) -> bool:
    """Fix the sites of a design's cells; return whether there are any.

    Parameters
    ----------
    design : dict
        A flat netlist as Yosys writes it, its top module named "top"; gets the attribute that
        nextpnr takes sites from.
    die : str
        Name of the part's die (`fpga.devices.Device.die`).
    """
    cells = design["modules"]["top"]["cells"]
    sites = floorplan(die, {name: cell["type"] for name, cell in cells.items()})
    for name, site in sites.items():
        cells[name]["attributes"]["BEL"] = site
    return bool(sites)


def floorplan(die: str, cells: Mapping[str, str]) -> dict[str, str]:
    """Return the cells that have a fixed site, and the site, as nextpnr names both.

    The clusters share the areas of lanes evenly, each taking neighbours. Nothing is fixed on a
    die without a plan, or where a cluster has more lanes than its areas have sites, or lanes
    with more than one cell of a kind. Map banks, and multipliers that are no lane's, take the
    shared area's sites, if it has enough of them, and if lanes are fixed.

    Parameters
    ----------
    die : str
        Name of the part's die (`fpga.devices.Device.die`).
    cells : mapping
        Names and types of a flat netlist's cells.
    """
    plan = PLANS.get(die)
    if plan is None:
        return {}
    areas = plan.lanes
    lanes: dict[tuple[int, str], dict[int, list[str]]] = {}
    shared: dict[str, list[str]] = {}
    for name, kind in cells.items():
        lane = _LANE.search(name)
        if lane and any(kind in area.sites for area in areas):
            of_lane = lanes.setdefault((int(lane[1]), kind), {})
            of_lane.setdefault(int(lane[2]), []).append(name)
        elif not lane and (kind == "MULT18X18D" or _BANK.search(name)):
            shared.setdefault(kind, []).append(name)
    share = len(areas) // (1 + max((cluster for cluster, _ in lanes), default=0))
    found: dict[str, str] = {}
    for (cluster, kind), of_kind in lanes.items():
        own = areas[cluster * share : (cluster + 1) * share]
        sites = [site for area in own for site in area.sites[kind]]
        if len(of_kind) <= len(sites):
            in_order = (of_kind[lane] for lane in sorted(of_kind))
            pairs = zip(in_order, sites, strict=False)
            found |= {of_lane[0]: site for of_lane, site in pairs if len(of_lane) == 1}
    for kind, names in shared.items() if found else ():
        of_shared = plan.shared.sites.get(kind, ())
        if len(names) <= len(of_shared):
            found |= dict(zip(sorted(names, key=_side_by_side), of_shared, strict=False))
    return found
