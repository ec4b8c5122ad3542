"""The walker: turns map words into visits, one accumulator of every lane per cycle."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.params import ANNOUNCED_TO_PICK, LANE_LATENCY, PICK_TO_SHADOW, Build
from hdl.delay import delayed
from hdl.lane import lane_step
from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG, map_pixels
from hdl.multiply import times
from hdl.scan import ScanColumn, scan_entry
from hdl.unpack import count_ones


class Walker(wiring.Component):
    """Visits the outputs that each non-zero pixel touches, and retires finished columns.

    The head of the prefetch queue gives its non-zero pixels one after the other, lowest channel
    first, to a register that visits their outputs: upper row, then lower row, each from the
    lowest tap. An empty word costs one cycle, hidden behind the visits of the pixel
    before. The last word of a column is followed by a token that retires one accumulator per
    output row; it waits until the shadow registers are free. In a tile of input channels that is
    not the last the token leaves the sums where they are, and does not wait.

    In a depthwise pass a word with pixels is visited as if it had one: every lane takes the pixel
    of its own channel, the lanes of group g those from g x lanes on, or 0 where there is none.

    Throughput: one step per cycle. A pixel of n visits is followed by the next pixel after
    max(n, 1 + empty words between them) cycles.

    Members
    -------
    i : the prefetch queue
    step, forward : to the lanes, registered, see `hdl.lane.Lane`
    pixels : with `Build.depthwise`, what each lane takes in place of the step's pixel
    finished : the last column of a stripe has begun to retire
    release : the shadow registers have been drained
    full : the shadow registers are taken, from the token that fills them to their release
    announced : a finished column of `rows2` + 1 rows, the stripe's last if `last`, will stand in
        the shadow registers in time for a pick that comes `ANNOUNCED_TO_PICK` cycles later; the
        two are stable until its release
    visiting, retiring, blocked : what this cycle is spent on, for the counters
    users : lanes that have an operation in a visit
    """

    def __init__(self, build: Build):
        self._build = build
        lanes = data.ArrayLayout(signed(build.pixel_bits), build.lanes_per_cluster)
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "work": In(CLUSTER_CONFIG),
                "i": In(stream.Signature(scan_entry(build))),
                "step": Out(lane_step(build)),
                "forward": Out(1),
                "finished": Out(1),
                "release": In(1),
                "full": Out(1),
                "announced": Out(1),
                "rows2": Out(1),
                "last": Out(1),
                "visiting": Out(1),
                "users": Out(CLUSTER_CONFIG["lanes"].shape),
                "retiring": Out(1),
                "blocked": Out(1),
                **({"pixels": Out(lanes)} if build.depthwise else {}),
            }
        )

    def elaborate(self, platform):
        build = self._build
        config = self.config
        m = Module()
        tag, word = self.i.payload.tag, self.i.payload.word
        slot_bits = (build.window - 1).bit_length()

        # The head's next pixel.
        taken = Signal(build.word_pixels)
        left = Signal(build.word_pixels)
        lowest = Signal(build.word_pixels)
        giving = lowest  # the pixels of the next visits
        m.d.comb += [
            left.eq(word.mask & ~taken),
            lowest.eq(left & (~left + 1)),
        ]
        if build.depthwise:
            giving = Signal(build.word_pixels)
            m.d.comb += giving.eq(Mux(config.depthwise, left, lowest))
        value = Signal(build.act_bits)
        weight_offset = Signal(range(build.word_pixels * 49))
        selected_value = selected_offset = 0
        for i in range(build.word_pixels):
            # Multiples of a constant of the pass: a register each, off the critical path.
            multiple = Signal(range(max(2, 49 * i + 1)), name=f"offset_{i}")
            m.d.sync += multiple.eq(times(config.kernel_size, i))
            selected_value |= Mux(lowest[i], word.values[i], 0)
            selected_offset |= Mux(lowest[i], multiple, 0)
        m.d.comb += [value.eq(selected_value), weight_offset.eq(selected_offset)]

        # The scan column of the head, and the taps through which outputs see it.
        column = ScanColumn(m, config, self.work, "walk")
        taps = Signal(3)
        tap_low, tap_high, column_low = Signal(3), Signal(3), Signal(3)
        newest = column.newest
        m.d.comb += [
            taps.eq(column.taps()),
            tap_low.eq(Mux(newest < column.columns, 0, newest - column.columns + 1)),
            tap_high.eq(Mux(newest < taps, newest, taps - 1)),
            column_low.eq(times(tap_low, config.stride_w) + column.phase),
        ]

        # The pixel or token being carried out.
        valid, token, lower = Signal(), Signal(), Signal()
        free = Signal(init=1)  # it takes something new: it is empty, or in its last cycle
        base, raw = Signal(13), Signal(build.act_bits)
        tap, kernel_col = Signal(3), Signal(3)
        first_tap, first_col, last_tap, both = Signal(3), Signal(3), Signal(3), Signal()
        one_tap = Signal()
        place = Signal(7)  # the column's newest output
        merge, fills, ends, two = Signal(), Signal(), Signal(), Signal()
        opens, closes = Signal(), Signal()  # the first and the last tile of the sums
        slots = Signal(range(build.acc_words))  # first accumulator of the stripe

        even = Signal()  # the column to retire is the left one of a pool window
        gate = Signal()
        give_pixel, give_token = Signal(), Signal()
        token_due = Signal()
        m.d.comb += [
            even.eq(~(newest[0] ^ config.last_tap[0])),
            # The right column of a pool window comes after the left one, which has waited.
            gate.eq(~self.full | ~tag.closes),
            token_due.eq(self.i.valid & (left == 0) & tag.column_end & tag.retire),
            give_pixel.eq(self.i.valid & (left != 0) & free),
            give_token.eq(token_due & gate & free),
            self.blocked.eq(token_due & ~gate),
        ]

        only_pixel = left == giving
        pop = Signal()
        finishes = tag.column_end & tag.retire
        with m.If(left != 0):
            m.d.comb += pop.eq(free & only_pixel & ~finishes)
        with m.Else():
            m.d.comb += pop.eq(~finishes | (gate & free))
        m.d.comb += [
            self.i.ready.eq(pop),
            self.finished.eq(give_token & tag.item_end),
        ]
        with m.If(give_pixel):
            m.d.sync += taken.eq(taken | giving)
        with m.If(self.i.valid & pop):
            m.d.sync += taken.eq(0)
            with m.If(tag.column_end):
                m.d.sync += column.step()
                with m.If(tag.item_end):
                    m.d.sync += column.start()

        fill_now = give_token & (~config.pool | ~even) & tag.closes
        with m.If(self.release):
            m.d.sync += self.full.eq(0)
        with m.If(fill_now):
            m.d.sync += self.full.eq(1)

        with m.If(give_pixel | give_token):
            m.d.sync += [opens.eq(tag.opens), closes.eq(tag.closes), slots.eq(tag.slots)]
        with m.If(give_pixel):
            m.d.sync += [
                valid.eq(1),
                token.eq(0),
                base.eq(tag.base + weight_offset),
                raw.eq(value),
                lower.eq(~tag.upper),
                both.eq(tag.lower),
                tap.eq(tap_low),
                first_tap.eq(tap_low),
                last_tap.eq(tap_high),
                one_tap.eq(tap_low == tap_high),
                free.eq((tap_low == tap_high) & ~(tag.upper & tag.lower)),
                kernel_col.eq(column_low),
                first_col.eq(column_low),
                place.eq(newest),
            ]
        with m.Elif(give_token):
            m.d.sync += [
                valid.eq(1),
                token.eq(1),
                lower.eq(0),
                both.eq(tag.rows2),
                free.eq(~tag.rows2),
                tap.eq(config.last_tap),
                place.eq(newest),
                merge.eq(config.pool & ~even),
                fills.eq(fill_now),
                ends.eq(tag.item_end),
                two.eq(tag.rows2 & ~config.pool),
            ]
        with m.Elif(free):
            m.d.sync += valid.eq(0)
        with m.If(~free):
            with m.If(token | (tap == last_tap)):
                m.d.sync += [lower.eq(1), free.eq(token | one_tap)]
                with m.If(~token):
                    m.d.sync += [tap.eq(first_tap), kernel_col.eq(first_col)]
            with m.Else():
                m.d.sync += [
                    tap.eq(tap + 1),
                    kernel_col.eq(kernel_col + config.stride_w),
                    free.eq((lower | ~both) & (tap + 1 == last_tap)),
                ]

        # The step of this cycle, registered on its way to the lanes. The token of a tile that is
        # not the last adds nothing to its sums, so that those without a visit start from the bias
        # too.
        place_in_window = place - tap
        slot = Signal(range(build.acc_words))
        ring = Signal(range(2 * build.window))  # the accumulator, as far as the window tells
        fresh = Signal(2 * build.window, init=(1 << 2 * build.window) - 1)
        visit, retire, settle = Signal(), Signal(), Signal()
        m.d.comb += [
            visit.eq(valid & ~token),
            retire.eq(valid & token & closes),
            settle.eq(valid & token & ~closes),
            ring.eq(Cat(place_in_window[:slot_bits], lower)),
            slot.eq(slots | Cat(lower, place_in_window[:7] & config.window)),
            self.visiting.eq(visit),
            self.retiring.eq(valid & token),
        ]
        with m.If(valid):
            m.d.sync += fresh.bit_select(ring, 1).eq(token)
        zero = config.in_zero
        pixel = Mux(token, 0, Mux(config.signed_in, raw.as_signed(), raw) - zero)
        m.d.comb += self.users.eq(self.work.lanes)
        if build.depthwise:
            own = Signal(map_pixels(build, build.lanes_per_cluster))
            with m.If(give_pixel):
                m.d.sync += own.eq(self._of_lanes(word))
            with m.If(config.depthwise):
                m.d.comb += self.users.eq(count_ones(own.mask))
            for n, lane_pixel in enumerate(self.pixels):
                own_raw = own.values[n]
                own_pixel = Mux(config.signed_in, own_raw.as_signed(), own_raw) - zero
                own_pixel = Mux(own.mask[n] & ~token, own_pixel, 0)
                m.d.sync += lane_pixel.eq(Mux(config.depthwise, own_pixel, pixel))
        step = self.step
        m.d.sync += [
            step.visit.eq(visit | settle),
            step.retire.eq(retire),
            step.fresh.eq(fresh.bit_select(ring, 1) & opens),
            step.merge.eq(merge | (config.pool & lower)),
            step.row.eq(lower & ~config.pool),
            step.slot.eq(slot),
            step.address.eq(
                base + Mux(config.uniform, 0, kernel_col) - Mux(lower, config.row_step, 0)
            ),
            step.pixel.eq(pixel),
            self.forward.eq(step.visit & (step.slot == slot)),
        ]

        # A finished column stands in the shadow registers LANE_LATENCY cycles after its step.
        finished = retire & fills & free
        ahead = LANE_LATENCY - PICK_TO_SHADOW - ANNOUNCED_TO_PICK
        m.d.comb += self.announced.eq(delayed(m, finished, ahead, "announced"))
        with m.If(finished):
            m.d.sync += [self.rows2.eq(two), self.last.eq(ends)]
        return m

    def _of_lanes(self, word):
        """The pixels of a map word that belong to the channels of this cluster's lanes."""
        lanes = self._build.lanes_per_cluster
        groups = self._build.word_pixels // lanes
        parts = [
            Cat(word.mask[first : first + lanes], *(word.values[first + n] for n in range(lanes)))
            for first in range(0, groups * lanes, lanes)
        ]
        return Array(parts)[self.work.group % groups]
