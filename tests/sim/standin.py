"""A component with the core's pins and a plain meaning: what the harnesses are tested on.

Its work is told by one control word: how many control words to swallow after it, how many map
beats to copy to the output, how long to wait before the end, and which fault to raise instead of
ending. The copy passes valid and ready straight through, the hardest case for a harness.
"""

import numpy as np
from amaranth.hdl import Assert, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hdl.layouts import MAP_BEAT, OUT_BEAT
from sim.streams import COUNTER_LATENCY, COUNTERS, OUT_BEATS

#: Name of its Verilog module.
TOP = "standin"

#: Fields of the first control word of a layer.
HEADER = (("beats", 32), ("words", 12), ("hold", 12), ("fault", 4), ("leak", 1), ("trip", 1))

#: Cycles from a layer's `done` until the next may begin.
RESTS = COUNTER_LATENCY - 1


def header(**values: int) -> int:
    """Pack the control word that starts a layer; what is not named is zero."""
    word = position = 0
    for name, bits in HEADER:
        word |= values.pop(name, 0) << position
        position += bits
    assert not values
    return word


class Standin(wiring.Component):
    """Copy map beats to the output as told by the control stream.

    An output beat carries the map beat's data, bytes and last flag; `context` is the index of its
    segment modulo 16, `length` the bytes of the segment with its last beat and zero before.
    A fault is reported in row (segment) and column (beat of the segment) where the copy stood;
    with `leak` control words are taken all the same. An input that withdraws what it offered fails
    an assertion, and so does the end of a layer with `trip`.

    Parameters
    ----------
    imbalance
        What that counter always shows.
    """

    def __init__(self, imbalance: int = 7):
        self._imbalance = imbalance
        super().__init__(
            {
                "i_control": In(stream.Signature(unsigned(64))),
                "i_map": In(stream.Signature(MAP_BEAT)),
                "o_map": Out(stream.Signature(OUT_BEAT)),
                "clear": In(1),
                "busy": Out(1),
                "done": Out(1),
                "fault": Out(4),
                "fault_row": Out(12),
                "fault_col": Out(12),
                **{f"c_{name}": Out(48) for name in COUNTERS},
            }
        )

    def elaborate(self, platform):
        m = Module()
        layout = data.StructLayout({name: unsigned(bits) for name, bits in HEADER})
        told = Signal(layout)
        left = Signal(layout)
        length = Signal(24)
        total = Signal(24)
        i, o = self.i_map, self.o_map
        m.d.comb += [
            total.eq(length + i.payload.bytes),
            o.payload.data.eq(i.payload.data),
            o.payload.bytes.eq(i.payload.bytes),
            o.payload.last.eq(i.payload.last),
            o.payload.context.eq(self.fault_row),
            o.payload.length.eq(Mux(i.payload.last, total, 0)),
            self.c_decode.eq(told.beats),
            self.c_weights.eq(told.words),
            self.c_drain.eq(told.hold),
            self.c_imbalance.eq(self._imbalance),
        ]
        counted, rested = Signal(), Signal(range(RESTS))
        with m.If(counted):
            m.d.sync += self.c_cycles.eq(self.c_cycles + 1)

        with m.FSM() as fsm:
            m.d.comb += [
                self.busy.eq(~fsm.ongoing("head")),
                counted.eq(self.busy & ~fsm.ongoing("rest")),
            ]
            with m.State("head"):
                m.d.comb += self.i_control.ready.eq(1)
                with m.If(self.i_control.valid):
                    m.d.sync += [
                        told.eq(self.i_control.payload),
                        left.eq(self.i_control.payload),
                        length.eq(0),
                        self.fault_row.eq(0),
                        self.fault_col.eq(0),
                        self.c_cycles.eq(1),
                        self.c_compute.eq(0),
                        self.c_useful.eq(0),
                        self.c_busy.eq(0),
                        self.c_bus.eq(0),
                    ]
                    m.next = "words"
            with m.State("words"):
                m.d.comb += self.i_control.ready.eq(left.words != 0)
                with m.If(left.words == 0):
                    m.next = "copy"
                with m.Elif(self.i_control.valid):
                    m.d.sync += left.words.eq(left.words - 1)
            with m.State("copy"):
                with m.If(left.beats == 0):
                    m.next = "hold"
                with m.Else():
                    m.d.comb += [o.valid.eq(i.valid), i.ready.eq(o.ready)]
                    m.d.sync += self.c_busy.eq(self.c_busy + 1)
                    with m.If(~(i.valid & o.ready)):
                        m.d.sync += self.c_bus.eq(self.c_bus + 1)
                    with m.Else():
                        m.d.sync += [
                            left.beats.eq(left.beats - 1),
                            self.c_compute.eq(self.c_compute + 1),
                            self.c_useful.eq(self.c_useful + i.payload.bytes),
                            length.eq(Mux(i.payload.last, 0, total)),
                            self.fault_row.eq(self.fault_row + i.payload.last),
                            self.fault_col.eq(Mux(i.payload.last, 0, self.fault_col + 1)),
                        ]
            with m.State("hold"):
                with m.If(left.hold == 0):
                    m.next = "end"
                with m.Else():
                    m.d.sync += left.hold.eq(left.hold - 1)
            with m.State("end"):
                with m.If(told.fault == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "rest"
                with m.Else():
                    m.d.comb += [
                        self.fault.eq(told.fault),
                        self.i_control.ready.eq(told.leak),
                    ]
                    with m.If(self.clear):
                        m.next = "head"
            # The counters stand still until they have been read.
            with m.State("rest"):
                m.d.sync += rested.eq(rested + 1)
                with m.If(rested == RESTS - 1):
                    m.d.sync += rested.eq(0)
                    m.next = "head"

        m.d.sync += Assert(~(self.done & told.trip))
        for name, pins in (("control", self.i_control), ("map", self.i_map)):
            offered = Signal(name=f"{name}_offered")
            m.d.sync += offered.eq(pins.valid & ~pins.ready)
            m.d.sync += Assert(pins.valid | ~offered | self.clear)
        return m


def copied(beats: NDArray[np.void]) -> NDArray[np.void]:
    """Output beats that the stand-in makes of a layer's map beats."""
    out = np.zeros(len(beats), OUT_BEATS)
    segment = length = 0
    for k, (data_word, count, last) in enumerate(beats.tolist()):
        length += count
        out[k] = (data_word, count, last, segment % 16, length if last else 0)
        if last:
            segment, length = segment + 1, 0
    return out
