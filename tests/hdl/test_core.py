"""Small layers through the whole core: every value and every counter, stalls, faults, `clear`."""

from dataclasses import asdict
from itertools import accumulate
from typing import Any

import pytest

from golden.descriptor import Fault
from golden.params import preset
from hdl.core import Core
from hdl.counters import COUNTERS
from tests.hdl.harness import PATTERNS, Testbench, expect_silence, get, plain, put, simulate
from tests.hdl.hostile import hostile_memories
from tests.hdl.loads import to_beats
from tests.layers import Case, Loaded

TINY = preset("tiny")

#: A build whose lanes hold few weights.
FEW = TINY.replace(name="few_weights", weight_words=80, acc_words=16)

#: Cycles from `done` until the layer's counters stand at the pins.
COUNTER_LATENCY = 3

#: Layers that differ in how they are split, and in what they need of each block.
CASES = {
    "two groups": Case(build=TINY, pads=(1, 1, 1, 1), relu=True),
    "two stripes": Case(build=TINY, shape=(8, 5, 3), channels=4, pads=(0, 1, 1, 0), scale=True),
    "two column ranges": Case(build=TINY, shape=(4, 8, 3), channels=2, kernel=(3, 2), pool=True),
    "two passes": Case(build=TINY, shape=(5, 4, 3), channels=13, pool=True, pads=(1, 1, 1, 1)),
    "two blocks": Case(build=TINY, shape=(4, 4, 21), channels=3, kernel=(1, 1), in_zero=115),
    "dense": Case(build=TINY, shape=(5, 5, 6), channels=8, dense=True, signed=True, out_zero=9),
    "few rows on chip": Case(build=TINY.replace(map_words=20), shape=(9, 5, 3), channels=5),
    "empty": Case(build=TINY, shape=(4, 5, 4), channels=5, density=0.0, pads=(1, 1, 1, 1)),
    "one pixel": Case(build=TINY, shape=(1, 1, 1), channels=1, kernel=(1, 1)),
    "bytes": Case(build=preset("tiny8"), shape=(5, 5, 9), channels=6, scale=True, in_zero=128),
    "small": Case(build=preset("up5k"), shape=(5, 5, 5), channels=7, pool=True),
    "stride": Case(build=FEW, shape=(7, 8, 3), stride=(2, 2), pads=(1, 1, 0, 0), channels=3),
    "gaps": Case(build=FEW, shape=(9, 9, 5), kernel=(1, 2), stride=(3, 4), channels=5, pool=True),
    "two tiles": Case(build=FEW, shape=(5, 4, 6), channels=9, pads=(1, 1, 1, 1), pool=True),
    "three tiles": Case(build=FEW, shape=(8, 9, 9), channels=8, stride=(1, 2), scale=True),
    "alone": Case(build=FEW, shape=(3, 11, 5), channels=8, density=0.3),
    "alone again": Case(build=FEW, shape=(4, 11, 5), channels=5, density=0.2),
}


class Bench:
    """A core, what is done at its pins, and what was seen there."""

    def __init__(self, loaded: Loaded, *, idle: str = "none", stall: str = "none"):
        self.loaded, self.idle, self.stall = loaded, idle, stall
        self.dut = Core(loaded.cases[0].build)
        self.out: list[dict[str, int]] = []
        self.counters: list[dict[str, int]] = []
        self.opens: list[int] = []  # the cycle that takes each layer's first word
        self.ends: list[int] = []  # last cycle of each layer

    async def control(self, ctx) -> None:
        await put(ctx, self.dut.i_control, self.loaded.control(), self.idle, seed=1)

    async def maps(self, ctx) -> None:
        beats = [beat for segment in self.loaded.maps() for beat in to_beats(segment)]
        await put(ctx, self.dut.i_map, beats, self.idle, seed=2)

    async def consumer(self, ctx) -> None:
        segments = [part for of in self.loaded.outputs() for parts in of.values() for part in parts]
        count = sum(len(to_beats(segment)) for segment in segments)
        self.out = await get(ctx, self.dut.o_map, count, self.stall, seed=3)
        await expect_silence(ctx, self.dut.o_map)

    async def watch(self, ctx) -> None:
        """Times each layer at the pins; reads the counters, which stand until the next layer's."""
        dut = self.dut
        self.counters.clear()
        self.opens.clear()
        self.ends.clear()
        lengths = [len(Loaded(case).control()) for case in self.loaded.cases]
        starts = [0, *accumulate(lengths)][:-1]  # of the layers' words
        cycle = words = 0
        counts = [getattr(dut, f"c_{name}") for name in COUNTERS]
        ticks = ctx.tick().sample(
            *(dut.i_control.valid, dut.i_control.ready, dut.busy, dut.done, *counts)
        )
        shown = None
        async for _, _, valid, ready, busy, done, *values in ticks:
            assert busy == (len(self.opens) > len(self.ends))
            if valid and ready:
                self.opens += [cycle] * (words in starts)
                words += 1
            self.ends += [cycle] * done
            if cycle - COUNTER_LATENCY in self.ends:
                shown = values
                self.counters.append(dict(zip(COUNTERS, values, strict=True)))
            assert shown in (None, values)
            cycle += 1

    def run(self, *others: Testbench) -> None:
        """Let all layers pass."""
        simulate(self.dut, self.control, self.maps, self.consumer, *others, monitors=[self.watch])

    def check(self) -> None:
        """Every segment of every layer, and as much of the counters as holds under stall."""
        clusters = self.loaded.cases[0].build.clusters
        assert segments_of(self.out) == joined(self.loaded.outputs())
        assert len(self.counters) == len(self.ends) == len(self.loaded.cases)
        wanted = [asdict(counts) for counts in self.loaded.counts()]
        # A layer that opens early counts from the cycle after the end of the one before.
        before = [-1, *self.ends[:-1]]
        firsts = [max(opens, last + 1) for opens, last in zip(self.opens, before, strict=True)]
        for counters, first, last, model in zip(
            self.counters, firsts, self.ends, wanted, strict=True
        ):
            assert counters["cycles"] == last - first + 1
            causes = sum(counters[name] for name in COUNTERS[3:])
            assert causes == counters["cycles"] * clusters
            assert [counters[name] for name in ("useful", "busy")] == [
                model[name] for name in ("useful", "busy")
            ]
        if self.idle == self.stall == "none":
            assert self.counters == wanted


def segments_of(out: list[dict[str, int]]) -> dict[int, list[bytes]]:
    """Segments by context, in order; their words and their `length` must agree."""
    found: dict[int, list[bytes]] = {}
    open_segments: dict[int, bytes] = {}
    for beat in out:
        data = beat["data"].to_bytes(8, "little")
        assert not any(data[beat["bytes"] :])
        segment = open_segments.pop(beat["context"], b"") + data[: beat["bytes"]]
        if beat["last"]:
            assert beat["length"] == len(segment)
            found.setdefault(beat["context"], []).append(segment)
        else:
            assert (beat["bytes"], beat["length"]) == (8, 0)
            open_segments[beat["context"]] = segment
    assert not open_segments
    return found


def joined(outputs: list[dict[int, list[bytes]]]) -> dict[int, list[bytes]]:
    """Segments by context of several layers, one after the other."""
    found: dict[int, list[bytes]] = {}
    for contexts in outputs:
        for context, segments in contexts.items():
            found.setdefault(context, []).extend(segments)
    return found


def together(*names: str) -> Loaded:
    return Loaded(*(CASES[name] for name in names))


ON_TINY = [name for name, case in CASES.items() if case.build is TINY]
ON_FEW = [name for name, case in CASES.items() if case.build is FEW]
ELSEWHERE = [[name] for name in CASES if name not in [*ON_TINY, *ON_FEW]]


@pytest.mark.parametrize("names", [ON_TINY, ON_FEW, *ELSEWHERE], ids=lambda names: names[-1])
def test_values_and_counters_equal_golden(names):
    """With memories that give nothing that `hdl.memory.Ram` does not promise.

    The next layer's first word is taken before `done`, and no counter suffers.
    """
    bench = Bench(together(*names))
    with hostile_memories():
        bench.run()
    bench.check()
    assert all(opens < last for opens, last in zip(bench.opens[1:], bench.ends[:-1], strict=True))


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
def test_stalls_cost_time_and_nothing_else(idle, stall):
    bench = Bench(together("two column ranges", "one pixel"), idle=idle, stall=stall)
    bench.run()
    bench.check()


@pytest.mark.parametrize("names", [["two passes"], ["two tiles", "alone", "stride"]], ids=str)
def test_stalls_between_passes(names):
    bench = Bench(together(*names), idle="random", stall="random")
    bench.run()
    bench.check()


def test_splits_are_what_the_names_say():
    """Else the cases above would show less than they promise."""
    descriptors = {name: case.plan.descriptors for name, case in CASES.items()}

    def works(name: str) -> list:
        return [work for work in descriptors[name][0].clusters if work.active]

    assert descriptors["two groups"][0].groups == 2
    assert {work.first_stripe for work in works("two stripes")} == {0, 1}
    assert len({work.first_col for work in works("two column ranges")}) == 2
    assert len(descriptors["two passes"]) == 2
    few = descriptors["few rows on chip"][0]
    assert few.ring_rows < few.in_rows
    assert len(works("one pixel")) == 1
    gaps = descriptors["gaps"][0]
    assert (gaps.jump_rows, gaps.jump_columns) == (3, 3)
    two, three = descriptors["two tiles"][0], descriptors["three tiles"][0]
    assert (two.tiles, two.resident, two.loads) == (2, True, 2)
    assert len(descriptors["two tiles"]) == 2
    assert (three.tiles, three.resident) == (3, False)
    assert three.stripes > three.region > 1
    assert descriptors["alone"][0].alone
    assert descriptors["alone again"][0].alone
    assert not descriptors["stride"][0].alone


class Interrupted(Bench):
    """A core that is cleared in the midst of what it does, and then runs a layer from the start.

    control, beats : what is offered before that
    cycles : when to clear; None: some cycles after a fault has shown
    """

    def __init__(
        self, loaded: Loaded, control: list[int], beats: list[dict], cycles: int | None = None
    ):
        super().__init__(loaded)
        self.offered: dict[str, list[Any]] = {"control": control, "map": beats}
        self.cycles = cycles
        self.before: list[dict[str, int]] = []
        self.fault = (0, 0, 0)
        self.busy = 0

    def interrupt(self) -> None:
        """Play it all."""
        cleared = []

        async def breaker(ctx):
            await self._until_clear(ctx)
            cleared.append(True)

        def later(testbench: Testbench) -> Testbench:
            async def wait(ctx):
                while not cleared:
                    await ctx.tick()
                await testbench(ctx)

            return wait

        parts = (self.control, self.maps, self.consumer)
        simulate(self.dut, breaker, *map(later, parts), monitors=[later(self.watch)])

    async def _until_clear(self, ctx) -> None:
        dut = self.dut
        if self.cycles is None:
            while not ctx.get(dut.fault):
                await self._step(ctx)
            self.fault, self.busy = self._state(ctx), ctx.get(dut.busy)
            for _ in range(100):
                assert await self._step(ctx) == [False] * 3
                assert self._state(ctx) == self.fault
                assert not ctx.get(dut.done)
        else:
            for _ in range(self.cycles):
                await self._step(ctx)
            self.busy = ctx.get(dut.busy)
        ctx.set(dut.clear, 1)
        await self._step(ctx)
        ctx.set(dut.clear, 0)
        ctx.set(dut.o_map.ready, 0)
        for port in (dut.i_control, dut.i_map):
            ctx.set(port.valid, 0)
        state = (*self._state(ctx), *map(ctx.get, (dut.busy, dut.done, dut.o_map.valid)))
        assert state == (0,) * 6

    def _state(self, ctx) -> tuple[int, int, int]:
        dut = self.dut
        return ctx.get(dut.fault), ctx.get(dut.fault_row), ctx.get(dut.fault_col)

    async def _step(self, ctx) -> list[bool]:
        """One cycle in which all is offered and taken that can be; which streams have moved."""
        dut = self.dut
        inputs = {"control": dut.i_control, "map": dut.i_map}
        ctx.set(dut.o_map.ready, 1)
        for name, port in inputs.items():
            ctx.set(port.valid, bool(self.offered[name]))
            if self.offered[name]:
                ctx.set(port.payload, self.offered[name][0])
        streams = [*inputs.values(), dut.o_map]
        pairs = [signal for port in streams for signal in (port.valid, port.ready)]
        _, _, beat, *seen = await ctx.tick().sample(dut.o_map.payload, *pairs)
        moved = [bool(seen[i] and seen[i + 1]) for i in range(0, len(seen), 2)]
        for name, taken in zip(inputs, moved, strict=False):
            if taken:
                del self.offered[name][0]
        if moved[-1]:
            self.before.append(plain(beat))
        return moved

    def check_before(self) -> None:
        """What came out before is right as far as it goes."""
        (outputs,) = self.loaded.outputs()
        for context, segments in outputs.items():
            beats = [beat for segment in segments for beat in to_beats(segment)]
            seen = [beat for beat in self.before if beat["context"] == context]
            names = ("data", "bytes", "last")
            assert [{n: beat[n] for n in names} for beat in seen] == beats[: len(seen)]


TARGET = CASES["two stripes"]

#: The row whose only segment is spoilt, how, and what the core must say.
FAULTS = {
    "short": (5, lambda segment: segment[:-2], Fault.MAP_SHORT),
    "long": (7, lambda segment: segment + bytes(2), Fault.MAP_LONG),
    "sparsity": (1, lambda segment: bytes([segment[0] | 1 << 3]) + segment[1:], Fault.MAP_SPARSITY),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_map_stops_the_core_until_clear(name):
    row, spoil, fault = FAULTS[name]
    loaded = Loaded(TARGET)
    segments = loaded.maps()
    assert len(segments) == TARGET.shape[0]
    assert TARGET.x[row, -1].any()  # the segment ends with a value
    segments[row] = spoil(segments[row])
    beats = [beat for segment in [*segments, bytes(64)] for beat in to_beats(segment)]
    bench = Interrupted(loaded, loaded.control(), beats)
    bench.interrupt()
    column = 0 if name == "sparsity" else TARGET.shape[1] - 1
    assert bench.fault == (fault, row, column)
    assert bench.busy
    assert bench.offered["map"]
    bench.check_before()
    bench.check()


@pytest.mark.parametrize("nth", [0, 1])
def test_a_broken_descriptor_stops_the_core_until_clear(nth):
    """Of the first or the second pass."""
    loaded = Loaded(CASES["two passes"])
    control = loaded.control()
    place = len(control) // 2 * nth  # both passes have as many words
    control[place] ^= 1
    beats = [beat for segment in loaded.maps() for beat in to_beats(segment)]
    bench = Interrupted(loaded, list(control), beats)
    bench.interrupt()
    assert bench.fault == (Fault.DESCRIPTOR, 0, 0)
    assert bench.busy == nth
    assert bench.offered["control"] == control[place + 1 :]
    bench.check_before()
    bench.check()


@pytest.mark.parametrize("cycles", [30, 170, 330])
def test_clear_in_the_midst_of_a_layer(cycles):
    """At any time: within the descriptor, the weights, the map, while words leave."""
    loaded = Loaded(TARGET)
    beats = [beat for segment in loaded.maps() for beat in to_beats(segment)]
    bench = Interrupted(loaded, loaded.control(), beats, cycles)
    bench.interrupt()
    assert bench.busy
    bench.check_before()
    bench.check()
