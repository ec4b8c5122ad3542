"""The stream kit, and the harness that tests every block."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.stream import StreamFIFO, StreamRegister
from tests.hdl import harness
from tests.hdl.harness import PATTERNS, expect_silence, get, put, recorder, simulate

PAIR = data.StructLayout({"value": signed(7), "parts": data.ArrayLayout(unsigned(3), 2)})

# Each block by name, with its latency and the items that it holds.
BLOCKS = {
    "register": (lambda: StreamRegister(PAIR), 1, 2),
    "fifo_2": (lambda: StreamFIFO(PAIR, 2), 1, 2),
    "fifo_5": (lambda: StreamFIFO(PAIR, 5), 1, 5),
    "block_ram_3": (lambda: StreamFIFO(PAIR, 3, block_ram=True), 2, 3),
    "block_ram_8": (lambda: StreamFIFO(PAIR, 8, block_ram=True), 2, 8),
}


def pairs(count: int, seed: int = 1) -> list[dict]:
    generator = random.Random(seed)
    return [
        {
            "value": generator.randint(-64, 63),
            "parts": [generator.randrange(8), generator.randrange(8)],
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("block", BLOCKS)
def test_items_pass_in_order(block, idle, stall):
    make, _, _ = BLOCKS[block]
    dut = make()
    items = pairs(150)

    async def producer(ctx):
        await put(ctx, dut.i, items, idle, seed=2)

    async def consumer(ctx):
        assert await get(ctx, dut.o, len(items), stall, seed=3) == items
        await expect_silence(ctx, dut.o)

    simulate(dut, producer, consumer, max_cycles=10_000)


@pytest.mark.parametrize("block", BLOCKS)
def test_latency_and_throughput(block):
    make, latency, _ = BLOCKS[block]
    dut = make()
    items = pairs(20)
    sent, received = [], []

    async def producer(ctx):
        await put(ctx, dut.i, items)

    async def consumer(ctx):
        await get(ctx, dut.o, len(items))

    simulate(dut, producer, consumer, monitors=[recorder(dut.i, sent), recorder(dut.o, received)])
    assert [cycle for cycle, _ in sent] == list(range(len(items)))
    assert [cycle for cycle, _ in received] == [cycle + latency for cycle, _ in sent]


@pytest.mark.parametrize("block", BLOCKS)
def test_capacity(block):
    make, _, capacity = BLOCKS[block]
    dut = make()
    sent = []

    async def producer(ctx):
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(50)

    simulate(dut, producer, monitors=[recorder(dut.i, sent)])
    assert len(sent) == capacity


@pytest.mark.parametrize(("depth", "block_ram", "least"), [(1, False, 2), (2, True, 3)])
def test_a_fifo_too_small_for_full_throughput_is_refused(depth, block_ram, least):
    with pytest.raises(ValueError, match=f"at least {least} for full throughput, not {depth}"):
        StreamFIFO(unsigned(8), depth, block_ram=block_ram)


@pytest.mark.parametrize("block", BLOCKS)
def test_no_path_joins_the_ends(block):
    """Two blocks in a ring convert, so that neither end depends on the other within a cycle."""
    make, _, _ = BLOCKS[block]
    m = Module()
    m.submodules.a = a = make()
    m.submodules.b = b = make()
    wiring.connect(m, a.o, b.i)
    wiring.connect(m, b.o, a.i)
    assert rtlil.convert(m, ports=[])
    assert rtlil.convert(make())


class Fickle(wiring.Component):
    """Breaks the stream contract: withdraws, or changes, what it offered."""

    o: Out(stream.Signature(8))
    withdraw: In(1)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.payload.eq(self.o.payload + ~self.withdraw)
        m.d.sync += self.o.valid.eq(~(self.o.valid & self.withdraw))
        return m


@pytest.mark.parametrize(("withdraw", "message"), [(1, "withdrawn"), (0, "changed")])
def test_the_harness_sees_a_broken_promise(withdraw, message, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "WAVES", tmp_path)
    dut = Fickle()

    async def testbench(ctx):
        ctx.set(dut.withdraw, withdraw)
        await ctx.tick().repeat(10)

    with pytest.raises(AssertionError, match=f"{message} before it was taken"):
        simulate(dut, testbench)
    (waves,) = tmp_path.iterdir()
    assert waves.suffix == ".vcd"
    assert waves.stat().st_size > 0


def test_the_harness_ends_a_simulation_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "WAVES", tmp_path)
    dut = StreamRegister(unsigned(8))

    async def testbench(ctx):
        await get(ctx, dut.o, 1)

    with pytest.raises(TimeoutError, match="not returned after 100 cycles"):
        simulate(dut, testbench, max_cycles=100)


def test_the_harness_sees_an_item_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "WAVES", tmp_path)
    dut = StreamRegister(unsigned(8))

    async def producer(ctx):
        await put(ctx, dut.i, [1, 2])

    async def consumer(ctx):
        await get(ctx, dut.o, 1)
        await expect_silence(ctx, dut.o)

    with pytest.raises(AssertionError, match="one item too many: 2"):
        simulate(dut, producer, consumer)


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="pattern must be one of"):
        next(harness.activity("sometimes", 0))
