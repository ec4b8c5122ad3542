"""Comparisons against Python's."""

import itertools

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.compare import less
from tests.hdl.harness import simulate


class Less(wiring.Component):
    def __init__(self, width: int):
        super().__init__({"a": In(signed(width)), "b": In(signed(width)), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(less(self.a, self.b))
        m.d.sync += Signal().eq(self.o)
        return m


@pytest.mark.parametrize("width", [1, 2, 4])
def test_all_numbers(width):
    dut = Less(width)
    numbers = range(-(1 << width - 1), 1 << width - 1)

    async def drive(ctx):
        for a, b in itertools.product(numbers, numbers):
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            await ctx.tick()
            assert ctx.get(dut.o) == (a < b)

    simulate(dut, drive)
