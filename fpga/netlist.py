"""Gate-level netlists as Verilog that Verilator can simulate, with models of the cells in them.

A netlist has the ports of what it was made from, so that it takes the place of the RTL in a
simulation. Yosys ships models of most cells, and they are used as they are. Those of the ECP5's
block RAM and multiplier are its black boxes, and stand in `fpga/cells`.
"""

import importlib.util
import re
from pathlib import Path

from amaranth.lib import wiring

from fpga.devices import Device
from fpga.tools import SynthError
from fpga.yosys import YOSYS, synthesise_to
from golden.params import Build
from hdl.core import Core
from hdl.verilog import TOP

#: Folder of the models that Yosys does not ship.
CELLS = Path(__file__).with_name("cells")

# After synthesis every wire is named after the logic around it. Short names make the simulation's
# source half as long; ports and registers of arrays aside, nobody reads these.
_COMMANDS = """\
rename -hide w:* x:* %d
rename -hide c:*
write_verilog -noattr netlist.v
"""

_INCLUDE = re.compile(r'^`include "(\w+\.vh)"$', re.MULTILINE)


def core_netlist(build: Build, device: Device) -> str:
    """Return the netlist of a build's core on a part, with its cells; the top is `hdl.verilog.TOP`.

    It differs from the RTL where that is undefined: in words of a memory that were never written,
    and in what is read in the cycle in which it is written. The netlist says "x" there, or
    whatever the cell does.

    Raises
    ------
    SynthError
        If Yosys is missing or fails.
    """
    return gate_level(Core(build), TOP, device)


def gate_level(component: wiring.Component, top: str, device: Device) -> str:
    """Return a component's netlist on a part as Verilog, behind the models of the family's cells.

    Parameters
    ----------
    component : wiring.Component
        Not elaborated yet.
    top : str
        Name of the netlist's module, which has the component's ports.
    device : Device
        The part, which also says how Yosys is told of it: as for `fpga.synth.synthesise`.

    Raises
    ------
    SynthError
        If Yosys is missing or fails.
    """
    folder = synthesise_to(component, device, top, _COMMANDS)
    return cell_models(device.family) + (folder / "netlist.v").read_text(encoding="utf-8")


def cell_models(family: str) -> str:
    """Return models of a family's cells: our own, then those of Yosys, includes resolved.

    Yosys' file has the black boxes too. Of two modules with the same name Verilator takes the
    first.

    Raises
    ------
    SynthError
        If Yosys is not installed.
    """
    own = [path.read_text(encoding="utf-8") for path in _own_models(family)]
    shipped = (_yosys_share() / family / "cells_sim.v").read_text(encoding="utf-8")
    # Pads and the legacy names of flip-flops, which no mapped core has.
    return "".join(
        [*own, "`define NO_INCLUDES\n", _resolve(shipped, family), "`undef NO_INCLUDES\n"]
    )


def _own_models(family: str) -> list[Path]:
    return sorted((CELLS / family).glob("*.v"))


def _resolve(text: str, family: str) -> str:
    """Put the files in place of the includes that stand before anything else."""

    def contents(match: re.Match[str]) -> str:
        return (_yosys_share() / family / match[1]).read_text(encoding="utf-8")

    head, separator, rest = text.partition("`ifndef NO_INCLUDES")
    return _INCLUDE.sub(contents, head) + separator + rest


def _yosys_share() -> Path:
    """Folder of Yosys' cell libraries, in the package that brings it."""
    spec = importlib.util.find_spec(YOSYS.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise SynthError(f"{YOSYS} is not installed: pip install {YOSYS}")
    return Path(spec.origin).parent / "share"
