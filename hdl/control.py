"""The control stream: descriptor, lane parameters and weights of one pass after the other."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.descriptor import MAGIC, PASS_WORDS, Fault
from golden.params import Build, ceil_div
from hdl.layouts import CLUSTER_CONFIG, LOAD_BITS, PASS_CONFIG


def lane_load(build: Build) -> data.StructLayout:
    """Layout of one write into the lanes of a group: the weights of one beat of lanes."""
    return data.StructLayout(
        {
            "weight_en": unsigned(1),
            "group": unsigned(3),
            "beat": range(max(2, ceil_div(build.lanes_per_cluster, build.weights_per_beat))),
            "address": range(build.weight_words),
            "data": unsigned(64),
        }
    )


#: What a cluster has to know of the pass that is loaded.
TARGET = data.StructLayout({"active": unsigned(1), "group": unsigned(3)})


class ControlLoader(wiring.Component):
    """Takes the control stream, one word per cycle, up to one pass ahead of the one that runs.

    The stream of a pass is its descriptor, the parameters (bias and scale) of each lane of each
    group, then its loads of weights, a tile of input channels each. A pass is *ahead* from its last
    parameter until it starts, two cycles after the pass before has ended. Its first load may come
    while the pass before still computes with the other half of the weight memory; the next load of
    a pass that runs may come when the clusters have finished with the one before the latest. A
    load that lies across both halves waits for the end of the pass before, and so does the load
    that follows it.

    Members
    -------
    i : the control stream
    config, clusters : the descriptor of the pass that runs, stable from the cycle before `arm` to
        the one after `finish`
    half : the half in which that pass's first load lies; likewise
    arm : the pass begins in the next cycle
    run : the pass computes, from the cycle after `arm` to `finish`
    finish : the pass has ended
    opening : the first word of a layer is being taken
    loaded : loads of the running pass that are in the lanes; all ones when no more will come
    released : loads of the running pass that each cluster has finished with
    targets : of each cluster, whether it has work in the pass that is loaded, and its group there
    load : a write to the lanes
    bias_en, scale_en, parameter_bank, parameter_channel, parameter : a write to the requantiser's
        biases or scales, float32 bits; `bank` is the one of the pass that runs
    fault : a word that must open a descriptor does not; sticky
    """

    def __init__(self, build: Build):
        self._build = build
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(64))),
                "config": Out(PASS_CONFIG),
                "clusters": Out(data.ArrayLayout(CLUSTER_CONFIG, build.clusters)),
                "half": Out(1),
                "arm": Out(1),
                "run": Out(1),
                "finish": In(1),
                "opening": Out(1),
                "loaded": Out(LOAD_BITS),
                "released": In(data.ArrayLayout(LOAD_BITS, build.clusters)),
                "targets": Out(data.ArrayLayout(TARGET, build.clusters)),
                "load": Out(lane_load(build)),
                "bias_en": Out(1),
                "scale_en": Out(1),
                "parameter_bank": Out(1),
                "parameter_channel": Out(8),
                "parameter": Out(64),
                "bank": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform):
        build = self._build
        lanes = build.lanes_per_cluster
        beats = ceil_div(lanes, build.weights_per_beat)
        m = Module()

        word = self.i.payload
        late_word = Signal.like(word)
        taken = Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)

        # The pass that is loaded, and whether it is still ahead of the one that runs.
        coming = Signal(PASS_CONFIG)
        coming_clusters = Signal.like(self.clusters)
        coming_half = Signal()
        ahead, stands, running = Signal(), Signal(), Signal()
        resting = Signal(init=1)  # not running; a register of its own, for all that it enables
        m.d.sync += [self.arm.eq(stands), stands.eq(ahead & ~stands & ~running)]
        m.d.comb += self.run.eq(running & ~self.arm)
        with m.If(self.finish):
            m.d.sync += [running.eq(0), resting.eq(1)]
        with m.If(resting):
            m.d.sync += [
                self.config.eq(coming),
                self.clusters.eq(coming_clusters),
                self.half.eq(coming_half),
                self.bank.eq(self.parameter_bank),
            ]
        with m.If(stands):
            m.d.sync += [
                self.parameter_bank.eq(~self.parameter_bank),
                running.eq(1),
                resting.eq(0),
                ahead.eq(0),
            ]
        for target, work in zip(self.targets, coming_clusters, strict=True):
            m.d.comb += [target.active.eq(work.active), target.group.eq(work.group)]

        index = Signal(range(max(len(PASS_WORDS), build.clusters, 2 * lanes)))
        group = Signal(3)
        channel = Signal(8)

        # The load at hand: its number, its tile, its half, and where it has got to.
        load, tile = Signal(LOAD_BITS), Signal(7)
        half = Signal()
        complete = Signal(LOAD_BITS)
        address = Signal(range(build.weight_words))
        beat = Signal(range(max(2, beats)))
        m.d.comb += self.loaded.eq(Mux(ahead, (1 << LOAD_BITS) - 1, complete))
        # Registered, as they stand from its first weight on; so are their parts, which are those of
        # the whole pass.
        final_tile, final_load = Signal.like(tile), Signal.like(load)
        last_tile, last_load = Signal(), Signal()
        last_address, last_group = Signal.like(address), Signal(4)
        final_addresses = [Signal.like(address, name=f"final_address_{n}") for n in (0, 1)]
        one_address = Signal(2)
        ends = tile == final_tile
        m.d.sync += [
            final_tile.eq(coming.tiles - 1),
            final_load.eq(coming.loads - 1),
            last_tile.eq(ends),
            last_load.eq(load == final_load),
            last_address.eq(Mux(ends, final_addresses[1], final_addresses[0])),
            last_group.eq(coming.groups - 1),
        ]
        for n, weights in enumerate((coming.tile_weights, coming.last_weights)):
            m.d.sync += [final_addresses[n].eq(weights - 1), one_address[n].eq(weights == 1)]
        # Whether the beat, the address and the group are the last ones.
        ends_beats, ends_addresses, ends_groups = Signal(), Signal(), Signal()
        # Loads that must be released first: of the pass that runs all, or all but the latest.
        earlier, all_but_last = Signal(LOAD_BITS), Signal(LOAD_BITS)
        m.d.sync += all_but_last.eq(self.config.loads - 1)
        free = Signal()
        least = Mux(ahead, all_but_last, earlier)
        released = Cat(loads >= least for loads in self.released).all()
        with m.If(ahead):
            early = (load == 0) & ~coming.alone & ~self.config.alone
            m.d.comb += free.eq(running & early & released)
        with m.Else():
            m.d.comb += free.eq((load < 2) | released)

        # The descriptor's words are kept a cycle after they were taken: their many registers are
        # far from the stream, and nothing needs them sooner.
        word_is, cluster_is = Signal(len(PASS_WORDS)), Signal(build.clusters)
        for i, fields in enumerate(PASS_WORDS):
            with m.If(word_is[i]):
                position = 0
                for name, bits in fields:
                    m.d.sync += getattr(coming, name).eq(late_word[position : position + bits])
                    position += bits
        for i, work in enumerate(coming_clusters):
            with m.If(cluster_is[i]):
                m.d.sync += work.eq(late_word[: work.shape().size])

        m.d.sync += [
            word_is.eq(0),
            cluster_is.eq(0),
            self.load.weight_en.eq(0),
            self.bias_en.eq(0),
            self.scale_en.eq(0),
        ]
        with m.FSM():
            with m.State("PASS"):
                good = word[:8] == MAGIC
                m.d.comb += [
                    self.i.ready.eq((self.fault == Fault.NONE) & ~ahead),
                    self.opening.eq(taken & (index == 0) & good & word[8]),
                ]
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    m.d.sync += word_is.eq(1 << index)
                    with m.If((index == 0) & ~good):
                        m.d.sync += self.fault.eq(Fault.DESCRIPTOR)
                    with m.If(index == len(PASS_WORDS) - 1):
                        m.d.sync += index.eq(0)
                        m.next = "CLUSTERS"

            with m.State("CLUSTERS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    m.d.sync += cluster_is.eq(1 << index)
                    with m.If(index == build.clusters - 1):
                        m.d.sync += [index.eq(0), group.eq(0), channel.eq(0)]
                        m.next = "PARAMETERS"

            with m.State("PARAMETERS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += [
                        index.eq(index + 1),
                        self.bias_en.eq(~index[0]),
                        self.scale_en.eq(index[0]),
                    ]
                    with m.If(index[0]):
                        m.d.sync += channel.eq(channel + 1)
                    with m.If(index == 2 * lanes - 1):
                        m.d.sync += [index.eq(0), group.eq(group + 1)]
                        with m.If(group == coming.groups - 1):
                            m.d.sync += [
                                group.eq(0),
                                ahead.eq(1),
                                load.eq(0),
                                tile.eq(0),
                                complete.eq(0),
                                coming_half.eq(half & ~coming.alone),
                            ]
                            m.next = "FREE"

            with m.State("FREE"):  # waits until the half is free
                m.d.sync += [
                    address.eq(0),
                    beat.eq(0),
                    group.eq(0),
                    ends_beats.eq(beats == 1),
                    ends_addresses.eq(Mux(ends, one_address[1], one_address[0])),
                    ends_groups.eq(coming.groups == 1),
                ]
                with m.If(coming.alone):
                    m.d.sync += half.eq(0)
                with m.If(free):
                    m.next = "WEIGHTS"

            with m.State("WEIGHTS"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += [
                        self.load.weight_en.eq(1),
                        beat.eq(beat + 1),
                        ends_beats.eq(beat + 1 == beats - 1),
                    ]
                    with m.If(ends_beats):
                        m.d.sync += [
                            beat.eq(0),
                            address.eq(address + 1),
                            ends_beats.eq(beats == 1),
                            ends_addresses.eq(address + 1 == last_address),
                        ]
                        with m.If(ends_addresses):
                            m.d.sync += [
                                address.eq(0),
                                group.eq(group + 1),
                                ends_addresses.eq(last_address == 0),
                                ends_groups.eq(group + 1 == last_group),
                            ]
                            with m.If(ends_groups):
                                m.d.sync += [
                                    complete.eq(complete + 1),
                                    load.eq(load + 1),
                                    earlier.eq(load),
                                    tile.eq(Mux(last_tile, 0, tile + 1)),
                                    half.eq(~half & ~coming.alone),
                                ]
                                m.next = "FREE"
                                with m.If(last_load):
                                    m.next = "PASS"

        m.d.sync += [
            self.load.group.eq(group),
            self.load.beat.eq(beat),
            self.load.address.eq(address + Mux(half, build.half_words, 0)),
            self.parameter_channel.eq(channel),
            late_word.eq(word),
        ]
        m.d.comb += [self.load.data.eq(late_word), self.parameter.eq(late_word)]
        return m
