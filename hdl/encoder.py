"""The encoder: packs values into the words of a sparse map."""

from functools import reduce
from operator import or_

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from golden.params import Build, ceil_div
from hdl.layouts import OUT_BEAT, PASS_CONFIG, value_chunk
from hdl.stream import StreamFIFO


class PacketShape:
    """Sizes of a packet, that is, a sparsity map and its non-zero values.

    A slot holds one value. A packet lies in whole bus words, behind the slots that its segment
    has begun to fill.
    """

    def __init__(self, build: Build):
        #: Slots of a bus word.
        self.word_slots = build.bus_bytes // build.act_bytes
        #: Slots of a sparsity map.
        self.map_slots = 2 // build.act_bytes
        #: Slots of the largest packet at the largest offset.
        self.slots = self.word_slots - 1 + self.map_slots + build.packet_channels
        #: Bus words that hold them.
        self.words = ceil_div(self.slots, self.word_slots)
        #: Row contexts: two per team.
        self.contexts = 2 * build.clusters


def packet(build: Build) -> data.StructLayout:
    """Layout of one packet on its way to the writer.

    words: the packet behind `joins` empty slots, unused bits 0. end: slots up to its end.
    completes: bus words that it completes, the last one of a segment included. opens, closes: first
    and last packet of its segment.
    """
    shape = PacketShape(build)
    return data.StructLayout(
        {
            "words": data.ArrayLayout(unsigned(build.bus_bits), shape.words),
            "joins": range(shape.word_slots),
            "end": range(shape.slots + 1),
            "completes": range(shape.words + 1),
            "context": unsigned(4),
            "opens": unsigned(1),
            "closes": unsigned(1),
        }
    )


class PacketGatherer(wiring.Component):
    """Collects the chunks of a packet, leaves zeros out, and puts the sparsity map in front.

    A packet stands at `o` for one cycle, 2 cycles after its last chunk was taken. Throughput one
    chunk per cycle, no flow control: `i` is always ready, and `o.ready` is not looked at; whoever
    sends chunks sees to it that there is room (`Encoder`). The chunks of one packet arrive
    together; packets of several contexts may take turns.

    Members
    -------
    config : `out_zero`, stable
    i : see `hdl.layouts.value_chunk`
    o : see `packet`
    idle : nothing inside, and no segment is open
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "i": In(stream.Signature(value_chunk(build))),
                "o": Out(stream.Signature(packet(build))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        shape = PacketShape(build)
        slot_bits = exact_log2(shape.word_slots)
        m = Module()

        # First cycle: which values are not zero, and those without gaps.
        chunk = self.i.payload
        nonzero = Signal(build.drain)
        m.d.comb += nonzero.eq(
            Cat(
                chunk.real[n] & (chunk.values[n] != self.config.out_zero[: build.act_bits])
                for n in range(build.drain)
            )
        )
        offsets = Signal(data.ArrayLayout(range(shape.word_slots), shape.contexts))
        opened = Signal(shape.contexts)
        offset, opens = Signal(range(shape.word_slots)), Signal()
        dense = data.StructLayout(
            {
                "values": data.ArrayLayout(unsigned(build.act_bits), build.drain),
                "count": range(build.drain + 1),
                "map": unsigned(build.drain),
                "context": range(shape.contexts),
                "packet_end": unsigned(1),
                "segment_end": unsigned(1),
                "offset": range(shape.word_slots),
                "opens": unsigned(1),
            }
        )
        held, holds = Signal(dense), Signal()
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += [
            holds.eq(self.i.valid),
            held.count.eq(_ones(nonzero)),
            held.map.eq(nonzero),
            held.context.eq(chunk.context),
            held.packet_end.eq(chunk.packet_end),
            held.segment_end.eq(chunk.segment_end),
            held.offset.eq(offset),
            held.opens.eq(opens),
        ]
        is_nth = [Signal(build.drain, name=f"is_nth_{source}") for source in range(build.drain)]
        for source, place in enumerate(is_nth):
            before = Signal(range(max(2, source + 1)), name=f"before_{source}")
            m.d.comb += [
                before.eq(_ones(nonzero[:source])),
                place.eq(nonzero[source] << before),
            ]
        for n in range(build.drain):
            # The last one stands where there is no nth.
            m.d.sync += held.values[n].eq(chunk.values[-1])
            for source in range(n, build.drain - 1):
                with m.If(is_nth[source][n]):
                    m.d.sync += held.values[n].eq(chunk.values[source])

        # Second cycle: put them behind what the packet has already.
        slots = Signal(data.ArrayLayout(unsigned(build.act_bits), shape.slots))
        bits = Signal(16)
        count = Signal(range(max(2, 16 // build.drain)))
        starts = Signal(init=1)
        full = Signal()
        out = Signal(packet(build))
        position, next_end = Signal.like(out.end), Signal.like(out.end)
        next_offset = Signal.like(offset)
        at, real = Signal(shape.slots), Signal(build.drain)  # position, and count, in unary
        m.d.comb += [
            position.eq(Mux(starts, held.offset + shape.map_slots, out.end)),
            next_end.eq(position + held.count),
            next_offset.eq(Mux(held.segment_end, 0, next_end)),
            at.eq(Cat(position == k for k in range(shape.slots))),
            real.eq(Cat(held.count > n for n in range(build.drain))),
        ]
        m.d.sync += full.eq(holds & held.packet_end)
        with m.If(holds):
            for k in range(shape.slots):
                hits = Signal(min(build.drain, k + 1), name=f"hits_{k}")
                m.d.comb += hits.eq(Cat(at[k - n] & real[n] for n in range(len(hits))))
                chosen = (
                    hit.replicate(build.act_bits) & held.values[n] for n, hit in enumerate(hits)
                )
                with m.If(starts | hits.any()):
                    m.d.sync += slots[k].eq(reduce(or_, chosen))
            with m.If(starts):
                m.d.sync += bits.eq(0)
            m.d.sync += [
                bits.word_select(count, build.drain).eq(held.map),
                count.eq(Mux(held.packet_end, 0, count + 1)),
                starts.eq(held.packet_end),
                out.joins.eq(held.offset),
                out.end.eq(next_end),
                out.context.eq(held.context),
                out.opens.eq(held.opens),
                out.closes.eq(held.segment_end),
            ]
            with m.If(held.packet_end):
                m.d.sync += [
                    offsets[held.context].eq(next_offset),
                    opened.bit_select(held.context, 1).eq(~held.segment_end),
                ]

        # Where the arriving chunk's packet starts. It may follow the one that just ends.
        follows = holds & held.packet_end & (held.context == chunk.context)
        m.d.comb += [
            offset.eq(Mux(follows, next_offset, offsets[chunk.context])),
            opens.eq(Mux(follows, held.segment_end, ~opened.bit_select(chunk.context, 1))),
        ]

        # Offer the packet, with its sparsity map.
        packed = [Signal(build.act_bits, name=f"packed_{k}") for k in range(shape.slots)]
        for k in range(shape.slots):
            m.d.comb += packed[k].eq(slots[k])
            for part in range(shape.map_slots):
                if 0 <= k - part < shape.word_slots:
                    with m.If(out.joins == k - part):
                        m.d.comb += packed[k].eq(bits.word_select(part, build.act_bits))
        m.d.comb += [
            self.o.valid.eq(full),
            self.o.payload.eq(out),
            self.o.payload.words.eq(Cat(packed)),
            self.o.payload.completes.eq(
                out.end[slot_bits:] + (out.closes & out.end[:slot_bits].any())
            ),
            self.idle.eq(~holds & ~full & starts & ~opened.any()),
        ]
        return m


class PacketWriter(wiring.Component):
    """Appends packets to their segments and emits the words that become complete.

    A packet takes max(1, words) cycles, in which nothing else happens, and the next one follows
    without a gap; `words` are those that it completes, and the last one of a segment. Each word
    stands at `o` one cycle later. When `o` is not ready, everything waits.

    Members
    -------
    i : see `packet`
    o : see `hdl.layouts.OUT_BEAT`; unused bytes are 0, and so is `length` but for the last word
    idle : nothing inside but segments' beginnings
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "i": In(stream.Signature(packet(build))),
                "o": Out(stream.Signature(OUT_BEAT)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        shape = PacketShape(build)
        m = Module()

        # Per context: the slots that fill no word yet, and the words that have left.
        segment = data.StructLayout(
            {
                "rest": unsigned(build.bus_bits - build.act_bits),
                "words": unsigned(OUT_BEAT["length"].width - 3),
            }
        )
        m.submodules.segments = segments = Memory(shape=segment, depth=shape.contexts, init=[])
        read, write = segments.read_port(domain="comb"), segments.write_port()
        entry = self.i.payload
        m.d.comb += [read.addr.eq(entry.context), write.addr.eq(entry.context)]

        slot_bits = exact_log2(shape.word_slots)
        whole = entry.end[slot_bits:]  # words that become full
        odd_bytes = Cat(C(0, 3 - slot_bits), entry.end[:slot_bits])
        index = Signal(range(shape.words))
        final = Signal()
        joined, rest = Signal(build.bus_bits), Signal(build.bus_bits)
        words = Array([joined, *(entry.words[n] for n in range(1, shape.words))])
        words_left = Signal.like(read.data.words)
        m.d.comb += [
            final.eq(index + 1 >= entry.completes),
            joined.eq(entry.words[0] | Mux(entry.joins.any(), read.data.rest, 0)),
            rest.eq(words[whole]),
            words_left.eq(Mux(entry.opens, 0, read.data.words) + whole),
        ]

        step = Signal()
        m.d.comb += [
            step.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(step & final),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.rest.eq(rest),
            write.data.words.eq(words_left),
        ]
        ends = final & entry.closes
        out = self.o.payload
        with m.If(step):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & (index < entry.completes)),
                out.data.eq(words[index]),
                out.bytes.eq(Mux(ends & odd_bytes.any(), odd_bytes, build.bus_bytes)),
                out.last.eq(ends),
                out.context.eq(entry.context),
                out.length.eq(Mux(ends, Cat(odd_bytes, words_left), 0)),
            ]
            with m.If(self.i.valid):
                m.d.sync += index.eq(Mux(final, 0, index + 1))
        m.d.comb += self.idle.eq(~self.i.valid & ~self.o.valid)
        return m


class Encoder(wiring.Component):
    """Encodes values into the words of sparse maps, one segment per context at a time.

    The writer takes a packet `Build.encoder_latency` cycles after the packet's last chunk, or
    later, when it has finished the one before; it then takes max(1, words) cycles
    (`PacketWriter`), and each word stands at `o` one cycle after the cycle that made it. `i` is
    always ready. Between it and the writer, `Build.output_packets` packets find room: whoever sends
    chunks keeps count of them by `returned`.

    Members
    -------
    config : `out_zero`, stable while chunks are inside
    i : see `hdl.layouts.value_chunk`; a packet's chunks come together, contexts may alternate
        between packets, and a context's next segment may follow its last at once
    o : see `hdl.layouts.OUT_BEAT`; unused bytes are 0, and so is `length` but for the last word
    returned : the writer finished a packet in the cycle before
    idle : nothing inside, and no segment is open
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "i": In(stream.Signature(value_chunk(build))),
                "o": Out(stream.Signature(OUT_BEAT)),
                "returned": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        m = Module()
        m.submodules.gatherer = gatherer = PacketGatherer(build)
        m.submodules.queue = queue = StreamFIFO(packet(build), depth=build.output_packets)
        m.submodules.writer = writer = PacketWriter(build)
        connect(m, flipped(self.i), gatherer.i)
        # The credits of whoever sends keep the queue from overflowing.
        connect(m, gatherer.o, queue.i)
        connect(m, queue.o, writer.i)
        connect(m, writer.o, flipped(self.o))
        m.d.sync += self.returned.eq(writer.i.valid & writer.i.ready)
        m.d.comb += [
            gatherer.config.eq(self.config),
            self.idle.eq(gatherer.idle & writer.idle),
        ]
        return m


def _ones(bits: Value) -> ValueLike:
    """Return the number of ones."""
    return sum(bits)
