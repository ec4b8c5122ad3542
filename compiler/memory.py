"""Memory: where maps and control streams lie, and the mover's lists that follow from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.cuts import Range
from compiler.host import whole_blocks
from compiler.lower import control_streams
from compiler.passes import LayerPlan
from compiler.plan import Plan
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
    `places[0]` is the input map, `places[i + 1]` what layer i gives; `taken[i]` is what it takes:
    one of them, or the blocks of several, one behind the other.
    """

    plans: tuple[Plan, ...]
    control: np.ndarray
    places: tuple[MapPlace, ...]
    taken: tuple[MapPlace, ...]
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


def lay_out(plans: Sequence[Plan], sources: Sequence[Sequence[int]] | None = None) -> Program:
    """Place planned layers in memory and write the mover's lists.

    `sources` are the tensors that each layer takes (`golden.network.Network`); the one before if
    absent. A layer of the host has a place for what it gives, and nothing to move.
    """
    taken_of = sources or [(i,) for i in range(len(plans))]
    streams = [control_streams(plan) if isinstance(plan, LayerPlan) else [] for plan in plans]
    builds = list(dict.fromkeys(plan.build for plan in plans))
    order = sorted(range(len(plans)), key=lambda index: builds.index(plans[index].build))
    control = np.concatenate(
        [np.zeros(0, np.uint64), *(words for index in order for words in streams[index])]
    )
    places = [_input_place(plans, taken_of, 8 * len(control))]
    places += _output_places(plans, places[0].end)
    taken = [join([places[t] for t in tensors]) for tensors in taken_of]
    address, transfers = 0, {}
    for index in order:
        parts = []
        for words in streams[index]:
            parts.append(Transfer(stream=Stream.CONTROL, address=address, length=8 * len(words)))
            address += 8 * len(words)
        transfers[index] = tuple(parts)
    moves = [
        _moves(plan, transfers[index], source, target)
        if isinstance(plan, LayerPlan)
        else LayerMoves(name=plan.layer.name, control=(), maps=(), outputs=())
        for index, (plan, source, target) in enumerate(zip(plans, taken, places[1:], strict=True))
    ]
    return Program(
        plans=tuple(plans),
        control=control,
        places=tuple(places),
        taken=tuple(taken),
        moves=tuple(moves),
    )


def join(places: Sequence[MapPlace]) -> MapPlace:
    """Return several maps as one, their channels one behind the other: a longer list of blocks."""
    first = places[0]
    if len(places) == 1:
        return first
    return replace(
        first,
        shape=(*first.shape[:2], sum(place.shape[2] for place in places)),
        blocks=tuple(block for place in places for block in place.blocks),
        slots=tuple(rows for place in places for rows in place.slots),
        base=min(place.base for place in places),
        end=max(place.end for place in places),
    )


def _input_place(plans: Sequence[Plan], sources: Sequence[Sequence[int]], base: int) -> MapPlace:
    """Place the network's input in the form in which the first layer that takes it wants it."""
    reader, tensors = next(
        (plan, tensors) for plan, tensors in zip(plans, sources, strict=True) if 0 in tensors
    )
    shape = reader.in_shape
    if len(tensors) > 1:  # the rest of the channels are those of the other branches
        others = sum(plans[t - 1].out_shape[2] for t in tensors if t)
        shape = (*shape[:2], (shape[2] - others) // tensors.count(0))
    block = reader.build.lanes
    if isinstance(reader, LayerPlan):
        block = reader.in_block
    blocks = whole_blocks(shape, block)
    return _place(reader, base, shape, blocks, is_input=True)


def _output_places(plans: Sequence[Plan], base: int) -> Iterator[MapPlace]:
    for plan in plans:
        place = _place(plan, base, plan.out_shape, plan.out_blocks, is_input=False)
        base = place.end
        yield place


def _place(
    plan: Plan,
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
    maps, outputs = [], []
    for pass_plan in plan.passes:
        if pass_plan.descriptor.load_map:
            maps += [
                Transfer(
                    stream=Stream.MAP, address=slot.address, length=slot.room, entry=slot.entry
                )
                for rows in list(zip(*source.slots, strict=True))[slice(*pass_plan.in_rows)]
                for row in rows[slice(*pass_plan.given.blocks)]
                for slot in row
            ]
        for segment in pass_plan.segments:
            ranges = target.blocks[segment.block][1]
            slot = target.slots[segment.block][segment.row][ranges.index(segment.columns)]
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
        maps=tuple(maps),
        outputs=tuple(outputs),
    )
