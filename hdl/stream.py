"""Small parts that every stream needs: a register stage and a FIFO, for payloads of any shape."""

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """A register stage that cuts every path between its ends (a skid buffer).

    Latency 1 cycle, throughput 1 item per cycle. `o.valid`, `o.payload` and `i.ready` come from
    registers: a second register takes the item that arrives while the output is stalled.

    Members
    -------
    i, o : streams of `shape`
    """

    def __init__(self, shape: ShapeLike):
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spare = Signal(self.o.payload.shape())
        spare_full = Signal()

        m.d.comb += self.i.ready.eq(~spare_full)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += spare_full.eq(0)
            with m.If(spare_full):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(spare)]
            with m.Else():
                m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        with m.Elif(~spare_full):
            m.d.sync += [spare_full.eq(self.i.valid), spare.eq(self.i.payload)]
        return m


class StreamFIFO(wiring.Component):
    """A FIFO of `depth` items.

    Throughput 1 item per cycle. Latency 1 cycle in LUT RAM or flip-flops, 2 cycles with
    `block_ram`, whose read is registered. No combinational path joins the two ends. The first item
    stands in a register, with `block_ram` at the memory's output; one that finds nothing before it
    goes there at once.

    Parameters
    ----------
    shape : of the payload, anything that a stream carries
    depth : items that the FIFO holds, at least 2, with `block_ram` at least 3
    block_ram : read the memory in a registered way, so that it maps to block RAM

    Members
    -------
    i, o : streams of `shape`

    Raises
    ------
    ValueError
        If the depth is too small for one item per cycle.
    """

    def __init__(self, shape: ShapeLike, depth: int, *, block_ram: bool = False):
        least = 3 if block_ram else 2
        if depth < least:
            raise ValueError(f"depth must be at least {least} for full throughput, not {depth}")
        self._width = Shape.cast(shape).width
        self._depth = depth
        self._block_ram = block_ram
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self._block_ram:
            m.submodules.fifo = inner = fifo.SyncFIFOBuffered(width=self._width, depth=self._depth)
            m.d.comb += [
                inner.w_en.eq(self.i.valid),
                inner.w_data.eq(self.i.payload),
                self.i.ready.eq(inner.w_rdy),
                self.o.valid.eq(inner.r_rdy),
                self.o.payload.eq(inner.r_data),
                inner.r_en.eq(self.o.ready),
            ]
        else:
            self._in_registers(m)
        return m

    def _in_registers(self, m: Module) -> None:
        """The first item in a register, the others in a memory that is written in any case."""
        words = self._depth - 1
        m.submodules.memory = memory = Memory(shape=self._width, depth=words, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        stored = Signal(range(words + 1))
        put, take, some = Signal(), Signal(), Signal()
        moves = take & some
        m.d.comb += [
            self.i.ready.eq(stored != words),
            put.eq(self.i.valid & self.i.ready),
            take.eq(self.o.ready | ~self.o.valid),
            some.eq(put | (stored != 0)),
            write.en.eq(put),
            write.data.eq(self.i.payload),
        ]
        for address, step in ((write.addr, put), (read.addr, moves)):
            place = Signal.like(address, name="place")
            m.d.comb += address.eq(place)
            with m.If(step):
                m.d.sync += place.eq(Mux(place == words - 1, 0, place + 1))
        # What the taker says comes late, and so chooses between sums.
        m.d.sync += stored.eq(Mux(take, stored + put - some, stored + put))
        with m.If(take):
            first = Mux(stored != 0, read.data, Value.cast(self.i.payload))
            m.d.sync += [self.o.valid.eq(some), self.o.payload.eq(first)]
