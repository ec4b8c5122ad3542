"""One cluster: the lanes that share one pixel stream, and their controller."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from golden.params import Build, ceil_div
from hdl.control import TARGET, lane_load
from hdl.fetcher import Fetcher
from hdl.itinerary import PROGRESS, pass_progress
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane
from hdl.layouts import CLUSTER_CONFIG, map_word
from hdl.scan import bank_bits, read_request, scan_entry
from hdl.stream import StreamFIFO
from hdl.walker import Walker


class Cluster(wiring.Component):
    """Fetcher, prefetch queue, walker and lanes; finished columns leave through `sums`.

    Clusters of one team get the same words in the same cycles and so stay in step without a wire
    between them.

    Members
    -------
    config, work, half, arm, slot, rows_done, loaded, row_floor, released, request, waiting,
        hungry, done : see `Fetcher`
    word : the banks' answer
    target, load : a write to the lanes of the group that it names, and whose group this is
    full, announced, rows2, last, visiting, users, retiring, blocked : see `Walker`
    row : the shadow row whose finished sums leave, those of the first `drain` lanes
    shift : the next `drain` lanes' sums of that row take their places; to be given until all have
        gone
    sums : those of the row of two cycles before
    release : see `Walker`; one cycle late
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                **PROGRESS,
                "slot": In(bank_bits(build)),
                "request": Out(read_request(build)),
                "word": In(map_word(build)),
                "target": In(TARGET),
                "load": In(lane_load(build)),
                "waiting": Out(1),
                "hungry": Out(1),
                "done": Out(1),
                "full": Out(1),
                "announced": Out(1),
                "rows2": Out(1),
                "last": Out(1),
                "release": In(1),
                "visiting": Out(1),
                "users": Out(CLUSTER_CONFIG["lanes"].shape),
                "retiring": Out(1),
                "blocked": Out(1),
                "row": In(1),
                "shift": In(1),
                "sums": Out(data.ArrayLayout(signed(build.acc_bits), build.drain)),
            }
        )

    def elaborate(self, platform):
        build = self._build
        m = Module()
        m.submodules.fetcher = fetcher = Fetcher(build)
        m.submodules.queue = queue = StreamFIFO(scan_entry(build), depth=build.fifo_depth)
        m.submodules.walker = walker = Walker(build)

        pass_progress(m, self, fetcher)
        m.d.comb += [
            fetcher.slot.eq(self.slot),
            fetcher.finished.eq(walker.finished),
            fetcher.taken.eq(queue.o.valid & queue.o.ready),
            self.hungry.eq(fetcher.hungry),
            self.request.eq(fetcher.request),
            self.waiting.eq(fetcher.waiting),
            self.done.eq(fetcher.done),
            # The fetcher's credits keep the queue from overflowing.
            queue.i.valid.eq(fetcher.tag_valid),
            queue.i.payload.tag.eq(fetcher.tag),
            queue.i.payload.word.eq(self.word),
            walker.config.eq(self.config),
            walker.work.eq(self.work),
            self.full.eq(walker.full),
            self.announced.eq(walker.announced),
            self.rows2.eq(walker.rows2),
            self.last.eq(walker.last),
            self.visiting.eq(walker.visiting),
            self.users.eq(walker.users),
            self.retiring.eq(walker.retiring),
            self.blocked.eq(walker.blocked),
        ]
        connect(m, queue.o, walker.i)

        load = Signal(lane_load(build))
        per_beat = build.weights_per_beat
        mine = self.target.active & (self.target.group == self.load.group)
        beat_is = Signal(ceil_div(build.lanes_per_cluster, per_beat))  # and goes to these lanes
        m.d.sync += [
            load.eq(self.load),
            beat_is.eq((self.load.weight_en & mine) << self.load.beat),
        ]

        lanes: list[Lane | L1Lane]
        if build.pe == "l1":
            lanes = [L1Lane(build) for _ in range(build.lanes_per_cluster)]
            m.submodules.window_sum = shared = WindowSum(build)
            m.d.comb += [
                shared.signed_in.eq(self.config.signed_in),
                shared.step.eq(walker.step),
                shared.forward.eq(walker.forward),
            ]
            m.d.comb += [lane.operand.eq(shared.operand) for lane in lanes]
        else:
            multiplying = [Lane(build) for _ in range(build.lanes_per_cluster)]
            m.d.comb += [lane.maximum.eq(self.config.maximum) for lane in multiplying]
            lanes = [*multiplying]
        for i, lane in enumerate(lanes):
            m.submodules[f"lane_{i}"] = lane
            position = (i % per_beat) * build.weight_bits
            m.d.comb += lane.step.eq(walker.step)
            if build.depthwise:
                m.d.comb += lane.step.pixel.eq(walker.pixels[i])
            m.d.comb += [
                lane.forward.eq(walker.forward),
                lane.weight_en.eq(beat_is[i // per_beat]),
                lane.weight_address.eq(load.address),
                lane.weight_data.eq(load.data[position : position + build.weight_bits]),
            ]
        # Finished sums move along the lanes, so that no wire is longer than from lane to lane.
        row, shift = Signal(), Signal(2)
        m.d.sync += [
            row.eq(self.row),
            shift.eq(Cat(self.shift & (self.row == n) for n in range(2))),
            walker.release.eq(self.release),
        ]
        for lane, beside in zip(lanes, lanes[build.drain :], strict=False):
            m.d.comb += lane.beside.eq(beside.shadow)
        m.d.comb += [lane.shift.eq(shift) for lane in lanes]
        m.d.sync += [self.sums[i].eq(lanes[i].shadow[row]) for i in range(build.drain)]
        return m
