"""The scan wrapper adds registers at the ports and changes nothing else."""

import random

import pytest
from amaranth.hdl import ClockDomain, DomainRenamer, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from fpga.wrapper import ScanWrapper, port_bits

PAIR = data.StructLayout({"low": unsigned(3), "high": signed(4)})


class Mixture(wiring.Component):
    """Ports of every kind: signals, structures, arrays, streams, constants; state that runs on."""

    i: In(stream.Signature(PAIR))
    o: Out(stream.Signature(signed(6), always_ready=True))
    taps: In(2).array(3)
    count: Out(8)
    parity: Out(1).array(2)

    def elaborate(self, platform):
        m = Module()
        total = Signal(signed(6))
        m.d.comb += [
            self.i.ready.eq(self.count[0]),
            self.parity[0].eq(self.i.payload.as_value().xor()),
            self.parity[1].eq(self.taps[0] == self.taps[2]),
            self.o.valid.eq(self.count[1]),
            self.o.payload.eq(total + self.taps[1]),
        ]
        with m.If(self.i.valid):
            m.d.sync += total.eq(total + self.i.payload.low + self.i.payload.high)
        m.d.sync += self.count.eq(self.count + 1)
        return m


class Source(wiring.Component):
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + 3)
        return m


class Sink(wiring.Component):
    i: In(4)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += Signal(4).eq(self.i)
        return m


class Bench:
    """A wrapper, and one cycle at a time through it."""

    def __init__(self, dut):
        self.wrapper = ScanWrapper(dut)

    async def tick(self, ctx, **pins):
        for name in ("scan_in", "scan_enable", "capture", "rst"):
            ctx.set(getattr(self.wrapper, name), pins.get(name, 0))
        await ctx.tick()

    async def scan(self, ctx, vector):
        """Shift a vector of input bits in and the captured output bits out."""
        await self.tick(ctx)
        out = 0
        for n in range(self.wrapper.output_bits):
            out |= ctx.get(self.wrapper.scan_out) << n
            await self.tick(ctx, scan_enable=1)
        for n in range(self.wrapper.input_bits):
            await self.tick(ctx, scan_enable=1, scan_in=vector >> n & 1)
        return out

    def run(self, testbench, beside=None):
        """Simulate; the component `beside` runs on the wrapper's clock."""
        top = Module()
        top.submodules.wrapper = self.wrapper
        if beside is not None:
            top.domains.beside = domain = ClockDomain(reset_less=True)
            domain.clk = self.wrapper.clk
            top.submodules.beside = DomainRenamer("beside")(beside)
        sim = Simulator(top)
        sim.add_clock(1e-6)
        sim.add_testbench(testbench)
        sim.run()


def test_six_pins():
    wrapper = ScanWrapper(Mixture())
    pins = [len(value) for _path, _member, value in wrapper.signature.flatten(wrapper)]
    assert pins == [1] * 6


def test_ports_are_found_in_signature_order_without_constants():
    dut = Mixture()
    inputs, outputs = port_bits(dut)
    assert [len(port) for port in inputs] == [7, 1, 2, 2, 2]
    assert [len(port) for port in outputs] == [1, 6, 1, 8, 1, 1]
    assert not any(port is dut.o.ready for port in outputs)
    wrapper = ScanWrapper(dut)
    assert (wrapper.input_bits, wrapper.output_bits) == (14, 18)


def test_outputs_are_those_of_the_bare_component():
    bench, bare = Bench(Mixture()), Mixture()
    inputs, outputs = port_bits(bare)
    rng = random.Random(7)
    vectors = [rng.getrandbits(14) for _ in range(40)]
    compared = []

    async def testbench(ctx):
        expected = None
        for vector in vectors:
            scanned = await bench.scan(ctx, vector)
            if expected is not None:
                compared.append(expected)
                assert scanned == expected
            expected, shift = 0, 0
            for port in outputs:
                expected |= (ctx.get(port) & (1 << len(port)) - 1) << shift
                shift += len(port)
            await bench.tick(ctx, capture=1)
            shift = 0
            for port in inputs:
                ctx.set(port, vector >> shift & (1 << len(port)) - 1)
                shift += len(port)

    bench.run(testbench, bare)
    assert len(set(compared)) > 30


def test_reset_reaches_the_component_one_cycle_late():
    bench = Bench(Source())
    seen = []

    async def testbench(ctx):
        for cycle in range(6):
            seen.append(ctx.get(bench.wrapper.dut.o))
            await bench.tick(ctx, rst=cycle == 2)

    bench.run(testbench)
    assert seen == [0, 3, 6, 9, 0, 3]


def test_chain_runs_from_scan_in_to_scan_out():
    bench = Bench(Sink())
    out = []

    async def testbench(ctx):
        for n in range(12):
            out.append(ctx.get(bench.wrapper.scan_out))
            await bench.tick(ctx, scan_enable=1, scan_in=0b1011 >> n & 1)

    bench.run(testbench)
    assert out == [0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0]


def test_a_component_without_ports_is_refused():
    with pytest.raises(ValueError, match="has no ports to wrap"):
        ScanWrapper(
            wiring.Component({"o": Out(stream.Signature(0, always_valid=True, always_ready=True))})
        )
