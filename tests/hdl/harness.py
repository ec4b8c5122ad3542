"""What the tests of all blocks share: streams with stalls, a clock with an end, waves on failure.

A typical test:

    async def producer(ctx):
        await put(ctx, dut.i, items, idle, seed=1)

    async def consumer(ctx):
        assert await get(ctx, dut.o, len(wanted), stall, seed=2) == wanted
        await expect_silence(ctx, dut.o)

    simulate(dut, producer, consumer)

with `idle` and `stall` crossed over `PATTERNS`.
"""

import os
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import data, stream, wiring
from amaranth.sim import Simulator, SimulatorContext

#: How a test holds its end of a stream back: never, in every other cycle or so, or for long.
PATTERNS = ("none", "random", "long")

#: Where the waves of failed simulations go.
WAVES = Path(__file__).resolve().parents[2] / "build" / "waves"

Testbench = Callable[[SimulatorContext], Awaitable[None]]


def activity(pattern: str, seed: int) -> Iterator[bool]:
    """Yield for every cycle whether an end of a stream is active, by one of `PATTERNS`.

    There is one more, "rare": one cycle in fifty.
    """
    generator = random.Random(seed)
    while True:
        match pattern:
            case "none":
                yield True
            case "random":
                yield generator.random() < 0.5
            case "long":
                yield from [True] * generator.randint(1, 40)
                yield from [False] * generator.randint(20, 60)
            case "rare":
                yield from [*[False] * 49, True]
            case _:
                raise ValueError(f"pattern must be one of {PATTERNS}, not {pattern!r}")


def plain(value: Any) -> Any:
    """Return a sampled value as integers, lists and dicts, which compare and print well."""
    if not isinstance(value, data.Const):
        return value
    layout = value.shape()
    if isinstance(layout, data.ArrayLayout):
        return [plain(value[i]) for i in range(layout.length)]
    return {name: plain(value[name]) for name, _ in layout}


async def put(
    ctx: SimulatorContext, port: Any, items: Iterable[Any], pattern: str = "none", *, seed: int = 0
) -> None:
    """Send items (integers, or dicts and lists of a layout) with idle cycles by the pattern."""
    active = activity(pattern, seed)
    for item in items:
        while not next(active):
            await ctx.tick()
        ctx.set(port.payload, item)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


async def get(
    ctx: SimulatorContext, port: Any, count: int, pattern: str = "none", *, seed: int = 0
) -> list[Any]:
    """Receive `count` items, `plain`, with back-pressure by the pattern."""
    active = activity(pattern, seed)
    received: list[Any] = []
    while len(received) < count:
        ready = next(active)
        ctx.set(port.ready, ready)
        valid, _, payload = await _sample(ctx, port)
        if ready and valid:
            received.append(plain(payload))
    ctx.set(port.ready, 0)
    return received


async def expect_silence(ctx: SimulatorContext, port: Any, cycles: int = 50) -> None:
    """Assert that a stream offers nothing for some cycles in which it could."""
    ctx.set(port.ready, 1)
    for _ in range(cycles):
        valid, _, payload = await _sample(ctx, port)
        assert not valid, f"one item too many: {plain(payload)}"
    ctx.set(port.ready, 0)


def recorder(port: Any, log: list[tuple[int, Any]]) -> Testbench:
    """Return a monitor that logs every transfer of a stream: its cycle, from 0, and its payload."""

    async def record(ctx: SimulatorContext) -> None:
        cycle = 0
        log.clear()
        while True:
            valid, ready, payload = await _sample(ctx, port)
            if valid and ready:
                log.append((cycle, plain(payload)))
            cycle += 1

    return record


def simulate(
    dut: wiring.Component,
    *testbenches: Testbench,
    monitors: Sequence[Testbench] = (),
    max_cycles: int = 100_000,
) -> None:
    """Run testbenches on a component with one clock until all have returned.

    Monitors run beside the testbenches and end with them. On every output stream of the component
    it is checked that an item once offered stays until it is taken. After a failure the simulation
    is repeated to write its waves, `build/waves/<test>.vcd`.

    Raises
    ------
    TimeoutError
        If the testbenches have not returned after `max_cycles`.
    """
    top = Module()
    top.domains.sync = ClockDomain()
    top.submodules.dut = dut

    async def limit(ctx: SimulatorContext) -> None:
        for _ in range(max_cycles):
            await ctx.tick()
        raise TimeoutError(f"the testbenches have not returned after {max_cycles} cycles")

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for monitor in (*monitors, *map(_patience, _output_streams(dut)), limit):
        simulator.add_testbench(monitor, background=True)
    try:
        simulator.run()
    except Exception:
        _write_waves(simulator)
        raise


async def _sample(ctx: SimulatorContext, port: Any) -> tuple[Any, Any, Any]:
    """Wait for a clock edge; valid, ready and payload as they stood before it."""
    _, _, *values = await ctx.tick().sample(port.valid, port.ready, port.payload)
    return tuple(values)


def _output_streams(dut: wiring.Component) -> Iterator[Any]:
    for name, member in dut.signature.members.items():
        if not member.is_signature or not isinstance(member.signature, stream.Signature):
            continue
        if member.flow == wiring.Out:
            ports = getattr(dut, name)
            yield from ports if member.dimensions else [ports]


def _patience(port: Any) -> Testbench:
    async def watch(ctx: SimulatorContext) -> None:
        offered = None
        while True:
            valid, ready, payload = await _sample(ctx, port)
            if offered is not None:
                assert valid, f"withdrawn before it was taken: {plain(offered)}"
                assert plain(payload) == plain(offered), "changed before it was taken"
            offered = payload if valid and not ready else None

    return watch


def _write_waves(simulator: Simulator) -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST", "simulation").split(" ")[0]
    WAVES.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", test.split("/")[-1])
    simulator.reset()
    with simulator.write_vcd(str(WAVES / f"{name}.vcd")):
        try:
            simulator.run()
        except Exception:
            return
