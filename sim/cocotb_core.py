"""Coroutines that replay recorded streams at the pins of the generated Verilog, run by cocotb.

`sim.cocotb_run` starts the simulator and hands over the streams in files; this module is what runs
inside it. Roles: a `StreamDriver` for each input, a `StreamMonitor` for the output, and a
`Testbench` that owns the pins and runs one recording after the other.
"""

import os
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import RisingEdge

from hdl.layouts import MAP_BEAT, OUT_BEAT
from sim.recording import STREAMS, Recording, pack, save_result, unpack
from sim.streams import (
    CLEAR_LIMIT,
    COUNTER_LATENCY,
    COUNTERS,
    FAULT_WATCH,
    OUT_BEATS,
    FaultReport,
    LayerEnd,
    RunResult,
    difference,
)


class Idle:
    """When one stream is idle; see `Gaps`."""

    def __init__(self, chance: float, burst: int, source: random.Random) -> None:
        self._chance = chance
        self._burst = burst
        self._source = source
        self._left = 0

    def now(self) -> bool:
        """Whether the stream is idle in the cycle that begins."""
        if not self._chance:
            return False
        if self._left:
            self._left -= 1
            return True
        if self._source.random() >= self._chance:
            return False
        self._left = self._source.randrange(2 * self._burst - 1)
        return True


class Stream:
    """The pins of one stream."""

    def __init__(self, dut: SimHandleBase, name: str) -> None:
        self.clk = dut.clk
        self.payload, self.valid, self.ready = (
            getattr(dut, f"{name}__{part}") for part in ("payload", "valid", "ready")
        )

    def moves(self) -> bool:
        """Whether a payload is taken at this edge."""
        return bool(self.valid.value and self.ready.value)


class StreamDriver:
    """Offer payloads one after the other; what was offered stays until it is taken."""

    def __init__(self, stream: Stream, idle: Idle) -> None:
        self._stream = stream
        self._idle = idle
        #: Payloads that the core took.
        self.taken = 0
        stream.valid.value = 0

    async def drive(self, payloads: Iterable[int]) -> None:
        """Offer all payloads; returns when the last one was taken."""
        stream = self._stream
        edge = RisingEdge(stream.clk)
        for payload in payloads:
            while self._idle.now():
                await edge
            stream.payload.value = payload
            stream.valid.value = 1
            await edge
            while not stream.ready.value:
                await edge
            self.taken += 1
            stream.valid.value = 0


class StreamMonitor:
    """Take what comes, and keep it."""

    def __init__(self, stream: Stream, idle: Idle) -> None:
        self._stream = stream
        self._idle = idle
        #: Payloads in the order in which they came.
        self.payloads: list[int] = []
        stream.ready.value = 0

    async def watch(self) -> None:
        """Take payloads for ever."""
        stream = self._stream
        edge = RisingEdge(stream.clk)
        while True:
            ready = not self._idle.now()
            stream.ready.value = ready
            await edge
            if ready and stream.valid.value:
                self.payloads.append(stream.payload.value.to_unsigned())


class Testbench:
    """The core between two drivers and a monitor, with a clock of 10 ns."""

    def __init__(self, dut: SimHandleBase) -> None:
        self.dut = dut
        self._control, self._map, self._out = self._streams = [
            Stream(dut, name) for name in ("i_control", "i_map", "o_map")
        ]
        self._edge = RisingEdge(dut.clk)
        #: Cycles since the run began.
        self.cycle = 0

    async def reset(self) -> None:
        """Start the clock and reset the core."""
        dut = self.dut
        dut.clear.value = 0
        dut.rst.value = 1
        self._quiet()
        Clock(dut.clk, 10, unit="ns").start()
        for _ in range(2):
            await self._edge
        dut.rst.value = 0

    async def clear(self) -> None:
        """Pulse `clear`, after which the core must come to rest without a fault."""
        dut = self.dut
        self._quiet()
        dut.clear.value = 1
        await self._edge
        dut.clear.value = 0
        for _ in range(CLEAR_LIMIT):
            await self._edge
            if not (dut.busy.value or dut.fault.value):
                return
        raise AssertionError(f"the core is not idle {CLEAR_LIMIT} cycles after clear")

    async def run(self, recording: Recording) -> RunResult:
        """Replay the streams until the last layer ends or the core stops with a fault.

        Raises
        ------
        AssertionError
            If that takes too long, if anything moves after a fault, or if a layer ends before it
            took all of its input.
        """
        gaps = recording.gaps
        source = random.Random(gaps.seed)
        control = StreamDriver(self._control, Idle(gaps.control, gaps.burst, source))
        beats = StreamDriver(self._map, Idle(gaps.map, gaps.burst, source))
        out = StreamMonitor(self._out, Idle(gaps.out, gaps.burst, source))
        tasks = [
            cocotb.start_soon(control.drive(recording.control.tolist())),
            cocotb.start_soon(beats.drive(pack(recording.beats, MAP_BEAT))),
            cocotb.start_soon(out.watch()),
        ]
        result = await self._until_end(recording)
        for task in tasks:
            task.cancel()
        given = (len(recording.control), len(recording.beats))
        taken = (control.taken, beats.taken)
        assert result.fault or taken == given, (
            f"ended after {taken} of {given} control words and map beats"
        )
        return replace(
            result,
            out=unpack(out.payloads, OUT_BEAT, OUT_BEATS),
            control_taken=control.taken,
            map_taken=beats.taken,
        )

    async def _until_end(self, recording: Recording) -> RunResult:
        """Wait for the end; the result says nothing yet of what the streams carried."""
        first, self.cycle = None, 0
        ends: list[LayerEnd] = []
        fault = None
        last = 0
        while len(ends) < recording.ends and fault is None:
            await self._next()
            assert self.cycle <= recording.max_cycles, f"no end in {recording.max_cycles} cycles"
            if first is None and self._control.moves():
                first = self.cycle - 1
            if self.dut.done.value:
                last = self.cycle
                for _ in range(COUNTER_LATENCY):
                    await self._next()
                ends.append(LayerEnd(cycle=last, counters=self._counters()))
            elif self.dut.fault.value:
                last = self.cycle
                fault = await self._fault()
        nothing = unpack([], OUT_BEAT, OUT_BEATS)
        cycles = last - (first or 0)
        return RunResult(
            out=nothing,
            ends=tuple(ends),
            cycles=cycles,
            control_taken=0,
            map_taken=0,
            fault=fault,
        )

    async def _next(self) -> None:
        await self._edge
        self.cycle += 1

    def _quiet(self) -> None:
        """Offer nothing and take nothing."""
        self._control.valid.value = 0
        self._map.valid.value = 0
        self._out.ready.value = 0

    def _counters(self) -> dict[str, int]:
        return {name: getattr(self.dut, f"c_{name}").value.to_unsigned() for name in COUNTERS}

    async def _fault(self) -> FaultReport:
        """Read the fault, and watch that nothing moves any more."""
        row, col = (
            getattr(self.dut, f"fault_{name}").value.to_unsigned() for name in ("row", "col")
        )
        fault = FaultReport(code=self.dut.fault.value.to_unsigned(), row=row, col=col)
        for _ in range(FAULT_WATCH):
            moves = any(stream.moves() for stream in self._streams)
            assert not moves, f"streams move after {fault}"
            await self._next()
        return fault


@cocotb.test()
async def replay(dut: SimHandleBase) -> None:
    """Replay recordings and compare what comes out with what they expect, bit for bit."""
    bench = Testbench(dut)
    await bench.reset()
    for path in sorted(Path(os.environ[STREAMS]).glob("*.streams.npz")):
        recording = Recording.load(path)
        start = time.process_time()
        result = await bench.run(recording)
        seconds = time.process_time() - start
        save_result(path.with_name(path.name.replace("streams", "result")), result, seconds=seconds)
        code = result.fault.code if result.fault else 0
        assert code == recording.fault, f"fault {code} instead of {recording.fault}"
        if recording.expected is not None:
            assert (text := difference(result.out, recording.expected)) == "", text
        if result.fault:
            await bench.clear()
