"""Registers that are read in places far apart, with a copy for each place.

The clusters of a large core have areas of their own (`fpga.floorplan`), and so have their lanes. A
wire from a register to all of them is as long as the part is wide, and logic on its way to the next
register has no time left then. Copies go where their readers are, so that the long way is one from
register to register. Synthesis would make one of them again: hence a change of its netlist.

So it is with what map banks share, whose memories stand in rows of the part.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from fpga.yosys import free_bit

_CLUSTER = re.compile(r"(?:^|\.)(cluster_\d+)\.(?:lane_(\d+)\.)?")
_ROW = re.compile(r"/(Y\d+)/")

#: Lanes side by side that share a copy, and groups of them from which on it is worth one for each.
LANES_PER_COPY = 8
LEAST_GROUPS = 3
#: Lanes that share a copy of what has so many readers in one of them.
LANES_PER_WIDE_COPY = 2
WIDE = 16


def copy_registers(design: dict) -> int:
    """Give readers far apart their own copies of the flip-flops they share; return how many.

    A flip-flop that several clusters read is copied for each of them. One that follows another and
    is read by most lanes of a cluster is copied for each group of neighbours, and so is a LUT of
    flip-flops, and any flip-flop that many cells of a lane read. One that block RAMs in several
    rows read, or the LUTs behind these, is copied for each row, and so is a LUT. Other readers keep
    the original. A block RAM's word, which comes late in its cycle, keeps its register beside the
    RAM and is not copied.

    Parameters
    ----------
    design : dict
        A flat netlist of the ECP5 as Yosys writes it, its top module named "top". Rows are those of
        block RAMs outside the clusters that have a fixed site (`fpga.floorplan.fix_sites`).
    """
    top = design["modules"]["top"]
    cells = top["cells"]
    late = {
        bit
        for cell in cells.values()
        if cell["type"] == "DP16KD"
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
    }
    every = _outputs(cells, "TRELLIS_FF", "Q")
    prompt = {bit: name for bit, name in every.items() if _data(cells[name]) not in late}
    ranks, decoders = _ranks(cells), _decoders(cells, every)
    made = _copy(cells, prompt, _cluster, least=2)
    # What enables copies in several clusters is read there, too.
    enables = {bit for cell in cells.values() for bit in cell["connections"].get("CE", ())}
    enabling = {bit: name for bit, name in prompt.items() if bit in enables}
    made |= _copy(cells, enabling, _cluster, least=2)
    # The last first, so that their copies read copies of those before.
    behind_logic = {bit: name for bit, name in ranks[0].items() if bit in prompt and _cluster(name)}
    wide = _wide(cells, behind_logic)
    made |= _copy(cells, wide, partial(_lanes, lanes=LANES_PER_WIDE_COPY), least=LEAST_GROUPS)
    for level in decoders:
        made |= _copy_for_lanes(cells, level)
    for rank in sorted(ranks, reverse=True):
        followers = {bit: name for bit, name in ranks[rank].items() if rank and _cluster(name)}
        made |= _copy_for_lanes(cells, followers)
    rows = _rows(cells)
    for kind, output in (("LUT4", "Z"), ("TRELLIS_FF", "Q")):
        sources = _outputs(cells, kind, output)
        made |= _copy(cells, sources, lambda name: rows.get(name, ""), least=2)
    _drop_unread(top, set(made.values()))
    return len(made)


def _cluster(cell: str) -> str:
    """The cluster of a cell; nothing if it has none."""
    found = _CLUSTER.search(cell)
    return found[1] if found else ""


def _lanes(cell: str, lanes: int = 1) -> str:
    """The group of so many lanes of a cell, called by its first; nothing if it has none."""
    found = _CLUSTER.search(cell)
    if not found or found[2] is None:
        return ""
    return f"{found[1]}.lane_{int(found[2]) // lanes * lanes}"


def _data(flip_flop: dict) -> int | str:
    return flip_flop["connections"]["DI"][0]


def _rows(cells: dict) -> dict[str, str]:
    """Rows of the block RAMs outside the clusters, and of the LUTs that read them."""
    rows, words = {}, {}
    for name, cell in cells.items():
        site = _ROW.search(cell["attributes"].get("BEL", ""))
        if cell["type"] == "DP16KD" and site and not _cluster(name):
            rows[name] = site[1]
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    words |= dict.fromkeys(bits, site[1])
    for name, cell in cells.items():
        if cell["type"] == "LUT4":
            found = next((words[bit] for bit in _inputs(cell) if bit in words), None)
            rows |= {name: found} if found else {}
    return rows


def _outputs(cells: dict, kind: str, port: str) -> dict[int, str]:
    """Names of the cells of a kind, by what they drive."""
    return {
        cell["connections"][port][0]: name for name, cell in cells.items() if cell["type"] == kind
    }


def _ranks(cells: dict) -> dict[int, dict[int, str]]:
    """Flip-flops by how many others they follow, one after the other without logic between them."""
    flip_flops = _outputs(cells, "TRELLIS_FF", "Q")
    before = {bit: _data(cells[name]) for bit, name in flip_flops.items()}
    ranks: dict[int, dict[int, str]] = defaultdict(dict)
    for bit, name in flip_flops.items():
        passed = [bit]
        while (last := before[passed[-1]]) in before and last not in passed:
            passed.append(last)
        ranks[len(passed) - 1][bit] = name
    return ranks


def _decoders(cells: dict, flip_flops: dict[int, str]) -> Iterator[dict[int, str]]:
    """LUTs in clusters that read flip-flops alone, behind those that read these, too."""
    known, levels = set(flip_flops), []
    for _ in range(2):
        level = {
            cell["connections"]["Z"][0]: name
            for name, cell in cells.items()
            if cell["type"] == "LUT4" and _cluster(name) and known.issuperset(_inputs(cell))
        }
        levels.append({bit: name for bit, name in level.items() if bit not in known})
        known |= level.keys()
    return reversed(levels)


def _inputs(lut: dict) -> Iterator[int]:
    for port, bits in lut["connections"].items():
        if port != "Z":
            yield from (bit for bit in bits if isinstance(bit, int))


def _copy_for_lanes(cells: dict, sources: dict[int, str]) -> dict[str, str]:
    """Copy cells that most lanes of a cluster read, for groups of neighbours; as `_copy`."""
    wide = _wide(cells, sources)
    narrow = {bit: name for bit, name in sources.items() if bit not in wide}
    made: dict[str, str] = {}
    for own, lanes in ((wide, LANES_PER_WIDE_COPY), (narrow, LANES_PER_COPY)):
        made |= _copy(cells, own, partial(_lanes, lanes=lanes), least=LEAST_GROUPS)
    return made


def _wide(cells: dict, sources: dict[int, str]) -> dict[int, str]:
    """Those of some cells that have `WIDE` readers in a lane."""
    readers = _readers(cells, sources, _lanes)
    return {
        bit: name
        for bit, name in sources.items()
        if any(lane and len(found) >= WIDE for lane, found in readers[bit].items())
    }


def _readers(
    cells: dict, bits: Iterable[int], place: Callable[[str], str]
) -> dict[int, dict[str, list[tuple[list, int]]]]:
    """By bit and place, the ports that read a bit, and where in them."""
    found: dict[int, dict[str, list[tuple[list, int]]]] = {bit: defaultdict(list) for bit in bits}
    for name, cell in cells.items():
        for port, connected in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for n, bit in enumerate(connected):
                    if bit in found:
                        found[bit][place(name)].append((connected, n))
    return found


def _copy(
    cells: dict, sources: dict[int, str], place: Callable[[str], str], least: int
) -> dict[str, str]:
    """Copy the cells that are read in `least` places or more; return the copies' originals."""
    readers = _readers(cells, sources, place)
    free = free_bit(cells)
    made = {}
    for bit, of_places in readers.items():
        places = sorted(of_places.keys() - {""})
        if len(places) < least:
            continue
        original = cells[sources[bit]]
        for where in places:
            connections = {port: list(bits) for port, bits in original["connections"].items()}
            output = "Q" if "Q" in connections else "Z"
            name = f"{where}.copy_of_{sources[bit]}"
            while name in cells:
                name += "_again"
            cells[name] = {
                **original,
                "connections": connections | {output: [free]},
            }
            for bits, n in of_places[where]:
                bits[n] = free
            free += 1
            made[name] = sources[bit]
    return made


def _drop_unread(top: dict, names: set[str]) -> None:
    """Remove those of some cells that nobody reads any more."""
    cells = top["cells"]
    while names:
        read = {bit for port in top.get("ports", {}).values() for bit in port["bits"]}
        for cell in cells.values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    read.update(bits)
        unread = {name for name in names if read.isdisjoint(_driven(cells[name]))}
        if not unread:
            return
        names -= unread
        for name in unread:
            del cells[name]


def _driven(cell: dict) -> list[int]:
    """What a flip-flop or LUT drives."""
    connections = cell["connections"]
    return connections["Q"] if "Q" in connections else connections["Z"]
