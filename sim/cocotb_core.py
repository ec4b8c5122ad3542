"""Coroutines that replay recorded streams at the pins of the generated Verilog, run by cocotb.

`sim.cocotb_run` starts the simulator and hands over the streams in a file; this module is what
runs inside it. Roles: a `StreamDriver` for each input, a `StreamMonitor` for the output, and a
`Testbench` that owns them.
"""

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import RisingEdge

from hdl.layouts import MAP_BEAT, OUT_BEAT
from sim.recording import STREAMS, Recording, pack, save_result, unpack
from sim.streams import (
    COUNTER_LATENCY,
    COUNTERS,
    FAULT_WATCH,
    OUT_BEATS,
    FaultReport,
    Gaps,
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

    def __init__(self, dut: SimHandleBase, gaps: Gaps) -> None:
        self.dut = dut
        source = random.Random(gaps.seed)
        self._streams = [Stream(dut, name) for name in ("i_control", "i_map", "o_map")]
        control, beats, out = self._streams
        self.control = StreamDriver(control, Idle(gaps.control, gaps.burst, source))
        self.map = StreamDriver(beats, Idle(gaps.map, gaps.burst, source))
        self.out = StreamMonitor(out, Idle(gaps.out, gaps.burst, source))
        self._edge = RisingEdge(dut.clk)
        #: Cycles since the reset.
        self.cycle = 0

    async def reset(self) -> None:
        """Start the clock and reset the core."""
        dut = self.dut
        dut.clear.value = 0
        dut.rst.value = 1
        Clock(dut.clk, 10, unit="ns").start()
        for _ in range(2):
            await self._edge
        dut.rst.value = 0

    async def run(self, recording: Recording) -> RunResult:
        """Replay the streams until the last layer ends or the core stops with a fault.

        Raises
        ------
        AssertionError
            If that takes too long, if anything moves after a fault, or if a layer ends before it
            took all of its input.
        """
        given = (len(recording.control), len(recording.beats))
        cocotb.start_soon(self.control.drive(recording.control.tolist()))
        cocotb.start_soon(self.map.drive(pack(recording.beats, MAP_BEAT)))
        cocotb.start_soon(self.out.watch())
        first = last = 0
        started = False
        ends: list[LayerEnd] = []
        fault = None
        while len(ends) < recording.ends and fault is None:
            await self._next()
            assert self.cycle <= recording.max_cycles, f"no end in {recording.max_cycles} cycles"
            if not started and self._streams[0].moves():
                started, first = True, self.cycle - 1
            if self.dut.done.value:
                last = self.cycle
                for _ in range(COUNTER_LATENCY):
                    await self._next()
                ends.append(LayerEnd(cycle=last, counters=self._counters()))
            elif self.dut.fault.value:
                last = self.cycle
                fault = await self._fault()
        taken = (self.control.taken, self.map.taken)
        assert fault or taken == given, f"ended after {taken} of {given} control words and map beats"
        return RunResult(
            out=unpack(self.out.payloads, OUT_BEAT, OUT_BEATS),
            ends=tuple(ends),
            cycles=last - first,
            control_taken=self.control.taken,
            map_taken=self.map.taken,
            fault=fault,
        )

    async def _next(self) -> None:
        await self._edge
        self.cycle += 1

    def _counters(self) -> dict[str, int]:
        return {name: getattr(self.dut, f"c_{name}").value.to_unsigned() for name in COUNTERS}

    async def _fault(self) -> FaultReport:
        """Read the fault, and watch that nothing moves any more."""
        row, col = (getattr(self.dut, f"fault_{name}").value.to_unsigned() for name in ("row", "col"))
        fault = FaultReport(code=self.dut.fault.value.to_unsigned(), row=row, col=col)
        for _ in range(FAULT_WATCH):
            assert not any(stream.moves() for stream in self._streams), f"streams move after {fault}"
            await self._next()
        return fault


@cocotb.test()
async def replay(dut: SimHandleBase) -> None:
    """Replay a recording and compare what comes out with what it expects, bit for bit."""
    path = Path(os.environ[STREAMS])
    recording = Recording.load(path)
    bench = Testbench(dut, recording.gaps)
    await bench.reset()
    start = time.perf_counter()
    result = await bench.run(recording)
    save_result(path.with_name("result.npz"), result, seconds=time.perf_counter() - start)
    code = result.fault.code if result.fault else 0
    assert code == recording.fault, f"fault {code} instead of {recording.fault}"
    if recording.expected is not None:
        assert (text := difference(result.out, recording.expected)) == "", text
