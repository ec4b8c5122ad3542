"""Which resets go over the clock network, and that nothing else is touched."""

import copy
import json

import pytest

from fpga import clocknet
from fpga.clocknet import promote_resets
from fpga.devices import device
from fpga.tools import LOG, run
from fpga.yosys import YOSYS

CLOCK, RESET, OTHER, Q = 2, 3, 4, 10


def flip_flop(q: int, reset: int | str) -> dict:
    return {
        "type": "TRELLIS_FF",
        "port_directions": {"CLK": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "LSR": [reset], "Q": [q]},
    }


@pytest.fixture
def design(monkeypatch) -> dict:
    """Three flip-flops on one reset that a LUT sees too, two on another, one on none."""
    monkeypatch.setattr(clocknet, "LEAST_RESETS", 3)
    cells = {
        f"ff_{n}": flip_flop(Q + n, reset)
        for n, reset in enumerate([RESET, RESET, RESET, OTHER, OTHER, "0"])
    }
    cells["lut"] = {
        "type": "LUT4",
        "port_directions": {"A": "input", "B": "input", "Z": "output"},
        "connections": {"A": [RESET], "B": ["1"], "Z": [OTHER]},
    }
    return {"modules": {"top": {"cells": cells}}}


def test_what_resets_many_gets_a_buffer(design):
    before = copy.deepcopy(design)["modules"]["top"]["cells"]
    assert promote_resets(design)
    cells = design["modules"]["top"]["cells"]
    (name,) = set(cells) - set(before)
    buffer = cells[name]
    (driven,) = buffer["connections"]["CLKO"]
    assert (buffer["type"], buffer["connections"]["CLKI"]) == ("DCCA", [RESET])
    assert driven not in {
        b for c in before.values() for bits in c["connections"].values() for b in bits
    }
    for cell, old in before.items():
        for port, bits in old["connections"].items():
            wanted = [driven if bit == RESET and port == "LSR" else bit for bit in bits]
            assert cells[cell]["connections"][port] == wanted


def test_what_resets_few_stays(design, monkeypatch):
    monkeypatch.setattr(clocknet, "LEAST_RESETS", 4)
    before = copy.deepcopy(design)
    assert not promote_resets(design)
    assert design == before
    assert not promote_resets({"modules": {"top": {"cells": {}}}})


SOURCE = """
module top(input clk, input rst, input d, output reg q);
  reg reset;
  always @(posedge clk) reset <= rst;
  reg [63:0] chain;
  always @(posedge clk) chain <= reset ? 64'd0 : {chain[62:0], d};
  always @(posedge clk) q <= chain[63] & ~reset;
endmodule
"""


@pytest.mark.usefixtures("cache")
def test_nextpnr_routes_a_reset_over_the_clock_network(monkeypatch):
    monkeypatch.setattr(clocknet, "LEAST_RESETS", 60)
    part = device("lfe5u-25f")
    script = f"read_verilog top.v; {part.synth} -top top -json netlist.json"
    folder = run(YOSYS, ("-p", script), {"top.v": SOURCE})
    netlist = json.loads((folder / "netlist.json").read_text())
    assert promote_resets(netlist)
    files = {"netlist.json": json.dumps(netlist), "pins.txt": part.pins}
    routed = run(part.nextpnr, ("--json", "netlist.json", *part.part_options), files)
    globals_used = [
        line for line in (routed / LOG).read_text().splitlines() if "using global" in line
    ]
    assert len(globals_used) == 2


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
