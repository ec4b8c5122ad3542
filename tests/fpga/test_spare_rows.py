"""Rows that are left free, and that nextpnr takes them."""

import json

import pytest

from fpga.devices import device
from fpga.spare_rows import ROWS, leave_rows_free
from fpga.tools import run
from fpga.yosys import YOSYS

SOURCE = """
module top(input clk, input d, output reg q);
  reg [63:0] sum;
  always @(posedge clk) sum <= sum + {63'd0, d};
  always @(posedge clk) q <= sum[63];
endmodule
"""


def test_a_part_without_spare_rows_stays_as_it_is():
    design = {"modules": {"top": {"cells": {}}}}
    assert leave_rows_free(design, "lfe5u-25f") == 0
    assert design == {"modules": {"top": {"cells": {}}}}


def test_every_lut_of_the_rows_is_taken_once():
    design = {"modules": {"top": {"cells": {"lut": {"type": "LUT4"}}}}}
    columns, rows = ROWS["lfe5u-85f"]
    count = leave_rows_free(design, "lfe5u-85f")
    assert count == 8 * len(columns) * len(rows)
    cells = design["modules"]["top"]["cells"]
    assert cells.pop("lut") == {"type": "LUT4"}
    sites = {cell["attributes"]["BEL"] for cell in cells.values()}
    assert len(cells) == len(sites) == count
    assert {"X2/Y4/SLICEA.K0", "X124/Y68/SLICED.K1"} <= sites


@pytest.mark.usefixtures("cache")
def test_nextpnr_keeps_logic_out_of_them():
    """The sites exist, and a carry chain finds a row beside them."""
    part = device("lfe5u-85f")
    script = f"read_verilog top.v; {part.synth} -top top -json netlist.json"
    netlist = json.loads(
        (run(YOSYS, ("-p", script), {"top.v": SOURCE}) / "netlist.json").read_text()
    )
    count = leave_rows_free(netlist, part.name)
    files = {"netlist.json": json.dumps(netlist), "pins.txt": part.pins}
    options = ("--json", "netlist.json", "--no-route", "--write", "placed.json")
    placed = run(part.nextpnr, (*options, *part.part_options), files) / "placed.json"
    cells = json.loads(placed.read_text())["modules"]["top"]["cells"]
    rows = {f"Y{y}" for y in ROWS[part.name][1]}
    found = {
        name: cell["attributes"]["NEXTPNR_BEL"].split("/")[1]
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_COMB"
    }
    spare = {name for name in found if name.startswith("spare_")}
    assert len(spare) == count
    assert {found[name] for name in spare} == rows
    assert rows.isdisjoint(row for name, row in found.items() if name not in spare)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
