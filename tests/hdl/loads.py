"""Maps for the tests of the intake: what is sent, what must stand in the banks, what was seen."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from golden.cycles.intake import row_cycles
from golden.descriptor import ClusterWork, PassDescriptor, block_sizes
from golden.params import Build, ceil_div
from golden.segment import encode_dense, encode_sparse
from hdl.intake import Intake
from tests.golden.scanning import Place, address_of, bank_of
from tests.hdl.harness import activity, plain, put, simulate

#: Bank, address, which piece of the word, mask, and the values of the pixels in the mask.
Word = tuple[int, int, int, int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """A map to load, cut into blocks and column ranges, and the ring that it goes into."""

    build: Build
    shape: tuple[int, int, int]
    block_channels: int
    branch_channels: int = 4095
    ranges: tuple[tuple[tuple[int, int], ...], ...]  # per block
    scan_rows: int = 4
    pack: int = 0  # 2**pack columns share their addresses
    ring_rows: int = 5
    col_gap: int = 0  # bank words left free behind a column and behind a row
    row_gap: int = 0
    density: float = 0.5
    dense: bool = False
    signed: bool = False
    zero: int = 0
    seed: int = 0

    @cached_property
    def pixels(self) -> np.ndarray:
        """Raw values (H, W, C)."""
        rng = np.random.default_rng(self.seed)
        dtype = np.dtype(f"<{'i' if self.signed else 'u'}{self.build.act_bytes}")
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, self.shape, dtype, endpoint=True)
        values[rng.random(self.shape) >= self.density] = self.zero
        return values

    @property
    def blocks(self) -> list[slice]:
        """Channels of each block."""
        sizes = block_sizes(self.shape[2], self.branch_channels, self.block_channels)
        return [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]

    @property
    def descriptor(self) -> PassDescriptor:
        """What the intake needs of a descriptor; the rest is arbitrary."""
        height, width, channels = self.shape
        col_words = ceil_div(channels, self.build.word_pixels)
        col_pitch = ceil_div(col_words, self.build.clusters) + self.col_gap
        used = dict.fromkeys(PassDescriptor.__dataclass_fields__, 1)
        used |= {
            "dense": self.dense,
            "signed_in": self.signed,
            "scan_rows": self.scan_rows,
            "pack": self.pack,
            "in_rows": height,
            "in_cols": width,
            "in_channels": channels,
            "block_channels": self.block_channels,
            "branch_channels": self.branch_channels,
            "in_zero": self.zero,
            "ring_rows": self.ring_rows,
            "row_pitch": ceil_div(width * col_pitch, 1 << self.pack) + self.row_gap,
            "col_pitch": col_pitch,
            "col_words": col_words,
            "clusters": (ClusterWork(),) * self.build.clusters,
        }
        return PassDescriptor(**used)

    @property
    def config(self) -> dict[str, int]:
        """The descriptor as `PASS_CONFIG`."""
        d = self.descriptor
        return {name: int(getattr(d, name)) for name in vars(d) if name != "clusters"}

    def segment(self, y: int, block: int, first: int, end: int) -> bytes:
        """The bytes of one row of one block, columns `first` to `end` - 1."""
        part = np.ascontiguousarray(self.pixels[y : y + 1, first:end, self.blocks[block]])
        data, _ = encode_dense(part) if self.dense else encode_sparse(part, self.zero)
        return data.tobytes()

    def segments(self) -> list[bytes]:
        """All segments, in stream order."""
        return [
            self.segment(y, b, first, end)
            for y in range(self.shape[0])
            for b, ranges in enumerate(self.ranges)
            for first, end in ranges
        ]

    @cached_property
    def counts(self) -> np.ndarray:
        """Non-zero pixels of each piece of a map word (H, W, pieces)."""
        height, width, channels = self.shape
        n = self.build.step_pixels
        real = np.zeros((height, width, ceil_div(channels, n) * n), int)
        real[:, :, :channels] = self.pixels != self.zero
        return real.reshape(height, width, -1, n).sum(axis=3)

    def cycles(self) -> list[int]:
        """What the model says of each row."""
        return row_cycles(self.build, self.descriptor, self.counts, self.ranges).tolist()

    def words(self) -> list[list[Word]]:
        """Every piece of a map word, row by row in the order of writing."""
        build, d, n = self.build, self.descriptor, self.build.step_pixels
        height, width, channels = self.shape
        rows = []
        for y in range(height):
            row = []
            for block in self.blocks:
                for x in range(width):
                    for c in range(block.start, block.stop, n):
                        word, first = divmod(c, build.word_pixels)
                        place = Place(y, x, word)
                        pixels = self.pixels[y, x, c : min(c + n, channels)].tolist()
                        mask = sum((p != self.zero) << i for i, p in enumerate(pixels))
                        values = tuple(p % (1 << build.act_bits) for p in pixels)
                        real = tuple(v for i, v in enumerate(values) if mask >> i & 1)
                        bank, address = bank_of(build, d, place), address_of(build, d, place)
                        row.append((bank, address, first // n, mask, real))
            rows.append(row)
        return rows


def to_beats(segment: bytes) -> list[dict[str, int]]:
    """Bus words of one segment."""
    pieces = [segment[at : at + 8] for at in range(0, len(segment), 8)]
    return [
        {"data": int.from_bytes(piece, "little"), "bytes": len(piece), "last": n == len(pieces)}
        for n, piece in enumerate(pieces, 1)
    ]


class Watch:
    """What an intake did, cycle by cycle."""

    def __init__(self, dut: Intake):
        self._dut = dut

    async def record(self, ctx):
        dut = self._dut
        self.cycles: list[Any] = []
        self.writes: list[tuple[int, Word]] = []  # with the cycle
        ticks = ctx.tick().sample(
            *(dut.row_limits, dut.start, dut.rows_done, dut.idle, dut.i.valid, dut.i.ready),
            *(dut.fault, dut.fault_row, dut.fault_col),
            *(dut.w_en, dut.w_bank, dut.w_addr, dut.w_part, dut.w_piece),
        )
        async for _, _, limits, *state, en, bank, address, part, word in ticks:
            if en:
                mask = word.mask
                real = tuple(v for i, v in enumerate(word.values) if mask >> i & 1)
                self.writes.append((len(self.cycles), (bank, address, part, mask, real)))
            self.cycles.append(Cycle(min(plain(limits)), *state))


class Cycle(NamedTuple):
    row_limit: int  # the lowest
    start: int
    rows_done: int
    idle: int
    valid: int
    ready: int
    fault: int
    fault_row: int
    fault_col: int


def stream(loads: list[Load]) -> list[dict[str, int]]:
    """Bus words of all maps."""
    return [beat for load in loads for segment in load.segments() for beat in to_beats(segment)]


def run(
    loads: list[Load],
    beats: list[dict[str, int]],
    idle: str = "none",
    limit: str = "none",
    *,
    seed: int = 0,
) -> Watch:
    """Load maps one after the other, with gaps on the stream and in the rise of `row_limits`.

    The clusters take turns at being the one that holds the intake back.

    Ends some cycles after all is loaded, or after a fault.
    """
    dut = Intake(loads[0].build)
    watch = Watch(dut)
    clusters = loads[0].build.clusters

    async def producer(ctx):
        await put(ctx, dut.i, beats, idle, seed=seed)

    async def consumer(ctx):
        active = activity(limit, seed + 1)
        for load in loads:
            await ctx.tick().repeat(3)
            ctx.set(dut.config, load.config)
            await ctx.tick()
            ctx.set(dut.row_limits, [0] * clusters)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            while ctx.get(dut.rows_done) < load.shape[0] and not ctx.get(dut.fault):
                if next(active):
                    done = ctx.get(dut.rows_done)
                    ahead = [(done + c) % clusters for c in range(clusters)]
                    ctx.set(dut.row_limits, [done + load.ring_rows + a for a in ahead])
                await ctx.tick()
        await ctx.tick().repeat(30)

    # Behind a fault the producer would wait for ever.
    simulate(dut, consumer, monitors=[producer, watch.record])
    return watch
