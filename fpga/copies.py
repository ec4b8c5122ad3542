"""Registers that several clusters read, with a copy for each of them.

The clusters of a large core have areas of their own (`fpga.floorplan`). A wire from a register to
all of them is as long as the part is wide, and logic on its way to the next register has no time
left then. Copies go where their readers are, so that the long way is one from register to register.
Synthesis would make one of them again: hence a change of its netlist.
"""

import re
from collections import defaultdict

_CLUSTER = re.compile(r"(?:^|\.)cluster_(\d+)\.")


def copy_registers(design: dict) -> int:
    """Give every cluster its own copy of the flip-flops that it shares; return how many were made.

    What is outside the clusters keeps the original. A block RAM's word, which comes late in its
    cycle, keeps its register beside the RAM and is not copied.

    Parameters
    ----------
    design : dict
        A flat netlist of the ECP5 as Yosys writes it, its top module named "top".
    """
    cells = design["modules"]["top"]["cells"]
    late = {
        bit
        for cell in cells.values()
        if cell["type"] == "DP16KD"
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
    }
    outputs = {
        cell["connections"]["Q"][0]: name
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_FF" and late.isdisjoint(cell["connections"]["DI"])
    }
    readers: dict[int, dict[str, list[tuple[list, int]]]] = {
        bit: defaultdict(list) for bit in outputs
    }
    free = 0
    for name, cell in cells.items():
        cluster = _CLUSTER.search(name)
        for port, bits in cell["connections"].items():
            for n, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                free = max(free, bit + 1)
                if bit in outputs and cell["port_directions"][port] == "input":
                    readers[bit][cluster[1] if cluster else ""].append((bits, n))
    made = 0
    for bit, of_clusters in readers.items():
        clusters = sorted(of_clusters.keys() - {""})
        if len(clusters) < 2:
            continue
        original = cells[outputs[bit]]
        for cluster in clusters:
            copied = {**original, "connections": {**original["connections"], "Q": [free]}}
            cells[f"cluster_{cluster}.copy_of_{outputs[bit]}"] = copied
            for bits, n in of_clusters[cluster]:
                bits[n] = free
            free += 1
            made += 1
    return made
