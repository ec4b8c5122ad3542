"""The models in `fpga/cells`, and the use made of Yosys' own, against the RTL they came from."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fpga.netlist import CELLS
from hdl.memory import Ram
from hdl.multiplier import Multiplier
from tests.fpga.side_by_side import SideBySide, build, simulate

#: Our own models in `make test`; those that Yosys ships take longer, and are here for the flow.
PARTS = ("lfe5u-25f", pytest.param("up5k", marks=pytest.mark.slow))


class Memories(wiring.Component):
    """Memories of one shape each, all written and read alike, in the styles that Yosys tells apart.

    A `Ram` leaves undefined words that were never written, which are left out here, and what is
    read in the cycle in which it is written, which happens to `CLASHES` alone. The other styles
    define it, by the cell's write mode or by logic around the cell.
    """

    #: Widths and depths: one that goes to LUT RAM on ECP5, and one of every width of a block RAM.
    RAMS = (
        (8, 16),
        (1, 16384),
        (2, 8192),
        (4, 4096),
        (9, 2048),
        (18, 1024),
        (36, 512),
        (16, 600),
        (40, 512),
    )
    #: Widths and depths of those that may be read in the cycle in which they are written.
    CLASHES = ((9, 2048), (18, 1024), (36, 512))
    #: Memories at one address for both ports, which may then be one port of the cell.
    SHARED = ("old", "new", "hold")

    def __init__(self):
        outputs = {f"ram_{width}x{depth}": width for width, depth in self.RAMS}
        outputs |= {f"clash_{width}x{depth}": width for width, depth in self.CLASHES}
        outputs |= {f"shared_{style}": 18 for style in self.SHARED}
        outputs |= {
            "plain": 18,
            "transparent": 18,
            "enabled": 18,
            "bytes_18": 18,
            "bytes_36": 36,
            "init": 18,
        }
        super().__init__(
            {
                "w_en": In(1),
                "w_bytes": In(4),
                "w_addr": In(14),
                "w_data": In(40),
                "r_en": In(1),
                "r_addr": In(14),
                **{name: Out(width) for name, width in outputs.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()

        def ram(name, width, depth, clash):
            m.submodules[f"{name}_words"] = words = Ram(width, depth)
            m.submodules[f"{name}_written"] = written = Memory(shape=1, depth=depth, init=[])
            mark, known = written.write_port(), written.read_port()
            for address, given in ((words.w_addr, self.w_addr), (words.r_addr, self.r_addr)):
                low = given[: len(address)]
                m.d.comb += address.eq(Mux(low < depth, low, 0))
            m.d.comb += [
                words.w_data.eq(self.w_data),
                words.w_en.eq(self.w_en & (Const(clash) | (words.w_addr != words.r_addr))),
                mark.addr.eq(words.w_addr),
                mark.data.eq(1),
                mark.en.eq(words.w_en),
                known.addr.eq(words.r_addr),
                getattr(self, name).eq(Mux(known.data, words.r_data, 0)),
            ]

        for width, depth in self.RAMS:
            ram(f"ram_{width}x{depth}", width, depth, clash=False)
        for width, depth in self.CLASHES:
            ram(f"clash_{width}x{depth}", width, depth, clash=True)

        def memory(name, width=18, depth=1024, init=(), granularity=None):
            words = Memory(shape=width, depth=depth, init=init, attrs={"ram_style": "block"})
            m.submodules[f"memory_{name}"] = words
            write = words.write_port(granularity=granularity)
            m.d.comb += [
                write.addr.eq(self.w_addr),
                write.data.eq(self.w_data),
                write.en.eq(self.w_en if granularity is None else self.w_bytes),
            ]
            return words, write

        def read(words, name, address=self.r_addr, enable=1, transparent=()):
            port = words.read_port(transparent_for=transparent)
            m.d.comb += [
                port.addr.eq(address),
                port.en.eq(enable),
                getattr(self, name).eq(port.data),
            ]

        for style in self.SHARED:
            words, write = memory(f"shared_{style}")
            read(
                words,
                f"shared_{style}",
                address=self.w_addr,
                enable=~self.w_en if style == "hold" else 1,
                transparent=(write,) if style == "new" else (),
            )
        words, write = memory("plain")
        read(words, "plain")
        words, write = memory("transparent")
        read(words, "transparent", transparent=(write,))
        words, write = memory("enabled")
        read(words, "enabled", enable=self.r_en)
        words, write = memory("bytes_18", granularity=9)
        read(words, "bytes_18")
        words, write = memory("bytes_36", width=36, depth=512, granularity=9)
        read(words, "bytes_36")
        values = np.random.default_rng(0).integers(0, 1 << 18, 1024).tolist()
        words, write = memory("init", init=values)
        read(words, "init")
        return m


class Multipliers(wiring.Component):
    """Products of many widths, of signed and unsigned numbers, with registers around some.

    Some are those of a `Multiplier`, which has its register inside.
    """

    #: Widths of the operands; the wider ones take several multipliers.
    WIDTHS = ((18, 18), (16, 16), (17, 9), (9, 9), (18, 5), (24, 16), (25, 30))
    OWN = ((18, 18), (17, 16), (9, 8), (2, 18))

    def __init__(self):
        outputs = {
            f"{kind}_{a}x{b}": a + b for a, b in self.WIDTHS for kind in ("s", "u", "registered")
        }
        outputs |= {f"own_{a}x{b}": a + b for a, b in self.OWN}
        super().__init__(
            {"a": In(40), "b": In(40), **{name: Out(width) for name, width in outputs.items()}}
        )

    def elaborate(self, platform):
        m = Module()
        for width_a, width_b in self.WIDTHS:
            name = f"{width_a}x{width_b}"
            a, b = self.a[:width_a], self.b[:width_b]
            operands = [
                Signal(signed(width), name=f"{side}_{name}")
                for side, width in (("a", width_a), ("b", width_b))
            ]
            m.d.sync += [operands[0].eq(a), operands[1].eq(b)]
            m.d.sync += getattr(self, f"registered_{name}").eq(operands[0] * operands[1])
            m.d.comb += [
                getattr(self, f"s_{name}").eq(a.as_signed() * b.as_signed()),
                getattr(self, f"u_{name}").eq(a * b),
            ]
        for width_a, width_b in self.OWN:
            name = f"own_{width_a}x{width_b}"
            m.submodules[name] = own = Multiplier(width_a, width_b)
            m.d.comb += [
                own.a.eq(self.a[:width_a]),
                own.b.eq(self.b[:width_b]),
                getattr(self, name).eq(own.product),
            ]
        return m


def parameters(netlist: str, cell: str) -> Iterator[dict[str, str]]:
    """The parameters of every instance of a cell."""
    for found in re.findall(rf"^  {cell} #\((.*?)\n  \) ", netlist, re.MULTILINE | re.DOTALL):
        yield dict(re.findall(r"\.(\w+)\((?:\d+'s?[hd]|\")?(\w+)\"?\)", found))


@pytest.fixture(scope="module", params=PARTS)
def part(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def memories(part) -> SideBySide:
    return SideBySide(Memories, part)


def test_memories_are_what_they_were_made_from(memories, part, tmp_path):
    """But for what a `Ram` leaves undefined: ECP5's is wrong there on purpose.

    A core that hung on it could not pass then. Yosys' model for iCE40 does as the RTL does.
    """
    clashes = {f"clash_{width}x{depth}" for width, depth in Memories.CLASHES}
    differ = {line.partition(":")[0] for line in memories.differences(tmp_path)}
    assert differ == (clashes if part == "lfe5u-25f" else set())


def test_the_memories_are_of_every_kind(memories, part):
    """Else the comparison would show less than it says."""
    if part == "up5k":
        cells = list(parameters(memories.cells, "SB_RAM40_4K"))
        assert {cell.get("READ_MODE", "0") for cell in cells} == {"0", "1", "2", "3"}
        return
    cells = list(parameters(memories.cells, "DP16KD"))
    widths = {"1", "2", "4", "9", "18", "36"}
    assert {cell["DATA_WIDTH_A"] for cell in cells} == widths
    assert {cell["DATA_WIDTH_B"] for cell in cells} == widths
    modes = {cell.get("WRITEMODE_A", "NORMAL") for cell in cells}
    assert modes == {"NORMAL", "WRITETHROUGH", "READBEFOREWRITE"}


def test_multipliers_are_what_they_were_made_from(part, tmp_path):
    both = SideBySide(Multipliers, part)
    cell = {"lfe5u-25f": "MULT18X18D", "up5k": "SB_MAC16"}[part]
    assert both.cells.count(f"  {cell} ") >= 3 * len(Multipliers.WIDTHS) + len(Multipliers.OWN)
    if part == "lfe5u-25f":
        modes = [used.get("REG_OUTPUT_CLK", "NONE") for used in parameters(both.cells, cell)]
        assert modes.count("CLK0") == len(Multipliers.OWN)
    assert both.differences(tmp_path) == []


GSR = '.GSR("DISABLED")'


def model(cell: str) -> str:
    return (CELLS / "ecp5" / f"{cell}.v").read_text()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (f'{GSR}, .REGMODE_A("OUTREG")', "DP16KD: REGMODE_A is OUTREG"),
        (f'{GSR}, .REGMODE_B("OUTREG")', "DP16KD: REGMODE_B is OUTREG"),
        (f'{GSR}, .CSDECODE_A("0b001")', "DP16KD: CSDECODE_A is 0b001"),
        (f'{GSR}, .CSDECODE_B("0b111")', "DP16KD: CSDECODE_B is 0b111"),
        (f'{GSR}, .WRITEMODE_A("OTHER")', "DP16KD: WRITEMODE_A is OTHER"),
        (f'{GSR}, .CLKAMUX("INV")', "DP16KD: CLKAMUX is INV"),
        (f'{GSR}, .CLKBMUX("INV")', "DP16KD: CLKBMUX is INV"),
        (f"{GSR}, .DATA_WIDTH_A(8)", "DP16KD: DATA_WIDTH_A is 8"),
        (f"{GSR}, .DATA_WIDTH_B(3)", "DP16KD: DATA_WIDTH_B is 3"),
        (f"{GSR}, .DATA_WIDTH_B(36)", "DP16KD: DATA_WIDTH_B is 36 and DATA_WIDTH_A 18"),
        ('.GSR("AUTO")', "DP16KD: GSR is AUTO"),
        ('.REG_INPUTA_CLK("CLK0")', "MULT18X18D: REG_INPUTA_CLK is CLK0"),
        ('.REG_INPUTB_CLK("CLK0")', "MULT18X18D: REG_INPUTB_CLK is CLK0"),
        ('.REG_INPUTC_CLK("CLK1")', "MULT18X18D: REG_INPUTC_CLK is CLK1"),
        ('.REG_PIPELINE_CLK("CLK0")', "MULT18X18D: REG_PIPELINE_CLK is CLK0"),
        ('.REG_OUTPUT_CLK("CLK1")', "MULT18X18D: REG_OUTPUT_CLK is CLK1"),
        ('.CAS_MATCH_REG("TRUE")', "MULT18X18D: CAS_MATCH_REG is TRUE"),
        ('.MULT_BYPASS("ENABLED")', "MULT18X18D: MULT_BYPASS is ENABLED"),
    ],
)
def test_another_mode_is_refused(tmp_path, parameters, said):
    cell = said.partition(":")[0]
    clocks = ".CLKA(clk), .CLKB(clk)" if cell == "DP16KD" else ""
    bench = f"module bench(input clk); {cell} #({parameters}) used({clocks}); endmodule\n"
    with pytest.raises(ValueError, match=said):
        build({"model.v": model(cell), "bench.v": bench}, tmp_path)


# Pins that must stay as they are: the bench, told which, moves one of them.
PINS = {
    "DP16KD": ("WEB", "RSTA", "RSTB", "CSA0", "CSA1", "CSA2", "CSB0", "CSB1", "CSB2", "CLKB"),
    "MULT18X18D": ("SOURCEA", "SOURCEB", "RST0"),
}


@pytest.fixture(scope="module", params=PINS)
def pins(request, tmp_path_factory):
    """A cell, and a program that moves the pin with the number `+pin=` of it."""
    cell = request.param
    moved = ", ".join(
        f".{pin}(clk ^ (pin == {number}))" if pin == "CLKB" else f".{pin}(pin == {number})"
        for number, pin in enumerate(PINS[cell])
    )
    fixed = {
        "DP16KD": f"#({GSR}) used(.CLKA(clk), .CEB(1'b1), ",
        "MULT18X18D": '#(.REG_OUTPUT_CLK("CLK0")) used(.CLK0(clk), .CE0(1\'b1), ',
    }[cell]
    bench = (
        "module bench(input clk); integer pin;\n"
        'initial if (!$value$plusargs("pin=%d", pin)) pin = -1;\n'
        f"{cell} {fixed}{moved});\nendmodule\n"
    )
    files = {"model.v": model(cell), "bench.v": bench}
    return cell, build(files, tmp_path_factory.mktemp(cell))


def test_a_pin_that_is_not_modelled_stops_the_simulation(pins):
    cell, program = pins
    assert simulate(program, 5).returncode == 0
    for number, pin in enumerate(PINS[cell]):
        done = simulate(program, 5, f"+pin={number}")
        assert done.returncode != 0
        assert f"{cell}: {pin[:3] if pin.startswith('CS') else pin}" in done.stdout
