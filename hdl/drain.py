"""The drain: carries finished columns from the clusters to the requantiser."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.params import PICK_TO_CHUNK, PICK_TO_RELEASE, Build
from hdl.delay import delayed
from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG, drain_chunk


class Drain(wiring.Component):
    """Takes the teams' finished columns in turn, `drain` sums per cycle.

    A column leaves row by row, within a row group by group of the team, within a group lane by
    lane; that takes rows x team_groups x lanes_per_cluster / drain cycles. Teams take turns (round
    robin), without a cycle lost in between. A chunk leaves `PICK_TO_CHUNK` cycles after its pick:
    the clusters may be as far away as a part is wide, so that the pick is registered on its way
    there, and at its end, and the sums likewise. A packet starts only when the writer has room for
    it (`Build.output_packets` at a time).

    Members
    -------
    config, work, arm : the pass; turns start anew with `arm`
    announced, rows2, last : per cluster, see `hdl.walker.Walker`
    row, shift, sums, release : per cluster, all but `row`, see `hdl.cluster.Cluster`
    returned : the writer has finished a packet
    o : the sums; always taken, `ready` is not looked at
    channel : the first channel within the pass, of the sums that leave one cycle later
    closing : a segment's last chunk is being picked
    """

    def __init__(self, build: Build):
        self._build = build
        n = build.clusters
        sums = data.ArrayLayout(signed(build.acc_bits), build.drain)
        super().__init__(
            {
                "config": In(PASS_CONFIG),
                "work": In(data.ArrayLayout(CLUSTER_CONFIG, n)),
                "arm": In(1),
                "announced": In(n),
                "rows2": In(n),
                "last": In(n),
                "row": Out(1),
                "shift": Out(n),
                "sums": In(data.ArrayLayout(sums, n)),
                "release": Out(n),
                "returned": In(1),
                "o": Out(stream.Signature(drain_chunk(build))),
                "channel": Out(8),
                "closing": Out(1),
            }
        )

    def elaborate(self, platform):
        build = self._build
        n = build.clusters
        m = Module()
        last_of_lanes = build.lanes_per_cluster // build.drain - 1

        active = Signal()
        lead, cluster = Signal(range(max(2, n))), Signal(range(max(2, n)))
        team = Signal(3)
        row, shift = Signal(), Signal(n)
        rows2, last = Signal(), Signal()
        chunk = Signal(range(last_of_lanes + 2))  # of the group
        group = Signal(4)  # of the team
        base = Signal(8)  # channel of the team's first lane
        channel = Signal(8)

        pick = Signal()
        credit = Signal(range(build.output_packets + 1), init=build.output_packets)
        opens = Signal()  # the chunk is its packet's first
        m.d.sync += credit.eq(credit - (pick & opens) + self.returned)
        last_chunk, last_group, last_row, ends = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            opens.eq(channel[:4] == 0),
            pick.eq(active & ((credit != 0) | ~opens)),
            last_chunk.eq(chunk == last_of_lanes),
            last_group.eq(group == self.config.team_groups - 1),
            last_row.eq(row == rows2),
            ends.eq(pick & last_chunk & last_group & last_row),
        ]

        # Whose turn is next: the first team after `lead` with a finished column.
        wants = Signal(n)
        takes = Signal(n)
        first_of_team = [self.work[c].team != self.work[c - 1].team if c else 1 for c in range(n)]
        m.d.sync += wants.eq(wants & ~takes | self.announced & Cat(first_of_team))
        following = Signal(range(max(2, n)))
        with m.Switch(lead):
            for c in range(n):
                with m.Case(c):
                    for step in reversed(range(1, n + 1)):
                        with m.If(wants[(c + step) % n]):
                            m.d.comb += following.eq((c + step) % n)

        with m.If(~active | ends):
            m.d.sync += [
                active.eq(wants.any()),
                chunk.eq(0),
                group.eq(0),
                row.eq(0),
                channel.eq(0),
            ]
            with m.If(wants.any()):
                m.d.comb += takes.eq(1 << following)
                m.d.sync += [
                    lead.eq(following),
                    cluster.eq(following),
                    rows2.eq(self.rows2.bit_select(following, 1)),
                    last.eq(self.last.bit_select(following, 1)),
                    team.eq(self.work[following].team),
                    base.eq(self.work[following].group * build.lanes_per_cluster),
                ]
        with m.Elif(pick):
            m.d.comb += shift.eq(1 << cluster)
            m.d.sync += [chunk.eq(chunk + 1), channel.eq(channel + build.drain)]
            with m.If(last_chunk):
                m.d.sync += [chunk.eq(0), group.eq(group + 1), cluster.eq(cluster + 1)]
                with m.If(last_group):
                    m.d.sync += [group.eq(0), cluster.eq(lead), row.eq(1), channel.eq(0)]

        with m.If(self.arm):
            m.d.sync += lead.eq(0)

        release = Signal(n)
        for c in range(n):
            with m.If(ends & self.work[c].active & (self.work[c].team == team)):
                m.d.comb += release[c].eq(1)
        m.d.sync += [self.row.eq(row), self.shift.eq(shift)]
        # The cluster's own register makes it whole.
        m.d.comb += self.release.eq(delayed(m, release, PICK_TO_RELEASE - 1, "release"))

        out = self.o.payload
        end_of_row = last_chunk & last_group
        real = Cat(base + channel + i < self.config.out_channels for i in range(build.drain))
        for port, value in (
            (self.o.valid, pick),
            (out.real, real),
            (out.context, Cat(row, team)),
            (out.packet_end, ((channel + build.drain)[:4] == 0) | end_of_row),
            (out.segment_end, end_of_row & last),
        ):
            picked = Signal.like(port, name="picked")
            m.d.comb += [picked.eq(value), port.eq(delayed(m, picked, PICK_TO_CHUNK, "picked"))]
        picked_channel = Signal(8)
        m.d.comb += [
            picked_channel.eq(base + channel),
            self.channel.eq(delayed(m, picked_channel, PICK_TO_CHUNK - 1, "channel")),
        ]
        source = delayed(m, cluster, PICK_TO_CHUNK - 1, "source")
        m.d.sync += out.sums.eq(self.sums[source])
        m.d.comb += self.closing.eq(pick & end_of_row & last)
        return m
