"""The cells that Yosys makes of a component."""

import json
from collections import Counter
from typing import Any

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.lib import wiring


def cell_counts(component: wiring.Component, script: str = "") -> Counter[str]:
    """How many cells of each type Yosys has after its coarse steps, and `script` if any."""
    yosys: Any = find_yosys(lambda version: version >= (0, 40))
    text = rtlil.convert(component, emit_src=False)
    commands = (
        f"read_rtlil <<rtlil\n{text}\nrtlil\n"
        f"hierarchy -auto-top\nproc\nflatten\nopt_expr\nopt_clean\n{script}\nwrite_json -\n"
    )
    (module,) = json.loads(yosys.run(["-q", "-"], commands))["modules"].values()
    return Counter(cell["type"] for cell in module["cells"].values())
