"""The pass descriptor: what the core is told before it runs one pass over one map.

A pass computes up to `Build.lanes` output channels over the whole map. Its control stream is the
descriptor, then for every group of lanes its parameters and weights (`compiler.lower`). The field
table below is the only place where bit positions are named: the compiler packs with it and the
hardware unpacks with it.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields

from golden.params import Build

MAGIC = 0x48  # "H": the first byte of every descriptor, so that a misaligned stream is noticed

ROUND_FLOOR, ROUND_HALF_EVEN = 0, 1
REQUANT_SHIFT, REQUANT_SCALE = 0, 1

#: Fields of one pass, per 64-bit word, LSB first: (name, bits). Signed fields are two's complement.
PASS_WORDS: tuple[tuple[tuple[str, int], ...], ...] = (
    (
        ("magic", 8),
        ("first", 1),  # first pass of a layer: the counters start again
        ("last", 1),  # last pass of a layer: the layer ends with it
        ("load_map", 1),  # the map is sent with this pass; else it is still on chip
        ("dense", 1),  # the map has no sparsity maps: raw values
        ("signed_in", 1),  # values of the input map are two's complement
        ("pool", 1),  # 2x2 max-pool, stride 2
        ("requant", 1),  # REQUANT_SHIFT or REQUANT_SCALE
        ("rounding", 1),  # ROUND_FLOOR or ROUND_HALF_EVEN, for REQUANT_SHIFT
        ("shift", 6),
        ("kernel_h", 3),
        ("kernel_w", 3),
        ("pad_top", 12),  # signed: where the kernel's first row is above the map
        ("pad_left", 12),  # signed
        # Weights of an input channel: kernel_h x kernel_w, 1 if `uniform`, 0 if `depthwise`.
        ("kernel_size", 6),
        ("groups", 4),  # groups of lanes in this pass, each one cluster wide
        ("alone", 1),  # the pass's one load of weights lies across both halves of the memory
        ("maximum", 1),  # accumulators keep the largest product instead of the sum
    ),
    (
        ("in_rows", 12),
        ("in_cols", 12),
        ("in_channels", 12),
        ("block_channels", 8),  # channels of every block of a branch but its last
        ("in_zero", 17),  # zero point of the input map, signed
    ),
    (
        ("out_rows", 12),  # rows and columns of the convolution, before pooling
        ("out_cols", 12),
        ("out_channels", 8),  # channels of this pass
        ("out_zero", 17),  # zero point of the output map, signed
        ("stride_h", 3),
        ("stride_w", 3),
        # The scan column that finishes an output column is tap `last_tap` of phase `last_phase`:
        # kernel column last_tap x stride_w + last_phase = kernel_w - 1.
        ("last_tap", 3),
        ("last_phase", 2),
    ),
    (
        ("clamp_low", 17),  # signed; ReLU is clamp_low = out_zero
        ("clamp_high", 17),
        ("tile_weights", 13),  # weights per lane of every tile but the last
        ("word_step", 11),  # weights of one map word: word_pixels x kernel_size
    ),
    (
        ("ring_rows", 12),  # input rows that fit in the map banks
        ("row_pitch", 14),  # bank words of one input row
        ("col_pitch", 10),  # bank words of one column
        ("col_words", 10),  # map words of one column: ceil(in_channels / word_pixels)
        ("taps", 12),  # kernel columns phase, phase + stride_w, ...: how many; 3 bits per phase
        (
            "row_step",
            5,
        ),  # weights between a pixel's two output rows: stride_h x kernel_w, 0 if `uniform`
    ),
    (
        ("last_weights", 13),  # weights per lane of the last tile
        ("tiles", 7),  # tiles over the input channels
        ("tile_words", 10),  # map words of a column that belong to every tile but the last
        ("loads", 12),  # loads of weights, a tile each
        ("resident", 1),  # every tile is loaded once and stays; else once per region
        ("region", 7),  # stripes of a team that take turns at a tile, their sums staying open
        ("window", 7),  # columns of a stripe whose sums are open at a time, less one: 2**n - 1
    ),
    # Rows and columns that a stride larger than the kernel leaves out are passed over.
    (
        ("ring_words", 14),  # ring_rows x row_pitch
        ("jump_words", 14),  # jump_rows x row_pitch
        ("jump_rows", 3),  # rows from the last that the upper output row sees to the next in use
        ("row_skip", 3),  # map words of the rows passed over, modulo the banks
        ("jump_columns", 3),  # columns from the last that an output sees to the next in use
        ("column_skip", 3),  # map words of a stripe's columns passed over, modulo the banks
        ("column_jump", 12),  # jump_columns x col_pitch
        ("branch_channels", 12),  # channels of every branch of the input map but the last
    ),
    # Which part of the map the clusters read, and how the map lies in the banks.
    (
        ("first_word", 10),  # of a column: where slice 0 begins
        ("slice_words", 10),  # of a column: what a cluster reads, all tiles together
        ("team_groups", 4),  # groups of lanes in a team
        ("scan_rows", 4),  # rows by which a column's words advance over the banks
        ("pack", 2),  # 2**pack columns of a row share the words of an address
        ("uniform", 1),  # all taps of a channel have one weight
        ("continues", 1),  # the sums go on from the pass before
        ("stays", 1),  # the sums stay for the pass after
        ("depthwise", 1),  # lanes take the pixels of their own channels, a map word in a visit
    ),
)

#: Fields of one cluster's work in a pass; one 64-bit word each, after the pass words.
CLUSTER_WORD: tuple[tuple[str, int], ...] = (
    ("active", 1),
    ("team", 3),  # clusters of one team scan the same pixels for different groups
    ("group", 3),
    ("slice", 3),  # the cluster reads the words from first_word + slice x slice_words on
    ("first_stripe", 3),  # the cluster's stripes are first_stripe, + stripe_step, ...
    ("stripe_step", 4),
    ("first_col", 12),  # output columns [first_col, end_col), even when pooling
    ("end_col", 12),
    ("lanes", 6),  # lanes with a real output channel, for the operation counter
    ("first_address", 14),  # bank words before the first input column that is read
    ("first_bank", 3),  # bank of that column's first word in row 0
)

SIGNED_FIELDS = frozenset({"in_zero", "out_zero", "clamp_low", "clamp_high", "pad_top", "pad_left"})


@dataclass(frozen=True, kw_only=True)
class ClusterWork:
    """The share of one cluster in a pass; fields as in `CLUSTER_WORD`."""

    active: bool = False
    team: int = 0
    group: int = 0
    slice: int = 0
    first_stripe: int = 0
    stripe_step: int = 1
    first_col: int = 0
    end_col: int = 0
    lanes: int = 0
    first_address: int = 0
    first_bank: int = 0


@dataclass(frozen=True, kw_only=True)
class PassDescriptor:
    """One pass; fields as in `PASS_WORDS`, `magic` left out, and one `ClusterWork` per cluster."""

    first: bool
    last: bool
    load_map: bool
    dense: bool
    signed_in: bool
    pool: bool
    requant: int
    rounding: int
    shift: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    groups: int
    in_rows: int
    in_cols: int
    in_channels: int
    block_channels: int
    in_zero: int
    out_rows: int
    out_cols: int
    out_channels: int
    out_zero: int
    clamp_low: int
    clamp_high: int
    ring_rows: int
    row_pitch: int
    col_pitch: int
    col_words: int
    kernel_size: int
    word_step: int
    alone: bool
    resident: bool
    tiles: int
    tile_words: int
    tile_weights: int
    last_weights: int
    loads: int
    region: int
    window: int
    taps: int
    last_tap: int
    last_phase: int
    row_step: int
    ring_words: int
    jump_words: int
    jump_rows: int
    row_skip: int
    jump_columns: int
    column_skip: int
    column_jump: int
    branch_channels: int
    maximum: bool
    first_word: int
    slice_words: int
    team_groups: int
    scan_rows: int
    pack: int
    uniform: bool
    continues: bool
    stays: bool
    depthwise: bool
    clusters: tuple[ClusterWork, ...]

    @property
    def stripes(self) -> int:
        """Stripes of the map: pairs of convolution rows."""
        return (self.out_rows + 1) // 2

    @property
    def in_blocks(self) -> list[int]:
        """Channels of each block of the input map."""
        return block_sizes(self.in_channels, self.branch_channels, self.block_channels)

    @property
    def leads(self) -> tuple[int, ...]:
        """The first cluster of each team."""
        teams = [work.team if work.active else None for work in self.clusters]
        return tuple(
            c for c, team in enumerate(teams) if team is not None and team not in teams[:c]
        )

    def words(self) -> list[int]:
        """Pack into 64-bit words: the pass words, then one word per cluster.

        Raises
        ------
        ValueError
            If a field does not fit its bits.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "clusters"}
        values["magic"] = MAGIC
        packed = [pack_word(layout, values) for layout in PASS_WORDS]
        packed += [
            pack_word(CLUSTER_WORD, {name: getattr(work, name) for name, _ in CLUSTER_WORD})
            for work in self.clusters
        ]
        return packed


def block_sizes(channels: int, branch: int, block: int) -> list[int]:
    """Channels of each block of a map: branches of `branch`, each cut into blocks of `block`.

    The last branch may be smaller, and so may the last block of each.
    """
    return [
        min(block, end - first)
        for start in range(0, channels, branch)
        for end in (min(start + branch, channels),)
        for first in range(start, end, block)
    ]


def pack_word(layout: Sequence[tuple[str, int]], values: dict[str, int]) -> int:
    """Pack named values into one word, the first field at the least significant bit.

    Raises
    ------
    ValueError
        If a value does not fit its field.
    """
    word = position = 0
    for name, bits in layout:
        value = int(values[name])
        low, high = 0, (1 << bits) - 1
        if name in SIGNED_FIELDS:
            low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        if not low <= value <= high:
            raise ValueError(f"descriptor field {name} must be {low} to {high}, not {value}")
        word |= (value & (1 << bits) - 1) << position
        position += bits
    return word


def descriptor_words(build: Build) -> int:
    """Bus words of one descriptor."""
    return len(PASS_WORDS) + build.clusters


class Fault(enum.IntEnum):
    """Why the core stopped; reported with the input row and column where it was noticed."""

    NONE = 0
    DESCRIPTOR = 1  # the control stream does not hold a descriptor where one must be
    MAP_SHORT = 2  # a map segment ended before its columns were complete
    MAP_LONG = 3  # a map segment goes on after its row is complete
    MAP_SPARSITY = 4  # a sparsity map names a channel that the block does not have
