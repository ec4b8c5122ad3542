"""The control stream: descriptor, lane parameters and weights of one pass."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.descriptor import CLUSTER_WORD, MAGIC, PASS_WORDS, Fault
from golden.params import Build, ceil_div
from hdl.layouts import CLUSTER_CONFIG, PASS_CONFIG


def lane_load(build: Build) -> data.StructLayout:
    """Layout of one write into the lanes of a group: a bias, or weights of one beat of lanes."""
    return data.StructLayout(
        {
            "bias_en": unsigned(1),
            "weight_en": unsigned(1),
            "group": unsigned(3),
            "lane": range(max(2, build.lanes_per_cluster)),  # of the bias
            "beat": range(max(2, ceil_div(build.lanes_per_cluster, build.weights_per_beat))),
            "address": range(build.weight_words),
            "data": unsigned(64),
        }
    )


class ControlLoader(wiring.Component):
    """Takes one pass's control stream, then lets the pass run.

    One word per cycle: descriptor, then for each group of lanes its parameters (bias and scale of
    each lane) and its weights. `arm` pulses in the cycle after the last descriptor word, `run` is
    high from two cycles after the last weight until `finish`; in between the stream waits.

    Members
    -------
    i : the control stream
    config, clusters : the descriptor, stable from `arm` to the next descriptor
    arm : the configuration has just changed
    run : the pass computes
    finish : the pass has ended
    opening : the first word of a layer is being taken
    load : a write to the lanes
    scale_en, scale_channel, scale_data : a write to the requantiser's scales, float32 bits
    fault : a word that must open a descriptor does not; sticky
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(64))),
                "config": Out(PASS_CONFIG),
                "clusters": Out(data.ArrayLayout(CLUSTER_CONFIG, build.clusters)),
                "arm": Out(1),
                "run": Out(1),
                "finish": In(1),
                "opening": Out(1),
                "load": Out(lane_load(build)),
                "scale_en": Out(1),
                "scale_channel": Out(8),
                "scale_data": Out(32),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform):
        build = self._build
        lanes = build.lanes_per_cluster
        beats = ceil_div(lanes, build.weights_per_beat)
        m = Module()

        word = self.i.payload
        index = Signal(range(max(len(PASS_WORDS), build.clusters, 2 * lanes)))
        group = Signal(3)
        channel = Signal(8)
        address = Signal(range(build.weight_words + 1))
        beat = Signal(range(max(2, beats)))

        m.d.sync += [
            self.arm.eq(0),
            self.load.bias_en.eq(0),
            self.load.weight_en.eq(0),
            self.scale_en.eq(0),
        ]
        with m.FSM():
            with m.State("PASS"):
                good = word[:8] == MAGIC
                m.d.comb += [
                    self.i.ready.eq(self.fault == Fault.NONE),
                    self.opening.eq(self.i.valid & self.i.ready & (index == 0) & good & word[8]),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += index.eq(index + 1)
                    with m.Switch(index):
                        for i, fields in enumerate(PASS_WORDS):
                            with m.Case(i):
                                position = 0
                                for name, bits in fields:
                                    m.d.sync += getattr(self.config, name).eq(
                                        word[position : position + bits]
                                    )
                                    position += bits
                    with m.If((index == 0) & ~good):
                        m.d.sync += self.fault.eq(Fault.DESCRIPTOR)
                    with m.If(index == len(PASS_WORDS) - 1):
                        m.d.sync += index.eq(0)
                        m.next = "CLUSTERS"

            with m.State("CLUSTERS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += index.eq(index + 1)
                    with m.Switch(index):
                        for i in range(build.clusters):
                            with m.Case(i):
                                bits = sum(bits for _, bits in CLUSTER_WORD)
                                m.d.sync += self.clusters[i].eq(word[:bits])
                    with m.If(index == build.clusters - 1):
                        m.d.sync += [
                            index.eq(0),
                            group.eq(0),
                            channel.eq(0),
                            self.arm.eq(1),
                        ]
                        m.next = "PARAMETERS"

            with m.State("PARAMETERS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        index.eq(index + 1),
                        self.load.bias_en.eq(~index[0]),
                        self.scale_en.eq(index[0]),
                    ]
                    with m.If(index[0]):
                        m.d.sync += channel.eq(channel + 1)
                    with m.If(index == 2 * lanes - 1):
                        m.d.sync += [index.eq(0), address.eq(0), beat.eq(0)]
                        m.next = "WEIGHTS"

            with m.State("WEIGHTS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [self.load.weight_en.eq(1), beat.eq(beat + 1)]
                    with m.If(beat == beats - 1):
                        m.d.sync += [beat.eq(0), address.eq(address + 1)]
                        with m.If(address == self.config.weight_count - 1):
                            m.d.sync += group.eq(group + 1)
                            m.next = "PARAMETERS"
                            with m.If(group == self.config.groups - 1):
                                m.next = "SETTLE"

            with m.State("SETTLE"):  # the last weight is on its way to the lanes
                m.next = "RUN"

            with m.State("RUN"):
                m.d.comb += self.run.eq(1)
                with m.If(self.finish):
                    m.next = "PASS"

        m.d.sync += [
            self.load.group.eq(group),
            self.load.lane.eq(index >> 1),
            self.load.beat.eq(beat),
            self.load.address.eq(address),
            self.load.data.eq(word),
            self.scale_channel.eq(channel),
            self.scale_data.eq(word[:32]),
        ]
        return m
