"""Products by shifts and adds."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.multiply import times
from tests.hdl.harness import simulate


class Product(wiring.Component):
    """A product of 5 and 3 bits."""

    def __init__(self):
        super().__init__({"value": In(5), "small": In(3), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(times(self.value, self.small))
        probe = Signal()
        m.d.sync += probe.eq(~probe)
        return m


def test_all_products():
    dut = Product()

    async def drive(ctx):
        for value in range(32):
            for small in range(8):
                ctx.set(dut.value, value)
                ctx.set(dut.small, small)
                await ctx.tick()
                assert ctx.get(dut.o) == value * small

    simulate(dut, drive)
