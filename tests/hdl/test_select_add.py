"""The adder with a multiplexer: every sum of a small one, and some of a wide one."""

import itertools
import random

import pytest

from hdl.select_add import SelectAdd
from tests.hdl.harness import simulate


@pytest.mark.parametrize("width", [1, 3, 38])
def test_adds_what_is_selected(width):
    dut = SelectAdd(width)
    numbers = range(1 << width)
    rng = random.Random(width)
    cases = (
        itertools.product(numbers, numbers, numbers, (0, 1))
        if width < 8
        else [(*(rng.choice(numbers) for _ in range(3)), rng.randrange(2)) for _ in range(200)]
    )

    async def bench(ctx):
        for addend, off, on, select in cases:
            ctx.set(dut.addend, addend)
            ctx.set(dut.off, off)
            ctx.set(dut.on, on)
            ctx.set(dut.select, select)
            await ctx.delay(1e-6)
            assert ctx.get(dut.total) == (addend + (on if select else off)) % (1 << width)

    simulate(dut, bench)
