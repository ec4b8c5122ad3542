"""Rows of a part left without logic, so that the wires of a dense design find their way.

nextpnr's placers keep to a density while they spread a design, but the refinement behind them draws
cells together again, until all LUTs of the tiles in the middle are taken. Wires then have to leave
tiles faster than the part can carry them away, while half of its wires are free elsewhere. LUTs
that do nothing and are fixed to every eighth row keep that row's wires for the others.
"""

#: Per die: the columns of tiles with logic, and those of its rows that are left free. Carry
#: chains run along rows, and so are in nobody's way.
ROWS = {"lfe5u-85f": (range(2, 125), range(4, 95, 8))}

#: Places of a tile's LUTs.
_LUTS = tuple(f"SLICE{slice_}.K{n}" for slice_ in "ABCD" for n in range(2))


def leave_rows_free(design: dict, die: str) -> int:
    """Add LUTs that do nothing, fixed to the rows that a die leaves free; return how many.

    Parameters
    ----------
    design : dict
        A flat netlist of the ECP5 as Yosys writes it, its top module named "top".
    die : str
        Name of the part's die (`fpga.devices.Device.die`); one that is not in `ROWS` has no spare
        rows.
    """
    columns, rows = ROWS.get(die, (range(0), range(0)))
    sites = [f"X{x}/Y{y}/{lut}" for y in rows for x in columns for lut in _LUTS]
    design["modules"]["top"]["cells"] |= {f"spare_{site}": _idle_lut(site) for site in sites}
    return len(sites)


def _idle_lut(site: str) -> dict:
    return {
        "hide_name": 0,
        "type": "LUT4",
        "parameters": {"INIT": "0" * 16},
        "attributes": {"BEL": site},
        "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
        "connections": {**{port: ["0"] for port in "ABCD"}, "Z": []},
    }
