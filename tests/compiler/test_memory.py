"""Memory: every map at its own place, and the mover's lists that carry all of them."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.lower import control_streams
from compiler.memory import MapPlace, Program, aligned, lay_out
from compiler.plan import plan_network
from golden.mover import ALIGN, Memory, Stream
from golden.network import Conv, Network, TensorFormat
from golden.params import Build
from golden.pooling import MaxPool
from golden.requant import Shift
from golden.segment import segment_room
from golden.sparsemap import MapError
from tests.layers import BUILDS, TINY, TINY8

U8 = TensorFormat(8, signed=False, scale=1.0, zero_point=3)
S8 = TensorFormat(8, signed=True, scale=1.0, zero_point=-5)


def network(seed: int = 0, out_format: TensorFormat = S8) -> Network:
    """Two layers, the first of several passes that cut rows differently."""
    rng = np.random.default_rng(seed)
    first = Conv(
        name="first",
        weights=rng.integers(-20, 20, (20, 11, 3, 3)),
        bias=rng.integers(-99, 99, 20),
        in_format=U8,
        out_format=U8,
        requant=Shift(8),
        pads=(1, 1, 1, 1),
    )
    second = Conv(
        name="second",
        weights=rng.integers(-20, 20, (9, 20, 2, 3)),
        bias=rng.integers(-99, 99, 9),
        in_format=U8,
        out_format=out_format,
        requant=Shift(8),
        pool=True,
    )
    return Network("two", (5, 8, 11), U8, (first, second))


def program(build: Build = TINY, *, dense: bool = False, seed: int = 0) -> Program:
    return lay_out(plan_network(network(seed), build, dense_input=dense))


def spans(place: MapPlace) -> list[tuple[int, int]]:
    """Addresses of everything in a place: segments and table entries."""
    slots = [slot for block in place.slots for row in block for slot in row]
    return [
        *((slot.entry, slot.entry + 8) for slot in slots),
        *((slot.address, slot.address + slot.room) for slot in slots),
    ]


@pytest.mark.parametrize(("size", "room"), [(0, 0), (1, 8), (8, 8), (9, 16)])
def test_aligned(size, room):
    assert aligned(size) == room


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_nothing_overlaps(build, dense):
    if build.name == "up5k":
        build = build.replace(acc_bits=32)
    made = program(build, dense=dense)
    assert len(made.places) == len(made.moves) + 1 == len(made.plans) + 1 == 3
    all_spans = [(0, 8 * len(made.control))]
    for place in made.places:
        found = spans(place)
        assert all(place.base <= start < end <= place.end for start, end in found)
        assert all(start % ALIGN == 0 for start, _ in found)
        all_spans += found
    all_spans.sort()
    assert all(end <= start for (_, end), (start, _) in pairwise(all_spans))
    assert all_spans[-1][1] <= made.size


@pytest.mark.parametrize("build", [TINY, TINY8], ids=lambda build: build.name)
def test_rooms_are_those_of_the_worst_case(build):
    made = program(build, dense=True)
    for place, dense in zip(made.places, (True, False, False), strict=True):
        assert place.dense == dense
        for (channels, ranges), rows in zip(place.blocks, place.slots, strict=True):
            rooms = [segment_room(channels, b - a, build.act_bytes, dense=dense) for a, b in ranges]
            assert [[slot.room for slot in row] for row in rows] == [rooms] * place.shape[0]


def test_blocks_are_those_of_the_plans():
    made = program()
    whole = ((0, 8),)
    assert made.places[0].blocks == ((8, whole), (3, whole))
    assert made.places[1].blocks == made.plans[0].out_blocks
    assert [channels for channels, _ in made.places[1].blocks] == [8, 8, 4]
    assert len({ranges for _, ranges in made.places[1].blocks}) > 1
    assert made.places[2].shape == made.plans[1].out_shape == (2, 3, 9)


@settings(max_examples=settings.default.max_examples // 4)
@given(st.integers(0, 99), st.sampled_from([TINY, TINY8]), st.booleans(), st.floats(0, 1))
def test_a_map_comes_back_as_it_was_stored(seed, build, dense, density):
    made = program(build, dense=dense)
    memory = made.load()
    rng = np.random.default_rng(seed)
    maps = []
    for place, form in zip(made.places, (U8, U8, S8), strict=True):
        x = rng.integers(form.ints.min, form.ints.max, place.shape, endpoint=True)
        x[rng.random(x.shape) >= density] = form.zero_point
        place.store(memory, place.encode(x))
        maps.append(x)
    # Every one still stands when all are stored, and so do the control streams.
    for place, x in zip(made.places, maps, strict=True):
        assert place.fetch(memory) == place.encode(x)
        assert (place.fetch(memory).to_dense() == x).all()
    assert memory.read(0, 8 * len(made.control)) == made.control.astype("<u8").tobytes()


def test_the_worst_case_fits_its_room():
    made = program()
    memory = made.load()
    for place in made.places:
        place.store(memory, place.encode(np.full(place.shape, 77)))
        for block, rows in zip(place.fetch(memory).blocks, place.slots, strict=True):
            for row, slots in zip(block.rows, rows, strict=True):
                assert [len(segment) for segment in row] == [slot.room for slot in slots]


def test_a_wide_build_holds_unsigned_bytes_as_signed_words():
    wide, narrow = program(TINY), program(TINY8)
    assert [place.signed for place in wide.places] == [True, True, True]
    assert [place.signed for place in narrow.places] == [False, False, True]
    assert [place.value_bytes for place in (*wide.places, *narrow.places)] == [2] * 3 + [1] * 3
    assert [place.zero_point for place in wide.places] == [3, 3, -5]
    with pytest.raises(MapError, match="map value"):
        narrow.places[0].encode(np.full((5, 8, 11), 256))


def test_control_lies_at_the_start():
    made = program()
    streams = [np.concatenate(control_streams(plan)) for plan in made.plans]
    assert made.control.tolist() == np.concatenate(streams).tolist()
    memory = made.load()
    assert len(memory) == made.size
    for moves, stream in zip(made.moves, streams, strict=True):
        data = b"".join(memory.fetch(transfer) for transfer in moves.control)
        assert np.frombuffer(data, "<u8").tolist() == stream.tolist()


def test_there_is_one_control_transfer_per_pass():
    """As `golden.mover.LayerMoves` says."""
    made = program()
    for moves, plan in zip(made.moves, made.plans, strict=True):
        assert len(moves.control) == len(plan.passes)


@pytest.mark.parametrize("map_words", [TINY.map_words, 3 * 24])
def test_every_load_takes_the_whole_map_row_by_row(map_words):
    made = program(TINY.replace(map_words=map_words))
    loads = [sum(d.load_map for d in plan.descriptors) for plan in made.plans]
    assert loads == ([1, 1] if map_words == TINY.map_words else [3, 2])
    for n, (moves, place) in enumerate(zip(made.moves, made.places, strict=False)):
        wanted = [
            (slot.address, slot.room, slot.entry)
            for y in range(place.shape[0])
            for block in place.slots
            for slot in block[y]
        ]
        found = [(t.address, t.length, t.entry) for t in moves.maps]
        assert found == wanted * loads[n]
        assert {t.stream for t in moves.maps} == {Stream.MAP}


@pytest.mark.parametrize("build", [TINY, *BUILDS[-2:]], ids=lambda build: build.name)
def test_outputs_fill_every_slot_in_the_order_of_each_context(build):
    made = program(build)
    for moves, place, plan in zip(made.moves, made.places[1:], made.plans, strict=True):
        assert {t.stream for t in moves.outputs} == {Stream.OUT}
        wanted = Counter(
            (slot.address, slot.room, slot.entry)
            for block in place.slots
            for row in block
            for slot in row
        )
        assert Counter((t.address, t.length, t.entry) for t in moves.outputs) == wanted
        for context in range(16):
            segments = [
                place.slots[s.block][s.row][plan.out_blocks[s.block][1].index(s.columns)]
                for p in plan.passes
                for s in p.segments
                if s.context == context
            ]
            found = [(t.address, t.entry) for t in moves.outputs_of(context)]
            assert found == [(slot.address, slot.entry) for slot in segments]


def test_the_next_layer_takes_what_the_mover_stored():
    """The first layer's output goes through memory by the lists alone."""
    made = program()
    x = np.random.default_rng(1).integers(0, 255, (5, 8, 11))
    y = network().layers[0].run(x)
    encoded = made.places[1].encode(y)
    memory = made.load()
    queues = {}
    for p in made.plans[0].passes:
        for s in p.segments:
            block = encoded.blocks[s.block]
            data = block.rows[s.row][block.ranges.index(s.columns)]
            queues.setdefault(s.context, []).append(data)
    for context, data in queues.items():
        for transfer, segment in zip(made.moves[0].outputs_of(context), data, strict=True):
            memory.store(transfer, segment)
    assert made.places[1].fetch(memory) == encoded
    taken = [memory.fetch(transfer) for transfer in made.moves[1].maps]
    wanted = [segment for y in range(5) for block in encoded.blocks for segment in block.rows[y]]
    assert taken == wanted


def test_moves_are_named_after_their_layers():
    assert [moves.name for moves in program().moves] == ["first", "second"]


def test_a_place_needs_no_network():
    """A host that has a place and a memory image has all that it takes to read a map."""
    place = replace(program().places[2], base=0)
    memory = Memory(place.end)
    y = np.arange(54).reshape(2, 3, 9) - 27
    place.store(memory, place.encode(y))
    assert (place.fetch(memory).to_dense() == y).all()


def fire(channels: tuple[int, int] = (20, 12)) -> Network:
    """Two branches that read one map, joined, then a pool of the host's, then a layer."""
    rng = np.random.default_rng(4)

    def conv(name: str, inputs: int, outputs: int, size: int) -> Conv:
        return Conv(
            name=name,
            weights=rng.integers(-20, 20, (outputs, inputs, size, size)),
            bias=rng.integers(-99, 99, outputs),
            in_format=U8,
            out_format=U8,
            requant=Shift(8),
            pads=(size // 2,) * 4,
        )

    layers = (
        conv("left", 5, channels[0], 1),
        conv("right", 5, channels[1], 3),
        MaxPool("pool", (3, 3), (2, 2), U8),
        conv("last", sum(channels), 9, 1),
    )
    return Network("fire", (7, 9, 5), U8, layers, sources=((0,), (0,), (1, 2), (3,)))


def test_a_map_may_have_several_readers_and_a_reader_several_maps():
    network = fire()
    made = lay_out(plan_network(network, TINY), network.sources)
    assert len(made.places) == 5
    assert made.taken[0] is made.taken[1] is made.places[0]
    assert made.taken[3] is made.places[3]
    joined, left, right = made.taken[2], made.places[1], made.places[2]
    assert joined.shape == (7, 9, 32)
    assert joined.blocks == left.blocks + right.blocks
    assert joined.slots == left.slots + right.slots
    assert (joined.base, joined.end) == (left.base, right.end)
    maps = network.run(np.random.default_rng(1).integers(0, 255, (7, 9, 5)))
    memory = made.load()
    for place, values in zip(made.places, maps, strict=True):
        place.store(memory, place.encode(values))
    assert (joined.fetch(memory).to_dense() == network.input_map(2, maps)).all()


def test_nothing_is_moved_for_a_layer_of_the_host():
    network = fire()
    made = lay_out(plan_network(network, TINY), network.sources)
    assert [moves.name for moves in made.moves] == ["left", "right", "pool", "last"]
    idle = made.moves[2]
    assert (idle.control, idle.maps, idle.outputs) == ((), (), ())
    assert made.moves[3].maps


def test_the_mover_joins_branches_row_by_row():
    """Of each row, the blocks of one branch come behind those of the other."""
    network = fire()
    layers = (*network.layers[:2], replace(network.layers[3], name="join"))
    network = Network("join", (7, 9, 5), U8, layers, sources=((0,), (0,), (1, 2)))
    made = lay_out(plan_network(network, TINY), network.sources)
    blocks = made.places[1].slots + made.places[2].slots
    wanted = [slot.address for y in range(7) for block in blocks for slot in block[y]]
    assert [t.address for t in made.moves[2].maps] == wanted


def test_the_input_may_be_a_branch():
    """It is placed in the blocks that the layer wants which joins it."""
    network = fire()
    layers = (network.layers[0], replace(network.layers[3], name="join"))
    weights = np.ones((3, 24, 1, 1), int)
    layers = (
        replace(layers[0], weights=np.ones((20, 4, 1, 1), int)),
        replace(layers[1], weights=weights, bias=np.zeros(3, int)),
    )
    network = Network("join", (7, 9, 4), U8, layers, sources=((0,), (0, 1)))
    made = lay_out(plan_network(network, TINY), network.sources)
    assert made.places[0].shape == (7, 9, 4)
    assert made.taken[1].shape == (7, 9, 24)
