"""Yosys maps a component once, with the memories as they are exported."""

import pytest

from fpga import tools
from fpga.devices import device
from fpga.yosys import synthesise_to
from hdl.memory import Ram

COMMANDS = "tee -q -o ports.txt select -list x:*\ntee -q -o cells.txt select -list t:*\n"


@pytest.mark.parametrize(("part", "cell"), [("lfe5u-25f", "words.0.0"), ("up5k", "words.0.0")])
def test_commands_see_the_mapped_design(part, cell):
    folder = synthesise_to(Ram(16, 1024), device(part), "memory", COMMANDS)
    ports = (folder / "ports.txt").read_text().split()
    expected = {"clk", "rst", "w_en", "w_addr", "w_data", "r_addr", "r_data"}
    assert set(ports) <= {f"memory/{name}" for name in expected}
    assert "memory/r_data" in ports
    assert cell in (folder / "cells.txt").read_text()


def test_the_same_is_done_once(monkeypatch):
    first = synthesise_to(Ram(16, 1024), device("up5k"), "memory", COMMANDS)
    monkeypatch.setattr(tools, "find", lambda program: pytest.fail(f"{program} runs again"))
    assert synthesise_to(Ram(16, 1024), device("up5k"), "memory", COMMANDS) == first


def test_a_failing_command_is_an_error():
    """Which one is not told: YoWASP loses the last lines of a long log."""
    with pytest.raises(tools.SynthError, match=r"^yosys: "):
        synthesise_to(Ram(16, 1024), device("up5k"), "memory", "nonsense\n")
