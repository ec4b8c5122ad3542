"""High fan-out resets on the part's clock network, for a tool that puts clocks alone there."""

from collections import Counter

from fpga.yosys import free_bit

#: Flip-flops that a net resets from which on it goes over the clock network.
LEAST_RESETS = 5_000


def promote_resets(design: dict) -> bool:
    """Reset flip-flops over the clock network where a net resets very many; say whether one does.

    The ECP5's clock network reaches the resets of its flip-flops, too; left on ordinary wires, a
    reset takes some in almost every tile. LUTs that look at the same net stay on ordinary wires:
    from the clock network, nextpnr would lock the tile's ways to their inputs for them.

    Parameters
    ----------
    design : dict
        A flat netlist of the ECP5 as Yosys writes it, its top module named "top"; each net gets a
        clock buffer of its own.
    """
    cells = design["modules"]["top"]["cells"]
    resets = Counter(
        bit
        for cell in cells.values()
        if cell["type"] == "TRELLIS_FF"
        for bit in cell["connections"].get("LSR", ())
        if isinstance(bit, int)
    )
    promoted = [bit for bit, number in resets.items() if number >= LEAST_RESETS]
    free = free_bit(cells)
    buffered = {bit: free + n for n, bit in enumerate(promoted)}
    for cell in cells.values():
        if cell["type"] == "TRELLIS_FF" and "LSR" in cell["connections"]:
            (bit,) = cell["connections"]["LSR"]
            cell["connections"]["LSR"] = [buffered.get(bit, bit)]
    for bit, buffer in buffered.items():
        cells[f"reset_buffer_{bit}"] = {
            "hide_name": 0,
            "type": "DCCA",
            "parameters": {},
            "attributes": {},
            "port_directions": {"CLKI": "input", "CE": "input", "CLKO": "output"},
            "connections": {"CLKI": [bit], "CE": ["1"], "CLKO": [buffer]},
        }
    return bool(promoted)
