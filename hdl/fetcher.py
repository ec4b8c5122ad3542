"""The fetcher: walks a cluster's stripes and reads their map words, in scan order."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.params import FETCH_LATENCY, Build
from hdl.compare import less
from hdl.delay import delayed
from hdl.itinerary import PROGRESS, Itinerary, pass_progress, scan_start
from hdl.multiply import times
from hdl.ring import RingWalk
from hdl.scan import AnnouncedScanColumn, bank_bits, read_request, scan_tag


class Fetcher(wiring.Component):
    """Reads the map words of one cluster's scans.

    A scan (`hdl.itinerary`) is read column by column, the rows that exist, the tile's words of a
    row.

    The words of a column lie so that scan order is bank order, and in each cycle the cluster owns
    one bank, the next one in each next cycle. Once in step, it therefore reads one word per cycle
    and never meets another cluster. Where a scan leaves words out (rows outside the map, rows and
    columns between which a stride steps, channels of other tiles), empty words fill the gap to the
    next bank; a column outside the map is one empty word.

    A scan starts one cycle after its rows and weights are there and the scan before is finished.

    Members
    -------
    config, work, half, arm, rows_done, loaded, row_floor, released : see `Itinerary`
    slot : the bank that the cluster owns in this cycle
    request : the read, one cycle after it was issued
    tag, tag_valid : goes with the banks' answer, which comes `FETCH_LATENCY` cycles after the read
        was issued, two after `request`
    taken : an entry left the prefetch queue
    finished : the walker has finished the scan
    waiting, hungry : a scan waits for its rows or weights; if `hungry`, for weights
    done : no scan is left
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                **PROGRESS,
                "slot": In(bank_bits(build)),
                "request": Out(read_request(build)),
                "tag": Out(scan_tag(build)),
                "tag_valid": Out(1),
                "taken": In(1),
                "finished": In(1),
                "waiting": Out(1),
                "hungry": Out(1),
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

        m.submodules.itinerary = itinerary = Itinerary(build)
        pass_progress(m, self, itinerary)
        m.d.comb += [
            itinerary.idle.eq(self.done),
            itinerary.finished.eq(self.finished),
        ]

        # What does not change during a pass.
        first_x = Signal(signed(14))
        # From these columns on, and before those, the next column or the one jumped to is inside.
        bounds = [[Signal(signed(14), name=f"bound_{kind}_{n}") for n in (0, 1)] for kind in (0, 1)]
        row_words = Signal(7)  # weights from one kernel row to the next
        last_kernel_row, jumps = Signal(4), Signal()
        m.d.sync += [
            last_kernel_row.eq(config.kernel_h - 1),
            jumps.eq(config.jump_rows != 1),
            first_x.eq(times(work.first_col, config.stride_w) - config.pad_left),
            row_words.eq(Mux(config.uniform, 0, config.kernel_w)),
        ]
        for (first, end), step in zip(bounds, (1, config.jump_columns), strict=True):
            m.d.sync += [first.eq(-step), end.eq(config.in_cols - step)]
        ring = RingWalk(m, build, config, "fetch")
        column = AnnouncedScanColumn(m, config, work, "fetch")

        # The scan at hand, and what does not change during it: the base of its first row, and the
        # empty words that follow a row, modulo the banks: in general, where the next row is jumped
        # to, after the last row, and where the next column is jumped to.
        scan = Signal(scan_start(build))
        exists, first_row_base = Signal(), Signal(7)
        one_word, before_last = Signal(), Signal(10)  # a row's first word is its last; one before
        fills = [Signal(bits, name=f"fill_{kind}") for kind in range(4)]
        no_fills = [Signal(name=f"no_fill_{kind}") for kind in range(4)]
        at_once = [Signal(name=f"at_once_{kind}") for kind in range(4)]  # ends with its first word
        left_out = Signal(4)  # rows of the scan outside the map
        skip = config.col_words - (scan.final_word - scan.first_word + 1)  # words of other tiles
        gap = skip + times(config.col_words, left_out[:word_shift])
        m.d.comb += [
            exists.eq(scan.rows != 0),
            left_out.eq(config.scan_rows - scan.rows),
            first_row_base.eq(times(row_words, scan.kernel_row)),
        ]
        has_one_word = scan.first_word == scan.final_word
        m.d.sync += [one_word.eq(has_one_word), before_last.eq(scan.final_word - 1)]
        kinds = (skip, skip + config.row_skip, gap, gap + config.column_skip)
        ends_at_once = [has_one_word & (kind & bank_mask == 0) for kind in kinds]
        for fill, no_fill, kind in zip(fills, no_fills, kinds, strict=True):
            m.d.sync += [fill.eq(kind & bank_mask), no_fill.eq(kind & bank_mask == 0)]
        m.d.sync += [one.eq(ends) for one, ends in zip(at_once, ends_at_once, strict=True)]

        # The position in it.
        at = Signal(RingWalk.place(build))
        rows_left, last_row = Signal(4), Signal()  # rows after this one; whether there are none
        kernel_row, row_base = Signal(4), Signal(7)  # row within the stripe; times kernel_w
        row_jumps = Signal()  # the next row is jumped to
        word, word_base = Signal(10), Signal(13)
        last_word = Signal()  # it is the row's last
        x, inside = Signal(signed(14)), Signal()  # the scan column's input column
        offset = Signal(address)  # bank words before it
        bank = Signal(bits)
        filling, fill = Signal(), Signal(bits)  # empty words still to come in this row
        row_end = Signal()  # nothing comes in this row behind this word
        in_step = Signal()  # the cluster owns the bank

        def of_kind(kinds: list, last: Value, row_jumps: Value, column_jumps: Value) -> Value:
            within, ends = Mux(row_jumps, kinds[1], kinds[0]), Mux(column_jumps, kinds[3], kinds[2])
            return Mux(last, ends, within)

        row_fill, no_row_fill = Signal(bits), Signal()
        m.d.comb += [
            row_fill.eq(of_kind(fills, last_row, row_jumps, column.jumps)),
            no_row_fill.eq(of_kind(no_fills, last_row, row_jumps, column.jumps)),
        ]

        credit = Signal(range(build.fifo_depth + 1), init=build.fifo_depth)
        room = Signal(init=1)  # there is credit
        issue, column_end = Signal(), Signal()
        # What the taker says comes late, and so chooses between sums.
        m.d.sync += [
            credit.eq(Mux(self.taken, credit - issue + 1, credit - issue)),
            room.eq(self.taken | (credit > 1) | (room & ~issue)),
        ]

        tag = Signal(scan_tag(build))
        m.d.comb += [
            tag.base.eq(word_base + row_base),
            tag.upper.eq(kernel_row < config.kernel_h),
            tag.lower.eq((kernel_row >= config.stride_h) & scan.two),
            tag.column_end.eq(column_end),
            tag.retire.eq(column.retires()),
            tag.rows2.eq(scan.two),
            tag.item_end.eq(column.is_last & column_end),
            tag.opens.eq(scan.opens),
            tag.closes.eq(scan.closes),
            tag.slots.eq(scan.slots),
        ]
        # Columns that share their addresses are narrower than a turn of the banks.
        packed = Signal(address)
        with m.Switch(config.pack):
            with m.Case(0):
                m.d.comb += packed.eq(offset + (word >> word_shift))
            for shift in range(1, word_shift + 1):
                with m.Case(shift):
                    m.d.comb += packed.eq(x[:12] >> shift)
        # For an empty word nothing is read: it has no pixels (`hdl.banks`).
        reads = Signal(build.clusters)
        m.d.comb += reads.eq((issue & inside & ~filling) << bank)
        m.d.sync += [
            self.request.banks.eq(reads),
            *(
                word_in_bank.eq((at.base + packed) & read.replicate(len(word_in_bank)))
                for word_in_bank, read in zip(self.request.addresses, reads, strict=True)
            ),
        ]
        m.d.comb += [
            self.tag.eq(delayed(m, tag, FETCH_LATENCY, "tag")),
            self.tag_valid.eq(delayed(m, issue, FETCH_LATENCY, "tag_valid")),
        ]

        def in_map(x):
            return (x[:14].as_unsigned() < config.in_cols) & exists

        def go_to_row(rows_after, row, column_jumps, ends):
            last, then_jumps = rows_after == 0, (row == last_kernel_row) & jumps
            return [
                rows_left.eq(rows_after),
                last_row.eq(last),
                kernel_row.eq(row),
                row_jumps.eq(then_jumps),
                row_end.eq(of_kind(ends, last, then_jumps, column_jumps)),
            ]

        def rewind(column_jumps, ends):  # to the first word of a column
            return [
                *go_to_row((scan.rows - 1)[:4], scan.kernel_row, column_jumps, ends),
                at.slot.eq(scan.slot),
                at.base.eq(scan.base),
                row_base.eq(first_row_base),
                word.eq(scan.first_word),
                last_word.eq(one_word),
                word_base.eq(Mux(scan.half, build.half_words, 0)),
                filling.eq(0),
            ]

        m.d.sync += in_step.eq((issue & inside) | ((self.slot + 1) & bank_mask == bank))

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.arm & work.active):
                    m.next = "WAIT"

            with m.State("WAIT"):
                waiting = itinerary.aiming | ~itinerary.over
                m.d.comb += [
                    self.waiting.eq(waiting),
                    self.hungry.eq(waiting & itinerary.hungry),
                    itinerary.take.eq(itinerary.ready),
                ]
                m.d.sync += [
                    scan.eq(itinerary.next),
                    *column.start(),
                    x.eq(first_x),
                    offset.eq(work.first_address),
                    bank.eq(itinerary.next.bank),
                ]
                with m.If(~waiting):
                    m.next = "IDLE"
                with m.Elif(itinerary.ready):
                    m.next = "SETUP"

            with m.State("SETUP"):
                m.d.sync += [
                    *rewind(column.jumps, ends_at_once),
                    last_word.eq(has_one_word),
                    inside.eq(in_map(x)),
                ]
                m.next = "SCAN"

            with m.State("SCAN"):
                m.d.comb += issue.eq(room & (~inside | in_step))
                m.d.comb += column_end.eq(~inside | (row_end & last_row))

                with m.If(issue):
                    with m.If(inside):
                        m.d.sync += bank.eq((bank + 1) & bank_mask)
                    with m.If(filling):
                        m.d.sync += [fill.eq(fill - 1), row_end.eq(fill == 2)]
                    with m.Else():
                        m.d.sync += [
                            word.eq(word + 1),
                            last_word.eq(word == before_last),
                            row_end.eq((word == before_last) & no_row_fill),
                            word_base.eq(word_base + config.word_step),
                        ]
                        with m.If(last_word):
                            m.d.sync += [
                                filling.eq(1),
                                fill.eq(row_fill),
                                row_end.eq(row_fill == 1),
                            ]
                    with m.If(row_end):
                        m.d.sync += [
                            *rewind(column.jumps, at_once),
                            *go_to_row(
                                (rows_left - Mux(row_jumps, config.jump_rows, 1))[:4],
                                Mux(row_jumps, config.stride_h, kernel_row + 1)[:4],
                                column.jumps,
                                at_once,
                            ),
                            row_base.eq(Mux(row_jumps, config.row_step, row_base + row_words)),
                            *ring.step_or_jump(at, row_jumps),
                        ]
                    with m.If(column_end):
                        steps, jumps_to = (~less(x, first) & less(x, end) for first, end in bounds)
                        m.d.sync += [
                            *rewind(column.jumps_after_step(), at_once),
                            *column.step(),
                            x.eq(x + Mux(column.jumps, config.jump_columns, 1)),
                            inside.eq(Mux(column.jumps, jumps_to, steps) & exists),
                        ]
                        with m.If(inside):
                            m.d.sync += offset.eq(
                                offset + Mux(column.jumps, config.column_jump, config.col_pitch)
                            )
                        with m.If(column.is_last):
                            m.next = "FINISH"

            with m.State("FINISH"):
                with m.If(self.finished):
                    m.next = "WAIT"
        return m
