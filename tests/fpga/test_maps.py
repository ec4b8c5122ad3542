"""The modules that a family has of its own against those of an exported design."""

import pytest

from fpga import tools
from fpga.yosys import MAPS, PORTABLE, YOSYS, modules
from hdl import select_add

PROOF = """\
read_verilog -overwrite +/lattice/cells_sim_ecp5.v
read_verilog both.v
hierarchy -top both
proc
flatten
sat -verify -prove differ 0
"""

BOTH = """\
module both(input [{last}:0] addend, off, on, input select, output differ);
  wire [{last}:0] a, b;
  made #(.WIDTH({last} + 1)) one (addend, select, off, on, a);
  wanted #(.WIDTH({last} + 1)) other (addend, select, off, on, b);
  assign differ = a != b;
endmodule
"""


def prove(width: int, family: str, wanted: str = select_add.VERILOG) -> None:
    """Let Yosys prove that a family's adder gives the same sum for all inputs."""
    name, made = "openhop_select_add", (MAPS / family / "select_add.v").read_text()
    both = made.replace(name, "made") + wanted.replace(name, "wanted")
    files = {"both.v": both + BOTH.format(last=width - 1), "proof.ys": PROOF}
    tools.run(YOSYS, ("proof.ys",), files)


@pytest.mark.parametrize("width", [1, 7, 18])
def test_the_carry_chain_selects_and_adds(width, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    prove(width, "ecp5")


def test_the_proof_finds_a_wrong_sum(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    wrong = select_add.VERILOG.replace("? on : off", "? off : on")
    assert wrong != select_add.VERILOG
    with pytest.raises(tools.SynthError):
        prove(6, "ecp5", wrong)


@pytest.mark.parametrize("family", ["ice40", None])
def test_other_families_take_the_portable_ones(family):
    assert modules(family) == "".join(PORTABLE.values())


def test_ecp5_has_its_own_multiplier_only_with_dsp_blocks():
    assert "MULT18X18D" in modules("ecp5")
    without = modules("ecp5", dsp=False)
    assert "MULT18X18D" not in without
    assert PORTABLE["multiplier"] in without
    assert "CCU2C" in without
