"""Delay lines: a value of any shape, so many cycles later."""

import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.delay import delayed
from tests.hdl.harness import plain, simulate

PAIR = data.StructLayout({"number": signed(5), "flag": unsigned(1)})


class Line(wiring.Component):
    """A struct and a computed value, each through a line of its own."""

    def __init__(self, cycles: int):
        self._cycles = cycles
        super().__init__({"i": In(PAIR), "o": Out(PAIR), "negated": Out(signed(6))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.o.eq(delayed(m, self.i, self._cycles, "pair")),
            self.negated.eq(delayed(m, -self.i.number, self._cycles, "negated")),
        ]
        return m


@pytest.mark.parametrize("cycles", range(5))
def test_comes_so_many_cycles_later(cycles):
    dut = Line(cycles)
    pairs = [{"number": n * 7 % 32 - 16, "flag": n % 3 % 2} for n in range(40)]
    seen = []

    async def testbench(ctx):
        for pair in pairs:
            ctx.set(dut.i, pair)
            _, _, *values = await ctx.tick().sample(dut.o, dut.negated)
            seen.append(tuple(map(plain, values)))

    simulate(dut, testbench)
    before = [{"number": 0, "flag": 0}] * cycles
    assert [pair for pair, _ in seen] == [*before, *pairs][: len(pairs)]
    assert [negated for _, negated in seen] == [-pair["number"] for pair, _ in seen]
