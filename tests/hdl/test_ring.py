"""Steps through the ring of rows against arithmetic modulo the ring."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import PASS_CONFIG
from hdl.ring import RingWalk
from tests.hdl.harness import simulate
from tests.layers import TINY


class Walk(wiring.Component):
    """A place that steps, or steps or jumps, in every cycle."""

    def __init__(self, build: Build, *, can_jump: bool):
        self._build, self._can_jump = build, can_jump
        super().__init__(
            {"config": In(PASS_CONFIG), "jumps": In(1), "place": Out(RingWalk.place(build))}
        )

    def elaborate(self, platform):
        m = Module()
        walk = RingWalk(m, self._build, self.config, "walk")
        running = Signal(2)  # the constants stand in the second cycle
        m.d.sync += running.eq(running | 1 | running << 1)
        with m.If(running.all()):
            m.d.sync += (
                walk.step_or_jump(self.place, self.jumps)
                if self._can_jump
                else walk.step(self.place)
            )
        return m


@pytest.mark.parametrize("can_jump", [False, True])
@pytest.mark.parametrize(("rows", "pitch", "jump"), [(1, 3, 1), (4, 7, 1), (5, 2, 3), (9, 11, 4)])
def test_a_place_is_a_row_modulo_the_ring(rows, pitch, jump, can_jump):
    dut = Walk(TINY, can_jump=can_jump)
    rng = random.Random(rows)

    async def bench(ctx):
        ctx.set(
            dut.config,
            {
                "ring_rows": rows,
                "row_pitch": pitch,
                "ring_words": rows * pitch,
                "jump_rows": jump,
                "jump_words": jump * pitch,
            },
        )
        await ctx.tick().repeat(2)
        row = 0
        for _ in range(100):
            jumps = rng.random() < 0.5
            ctx.set(dut.jumps, jumps)
            assert ctx.get(dut.place.slot) == row % rows
            assert ctx.get(dut.place.base) == row % rows * pitch
            await ctx.tick()
            row += jump if can_jump and jumps else 1

    simulate(dut, bench)
