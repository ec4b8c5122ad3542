"""The intake: decodes an input map into map words and fills the map banks with them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from golden.descriptor import Fault
from golden.params import Build
from hdl.layouts import MAP_BEAT, PASS_CONFIG, map_piece, piece_number
from hdl.scan import bank_bits
from hdl.unpack import Expander, Unpacker

#: Channels that one sparsity map covers.
GROUP = 16

#: Bytes of a sparsity map.
MAP_BYTES = 2


class Intake(wiring.Component):
    """Loads an input map, row by row, into the map banks.

    The stream has row after row; of each row, block after block; of each block's row one segment
    or several, which share out its columns. Blocks have `block_channels` channels, but the last of
    each branch, and the last branch, may have fewer. Each column of a block has, for every 16
    channels, a sparsity map and the non-zero values; in dense mode, all values and nothing else.

    Word w of a column (all blocks together) lies at address

        (y mod ring_rows) row_pitch + x col_pitch + w // clusters

    of bank (w + col_words (y + scan_rows x)) mod clusters, so that the words of a stripe's column
    lie in the banks in scan order. With `pack`, x / 2**pack takes the place of x col_pitch:
    col_words and the number of columns are then powers of two that fill the banks together, and
    scan_rows is odd.

    Throughput is one step per cycle, a step being a sparsity map or a map word (also one without
    pixels; of a word of more pixels than a sparsity map has, the piece that belongs to one), as
    long as the step's bytes are in the buffer. On top come one cycle per row, and two per segment.
    What a step makes stands on the write port one cycle after it and is in the memory from the next
    cycle on; `rows_done` counts a row two cycles after its last step.
    `golden.cycles.intake` predicts all this to the cycle.

    A fault stops the intake for good: it takes and writes nothing more, and `rows_done` stays.

    Members
    -------
    i : the map stream; taken only while rows below all `row_limits` are missing
    config : the pass; stable from the cycle before `start` until `rows_done` is `in_rows`
    start : load the map of `config`, beginning with row 0; only when no load is under way
    row_limits : per cluster; row y may be written when y is below all of them
    idle : no load is under way
    rows_done : rows that are completely in the memory, since the latest `start`
    w_en, w_bank, w_addr, w_part, w_piece : the write port, from registers. `w_part` is the piece's
        place in its map word; those behind it are without pixels, as far as has been told
    fault, fault_row, fault_col : why the intake stopped, and the row and column that it was at
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "i": In(stream.Signature(MAP_BEAT)),
                "config": In(PASS_CONFIG),
                "start": In(1),
                "row_limits": In(data.ArrayLayout(14, build.clusters)),
                "rows_done": Out(13),
                "idle": Out(1),
                "w_en": Out(1),
                "w_bank": Out(bank_bits(build)),
                "w_addr": Out(range(build.map_words)),
                "w_part": Out(piece_number(build)),
                "w_piece": Out(map_piece(build)),
                "fault": Out(4),
                "fault_row": Out(12),
                "fault_col": Out(12),
            }
        )

    def elaborate(self, platform):
        build = self._build
        config = self.config
        pixels = build.step_pixels
        group_pieces = GROUP // pixels
        map_values = MAP_BYTES // build.act_bytes  # a sparsity map's length, counted in values
        full = Const((1 << pixels) - 1, pixels)
        m = Module()

        m.submodules.unpacker = unpacker = Unpacker(build)
        m.submodules.expander = expander = Expander(build)
        connect(m, flipped(self.i), unpacker.i)

        # The block that comes next, known two cycles after `next_channels` has changed.
        next_channels = Signal(12)  # of that block and all that follow
        next_branch = Signal(12)  # of that block and those that follow in a whole branch
        next_pieces, next_tail, next_last = Signal(7), Signal(pixels), Signal()
        next_size, next_ends = Signal(8), Signal()  # ends its branch
        ends = next_branch <= config.block_channels
        size = Mux(ends, next_branch[:8], config.block_channels)
        last = (next_channels <= next_branch) & (next_channels <= config.block_channels)
        channels = Signal(8)
        over = channels % pixels
        m.d.sync += [
            channels.eq(Mux(last, next_channels[:8], size)),
            next_last.eq(last),
            next_size.eq(size),
            next_ends.eq(ends),
            next_pieces.eq((channels + (pixels - 1)) // pixels),
            next_tail.eq(Cat((over > k) | (over == 0) for k in range(pixels))),
        ]
        # The block at hand: pieces of its column, pixels that the last of them has, whether no
        # block follows, and the number of its first piece.
        block_pieces, block_tail, block_last = Signal(7), Signal(pixels), Signal()
        block_first = Signal(9)

        # What is left to do, the thing at hand included.
        ring_left = Signal(12)  # rows until the ring starts again
        columns_left = Signal(12)
        pieces_left = Signal(7)  # of the block's column
        group_left = Signal(range(group_pieces + 1))  # pieces of the group
        untouched = Signal()  # nothing of the column has been decoded
        fault = Signal(Fault)

        # Where the words go: the place of word 0 in this row and in this column, and which piece of
        # the whole column comes next.
        row_base, column_base = Signal.like(self.w_addr), Signal.like(self.w_addr)
        column = Signal(12)
        row_bank, column_bank = Signal.like(self.w_bank), Signal.like(self.w_bank)
        piece = Signal(9)
        part_bits = (build.word_pixels // pixels - 1).bit_length()
        word = piece[part_bits:]
        bank_width = (build.clusters - 1).bit_length()
        column_step = Signal(bank_width)  # col_words scan_rows, modulo the number of banks
        packed = Signal.like(self.w_addr)
        with m.Switch(config.pack):
            with m.Case(0):
                m.d.comb += packed.eq(column_base + (word >> bank_width))
            for shift in range(1, bank_width + 1):
                with m.Case(shift):
                    m.d.comb += packed.eq(row_base + (column >> shift))
        m.d.sync += [
            column_step.eq(
                sum(Mux(config.scan_rows[b], config.col_words << b, 0) for b in range(bank_width))
            ),
            self.w_bank.eq((column_bank + word) & (build.clusters - 1)),
            self.w_addr.eq(packed),
            self.w_part.eq(piece[:part_bits]),
            self.w_piece.eq(expander.piece),
            self.w_en.eq(0),
        ]

        # The step at hand: how many values it needs, and the rest of its sparsity map.
        need = Signal.like(unpacker.need)
        rest = Signal(max(1, GROUP - pixels))
        m.d.comb += [
            unpacker.need.eq(need),
            expander.packed.eq(unpacker.peek),
            expander.dense.eq(config.dense),
            expander.zero.eq(config.in_zero),
        ]

        def open_column(pieces, tail):
            """Aim at the first step of a column of so many pieces."""
            m.d.comb += [
                expander.load.eq(1),
                expander.next_mask.eq(Mux(pieces == 1, tail, full)),
            ]
            m.d.sync += [
                pieces_left.eq(pieces),
                group_left.eq(group_pieces),
                untouched.eq(1),
                need.eq(Mux(config.dense, expander.count, map_values)),
            ]
            with m.If(config.dense):
                m.next = "WORD"
            with m.Else():
                m.next = "MAP"

        def step(next_mask):
            """Use up the step's bytes, and aim at a piece of that mask."""
            m.d.comb += [
                unpacker.take.eq(1),
                expander.load.eq(1),
                expander.next_mask.eq(next_mask),
            ]
            m.d.sync += [need.eq(expander.count), untouched.eq(0)]

        def fail(code):
            """Stop for good."""
            m.d.sync += fault.eq(code)
            m.next = "FAULT"

        def await_bytes():
            """Wait for the step's bytes, if need be in the next segment."""
            with m.If(~unpacker.complete & unpacker.ended):
                with m.If(untouched & unpacker.empty & ~unpacker.torn):
                    m.d.comb += unpacker.reopen.eq(1)
                with m.Else():
                    fail(Fault.MAP_SHORT)

        with m.FSM() as fsm:
            m.d.comb += unpacker.accept.eq(
                fsm.ongoing("BLOCK") | fsm.ongoing("MAP") | fsm.ongoing("WORD")
            )

            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += [
                    next_channels.eq(config.in_channels),
                    next_branch.eq(config.branch_channels),
                ]
                with m.If(self.start):
                    m.d.sync += [
                        self.rows_done.eq(0),
                        ring_left.eq(config.ring_rows),
                        row_base.eq(0),
                        row_bank.eq(0),
                    ]
                    m.next = "ROW"

            with m.State("ROW"):
                m.d.sync += block_first.eq(0)
                with m.If(Cat(self.rows_done < limit for limit in self.row_limits).all()):
                    m.next = "BLOCK"

            with m.State("BLOCK"):
                m.d.sync += [
                    block_pieces.eq(next_pieces),
                    block_tail.eq(next_tail),
                    block_last.eq(next_last),
                    next_channels.eq(Mux(next_last, config.in_channels, next_channels - next_size)),
                    next_branch.eq(
                        Mux(next_last | next_ends, config.branch_channels, next_branch - next_size)
                    ),
                    columns_left.eq(config.in_cols),
                    column_base.eq(row_base),
                    column.eq(0),
                    column_bank.eq(row_bank),
                    piece.eq(block_first),
                ]
                open_column(next_pieces, next_tail)

            with m.State("MAP"):
                with m.If(unpacker.complete):
                    step(unpacker.peek[:pixels])
                    m.d.sync += rest.eq(unpacker.peek[pixels:GROUP])
                    m.next = "WORD"
                    stray = Signal(GROUP)
                    for k in range(group_pieces):
                        real = Mux(
                            pieces_left > k + 1, full, Mux(pieces_left == k + 1, block_tail, 0)
                        )
                        part = slice(k * pixels, (k + 1) * pixels)
                        m.d.comb += stray[part].eq(unpacker.peek[part] & ~real)
                    with m.If(stray.any()):
                        fail(Fault.MAP_SPARSITY)
                await_bytes()

            with m.State("WORD"):
                with m.If(unpacker.complete):
                    step(Mux(config.dense, Mux(pieces_left == 2, block_tail, full), rest))
                    m.d.sync += [
                        self.w_en.eq(1),
                        piece.eq(piece + 1),
                        pieces_left.eq(pieces_left - 1),
                        group_left.eq(group_left - 1),
                        rest.eq(rest >> pixels),
                    ]
                    with m.If(pieces_left == 1):
                        m.d.sync += [
                            piece.eq(block_first),
                            column.eq(column + 1),
                            column_base.eq(column_base + config.col_pitch),
                            column_bank.eq(column_bank + column_step),
                        ]
                        open_column(block_pieces, block_tail)
                        with m.If(columns_left == 1):
                            m.next = "END"
                        with m.Else():
                            m.d.sync += columns_left.eq(columns_left - 1)
                    with m.Elif(~config.dense & (group_left == 1)):
                        m.d.sync += [
                            group_left.eq(group_pieces),
                            need.eq(map_values),
                        ]
                        m.next = "MAP"
                await_bytes()

            with m.State("END"):  # of a block's row
                m.d.sync += block_first.eq(block_first + block_pieces)
                with m.If(unpacker.empty & unpacker.ended & ~unpacker.torn):
                    m.d.comb += unpacker.reopen.eq(1)
                    m.next = "BLOCK"
                    with m.If(block_last):
                        m.d.sync += [
                            self.rows_done.eq(self.rows_done + 1),
                            ring_left.eq(Mux(ring_left == 1, config.ring_rows, ring_left - 1)),
                            row_base.eq(Mux(ring_left == 1, 0, row_base + config.row_pitch)),
                            row_bank.eq(row_bank + config.col_words),
                        ]
                        m.next = "ROW"
                        with m.If(self.rows_done + 1 == config.in_rows):
                            m.next = "IDLE"
                with m.Else():
                    fail(Fault.MAP_LONG)

            with m.State("FAULT"):
                m.d.sync += [
                    self.fault.eq(fault),
                    self.fault_row.eq(self.rows_done),
                    self.fault_col.eq(config.in_cols - columns_left),
                ]
        return m
