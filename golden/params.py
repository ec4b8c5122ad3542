"""Build parameters and presets: the one object from which hardware and models derive.

A `Build` is what is fixed when the Verilog is made; what changes from layer to layer stands in
`golden.descriptor`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: Cycles from a walker's retire step to its sum standing in the shadow register: the step's
#: register, the weight's two, multiply, accumulate, the finished sum's (`hdl.walker`, `hdl.lane`).
LANE_LATENCY = 6

#: Between the drain and the clusters, which may be a part's width away, signals are registered at
#: both ends (`hdl.drain`, `hdl.cluster`). Cycles from a walker announcing a finished column to the
#: first pick of it, from a pick to the shadow registers, to the sums leaving the drain, and from a
#: column's last pick to the walker that may fill the shadow registers again.
ANNOUNCED_TO_PICK = 2
PICK_TO_SHADOW = 2
PICK_TO_CHUNK = PICK_TO_SHADOW + 2
PICK_TO_RELEASE = PICK_TO_SHADOW + 1

#: Cycles from a fetcher's read to the map word entering the prefetch queue: the request's
#: register, the bank, the bank's output register (`hdl.fetcher`, `hdl.banks`).
FETCH_LATENCY = 3


#: Cycles from a new configuration to the intake's start, in which the clusters report the rows
#: that they need (`hdl.core`).
INTAKE_START = 4

#: Most words of a lane's weight memory and of a map bank: what a descriptor can name
#: (`golden.descriptor`, fields `last_weights` and `first_address`).
WEIGHT_WORDS_MAX = (1 << 13) - 1
MAP_WORDS_MAX = (1 << 14) - 1
#: Most accumulators of a lane.
ACC_WORDS_MAX = 256
#: Most tiles of a pass's weights, and most loads of them (fields `tiles` and `loads`).
TILES_MAX = (1 << 7) - 1
LOADS_MAX = (1 << 12) - 1


class BuildError(ValueError):
    """A build parameter is out of range, or two of them do not go together."""


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below a / b."""
    return -(-a // b)


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one build of the core can do.

    Raises
    ------
    BuildError
        If a parameter is out of range or the parameters contradict each other.
    """

    name: str
    #: Clusters; each has its own controller and shares one pixel among its lanes.
    clusters: int
    #: Lanes of one cluster; a lane serves one output channel at a time.
    lanes_per_cluster: int
    #: What a lane does with pixel and weight: "mac" multiplies them, "l1" adds -|x - w| (AdderNet).
    pe: str = "mac"
    #: Bits of an activation, 8 or 16; also the width of a value in every map stream.
    act_bits: int
    #: Bits of a weight, 8 or 16, two's complement.
    weight_bits: int
    #: Bits of an accumulator, two's complement.
    acc_bits: int
    #: Weights that one lane holds.
    weight_words: int
    #: Words of one map bank; there are as many banks as clusters.
    map_words: int
    #: Pixels of one map word: 4, 8, or the 16 of one or two sparsity maps.
    word_pixels: int = 8
    #: Largest kernel edge.
    k_max: int = 7
    #: Accumulators of one lane; two rows of a window (`window`) are the least.
    acc_words: int = 16
    #: Accumulators that leave the array per cycle, requantised in parallel.
    drain: int = 2
    #: Requantisers built in: "shift", "scale".
    requant: tuple[str, ...] = ("shift", "scale")
    #: Whether accumulators can keep the largest product: max-pools other than the fused 2x2 one.
    max_pool: bool = True
    #: Whether lanes can take the pixels of their own channels, a map word in a visit, in depthwise
    #: layers and pools.
    depthwise: bool = False
    #: Width of the map and control streams.
    bus_bits: int = 64

    def __post_init__(self) -> None:
        def need(ok: bool, text: str) -> None:
            if not ok:
                raise BuildError(f"build {self.name!r}: {text}")

        need(self.clusters in (1, 2, 4, 8), f"clusters must be 1, 2, 4 or 8, not {self.clusters}")
        need(
            self.lanes_per_cluster in (2, 4, 8, 16, 32),
            f"lanes_per_cluster must be 2, 4, 8, 16 or 32, not {self.lanes_per_cluster}",
        )
        need(self.act_bits in (8, 16), f"act_bits must be 8 or 16, not {self.act_bits}")
        need(self.weight_bits in (8, 16), f"weight_bits must be 8 or 16, not {self.weight_bits}")
        need(self.pe in ("mac", "l1"), f"pe must be 'mac' or 'l1', not {self.pe!r}")
        need(
            self.pe == "mac" or self.act_bits == self.weight_bits,
            f"with pe='l1', weight_bits must be act_bits, {self.act_bits}, not {self.weight_bits}",
        )
        need(self.pe == "mac" or not self.max_pool, "with pe='l1', max_pool must be False")
        need(24 <= self.acc_bits <= 48, f"acc_bits must be 24 to 48, not {self.acc_bits}")
        need(
            self.word_pixels in (4, 8, 16, 32),
            f"word_pixels must be 4, 8, 16 or 32, not {self.word_pixels}",
        )
        need(
            2 <= self.weight_words <= WEIGHT_WORDS_MAX,
            f"weight_words must be 2 to {WEIGHT_WORDS_MAX}, not {self.weight_words}",
        )
        need(
            2 <= self.map_words <= MAP_WORDS_MAX,
            f"map_words must be 2 to {MAP_WORDS_MAX}, not {self.map_words}",
        )
        need(1 <= self.k_max <= 7, f"k_max must be 1 to 7, not {self.k_max}")
        need(
            2 * self.window <= self.acc_words <= ACC_WORDS_MAX,
            f"acc_words must be {2 * self.window} to {ACC_WORDS_MAX}, not {self.acc_words}",
        )
        team = self.word_pixels // self.lanes_per_cluster
        need(
            not self.depthwise
            or (
                self.pe == "mac"
                and self.word_pixels % self.lanes_per_cluster == 0
                and team <= self.clusters
            ),
            "with depthwise=True, pe must be 'mac', and word_pixels be the lanes of 1 to clusters "
            f"clusters, not {self.word_pixels}",
        )
        need(self.bus_bits == 64, f"bus_bits must be 64, not {self.bus_bits}")
        need(
            self.drain in (1, 2, 4, 8, 16) and self.lanes_per_cluster % self.drain == 0,
            f"drain must be 1, 2, 4, 8 or 16 and divide lanes_per_cluster, not {self.drain}",
        )
        need(
            bool(self.requant) and set(self.requant) <= {"shift", "scale"},
            f"requant must name 'shift', 'scale' or both, not {self.requant!r}",
        )

    @property
    def lanes(self) -> int:
        """Lanes of the whole core."""
        return self.clusters * self.lanes_per_cluster

    @property
    def act_bytes(self) -> int:
        """Bytes of one value in a map stream."""
        return self.act_bits // 8

    @property
    def pixel_bits(self) -> int:
        """Bits of the multiplier's pixel input, two's complement, zero point subtracted."""
        return 9 if self.act_bits == 8 else 16

    @property
    def bus_bytes(self) -> int:
        """Bytes of one bus word."""
        return self.bus_bits // 8

    @property
    def weights_per_beat(self) -> int:
        """Weights that one bus word carries, one per lane."""
        return min(self.bus_bits // self.weight_bits, self.lanes_per_cluster)

    @property
    def window(self) -> int:
        """Output columns for which a lane keeps accumulators, a power of two."""
        return 1 << math.ceil(math.log2(self.k_max)) if self.k_max > 1 else 2

    @property
    def fifo_depth(self) -> int:
        """Map words that a cluster prefetches.

        Enough for a full turn of the bank slots plus the read latency, so that a cluster that
        takes at most one word per cycle never runs dry (docs/core.md, "Bank slots").
        """
        return max(8, 2 * self.clusters)

    @property
    def step_pixels(self) -> int:
        """Pixels that the intake expands in a step: a map word, of a wide one that of a map."""
        return min(self.word_pixels, 16)

    @property
    def intake_bytes(self) -> int:
        """Bytes of the intake's unpacking buffer: the pixels of a step and one bus word."""
        return max(self.step_pixels * self.act_bytes, 8) + self.bus_bytes

    @property
    def requant_latency(self) -> int:
        """Cycles from a chunk entering the requantiser to its values leaving, when not stalled."""
        return 13 if "scale" in self.requant else 5

    @property
    def encoder_latency(self) -> int:
        """Cycles from the encoder taking a packet's last chunk to its writer, if free, starting.

        The writer then needs max(1, words) cycles, and each word leaves one cycle after its own
        (`hdl.encoder`).
        """
        return 3

    @property
    def half_words(self) -> int:
        """Weights of one half of a lane's memory: one half computes while the other is loaded."""
        return self.weight_words // 2

    @property
    def output_packets(self) -> int:
        """Packets that find room between the drain and the writer, a power of two.

        Enough for the packets that are on their way while the writer keeps up, and some more for
        those that wait for the bus.
        """
        chunks = self.packet_channels // self.drain
        latency = PICK_TO_CHUNK + self.requant_latency + self.encoder_latency + 2
        return 1 << (ceil_div(latency, max(1, chunks)) + 1).bit_length()

    @property
    def packet_channels(self) -> int:
        """Channels of the largest group that one sparsity map describes in an output map."""
        return min(16, self.lanes)

    @property
    def map_word_bits(self) -> int:
        """Bits of one map word: a mask bit and a value per pixel."""
        return self.word_pixels * (1 + self.act_bits)

    @property
    def on_chip_bytes(self) -> int:
        """Bytes of all memories: weights, maps, accumulators and shadows, queues, parameters."""
        weights = self.lanes * self.weight_words * self.weight_bits
        maps = self.clusters * self.map_words * self.map_word_bits
        sums = self.lanes * (self.acc_words + 2) * self.acc_bits
        if self.pe == "l1":  # a lane's sums are a bit narrower, but pixels are summed as well
            sums += (self.clusters * self.acc_bits - self.lanes) * self.acc_words
        fifo = self.clusters * self.fifo_depth * self.map_word_bits
        params = self.lanes * 2 * (self.acc_bits + 32)
        packets = self.output_packets * (self.packet_channels * self.act_bits + 16)
        return ceil_div(weights + maps + sums + fifo + params + packets, 8)

    def replace(self, **changes: object) -> "Build":
        """Return a copy with some parameters changed, checked again."""
        return replace(self, **changes)  # type: ignore[arg-type]


PRESETS: dict[str, Build] = {
    build.name: build
    for build in (
        Build(
            name="tiny",
            clusters=2,
            lanes_per_cluster=4,
            act_bits=16,
            weight_bits=16,
            acc_bits=40,
            weight_words=1024,
            map_words=512,
            word_pixels=4,
            acc_words=32,
        ),
        Build(
            name="tiny8",
            clusters=2,
            lanes_per_cluster=4,
            act_bits=8,
            weight_bits=8,
            acc_bits=32,
            weight_words=1024,
            map_words=512,
            drain=2,
        ),
        Build(
            name="tiny_l1",
            clusters=2,
            lanes_per_cluster=4,
            pe="l1",
            act_bits=8,
            weight_bits=8,
            acc_bits=32,
            weight_words=1024,
            map_words=512,
            max_pool=False,
        ),
        Build(
            name="up5k",
            clusters=2,
            lanes_per_cluster=4,
            act_bits=8,
            weight_bits=8,
            acc_bits=24,
            weight_words=512,
            map_words=256,
            word_pixels=4,
            k_max=3,
            acc_words=8,
            drain=1,
            requant=("shift",),
            max_pool=False,
        ),
        Build(
            name="ecp5_85f",
            clusters=4,
            lanes_per_cluster=32,
            act_bits=16,
            weight_bits=16,
            acc_bits=38,
            weight_words=1024,
            map_words=4096,
            word_pixels=4,
            max_pool=False,
        ),
        Build(
            name="nullhop",
            clusters=8,
            lanes_per_cluster=16,
            act_bits=16,
            weight_bits=16,
            acc_bits=38,
            weight_words=4608,
            map_words=448,
            word_pixels=32,
            acc_words=224,
            drain=16,
            depthwise=True,
        ),
        Build(
            name="nullhop8",
            clusters=8,
            lanes_per_cluster=16,
            act_bits=8,
            weight_bits=8,
            acc_bits=32,
            weight_words=4608,
            map_words=1632,
            acc_words=256,
            drain=8,
        ),
        Build(
            name="nullhop_l1",
            clusters=8,
            lanes_per_cluster=16,
            pe="l1",
            act_bits=8,
            weight_bits=8,
            acc_bits=32,
            weight_words=4608,
            map_words=1632,
            acc_words=256,
            drain=8,
            max_pool=False,
        ),
    )
}


def preset(name: str) -> Build:
    """Return the preset of that name.

    Raises
    ------
    BuildError
        If there is none.
    """
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise BuildError(f"preset {name!r} is unknown: choose one of {known}") from None


def presets(names: str) -> tuple[Build, ...]:
    """Return the presets of names joined by "+": one, or several that run a network side by side.

    Raises
    ------
    BuildError
        If there is no such preset, or they cannot work side by side.
    """
    builds = tuple(preset(name) for name in names.split("+"))
    check_side_by_side(builds)
    return builds


def check_side_by_side(builds: Sequence[Build]) -> None:
    """Make sure that builds are of different lanes, and read the maps that the others write.

    Raises
    ------
    BuildError
        If they are not, or do not.
    """
    first = builds[0]
    for build in builds[1:]:
        if build.pe in {other.pe for other in builds if other is not build}:
            raise BuildError(f"builds {first.name!r} and {build.name!r} have the same pe")
        if (build.act_bits, build.lanes) != (first.act_bits, first.lanes):
            raise BuildError(
                f"builds {first.name!r} and {build.name!r} do not share maps: values of "
                f"{first.act_bits} and {build.act_bits} bits, blocks of {first.lanes} and "
                f"{build.lanes} channels"
            )
