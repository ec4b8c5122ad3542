"""The one memory of the core: a write port and a registered read port."""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Shape, ShapeLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

#: Pass this as the platform to get instances of `VERILOG` in place of inferred memories.
EXPORT = "verilog"

#: What an exported design needs beside it. Contents at power-on are undefined, so that nothing of
#: the size of the memory is written out; a chip's own macro can take this module's place.
VERILOG = """\
module openhop_ram #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter ADDRESS = 1
) (
  input clk,
  input w_en,
  input [ADDRESS-1:0] w_addr,
  input [WIDTH-1:0] w_data,
  input [ADDRESS-1:0] r_addr,
  output reg [WIDTH-1:0] r_data
);
  (* no_rw_check *)
  reg [WIDTH-1:0] words [0:DEPTH-1];
  always @(posedge clk) begin
    if (w_en) words[w_addr] <= w_data;
    r_data <= words[r_addr];
  end
endmodule
"""


class Ram(wiring.Component):
    """A memory of `depth` words, one write and one read per cycle.

    The word at `r_addr` stands on `r_data` one cycle later. What a read gives is undefined for a
    word that was never written, or is written in the same cycle: the core's schedule does neither
    and so needs no collision logic.

    Parameters
    ----------
    shape : of a word, anything with a fixed width
    depth : words, at least 2
    """

    def __init__(self, shape: ShapeLike, depth: int):
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth}")
        self._shape, self._depth = shape, depth
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In(range(depth)),
                "w_data": In(shape),
                "r_addr": In(range(depth)),
                "r_data": Out(shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self._shape).width
        if platform == EXPORT:
            m.submodules.ram = Instance(
                "openhop_ram",
                p_WIDTH=width,
                p_DEPTH=self._depth,
                p_ADDRESS=len(self.r_addr),
                i_clk=ClockSignal(),
                i_w_en=self.w_en,
                i_w_addr=self.w_addr,
                i_w_data=self.w_data,
                i_r_addr=self.r_addr,
                o_r_data=self.r_data,
            )
            return m

        quiet: dict[str, Any] = {"no_rw_check": True}
        m.submodules.words = words = Memory(shape=width, depth=self._depth, init=[], attrs=quiet)
        write, read = words.write_port(), words.read_port()
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            read.addr.eq(self.r_addr),
            self.r_data.eq(read.data),
        ]
        return m
