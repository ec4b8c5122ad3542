"""The compute core: wires the blocks together."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from golden.descriptor import Fault
from golden.params import INTAKE_START, Build
from hdl.banks import MapBanks
from hdl.cluster import Cluster
from hdl.control import ControlLoader
from hdl.counters import COUNTER_BITS, COUNTERS, Counters
from hdl.delay import delayed
from hdl.drain import Drain
from hdl.encoder import Encoder
from hdl.intake import Intake
from hdl.layouts import MAP_BEAT, OUT_BEAT
from hdl.requant import Requantiser
from hdl.scan import bank_bits


class Core(wiring.Component):
    """The accelerator core, from streams to streams.

    Members
    -------
    i_control : descriptors, lane parameters and weights, pass by pass
    i_map : input maps, as far as the passes load one
    o_map : output maps, segment by segment, interleaved
    clear : forget everything, as after reset, except the memories' contents
    busy : a layer runs, or is being loaded
    done : its last cycle
    fault, fault_row, fault_col : why and where the core stopped; until `clear`
    c_* : counters of the layer that ended last, from three cycles after its `done` on
    """

    def __init__(self, build: Build):
        self._build = build
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
                **{f"c_{name}": Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform):
        build = self._build
        n = build.clusters
        m = Module()
        m.submodules.control = control = ControlLoader(build)
        m.submodules.intake = intake = Intake(build)
        m.submodules.banks = banks = MapBanks(build)
        m.submodules.drain = drain = Drain(build)
        m.submodules.requant = requant = Requantiser(build)
        m.submodules.encoder = encoder = Encoder(build)
        m.submodules.counters = counters = Counters(build)
        clusters = []
        for i in range(n):
            cluster = Cluster(build)
            m.submodules[f"cluster_{i}"] = cluster
            clusters.append(cluster)
        stopped = Signal()

        # Streams. A core that has met a fault neither takes nor gives anything more.
        m.d.comb += [
            control.i.payload.eq(self.i_control.payload),
            control.i.valid.eq(self.i_control.valid & ~stopped),
            self.i_control.ready.eq(control.i.ready & ~stopped),
            intake.i.payload.eq(self.i_map.payload),
            intake.i.valid.eq(self.i_map.valid & ~stopped),
            self.i_map.ready.eq(intake.i.ready & ~stopped),
            self.o_map.payload.eq(encoder.o.payload),
            self.o_map.valid.eq(encoder.o.valid & ~stopped),
            encoder.o.ready.eq(self.o_map.ready & ~stopped),
        ]
        connect(m, drain.o, requant.i)
        m.d.comb += requant.channel.eq(drain.channel)
        connect(m, requant.o, encoder.i)

        # Configuration.
        m.d.comb += [
            intake.config.eq(control.config),
            drain.config.eq(control.config),
            drain.work.eq(control.clusters),
            drain.arm.eq(control.arm),
            requant.config.eq(control.config),
            encoder.config.eq(control.config),
        ]
        m.d.comb += [
            requant.bias_en.eq(control.bias_en),
            requant.scale_en.eq(control.scale_en),
            requant.parameter_bank.eq(control.parameter_bank),
            requant.parameter_channel.eq(control.parameter_channel),
            requant.parameter.eq(control.parameter),
            requant.bank.eq(control.bank),
        ]

        # The intake may overwrite the rows that no cluster needs any more, the loader the weights.
        # The intake starts when the limits stand for the new pass.
        for i, cluster in enumerate(clusters):
            m.d.sync += [
                intake.row_limits[i].eq(cluster.row_floor + control.config.ring_rows),
                control.released[i].eq(cluster.released),
            ]
        stale = Signal()  # the rows in the banks are of another map
        load_map = control.arm & control.config.load_map
        m.d.sync += stale.eq(load_map | (stale & ~intake.start))
        start = delayed(m, load_map, INTAKE_START, "start")
        m.d.comb += [
            intake.start.eq(start),
            banks.w_en.eq(intake.w_en),
            banks.w_bank.eq(intake.w_bank),
            banks.w_address.eq(intake.w_addr),
            banks.w_part.eq(intake.w_part),
            banks.w_piece.eq(intake.w_piece),
        ]

        # The clusters.
        phase, next_phase = Signal(bank_bits(build)), Signal(bank_bits(build))
        m.d.comb += next_phase.eq(Mux(control.arm, 0, phase + 1) & (n - 1))
        m.d.sync += phase.eq(next_phase)
        for i, cluster in enumerate(clusters):
            work = control.clusters[i]
            m.d.comb += [
                cluster.config.eq(control.config),
                cluster.work.eq(work),
                cluster.half.eq(control.half),
                cluster.arm.eq(control.arm),
                cluster.loaded.eq(control.loaded),
                cluster.rows_done.eq(Mux(stale, 0, intake.rows_done)),
                cluster.target.eq(control.targets[i]),
                cluster.load.eq(control.load),
                cluster.word.eq(banks.words[i]),
                banks.requests[i].eq(cluster.request),
                cluster.row.eq(drain.row),
                cluster.shift.eq(drain.shift[i]),
                drain.sums[i].eq(cluster.sums),
                cluster.release.eq(drain.release[i]),
            ]
            m.d.sync += cluster.slot.eq((next_phase + work.team) & (n - 1))

        def of_all(name):
            return Cat(getattr(cluster, name) for cluster in clusters)

        m.d.comb += [
            drain.returned.eq(encoder.returned),
            drain.announced.eq(of_all("announced")),
            drain.rows2.eq(of_all("rows2")),
            drain.last.eq(of_all("last")),
        ]

        # The end of a pass: no stripe left, nothing in the shadow registers or on its way out, and
        # the map taken to its end, rows that nobody needs included.
        segments = Signal(8)  # segments that have left the clusters but not yet the core
        given = self.o_map.valid & self.o_map.ready & self.o_map.payload.last
        finish = Signal()
        through = Signal(n)  # clusters
        running = Signal()
        left = through.all() & running & (segments == 0)
        quiet = left & intake.idle
        m.d.sync += [
            segments.eq(segments + drain.closing - given),
            through.eq(of_all("done") & ~of_all("full")),
            running.eq(control.run),
            finish.eq(control.run & quiet & ~finish),
        ]
        m.d.comb += [
            control.finish.eq(finish),
            self.done.eq(finish & control.config.last),
        ]
        # Layers that have begun: the one that runs, and one whose loading has begun.
        layers = Signal(2)
        m.d.sync += layers.eq(layers + control.opening - self.done)
        m.d.comb += self.busy.eq(layers != 0)

        # Counters and faults.
        m.d.comb += [
            counters.run.eq(control.run),
            counters.opening.eq(control.opening),
            counters.running.eq(self.busy),
            counters.ending.eq(self.done),
        ]
        for i, cluster in enumerate(clusters):
            m.d.comb += counters.users[i].eq(cluster.users)
        for name in ("visiting", "retiring", "blocked", "waiting", "hungry", "done"):
            m.d.comb += getattr(counters, name).eq(of_all(name))
        for name in COUNTERS:
            m.d.comb += getattr(self, f"c_{name}").eq(getattr(counters.counts, name))
        with m.If(~stopped):
            with m.If(intake.fault != Fault.NONE):
                m.d.sync += [
                    stopped.eq(1),
                    self.fault.eq(intake.fault),
                    self.fault_row.eq(intake.fault_row),
                    self.fault_col.eq(intake.fault_col),
                ]
            with m.Elif(control.fault != Fault.NONE):
                m.d.sync += [stopped.eq(1), self.fault.eq(control.fault)]
        return ResetInserter(self.clear)(m)
