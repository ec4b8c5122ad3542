"""Small parts that every stream needs: a register stage and a FIFO, for payloads of any shape."""

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import fifo, stream, wiring
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
    """A FIFO of at least `depth` items.

    Throughput 1 item per cycle. Latency 1 cycle in LUT RAM or flip-flops, 2 cycles with
    `block_ram`, whose read is registered. No combinational path joins the two ends; `o.payload`
    comes from the memory.

    Parameters
    ----------
    shape : of the payload, anything that a stream carries
    depth : items that the FIFO holds, at least 2, with `block_ram` at least 3
    block_ram : read the memory in a registered way, so that it maps to block RAM

    Members
    -------
    i, o : streams of `shape`
    level : items inside, 0 to `depth`

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
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kind = fifo.SyncFIFOBuffered if self._block_ram else fifo.SyncFIFO
        m.submodules.fifo = inner = kind(width=self._width, depth=self._depth)
        m.d.comb += [
            inner.w_en.eq(self.i.valid),
            inner.w_data.eq(self.i.payload),
            self.i.ready.eq(inner.w_rdy),
            self.o.valid.eq(inner.r_rdy),
            self.o.payload.eq(inner.r_data),
            inner.r_en.eq(self.o.ready),
            self.level.eq(inner.level),
        ]
        return m
