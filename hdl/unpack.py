"""The datapath of the intake: bus words become pieces of any length, packed values map words."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import MAP_BEAT, map_piece


class Unpacker(wiring.Component):
    """Holds the next bytes of a map segment and gives them up in pieces of any length.

    Lengths are counted in values, `act_bytes` bytes each; every piece is a whole number of them.
    A bus word taken in cycle t can be given up from t + 1 on; one bus word in and one piece out
    per cycle. `i.ready` depends on registers and on `accept` only: it is low while the buffer has
    no room for a whole bus word, whatever is given up in that cycle, and from the last bus word of
    a segment until `reopen`.

    A bus word of no bytes, of more than 8, or of half a value ends its segment, which is then
    torn.

    Members
    -------
    i : the map stream
    accept : bus words may be taken
    reopen : the next bus word opens a segment; only when the old one is used up
    need : values of the next piece
    take : give that piece up; only when it is complete
    peek : the next bytes, as many as the longest piece has; those not yet there mean nothing
    complete : the buffer has `need` values
    empty : the buffer has none
    ended : no more bytes of this segment will come
    torn : the segment's last bus word was not taken in
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "i": In(stream.Signature(MAP_BEAT)),
                "accept": In(1),
                "reopen": In(1),
                "need": In(range(build.step_pixels + 1)),
                "take": In(1),
                "peek": Out(build.step_pixels * build.act_bits),
                "complete": Out(1),
                "empty": Out(1),
                "ended": Out(1),
                "torn": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        bits = build.act_bits
        beat = build.bus_bytes // build.act_bytes  # values of one bus word
        size = build.intake_bytes // build.act_bytes  # values of the buffer
        m = Module()

        values = Signal(size * bits)
        fill = Signal(range(size + 1))
        put = Signal()
        m.d.comb += [
            self.i.ready.eq(self.accept & (fill <= size - beat) & ~self.ended),
            put.eq(self.i.valid & self.i.ready),
            self.peek.eq(values),
            self.complete.eq(fill >= self.need),
            self.empty.eq(fill == 0),
        ]

        # A new bus word goes behind the values that are there. Rotated by the fill, each of its
        # values stands at its place modulo the bus word; what is written beyond the fill before a
        # word comes is harmless.
        rotated = Signal(build.bus_bits)
        with m.Switch(fill % beat):
            for k in range(beat):
                with m.Case(k):
                    m.d.comb += rotated.eq(self.i.payload.data.rotate_left(k * bits))
        joined = Signal(size * bits)
        for k in range(size):
            m.d.comb += joined.word_select(k, bits).eq(
                Mux(k < fill, values.word_select(k, bits), rotated.word_select(k % beat, bits))
            )
        distance = Cat(Const(0, (bits - 1).bit_length()), self.need)
        m.d.sync += values.eq(Mux(self.take, joined >> distance, joined))

        length = self.i.payload.bytes
        torn = Signal()
        m.d.comb += torn.eq((length == 0) | (length > build.bus_bytes))
        if build.act_bytes == 2:
            with m.If(length[0]):
                m.d.comb += torn.eq(1)
        come = Mux(put & ~torn, length // build.act_bytes, 0)
        gone = Mux(self.take, self.need, 0)
        m.d.sync += fill.eq(fill + come - gone)

        with m.If(self.reopen):
            m.d.sync += [self.ended.eq(0), self.torn.eq(0)]
        with m.If(put):
            m.d.sync += [self.ended.eq(self.i.payload.last | torn), self.torn.eq(torn)]
        return m


class Expander(wiring.Component):
    """Spreads the packed values of a map word, or of a piece of it, over its pixels.

    `piece` belongs to the mask that was loaded last, and to `packed` and `dense` in the same cycle,
    combinationally; `count` belongs to `next_mask`.

    Members
    -------
    load : `next_mask` is the mask of the next piece
    next_mask : which pixels have a value in the stream
    count : how many
    packed : the values, one behind the other
    dense : a value may be the zero point, and its mask bit is then cleared
    zero : the zero point, as raw bits
    piece : the pixels; values of those whose mask bit is clear mean nothing
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "load": In(1),
                "next_mask": In(build.step_pixels),
                "count": Out(range(build.step_pixels + 1)),
                "packed": In(build.step_pixels * build.act_bits),
                "dense": In(1),
                "zero": In(build.act_bits),
                "piece": Out(map_piece(build)),
            }
        )

    def elaborate(self, platform):
        pixels = self._build.step_pixels
        bits = self._build.act_bits
        m = Module()

        m.d.comb += self.count.eq(count_ones(self.next_mask))
        mask = Signal(pixels)
        with m.If(self.load):
            m.d.sync += mask.eq(self.next_mask)
        for i in range(pixels):
            value = self.packed[:bits]
            if i:
                place = Signal(range(i + 1), name=f"place_{i}")  # of pixel i among the values
                with m.If(self.load):
                    m.d.sync += place.eq(count_ones(self.next_mask[:i]))
                value = self.packed[: (i + 1) * bits].word_select(place, bits)
            m.d.comb += [
                self.piece.values[i].eq(value),
                self.piece.mask[i].eq(mask[i] & ~(self.dense & (value == self.zero))),
            ]
        return m


def count_ones(bits: Value) -> Value:
    """Return the number of ones, added up in a balanced tree."""
    half = len(bits) // 2
    return count_ones(bits[:half]) + count_ones(bits[half:]) if half else bits
