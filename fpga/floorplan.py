"""Where the lanes of a large core stand on a part, for a placer that knows no regions.

Clusters share hardly anything but a map word per cycle. Left alone, nextpnr mixes the cells of all
of them, and half of the part's wires go to bringing together what belongs together. Each cluster
gets one or several areas of its own instead, held by the sites of its lanes' multipliers and weight
memories, which are fixed; all else gathers around them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LANE = re.compile(r"(?:^|\.)cluster_(\d+)\.lane_(\d+)\.")


@dataclass(frozen=True)
class Area:
    """Sites for lanes of one cluster, by cell type, from left to right."""

    sites: Mapping[str, tuple[str, ...]]


def _sites(row: int, columns: tuple[tuple[int, str], ...], third: int) -> tuple[str, ...]:
    first, end = third * len(columns) // 3, (third + 1) * len(columns) // 3
    return tuple(f"X{x}/Y{row}/{name}" for x, name in columns[first:end])


def _lfe5u_85f() -> tuple[Area, ...]:
    """Three rows of multipliers, each with a row of block RAMs below it, in three parts each.

    Where the sites are is what nextpnr 0.11 says of a netlist that takes them all. The area in the
    middle is left to what all clusters share; the others stand clockwise around it.
    """
    top, middle, bottom = (10, 22), (34, 46), (58, 70)  # rows of multipliers and of block RAMs
    blocks = [*range(4, 59, 9), *range(69, 115, 9)]
    multipliers = tuple(
        (x + offset, f"MULT18_{z}")
        for x in blocks
        for offset, z in ((0, 0), (1, 1), (4, 4), (5, 5))
    )
    rams = tuple((x + 2 * z, f"EBR{z}") for x in blocks for z in range(4))
    return tuple(
        Area(
            {
                "MULT18X18D": _sites(multiplier_row, multipliers, third),
                "DP16KD": _sites(ram_row, rams, third),
            }
        )
        for (multiplier_row, ram_row), third in (
            *((top, third) for third in range(3)),
            (middle, 2),
            *((bottom, third) for third in reversed(range(3))),
            (middle, 0),
        )
    )


#: Per device: the areas, neighbours one after the other.
AREAS = {"lfe5u-85f": _lfe5u_85f()}


def fix_sites(design: dict, device: str) -> bool:
    """Fix the sites of a design's cells; return whether there are any.

    Parameters
    ----------
    design : dict
        A flat netlist as Yosys writes it, its top module named "top"; gets the attribute that
        nextpnr takes sites from.
    device : str
        Name of the part.
    """
    cells = design["modules"]["top"]["cells"]
    sites = floorplan(device, {name: cell["type"] for name, cell in cells.items()})
    for name, site in sites.items():
        cells[name]["attributes"]["BEL"] = site
    return bool(sites)


def floorplan(device: str, cells: Mapping[str, str]) -> dict[str, str]:
    """Return the cells that have a fixed site, and the site, as nextpnr names both.

    The clusters share the areas evenly, each taking neighbours. Nothing is fixed on a device
    without areas, or where a cluster has more lanes than its areas have sites, or lanes with more
    than one cell of a kind.

    Parameters
    ----------
    device : str
        Name of the part.
    cells : mapping
        Names and types of a flat netlist's cells.
    """
    areas = AREAS.get(device, ())
    lanes: dict[tuple[int, str], dict[int, list[str]]] = {}
    for name, kind in cells.items():
        if (lane := _LANE.search(name)) and any(kind in area.sites for area in areas):
            of_lane = lanes.setdefault((int(lane[1]), kind), {})
            of_lane.setdefault(int(lane[2]), []).append(name)
    share = len(areas) // (1 + max((cluster for cluster, _ in lanes), default=0))
    found: dict[str, str] = {}
    for (cluster, kind), of_kind in lanes.items():
        own = areas[cluster * share : (cluster + 1) * share]
        sites = [site for area in own for site in area.sites[kind]]
        if len(of_kind) <= len(sites):
            names = (of_kind[lane] for lane in sorted(of_kind))
            found |= {of[0]: site for of, site in zip(names, sites, strict=False) if len(of) == 1}
    return found
