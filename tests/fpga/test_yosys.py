"""Yosys maps a component once, with the memories as they are exported."""

import json

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fpga import tools
from fpga.devices import device
from fpga.yosys import free_bit, synthesise_to
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


class Clusters(wiring.Component):
    """Two clusters that register the same, and a wide register that one of them clears.

    Parameters
    ----------
    width : bits of that register
    """

    def __init__(self, width: int):
        self._width = width
        super().__init__(
            {"i": In(4), "o": Out(8), "take": In(width), "taken": Out(width)},
        )

    def elaborate(self, platform):
        m = Module()
        registers = []
        for n in range(2):
            m.submodules[f"cluster_{n}"] = cluster = Module()
            register = Signal(4, name=f"register_{n}")
            cluster.d.sync += register.eq(self.i)
            registers.append(register)
        m.d.comb += self.o.eq(Cat(registers))
        m.d.sync += self.taken.eq(self.take)
        with m.If(registers[0] == 5):
            m.d.sync += self.taken.eq(0)
        return m


def cells_of(component: wiring.Component, part: str, *, large: bool = True) -> dict[str, dict]:
    commands = "write_json netlist.json\n"
    folder = synthesise_to(component, device(part), "top", commands, large=large)
    return json.loads((folder / "netlist.json").read_text())["modules"]["top"]["cells"]


@pytest.mark.parametrize(
    ("part", "large", "registers"),
    [("lfe5u-25f", True, 2), ("lfe5u-25f", False, 1), ("up5k", True, 1)],
)
def test_clusters_stay_apart_where_that_is_worth_it(part, large, registers):
    cells = cells_of(Clusters(4), part, large=large)
    flip_flops = sum("FF" in cell["type"] for cell in cells.values())
    assert flip_flops == 4 * registers + 4  # and `taken`


@pytest.mark.parametrize(("width", "resets"), [(4, 0), (120, 120)])
def test_few_flip_flops_are_reset_by_their_data(width, resets):
    cells = cells_of(Clusters(width), "lfe5u-25f")
    reset = [
        cell
        for name, cell in cells.items()
        if "taken" in name and cell["connections"].get("LSR", ["0"]) != ["0"]
    ]
    assert len(reset) == resets


def test_a_free_bit_is_above_all_that_are_used():
    """Constants are text in such a netlist."""
    assert free_bit({}) == 1
    cells = {
        "a": {"connections": {"A": [2, "1"], "Z": [9]}},
        "b": {"connections": {"D": ["0", 4], "Q": []}},
    }
    assert free_bit(cells) == 10
