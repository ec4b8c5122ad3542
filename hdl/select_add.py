"""An adder with a multiplexer before one of its operands."""

from amaranth.hdl import Instance, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import EXPORT

#: What an exported design needs beside it, unless its part has a module of its own.
VERILOG = """\
module openhop_select_add #(
  parameter WIDTH = 1
) (
  input [WIDTH-1:0] addend,
  input select,
  input [WIDTH-1:0] off,
  input [WIDTH-1:0] on,
  output [WIDTH-1:0] total
);
  assign total = addend + (select ? on : off);
endmodule
"""


class SelectAdd(wiring.Component):
    """`total` is `addend` + (`select` ? `on` : `off`), modulo 2 ** width; combinational.

    A carry cell of the ECP5 does both in one LUT per bit, which Yosys does not find out: with
    `EXPORT` this is an instance of a module.

    Parameters
    ----------
    width : bits of each number, at least 1
    """

    def __init__(self, width: int):
        self._width = width
        super().__init__(
            {
                "addend": In(width),
                "select": In(1),
                "off": In(width),
                "on": In(width),
                "total": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if platform == EXPORT:
            m.submodules.adder = Instance(
                "openhop_select_add",
                p_WIDTH=self._width,
                i_addend=self.addend,
                i_select=self.select,
                i_off=self.off,
                i_on=self.on,
                o_total=self.total,
            )
        else:
            m.d.comb += self.total.eq(self.addend + Mux(self.select, self.on, self.off))
        return m
