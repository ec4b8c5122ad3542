"""The itinerary of a cluster: its scans in order, and when each may begin."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, ValueLike, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.params import Build
from hdl.layouts import CLUSTER_CONFIG, LOAD_BITS, PASS_CONFIG
from hdl.multiply import times
from hdl.ring import RingWalk
from hdl.scan import bank_bits

#: `row_floor` when no row is needed, and `released` when no load is.
NO_ROW = (1 << 13) - 1
ALL_LOADS = (1 << LOAD_BITS) - 1


#: Members that an itinerary, its fetcher and their cluster have in common.
PROGRESS = {
    "config": In(PASS_CONFIG),
    "work": In(CLUSTER_CONFIG),
    "half": In(1),
    "arm": In(1),
    "rows_done": In(13),
    "loaded": In(LOAD_BITS),
    "row_floor": Out(13),
    "released": Out(LOAD_BITS),
}


def pass_progress(m: Module, outer: wiring.Component, inner: wiring.Component) -> None:
    """Connect the members of `PROGRESS` of a component to those of the one around it."""
    for name, member in PROGRESS.items():
        here, there = getattr(outer, name), getattr(inner, name)
        m.d.comb += there.eq(here) if member.flow == In else here.eq(there)


def scan_start(build: Build) -> data.StructLayout:
    """Layout of what a scan begins with.

    rows: input rows of the stripe that are in the map. kernel_row, slot, base: of the lowest of
    them, its place in the stripe, its slot in the ring, and the bank words before it. bank: that of
    the first word that is read. first_word, final_word: of a column. two: the stripe has two output
    rows. half: of the weights. opens, closes, slots: see `hdl.scan.scan_tag`.
    """
    return data.StructLayout(
        {
            "rows": unsigned(4),
            "kernel_row": unsigned(4),
            "slot": unsigned(12),
            "base": range(build.map_words),
            "bank": bank_bits(build),
            "first_word": unsigned(10),
            "final_word": unsigned(10),
            "two": unsigned(1),
            "half": unsigned(1),
            "opens": unsigned(1),
            "closes": unsigned(1),
            "slots": range(build.acc_words),
        }
    )


class Itinerary(wiring.Component):
    """Goes from scan to scan, a step ahead of the fetcher.

    A scan is a stripe and a tile of input channels. The stripes of a region are scanned one after
    the other for the first tile, then again for the next; their sums stay open in between.

    The rows of a scan are known two cycles after the one before began, and sought, one row per
    cycle, from then on; one cycle after they and the weights are found, `ready` says so.

    Members
    -------
    config, work : what to do; stable from the cycle before `arm` on
    half : half of the weight memory that the pass's first load is in; likewise
    arm : a pass begins in the next cycle
    rows_done : input rows in the banks
    loaded : loads of the pass's weights that are in the lanes
    idle : nothing is left to do
    take : the scan at `next` begins; only when it is `ready`
    finished : the scan that was taken last is finished
    ready : rows and weights of the scan at `next` are there
    over : no scan is left; means nothing in the cycle after `arm` or `take`, in which `aiming` is 1
    aiming : see `over`
    hungry : the weights of the scan at `next` are not there
    next : the scan that comes next, if it is `ready`
    row_floor : the lowest input row that is still needed; all ones when there is none
    released : loads that the cluster has finished with; all ones when it needs none any more
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                **PROGRESS,
                "idle": In(1),
                "take": In(1),
                "finished": In(1),
                "ready": Out(1),
                "over": Out(1),
                "aiming": Out(1),
                "hungry": Out(1),
                "next": Out(scan_start(build)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        config, work = self.config, self.work
        m = Module()
        bank_mask = build.clusters - 1

        # What does not change during a pass.
        onward, first_top = Signal(9), Signal(signed(14))  # rows from stripe to stripe
        two_steps, first_left = Signal(5), Signal(signed(14))
        two_rows = Signal(4)  # input rows for two output rows
        slice_word = Signal(10)  # where the cluster's words of a column begin
        steps = [Mux(work.slice[b], config.slice_words << b, 0) for b in range(len(work.slice))]
        m.d.sync += [
            onward.eq(times(work.stripe_step, config.stride_h) << 1),
            first_top.eq((times(work.first_stripe, config.stride_h) << 1) - config.pad_top),
            two_steps.eq(work.stripe_step << 1),
            first_left.eq(config.out_rows - (work.first_stripe << 1)),
            two_rows.eq(config.kernel_h + config.stride_h),
            slice_word.eq(config.first_word + sum(steps)),
        ]

        # The scan's stripe: its first input row, padding included, the output rows from its first
        # one on, and where in the ring the search for its first row has got to.
        place = data.StructLayout(
            {
                "top": signed(14),
                "left": signed(14),
                "row": 12,
                "ring": RingWalk.place(build),
                "bank": bank_bits(build),
            }
        )
        at = Signal(place)
        region = Signal(place)  # that of the region's first stripe
        tile, tile_word = Signal(7), Signal(10)
        load = Signal(LOAD_BITS)
        index, slots = Signal(7), Signal(range(build.acc_words))  # within the region

        # One cycle later: its input rows [low, high) and what comes after it.
        low, high, region_low = Signal(12), Signal(12), Signal(12)
        two, exhausted, ends_pass = Signal(), Signal(), Signal()
        has_two = ~at.left[-1] & at.left[1:-1].any()  # shorter than a comparison

        def clipped(row: Signal, above: ValueLike, inside: ValueLike, below: ValueLike):
            return Mux(row < 0, above, Mux(row < config.in_rows, inside, below))

        def clip(row: Signal):
            return clipped(row, 0, row, config.in_rows)

        end = Signal(signed(15))
        m.d.comb += end.eq(at.top + Mux(has_two, two_rows, config.kernel_h))
        m.d.sync += [
            low.eq(clip(at.top)),
            high.eq(clip(end)),
            two.eq(has_two),
            exhausted.eq(at.left[-1] | ~at.left.any()),
            ends_pass.eq(at.left <= two_steps),
            self.aiming.eq(self.arm | self.take),
        ]
        last_tile, ends_tile = Signal(), Signal()
        first = Signal()  # of the region
        # They stand before the next scan is ready.
        m.d.sync += [
            last_tile.eq(tile == config.tiles - 1),
            ends_tile.eq((index == config.region - 1) | ends_pass),
            first.eq(index == 0),
        ]

        # The search, and whether all is there.
        walk = RingWalk(m, build, config, "seek")
        found = Signal(init=1)  # whether `at.row` is `low`; means nothing while aiming
        with m.If(self.aiming):
            rows = (Const(0), at.top[:12], config.in_rows)
            m.d.sync += found.eq(clipped(at.top, *(at.row == row for row in rows)))
        with m.Elif(~found):
            m.d.sync += [
                found.eq(at.row + 1 == low),
                at.row.eq(at.row + 1),
                at.bank.eq(at.bank + config.col_words & bank_mask),
                *walk.step(at.ring),
            ]
        m.d.comb += [
            self.over.eq(exhausted),
            self.hungry.eq(self.loaded <= load),
        ]
        m.d.sync += self.ready.eq(
            (found & ~self.aiming & ~exhausted & (self.rows_done >= high) & ~self.hungry)
            & ~(self.take | self.arm)
        )

        # Registered, as `ready` is.
        o = self.next
        beyond = tile_word + config.tile_words
        first_word = Signal.like(o.first_word)
        m.d.comb += first_word.eq(slice_word + tile_word)
        m.d.sync += [
            o.rows.eq(high[:4] - low[:4]),
            o.slot.eq(at.ring.slot),
            o.base.eq(at.ring.base),
            o.bank.eq(at.bank + work.first_bank + first_word & bank_mask),
            o.kernel_row.eq(low[:4] - at.top[:4]),
            o.two.eq(two),
            o.first_word.eq(first_word),
            o.final_word.eq(slice_word + Mux(last_tile, config.slice_words, beyond) - 1),
            o.half.eq(self.half ^ load[0]),
            o.opens.eq((tile == 0) & ~config.continues),
            o.closes.eq(last_tile & ~config.stays),
            o.slots.eq(slots),
        ]

        # The scan at hand: what it still needs, and what is free after it.
        scanning, last_scan = Signal(), Signal()
        first_row = Signal(12)
        frees, freed = Signal(), Signal(LOAD_BITS)
        needed_now = Mux(last_scan, first_row, region_low)
        needed_next = Mux(last_tile | first, low, region_low)
        m.d.sync += self.row_floor.eq(
            Mux(scanning, needed_now, Mux(exhausted | ~work.active, NO_ROW, needed_next))
        )
        count = Signal(LOAD_BITS)
        m.d.comb += self.released.eq(Mux(self.idle, ALL_LOADS, count))
        with m.If(self.finished):
            m.d.sync += scanning.eq(0)
            with m.If(frees):
                m.d.sync += count.eq(freed)

        with m.If(self.take):
            m.d.sync += [
                scanning.eq(1),
                last_scan.eq(last_tile),
                first_row.eq(low),
                frees.eq(ends_tile & (ends_pass | ~config.resident)),
                freed.eq(load + 1),
            ]
            further = [at.top.eq(at.top + onward), at.left.eq(at.left - two_steps)]
            with m.If(first):
                m.d.sync += [region.eq(at), region_low.eq(low)]
            with m.If(~ends_tile):
                m.d.sync += [
                    *further,
                    index.eq(index + 1),
                    slots.eq(slots + Cat(1, config.window) + 1),
                ]
            with m.Else():
                m.d.sync += [index.eq(0), slots.eq(0)]
                with m.If(~last_tile):
                    m.d.sync += [
                        tile.eq(tile + 1),
                        tile_word.eq(beyond),
                        load.eq(load + 1),
                    ]
                    with m.If(~first):
                        m.d.sync += at.eq(region)
                with m.Else():
                    m.d.sync += [
                        *further,
                        tile.eq(0),
                        tile_word.eq(0),
                        load.eq(Mux(config.resident, 0, load + 1)),
                    ]

        with m.If(self.arm):
            m.d.sync += [
                at.top.eq(first_top),
                at.left.eq(first_left),
                at.row.eq(0),
                at.ring.eq(0),
                at.bank.eq(0),
                tile.eq(0),
                tile_word.eq(0),
                load.eq(0),
                index.eq(0),
                slots.eq(0),
                count.eq(0),
            ]
        return m
