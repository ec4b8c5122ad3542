"""Build parameters and presets: the one object from which hardware and models derive.

A `Build` is what is fixed when the Verilog is made; what changes from layer to layer stands in
`golden.descriptor`.
"""

import math
from dataclasses import dataclass, replace

#: Cycles from a walker's retire step to its sum standing in the shadow register: the step's
#: register, weight read, multiply, accumulate (`hdl.walker`, `hdl.lane`).
LANE_LATENCY = 4

#: Cycles from a fetcher's read to the map word entering the prefetch queue: the request's
#: register, the bank, the bank's output register (`hdl.fetcher`, `hdl.banks`).
FETCH_LATENCY = 3


#: Cycles from a new configuration to the intake's start, in which the clusters report the rows
#: that they need (`hdl.core`).
INTAKE_START = 4

#: Most words of a lane's weight memory and of a map bank: what a descriptor can name
#: (`golden.descriptor`, fields `weight_count` and `first_address`).
WEIGHT_WORDS_MAX = (1 << 13) - 1
MAP_WORDS_MAX = (1 << 14) - 1


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
    #: Pixels of one map word; divides the 16 pixels of a sparsity map.
    word_pixels: int = 8
    #: Largest kernel edge.
    k_max: int = 7
    #: Accumulators that leave the array per cycle, requantised in parallel.
    drain: int = 2
    #: Requantisers built in: "shift", "scale".
    requant: tuple[str, ...] = ("shift", "scale")
    #: Width of the map and control streams.
    bus_bits: int = 64

    def __post_init__(self) -> None:
        def need(ok: bool, text: str) -> None:
            if not ok:
                raise BuildError(f"build {self.name!r}: {text}")

        need(self.clusters in (1, 2, 4, 8), f"clusters must be 1, 2, 4 or 8, not {self.clusters}")
        need(
            self.lanes_per_cluster in (2, 4, 8, 16),
            f"lanes_per_cluster must be 2, 4, 8 or 16, not {self.lanes_per_cluster}",
        )
        need(self.act_bits in (8, 16), f"act_bits must be 8 or 16, not {self.act_bits}")
        need(self.weight_bits in (8, 16), f"weight_bits must be 8 or 16, not {self.weight_bits}")
        need(24 <= self.acc_bits <= 48, f"acc_bits must be 24 to 48, not {self.acc_bits}")
        need(
            self.word_pixels in (4, 8, 16),
            f"word_pixels must be 4, 8 or 16, not {self.word_pixels}",
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
        need(self.bus_bits == 64, f"bus_bits must be 64, not {self.bus_bits}")
        need(
            self.drain in (1, 2, 4, 8) and self.lanes_per_cluster % self.drain == 0,
            f"drain must be 1, 2, 4 or 8 and divide lanes_per_cluster, not {self.drain}",
        )
        need(
            bool(self.requant) and set(self.requant) <= {"shift", "scale"},
            f"requant must name 'shift', 'scale' or both, not {self.requant!r}",
        )
        groups = 1
        while groups <= self.clusters:
            channels = groups * self.lanes_per_cluster
            size = 2 * ceil_div(channels, 16) + channels * self.act_bytes
            need(
                ceil_div(size, self.bus_bytes) <= channels // self.drain,
                f"drain {self.drain} makes {size} bytes in {channels // self.drain} cycles, "
                f"more than the {self.bus_bytes}-byte bus carries",
            )
            groups *= 2

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
    def intake_bytes(self) -> int:
        """Bytes of the intake's unpacking buffer: one full map word and one bus word."""
        return max(self.word_pixels * self.act_bytes, 8) + self.bus_bytes

    @property
    def requant_latency(self) -> int:
        """Cycles from a chunk entering the requantiser to its values leaving, when not stalled."""
        return 11 if "scale" in self.requant else 3

    @property
    def encoder_latency(self) -> int:
        """Cycles from the encoder taking a packet's last chunk to its writer, if free, starting.

        The writer then needs max(1, words) cycles, and each word leaves one cycle after its own
        (`hdl.encoder`).
        """
        return 3

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
        """Bytes of all memories: weights, map banks, accumulators, prefetch and shadow."""
        weights = self.lanes * self.weight_words * self.weight_bits
        maps = self.clusters * self.map_words * self.map_word_bits
        sums = self.lanes * (2 * self.window + 2) * self.acc_bits
        fifo = self.clusters * self.fifo_depth * self.map_word_bits
        params = self.lanes * (self.acc_bits + 32)
        return ceil_div(weights + maps + sums + fifo + params, 8)

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
            drain=1,
            requant=("shift",),
        ),
        Build(
            name="ecp5_85f",
            clusters=8,
            lanes_per_cluster=16,
            act_bits=16,
            weight_bits=16,
            acc_bits=40,
            weight_words=1024,
            map_words=1024,
        ),
        Build(
            name="nullhop",
            clusters=8,
            lanes_per_cluster=16,
            act_bits=16,
            weight_bits=16,
            acc_bits=40,
            weight_words=4096,
            map_words=3456,
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
