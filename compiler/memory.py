"""Memory: where maps and control streams lie, and the mover's lists that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from compiler.lower import control_streams
from compiler.plan import LayerPlan, Range
from golden.mover import ALIGN, LayerMoves, Memory, Stream, Transfer
from golden.params import Build, ceil_div
from golden.segment import segment_room
from golden.sparsemap import TABLE_ENTRY, Block, SparseMap


def aligned(size: int) -> int:
    """Bytes up to the next bus word."""
    return ceil_div(size, ALIGN) * ALIGN


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Room for one segment, the worst case, and the address of its table entry."""

    address: int
    room: int
    entry: int


@dataclass(frozen=True, kw_only=True)
class MapPlace:
    """Where a map lies: addresses [base, end).

    `blocks` holds each block's channels and column ranges, `slots[block][row][range]` the rest.
    """

    shape: tuple[int, int, int]
    value_bytes: int
    signed: bool
    zero_point: int
    dense: bool
    blocks: tuple[tuple[int, tuple[Range, ...]], ...]
    slots: tuple[tuple[tuple[Slot, ...], ...], ...]
    base: int
    end: int

    def store(self, memory: Memory, encoded: SparseMap) -> None:
        """Write a map and its tables into memory, as a host does with the network's input."""
        for block, rows in zip(encoded.blocks, self.slots, strict=True):
            for row, slots in zip(block.rows, rows, strict=True):
                for segment, slot in zip(row, slots, strict=True):
                    memory.write(slot.address, segment)
                    memory.write(slot.entry, TABLE_ENTRY.pack(slot.address, len(segment)))

    def fetch(self, memory: Memory) -> SparseMap:
        """Read the map back through its tables."""

        def segment(slot: Slot) -> bytes:
            start, length = TABLE_ENTRY.unpack(memory.read(slot.entry, TABLE_ENTRY.size))
            return memory.read(start, length)

        blocks = tuple(
            Block(channels, ranges, tuple(tuple(map(segment, row)) for row in rows))
            for (channels, ranges), rows in zip(self.blocks, self.slots, strict=True)
        )
        return SparseMap(
            self.shape, self.value_bytes, self.signed, self.zero_point, blocks, self.dense
        )

    def encode(self, values: np.ndarray) -> SparseMap:
        """Encode raw values (H, W, C) in the form of this place."""
        blocks: list[Block] = []
        first = 0
        for channels, ranges in self.blocks:
            part = SparseMap.from_dense(
                values[:, :, first : first + channels],
                zero_point=self.zero_point,
                value_bytes=self.value_bytes,
                signed=self.signed,
                column_ranges=ranges,
                dense=self.dense,
            )
            blocks += part.blocks
            first += channels
        return SparseMap(
            self.shape, self.value_bytes, self.signed, self.zero_point, tuple(blocks), self.dense
        )


@dataclass(frozen=True, kw_only=True)
class Program:
    """A planned network in memory: control streams from address 0 on, then the maps.

    Each build's layers follow each other in `control`, those of the first layer's build first.
    `places[0]` is the input map, `places[i + 1]` what layer i writes and layer i + 1 reads.
    """

    plans: tuple[LayerPlan, ...]
    control: np.ndarray
    places: tuple[MapPlace, ...]
    moves: tuple[LayerMoves, ...]

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.places[-1].end

    def control_of(self, build: Build) -> range:
        """Words of `control` that are the control stream of a build, from its first layer on."""
        transfers = [
            transfer
            for plan, moves in zip(self.plans, self.moves, strict=True)
            for transfer in moves.control
            if plan.build == build
        ]
        last = transfers[-1]
        return range(transfers[0].address // 8, (last.address + last.length) // 8)

    def load(self) -> Memory:
        """Memory with the control streams in it."""
        memory = Memory(self.size)
        memory.write(0, self.control.astype("<u8").tobytes())
        return memory


def lay_out(plans: Sequence[LayerPlan]) -> Program:
    """Place a chain of planned layers in memory and write the mover's lists."""
    streams = [control_streams(plan) for plan in plans]
    builds = list(dict.fromkeys(plan.build for plan in plans))
    order = sorted(range(len(plans)), key=lambda index: builds.index(plans[index].build))
    control = np.concatenate([words for index in order for words in streams[index]])
    first = plans[0]
    lanes, channels = first.build.lanes, first.in_shape[2]
    whole = ((0, first.in_shape[1]),)
    blocks = tuple((min(lanes, channels - c), whole) for c in range(0, channels, lanes))
    places = [_place(first, 8 * len(control), first.in_shape, blocks, is_input=True)]
    for plan in plans:
        blocks = tuple((p.channels[1] - p.channels[0], p.column_ranges) for p in plan.passes)
        places.append(_place(plan, places[-1].end, plan.out_shape, blocks, is_input=False))
    address, transfers = 0, {}
    for index in order:
        parts = []
        for words in streams[index]:
            parts.append(Transfer(stream=Stream.CONTROL, address=address, length=8 * len(words)))
            address += 8 * len(words)
        transfers[index] = tuple(parts)
    moves = [
        _moves(plan, transfers[index], source, target)
        for index, (plan, (source, target)) in enumerate(zip(plans, pairwise(places), strict=True))
    ]
    return Program(plans=tuple(plans), control=control, places=tuple(places), moves=tuple(moves))


def _place(
    plan: LayerPlan,
    base: int,
    shape: tuple[int, int, int],
    blocks: tuple[tuple[int, tuple[Range, ...]], ...],
    *,
    is_input: bool,
) -> MapPlace:
    """Place a layer's input or output map from `base` on: the tables, then the segments."""
    build = plan.build
    form = plan.layer.in_format if is_input else plan.layer.out_format
    dense = plan.dense and is_input
    rows = shape[0]
    entry = base
    address = base + aligned(TABLE_ENTRY.size * rows * sum(len(ranges) for _, ranges in blocks))
    slots = []
    for channels, ranges in blocks:
        rooms = [segment_room(channels, b - a, build.act_bytes, dense=dense) for a, b in ranges]
        block_slots = []
        for _ in range(rows):
            row = []
            for room in rooms:
                row.append(Slot(address=address, room=room, entry=entry))
                address += aligned(room)
                entry += TABLE_ENTRY.size
            block_slots.append(tuple(row))
        slots.append(tuple(block_slots))
    return MapPlace(
        shape=shape,
        value_bytes=build.act_bytes,
        # A wider build holds 8-bit maps as 16-bit integers.
        signed=form.signed or form.bits < build.act_bits,
        zero_point=form.zero_point,
        dense=dense,
        blocks=blocks,
        slots=tuple(slots),
        base=base,
        end=address,
    )


def _moves(
    plan: LayerPlan, control: tuple[Transfer, ...], source: MapPlace, target: MapPlace
) -> LayerMoves:
    one_load = [
        Transfer(stream=Stream.MAP, address=slot.address, length=slot.room, entry=slot.entry)
        for rows in zip(*source.slots, strict=True)
        for row in rows
        for slot in row
    ]
    loads = sum(d.load_map for d in plan.descriptors)
    outputs = []
    for pass_plan, rows in zip(plan.passes, target.slots, strict=True):
        for segment in pass_plan.segments:
            slot = rows[segment.row][pass_plan.column_ranges.index(segment.columns)]
            outputs.append(
                Transfer(
                    stream=Stream.OUT,
                    address=slot.address,
                    length=slot.room,
                    entry=slot.entry,
                    context=segment.context,
                )
            )
    return LayerMoves(
        name=plan.layer.name,
        control=control,
        maps=tuple(one_load * loads),
        outputs=tuple(outputs),
    )
