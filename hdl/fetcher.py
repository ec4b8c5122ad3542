"""The fetcher: walks a cluster's stripes and reads their map words, in scan order."""

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import FETCH_LATENCY, Build
from hdl.delay import delayed
from hdl.layouts import CLUSTER_CONFIG, LOAD_BITS, PASS_CONFIG
from hdl.multiply import times
from hdl.scan import ScanColumn, bank_bits, read_request, scan_tag


class Fetcher(wiring.Component):
    """Reads the map words of one cluster's scans.

    A scan is a stripe and a tile of input channels: column by column, the rows that exist, the
    tile's words of a row. The stripes of a region are scanned one after the other for the first
    tile, then again for the next; their sums stay open in between.

    The words of a column lie so that scan order is bank order, and in each cycle the cluster owns
    one bank, the next one in each next cycle. Once in step, it therefore reads one word per cycle
    and never meets another cluster. Where a scan leaves words out (rows outside the map, rows and
    columns between which a stride steps, channels of other tiles), empty words fill the gap to the
    next bank; a column outside the map is one empty word.

    A scan starts when its rows and weights are there and the scan before is finished.

    Members
    -------
    config, work, half : what to do; stable from `arm` on
    arm : a pass begins in the next cycle
    slot : the bank that the cluster owns in this cycle
    rows_done : input rows in the banks
    loaded : loads of the pass's weights that are in the lanes
    row_floor : the lowest input row that is still needed; all ones when there is none
    released : loads that the cluster has finished with; all ones when it needs none any more
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
                "config": In(PASS_CONFIG),
                "work": In(CLUSTER_CONFIG),
                "half": In(1),
                "arm": In(1),
                "slot": In(bank_bits(build)),
                "rows_done": In(13),
                "loaded": In(LOAD_BITS),
                "row_floor": Out(13),
                "released": Out(LOAD_BITS),
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
        no_row, all_loads = (1 << 13) - 1, (1 << LOAD_BITS) - 1

        # The scan that comes next: where its stripe is, and its input rows [low, high), clipped to
        # the map; `seek` is the ring slot, base address and bank of row `low`, sought one row per
        # cycle.
        place = data.StructLayout(
            {
                "stripe": unsigned(13),
                "top": signed(15),  # input row of the stripe's first row, padding included
                "row": unsigned(13),
                "slot": unsigned(12),
                "base": address,
                "bank": bits,
            }
        )
        seek = Signal(place)
        low, high = Signal(13), Signal(13)
        exhausted, rows2, ends_pass = Signal(), Signal(), Signal()

        def clip(row):
            return Mux(row < 0, 0, Mux(row < config.in_rows, row, config.in_rows))

        m.d.comb += [
            exhausted.eq((seek.stripe << 1) >= config.out_rows),
            rows2.eq((seek.stripe << 1) + 1 < config.out_rows),
            ends_pass.eq((seek.stripe + work.stripe_step << 1) >= config.out_rows),
            low.eq(clip(seek.top)),
            high.eq(clip(seek.top + config.kernel_h + Mux(rows2, config.stride_h, 0))),
        ]

        def next_row(slot, base, rows: ValueLike = 1, words: ValueLike = config.row_pitch):
            wrap = slot + rows >= config.ring_rows
            return [
                slot.eq(slot + rows - Mux(wrap, config.ring_rows, 0)),
                base.eq(base + words - Mux(wrap, config.ring_words, 0)),
            ]

        with m.If(seek.row != low):
            m.d.sync += [
                seek.row.eq(seek.row + 1),
                seek.bank.eq((seek.bank + config.col_words) & bank_mask),
                *next_row(seek.slot, seek.base),
            ]

        # Its tile, the tile's first word, its load of weights, and its stripe's place in the
        # region.
        tile, tile_word = Signal(7), Signal(10)
        slice_word = Signal(10)  # where the cluster's words of a column begin; stable
        steps = [Mux(work.slice[b], config.slice_words << b, 0) for b in range(len(work.slice))]
        m.d.sync += slice_word.eq(config.first_word + sum(steps))
        load = Signal(LOAD_BITS)
        index, slots = Signal(7), Signal(range(build.acc_words))
        region = Signal(place)  # the region's first stripe
        region_low = Signal(13)
        last_tile, ends_tile = Signal(), Signal()
        m.d.comb += [
            last_tile.eq(tile == config.tiles - 1),
            ends_tile.eq((index == config.region - 1) | ends_pass),
        ]

        # The scan at hand, and the position in it.
        scanning, filling = Signal(), Signal()
        two = Signal()
        first_row, end_row, first_slot = Signal(13), Signal(13), Signal(12)
        first_base, first_kernel_row = Signal(address), Signal(4)
        first_word, end_word, first_weight = Signal(10), Signal(10), Signal(13)
        opens, closes, last_scan = Signal(), Signal(), Signal()
        stripe_slots = Signal.like(slots)
        frees, freed = Signal(), Signal(LOAD_BITS)  # after this scan, so many loads are released
        row, slot, base = Signal(13), Signal(12), Signal(address)
        kernel_row, row_base = Signal(4), Signal(7)  # row within the stripe; times kernel_w
        word, word_base = Signal(10), Signal(13)
        column = ScanColumn("fetch")
        x = Signal(signed(15))  # the scan column's input column
        offset = Signal(address)  # bank words before it
        bank = Signal(bits)
        fill = Signal(bits)  # empty words still to come in this row

        last_column, inside, last_word, last_row = Signal(), Signal(), Signal(), Signal()
        skip = Signal(bits)  # words of other tiles, modulo the banks
        gap = Signal(bits)  # words that the rows outside the map leave out, likewise
        row_fill = Signal(bits)
        row_jumps, column_jumps = Signal(), Signal()
        left_out = Signal(4)  # rows of the scan outside the map
        m.d.comb += left_out.eq(config.scan_rows - (end_row - first_row))
        # Stable from the first word on: registered, off the critical path.
        m.d.sync += [
            gap.eq(times(config.col_words, left_out[:word_shift]) & bank_mask),
            skip.eq((config.col_words - (end_word - first_word)) & bank_mask),
        ]
        m.d.comb += [
            last_column.eq(column.last(config, work)),
            inside.eq((x >= 0) & (x < config.in_cols) & (first_row != end_row)),
            last_word.eq(word + 1 == end_word),
            last_row.eq(row + 1 == end_row),
            row_jumps.eq((kernel_row + 1 == config.kernel_h) & (config.jump_rows != 1)),
            column_jumps.eq(column.jumps(config)),
            row_fill.eq(
                skip
                + Mux(
                    last_row,
                    gap + Mux(column_jumps, config.column_skip, 0),
                    Mux(row_jumps, config.row_skip, 0),
                )
                & bank_mask
            ),
        ]

        credit = Signal(range(build.fifo_depth + 1), init=build.fifo_depth)
        issue, row_end, column_end = Signal(), Signal(), Signal()
        m.d.sync += credit.eq(credit - issue + self.taken)

        tag = Signal(scan_tag(build))
        m.d.comb += [
            tag.base.eq(word_base + row_base),
            tag.upper.eq(kernel_row < config.kernel_h),
            tag.lower.eq((kernel_row >= config.stride_h) & two),
            tag.empty.eq(~inside | filling),
            tag.column_end.eq(column_end),
            tag.retire.eq(column.retires(config)),
            tag.rows2.eq(two),
            tag.item_end.eq(last_column & column_end),
            tag.opens.eq(opens),
            tag.closes.eq(closes),
            tag.slots.eq(stripe_slots),
        ]
        # Columns that share their addresses are narrower than a turn of the banks.
        packed = Signal(address)
        with m.Switch(config.pack):
            with m.Case(0):
                m.d.comb += packed.eq(offset + (word >> word_shift))
            for shift in range(1, word_shift + 1):
                with m.Case(shift):
                    m.d.comb += packed.eq(x[:12] >> shift)
        m.d.sync += [
            self.request.valid.eq(issue & ~tag.empty),
            self.request.bank.eq(bank),
            self.request.address.eq(base + packed),
        ]
        m.d.comb += [
            self.tag.eq(delayed(m, tag, FETCH_LATENCY, "tag")),
            self.tag_valid.eq(delayed(m, issue, FETCH_LATENCY, "tag_valid")),
        ]

        next_needed = Mux(last_tile | (index == 0), low, region_low)
        needed = Mux(last_scan, first_row, region_low)
        m.d.sync += self.row_floor.eq(
            Mux(scanning, needed, Mux(exhausted | ~work.active, no_row, next_needed))
        )

        def rewind():
            """Back to the first word of a column."""
            return [
                row.eq(first_row),
                slot.eq(first_slot),
                base.eq(first_base),
                kernel_row.eq(first_kernel_row),
                row_base.eq(Mux(config.uniform, 0, times(config.kernel_w, first_kernel_row))),
                word.eq(first_word),
                word_base.eq(first_weight),
            ]

        def follow():
            """Aim at the scan after the one that comes next."""
            onward = [
                seek.stripe.eq(seek.stripe + work.stripe_step),
                seek.top.eq(seek.top + (times(work.stripe_step, config.stride_h) << 1)),
            ]
            with m.If(index == 0):
                m.d.sync += [region.eq(seek), region_low.eq(low)]
            with m.If(~ends_tile):
                m.d.sync += [
                    *onward,
                    index.eq(index + 1),
                    slots.eq(slots + Cat(1, config.window) + 1),
                ]
            with m.Else():
                m.d.sync += [index.eq(0), slots.eq(0)]
                with m.If(~last_tile):
                    m.d.sync += [
                        tile.eq(tile + 1),
                        tile_word.eq(tile_word + config.tile_words),
                        load.eq(load + 1),
                    ]
                    with m.If(index != 0):
                        m.d.sync += seek.eq(region)
                with m.Else():
                    m.d.sync += [
                        *onward,
                        tile.eq(0),
                        tile_word.eq(0),
                        load.eq(Mux(config.resident, 0, load + 1)),
                    ]

        row_weights = Mux(config.uniform, 0, config.kernel_w)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.arm):
                    m.d.sync += [
                        seek.stripe.eq(work.first_stripe),
                        seek.top.eq(
                            (times(work.first_stripe, config.stride_h) << 1) - config.pad_top
                        ),
                        seek.row.eq(0),
                        seek.slot.eq(0),
                        seek.base.eq(0),
                        seek.bank.eq(0),
                        tile.eq(0),
                        tile_word.eq(0),
                        load.eq(0),
                        index.eq(0),
                        slots.eq(0),
                        freed.eq(0),
                    ]
                    with m.If(work.active):
                        m.next = "WAIT"

            with m.State("WAIT"):
                m.d.comb += [
                    self.waiting.eq(~exhausted),
                    self.hungry.eq(~exhausted & (self.loaded <= load)),
                ]
                with m.If(exhausted):
                    m.next = "IDLE"
                with m.Elif((seek.row == low) & (self.rows_done >= high) & ~self.hungry):
                    follow()
                    m.d.sync += [
                        two.eq(rows2),
                        first_row.eq(low),
                        end_row.eq(high),
                        first_slot.eq(seek.slot),
                        first_base.eq(seek.base),
                        first_kernel_row.eq(low - seek.top),
                        first_word.eq(slice_word + tile_word),
                        end_word.eq(
                            slice_word
                            + Mux(last_tile, config.slice_words, tile_word + config.tile_words)
                        ),
                        first_weight.eq(Mux(self.half ^ load[0], build.half_words, 0)),
                        opens.eq((tile == 0) & ~config.continues),
                        closes.eq(last_tile & ~config.stays),
                        last_scan.eq(last_tile),
                        stripe_slots.eq(slots),
                        frees.eq(ends_tile & (ends_pass | ~config.resident)),
                        freed.eq(load + 1),
                        *column.start(),
                        x.eq(times(work.first_col, config.stride_w) - config.pad_left),
                        offset.eq(work.first_address),
                        bank.eq((seek.bank + work.first_bank + slice_word + tile_word) & bank_mask),
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
                with m.If(filling):
                    m.d.comb += row_end.eq(fill == 1)
                with m.Else():
                    m.d.comb += row_end.eq(last_word & (row_fill == 0))
                m.d.comb += column_end.eq(~inside | (row_end & last_row))

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
                            m.d.sync += [filling.eq(1), fill.eq(row_fill)]
                    with m.If(row_end):
                        m.d.sync += [
                            filling.eq(0),
                            word.eq(first_word),
                            word_base.eq(first_weight),
                            row.eq(row + Mux(row_jumps, config.jump_rows, 1)),
                            kernel_row.eq(Mux(row_jumps, config.stride_h, kernel_row + 1)),
                            row_base.eq(Mux(row_jumps, config.row_step, row_base + row_weights)),
                            *next_row(
                                slot,
                                base,
                                Mux(row_jumps, config.jump_rows, 1),
                                Mux(row_jumps, config.jump_words, config.row_pitch),
                            ),
                        ]
                    with m.If(column_end):
                        m.d.sync += [
                            filling.eq(0),
                            *column.step(config),
                            x.eq(x + Mux(column_jumps, config.jump_columns, 1)),
                            *rewind(),
                        ]
                        with m.If(inside):
                            m.d.sync += offset.eq(
                                offset + Mux(column_jumps, config.column_jump, config.col_pitch)
                            )
                        with m.If(last_column):
                            m.next = "FINISH"

            with m.State("FINISH"):
                m.d.comb += scanning.eq(1)
                with m.If(self.finished):
                    m.next = "WAIT"

        count = Signal(LOAD_BITS)
        with m.If(self.arm):
            m.d.sync += count.eq(0)
        with m.Elif(self.finished & frees):
            m.d.sync += count.eq(freed)
        m.d.comb += self.released.eq(Mux(self.done, all_loads, count))
        return m
