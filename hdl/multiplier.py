"""A multiplier with a register behind it."""

from amaranth.hdl import ClockSignal, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.memory import EXPORT

#: What an exported design needs beside it, unless its part has a module of its own.
VERILOG = """\
module openhop_multiplier #(
  parameter A_WIDTH = 1,
  parameter B_WIDTH = 1
) (
  input clk,
  input signed [A_WIDTH-1:0] a,
  input signed [B_WIDTH-1:0] b,
  output reg signed [A_WIDTH+B_WIDTH-1:0] product
);
  always @(posedge clk) product <= a * b;
endmodule
"""


class Multiplier(wiring.Component):
    """`product` is `a` x `b` of the cycle before; no reset.

    An ECP5 multiplier has this register inside, which Yosys does not make use of: with `EXPORT`
    this is an instance of a module.

    Parameters
    ----------
    a_width, b_width : bits of the operands, signed
    """

    def __init__(self, a_width: int, b_width: int):
        self._widths = a_width, b_width
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "product": Out(signed(a_width + b_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a_width, b_width = self._widths
        if platform == EXPORT:
            m.submodules.multiplier = Instance(
                "openhop_multiplier",
                p_A_WIDTH=a_width,
                p_B_WIDTH=b_width,
                i_clk=ClockSignal(),
                i_a=self.a,
                i_b=self.b,
                o_product=self.product,
            )
        else:
            product = Signal.like(self.product, reset_less=True)
            m.d.sync += product.eq(self.a * self.b)
            m.d.comb += self.product.eq(product)
        return m
