"""The fetcher: walks a cluster's stripes and reads their map words, in scan order."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import FETCH_LATENCY, Build
from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG, map_word


def bank_bits(build: Build) -> int:
    """Bits that name a bank; at least one, so that a single bank has a name too."""
    return max(1, (build.clusters - 1).bit_length())


def read_request(build: Build) -> data.StructLayout:
    """Layout of one bank read: valid, the bank, and the word within it."""
    return data.StructLayout(
        {"valid": 1, "bank": bank_bits(build), "address": range(build.map_words)}
    )


def scan_tag() -> data.StructLayout:
    """Layout of what goes with a map word through the prefetch queue.

    base: weight address of the word's first pixel for the stripe's first output row, at kernel
    column 0. upper, lower: the word's row touches that output row. empty: no pixels, whatever the
    bank gave. column_end: last word of a scan column. retire: that column finishes an output
    column. rows2: the stripe has two output rows. item_end: last word of the stripe.
    """
    return data.StructLayout(
        {
            "base": unsigned(13),
            "upper": 1,
            "lower": 1,
            "empty": 1,
            "column_end": 1,
            "retire": 1,
            "rows2": 1,
            "item_end": 1,
        }
    )


def scan_entry(build: Build) -> data.StructLayout:
    """Layout of one entry of the prefetch queue."""
    return data.StructLayout({"word": map_word(build), "tag": scan_tag()})


class Fetcher(wiring.Component):
    """Reads the map words of one cluster's stripes.

    For each stripe: column by column, the rows that exist, all words of a row. The words of a
    column lie so that scan order is bank order, and in each cycle the cluster owns one bank, the
    next one in each next cycle. Once in step, it therefore reads one word per cycle and never
    meets another cluster. Where a stripe has rows outside the map, empty words fill the gap to the
    next column's first bank; a column outside the map is one empty word.

    A stripe starts when its rows are in the banks and the one before is finished.

    Members
    -------
    config, work : what to do; stable from `arm` on
    arm, run, slot : `slot` is the bank that the cluster owns in this cycle
    rows_done : input rows in the banks
    row_floor : the lowest input row that is still needed; all ones when there is none
    request : the read; the banks' answer comes with `tag_valid`, `FETCH_LATENCY` cycles later
    tag, tag_valid : goes with the answer
    taken : an entry left the prefetch queue
    finished : the walker has finished the stripe
    waiting : a stripe waits for its rows
    done : no stripe is left
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "work": In(CLUSTER_CONFIG),
                "arm": In(1),
                "run": In(1),
                "slot": In(bank_bits(build)),
                "rows_done": In(13),
                "row_floor": Out(13),
                "request": Out(read_request(build)),
                "tag": Out(scan_tag()),
                "tag_valid": Out(1),
                "taken": In(1),
                "finished": In(1),
                "waiting": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        config, work = self.config, self.work
        m = Module()
        bits = bank_bits(build)
        bank_mask = build.clusters - 1
        word_shift = bank_mask.bit_length()
        address = range(build.map_words)

        # The stripe that comes next: its input rows [low, high), clipped to the map.
        stripe = Signal(13)
        top = Signal(signed(15))  # input row of the stripe's first row, padding included
        exhausted = Signal()
        rows2 = Signal()
        low, high = Signal(13), Signal(13)

        def clip(row):
            return Mux(row < 0, 0, Mux(row < config.in_rows, row, config.in_rows))

        m.d.comb += [
            exhausted.eq((stripe << 1) >= config.out_rows),
            rows2.eq((stripe << 1) + 1 < config.out_rows),
            low.eq(clip(top)),
            high.eq(clip(top + config.kernel_h + rows2)),
        ]

        # Ring slot, base address and bank of row `low`, sought one row per cycle.
        seek_row, seek_slot = Signal(13), Signal(12)
        seek_base, seek_bank = Signal(address), Signal(bits)

        def next_row(slot, base):
            wrap = slot == config.ring_rows - 1
            return [
                slot.eq(Mux(wrap, 0, slot + 1)),
                base.eq(Mux(wrap, 0, base + config.row_pitch)),
            ]

        with m.If(seek_row != low):
            m.d.sync += [
                seek_row.eq(seek_row + 1),
                seek_bank.eq((seek_bank + config.col_words) & bank_mask),
                *next_row(seek_slot, seek_base),
            ]

        # The stripe being scanned, and the position in it.
        scanning, filling = Signal(), Signal()
        two = Signal()
        first_row, end_row, first_slot = Signal(13), Signal(13), Signal(12)
        first_base, first_kernel_row = Signal(address), Signal(3)
        row, slot, base = Signal(13), Signal(12), Signal(address)
        kernel_row, row_base = Signal(3), Signal(7)  # row within the stripe; times kernel_w
        word, word_base = Signal(9), Signal(13)
        column = Signal(13)  # scan column, counted from the stripe's first
        x = Signal(signed(15))  # its input column
        offset = Signal(address)  # bank words before it
        bank = Signal(bits)
        fill = Signal(bits)  # empty words still to come in this column

        last_column, inside, last_word, last_row = Signal(), Signal(), Signal(), Signal()
        gap = Signal(bits)  # words that the rows outside the map leave out, modulo the banks
        m.d.comb += [
            last_column.eq(column + 2 == work.end_col - work.first_col + config.kernel_w),
            inside.eq((x >= 0) & (x < config.in_cols) & (first_row != end_row)),
            last_word.eq(word == config.col_words - 1),
            last_row.eq(row + 1 == end_row),
            gap.eq((config.col_words * (config.kernel_h + 1 - (end_row - first_row))) & bank_mask),
        ]

        credit = Signal(range(build.fifo_depth + 1), init=build.fifo_depth)
        issue, column_end = Signal(), Signal()
        m.d.sync += credit.eq(credit - issue + self.taken)

        tag = Signal(scan_tag())
        m.d.comb += [
            tag.base.eq(word_base + row_base),
            tag.upper.eq(kernel_row < config.kernel_h),
            tag.lower.eq((kernel_row != 0) & two),
            tag.empty.eq(~inside | filling),
            tag.column_end.eq(column_end),
            tag.retire.eq(column + 1 >= config.kernel_w),
            tag.rows2.eq(two),
            tag.item_end.eq(last_column & column_end),
        ]
        m.d.sync += [
            self.request.valid.eq(issue & ~tag.empty),
            self.request.bank.eq(bank),
            self.request.address.eq(base + offset + (word >> word_shift)),
        ]
        delayed, valid = tag, issue
        for i in range(FETCH_LATENCY):
            stage = Signal(scan_tag(), name=f"tag_{i}")
            stage_valid = Signal(name=f"tag_valid_{i}")
            m.d.sync += [stage.eq(delayed), stage_valid.eq(valid)]
            delayed, valid = stage, stage_valid
        m.d.comb += [self.tag.eq(delayed), self.tag_valid.eq(valid)]

        first_needed = Mux(exhausted | ~work.active, 0x1FFF, low)
        m.d.sync += self.row_floor.eq(Mux(scanning, first_row, first_needed))

        def rewind():
            """Back to the first word of a column."""
            return [
                row.eq(first_row),
                slot.eq(first_slot),
                base.eq(first_base),
                kernel_row.eq(first_kernel_row),
                row_base.eq(first_kernel_row * config.kernel_w),
                word.eq(0),
                word_base.eq(0),
            ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.arm):
                    m.d.sync += [
                        stripe.eq(work.first_stripe),
                        top.eq((work.first_stripe << 1) - config.pad_top),
                        seek_row.eq(0),
                        seek_slot.eq(0),
                        seek_base.eq(0),
                        seek_bank.eq(0),
                    ]
                    with m.If(work.active):
                        m.next = "ARMED"

            with m.State("ARMED"):
                with m.If(self.run):
                    m.next = "WAIT"

            with m.State("WAIT"):
                m.d.comb += self.waiting.eq(~exhausted)
                with m.If(exhausted):
                    m.next = "IDLE"
                with m.Elif((seek_row == low) & (self.rows_done >= high)):
                    m.d.sync += [
                        two.eq(rows2),
                        first_row.eq(low),
                        end_row.eq(high),
                        first_slot.eq(seek_slot),
                        first_base.eq(seek_base),
                        first_kernel_row.eq(low - top),
                        column.eq(0),
                        x.eq(work.first_col - config.pad_left),
                        offset.eq(work.first_address),
                        bank.eq((seek_bank + work.first_bank) & bank_mask),
                        stripe.eq(stripe + work.stripe_step),
                        top.eq(top + (work.stripe_step << 1)),
                    ]
                    m.next = "SETUP"

            with m.State("SETUP"):
                m.d.comb += scanning.eq(1)
                m.d.sync += rewind()
                m.next = "SCAN"

            with m.State("SCAN"):
                m.d.comb += scanning.eq(1)
                in_step = self.slot == bank
                m.d.comb += issue.eq((credit != 0) & (~inside | in_step))
                with m.If(~inside):
                    m.d.comb += column_end.eq(1)
                with m.Elif(filling):
                    m.d.comb += column_end.eq(fill == 1)
                with m.Else():
                    m.d.comb += column_end.eq(last_word & last_row & (gap == 0))

                with m.If(issue):
                    with m.If(inside):
                        m.d.sync += bank.eq((bank + 1) & bank_mask)
                    with m.If(filling):
                        m.d.sync += fill.eq(fill - 1)
                    with m.Else():
                        m.d.sync += [
                            word.eq(word + 1),
                            word_base.eq(word_base + config.word_step),
                        ]
                        with m.If(last_word):
                            m.d.sync += [
                                word.eq(0),
                                word_base.eq(0),
                                row.eq(row + 1),
                                kernel_row.eq(kernel_row + 1),
                                row_base.eq(row_base + config.kernel_w),
                                *next_row(slot, base),
                            ]
                            with m.If(last_row):
                                m.d.sync += [filling.eq(1), fill.eq(gap)]
                    with m.If(column_end):
                        m.d.sync += [
                            filling.eq(0),
                            column.eq(column + 1),
                            x.eq(x + 1),
                            *rewind(),
                        ]
                        with m.If(inside):
                            m.d.sync += offset.eq(offset + config.col_pitch)
                        with m.If(last_column):
                            m.next = "FINISH"

            with m.State("FINISH"):
                m.d.comb += scanning.eq(1)
                with m.If(self.finished):
                    m.next = "WAIT"
        return m
