"""The exported Verilog: accepted by Verilator, the same each time, with the ports it documents."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

import hdl
from golden.params import PRESETS, preset
from hdl.core import Core
from hdl.counters import COUNTER_BITS, COUNTERS
from hdl.layouts import MAP_BEAT, OUT_BEAT
from hdl.verilog import TOP, Field, Port, convert, generate, port_table, ports
from sim.rtl import core_verilog
from sim.toolchain import verilator_env, verilator_root

ROOT = Path(hdl.__file__).parents[1]

#: What Verilator says of any Verilog that Amaranth writes: widths that differ as they are meant to,
#: bits without a use, cases whose default stands before them, registers with initial values, a
#: file not named after its module. Anything else is an error.
STYLE = ("WIDTH", "UNUSEDSIGNAL", "CASEINCOMPLETE", "PROCASSINIT", "DECLFILENAME")

OTHERS, LARGE = ("tiny8", "tiny_l1", "up5k"), ("ecp5_85f", "nullhop", "nullhop8", "nullhop_l1")


@pytest.fixture(scope="module")
def text() -> str:
    return generate(preset("tiny"))


def lint(text: str, top: str, folder: Path) -> subprocess.CompletedProcess:
    """Verilator's opinion, every warning of its that is not `STYLE` an error."""
    path = folder / "core.v"
    path.write_text(text)
    quiet = [f"-Wno-{name}" for name in STYLE]
    command = [str(verilator_root() / "bin" / "verilator_bin"), "--lint-only", "-Wall", *quiet]
    command += ["--top-module", top, str(path)]
    return subprocess.run(command, env=verilator_env(), capture_output=True, text=True, check=False)


def check_lint(text: str, folder: Path) -> None:
    done = lint(text, TOP, folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_verilator_accepts_it(text, tmp_path):
    check_lint(text, tmp_path)


@pytest.mark.parametrize("name", OTHERS)
def test_verilator_accepts_other_small_builds(name, tmp_path):
    check_lint(core_verilog(preset(name)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_verilator_accepts_large_builds(name, tmp_path):
    check_lint(core_verilog(preset(name)), tmp_path)


def test_every_preset_is_linted():
    assert {"tiny", *OTHERS, *LARGE} == set(PRESETS)


def test_verilator_would_complain(text, tmp_path):
    """Else the lint above would show nothing."""
    broken = text.replace("endmodule", "  assign clk = no_such_net;\nendmodule", 1)
    done = lint(broken, TOP, tmp_path)
    assert done.returncode != 0
    assert "%Error" in done.stderr


def test_another_process_writes_the_same(text):
    """Nothing hangs on the order of a set or on an address."""
    program = (
        "import sys; from golden.params import preset; from hdl.verilog import generate; "
        "sys.stdout.write(generate(preset('tiny')))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == text


def test_it_names_no_place_on_this_machine(text):
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert ".py" not in text
    assert not re.search(r"\bsrc\s*=", text)
    # A slash is only ever part of a comment's marks.
    assert not re.findall(r"[\w.~]*/[\w.~]+", re.sub(r"/\*.*?\*/|//[^\n]*", "", text))
    assert all("/" not in comment[2:-2] for comment in re.findall(r"/\*.*?\*/", text))


def declared(text: str, top: str) -> list[tuple[str, str, int]]:
    """Name, direction and width of the ports of a module, sorted by name."""
    body = text[text.index(f"module {top}") :]
    body = body[: body.index("endmodule")]
    names = re.search(r"\((.*?)\);", body, re.S)[1].replace("\n", " ").split(",")
    found = {}
    for line in re.finditer(r"^  (input|output) (?:\[(\d+):0\] )?(\S+) ?;", body, re.M):
        direction, high, name = line.groups()
        found[name] = direction, int(high or 0) + 1
    return sorted((name.strip(), *found[name.strip()]) for name in names)


#: The pins, as `hdl.core` and the interface's page describe them. Who wires them counts on it.
PINS = [
    ("clk", "input", 1),
    ("rst", "input", 1),
    ("i_control__payload", "input", 64),
    ("i_control__valid", "input", 1),
    ("i_control__ready", "output", 1),
    ("i_map__payload", "input", 69),
    ("i_map__valid", "input", 1),
    ("i_map__ready", "output", 1),
    ("o_map__payload", "output", 97),
    ("o_map__valid", "output", 1),
    ("o_map__ready", "input", 1),
    ("clear", "input", 1),
    ("busy", "output", 1),
    ("done", "output", 1),
    ("fault", "output", 4),
    ("fault_row", "output", 12),
    ("fault_col", "output", 12),
    *((f"c_{name}", "output", COUNTER_BITS) for name in COUNTERS),
]


def test_the_pins_are_those_documented(text):
    assert declared(text, TOP) == sorted(PINS)


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_lists_the_pins_that_are_there(name):
    """For every build: none of them changes the pins."""
    table = ports(Core(preset(name)))
    assert table[:2] == (Port("clk", "input", 1), Port("rst", "input", 1))
    assert sorted((port.name, port.direction, port.width) for port in table) == sorted(PINS)


def test_payloads_are_described_field_by_field():
    fields = {port.name: port.fields for port in ports(Core(preset("tiny")))}
    for pin, layout in (("i_map__payload", MAP_BEAT), ("o_map__payload", OUT_BEAT)):
        assert fields[pin] == tuple(Field(name, f.offset, f.width) for name, f in layout)
    assert {name for name, of in fields.items() if of} == {"i_map__payload", "o_map__payload"}


PAIR = data.StructLayout({"low": unsigned(3), "flag": unsigned(1), "high": signed(4)})


class Sum(wiring.Component):
    """Ports of every kind."""

    i: In(stream.Signature(PAIR))
    taps: In(2).array(2)
    o: Out(signed(5))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += self.o.eq(self.i.payload.high + self.taps[0] + self.taps[1])
        return m


def test_the_table_of_any_component(tmp_path):
    text = convert(Sum(), "pair_sum")
    table = ports(Sum())
    assert declared(text, "pair_sum") == sorted((p.name, p.direction, p.width) for p in table)
    assert [port.name for port in table] == [
        *("clk", "rst", "i__payload", "i__valid", "i__ready", "taps__0", "taps__1", "o")
    ]
    done = lint(text, "pair_sum", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert port_table(table).splitlines() == [
        "| port | direction | bits | fields |",
        "| --- | --- | --- | --- |",
        "| `clk` | input | 1 |  |",
        "| `rst` | input | 1 |  |",
        "| `i__payload` | input | 8 | low [2:0], flag [3], high [7:4] |",
        "| `i__valid` | input | 1 |  |",
        "| `i__ready` | output | 1 |  |",
        "| `taps__0` | input | 2 |  |",
        "| `taps__1` | input | 2 |  |",
        "| `o` | output | 5 |  |",
    ]
