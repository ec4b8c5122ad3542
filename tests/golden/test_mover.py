"""The mover's list and the memory on which it works."""

import numpy as np
import pytest

from golden.mover import LayerMoves, Memory, MoverError, Stream, Transfer
from golden.sparsemap import SparseMap


def transfer(stream, address=0, length=8, **options):
    return Transfer(stream=stream, address=address, length=length, **options)


def test_a_map_travels_through_memory_by_addresses_and_lengths_alone():
    """Segments stored as they leave a core are fetched whole by the next layer."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (5, 6, 20)) * (rng.random((5, 6, 20)) < 0.4)
    encoded = SparseMap.from_dense(
        values, zero_point=0, value_bytes=1, signed=False, column_ranges=[(0, 4), (4, 6)]
    )
    (table,) = encoded.tables(1024, reserve=True)
    memory = Memory(4096)
    outputs = tuple(
        transfer(
            Stream.OUT,
            int(table[y, i, 0]),
            length=100,
            entry=16 * y + 8 * i,
            context=2 * i + y % 2,
        )
        for y in range(5)
        for i in range(2)
    )
    moves = LayerMoves(name="one", control=(), maps=(), outputs=outputs)
    for context in range(4):
        rows = range(context % 2, 5, 2)
        for y, target in zip(rows, moves.outputs_of(context), strict=True):
            memory.store(target, encoded.blocks[0].rows[y][context // 2])

    entries = np.frombuffer(memory.read(0, 80), "<u4").reshape(5, 2, 2)
    assert (entries == table).all()
    again = SparseMap.from_memory(
        memory.image,
        [entries],
        columns=6,
        block_channels=[20],
        zero_point=0,
        value_bytes=1,
        signed=False,
        column_ranges=[(0, 4), (4, 6)],
    )
    assert again == encoded
    for y in range(5):
        for i in range(2):
            source = transfer(Stream.MAP, int(table[y, i, 0]), length=100, entry=16 * y + 8 * i)
            assert memory.fetch(source) == encoded.blocks[0].rows[y][i]


def test_control_has_the_length_of_the_list():
    memory = Memory(64)
    memory.write(16, bytes(range(24)))
    assert memory.fetch(transfer(Stream.CONTROL, 16, 24)) == bytes(range(24))
    assert len(memory) == 64


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stream": Stream.MAP, "address": 4}, "address must be a multiple of 8, not 4"),
        ({"stream": Stream.MAP, "address": -8}, "address must be a multiple of 8, not -8"),
        ({"stream": Stream.MAP, "entry": 12}, "entry must be a multiple of 8, not 12"),
        ({"stream": Stream.MAP, "length": 0}, "length must be positive, not 0"),
        ({"stream": Stream.CONTROL, "entry": 0}, "a control transfer has no table entry"),
        ({"stream": Stream.OUT}, "an output segment must have a table entry"),
    ],
)
def test_impossible_transfers_are_refused(options, text):
    with pytest.raises(MoverError, match=f"^{text}$"):
        transfer(**options)


def test_a_transfer_stands_in_the_list_of_its_stream():
    with pytest.raises(
        MoverError, match=r"^layer 'one': a transfer of i_map stands in the list of i_control$"
    ):
        LayerMoves(name="one", control=(transfer(Stream.MAP),), maps=(), outputs=())


@pytest.mark.parametrize(("address", "length"), [(-1, 1), (60, 5), (65, 0), (0, -1), (1 << 40, 1)])
def test_accesses_outside_memory_are_refused(address, length):
    memory = Memory(64)
    with pytest.raises(MoverError, match=f"^{length} bytes at {address} lie outside the memory"):
        memory.read(address, length)
    if length >= 0:
        with pytest.raises(MoverError, match="lie outside the memory of 64 bytes"):
            memory.write(address, bytes(length))
    assert memory.image == bytes(64)


def test_a_segment_larger_than_its_room_is_refused():
    memory = Memory(64)
    target = transfer(Stream.OUT, 32, 8, entry=0)
    with pytest.raises(MoverError, match=r"^a segment of 9 bytes at 32 has room for 8$"):
        memory.store(target, bytes(9))
    with pytest.raises(MoverError, match=r"^a transfer of i_map is not stored$"):
        memory.store(transfer(Stream.MAP), b"")
    assert memory.image == bytes(64)


@pytest.mark.parametrize(("start", "length"), [(24, 4), (32, 0), (32, 9)])
def test_a_table_entry_that_contradicts_the_list_is_refused(start, length):
    memory = Memory(64)
    memory.write(8, np.array([start, length], "<u4").tobytes())
    with pytest.raises(
        MoverError, match=f"entry at 8 says {length} bytes at {start}, the list 1 to 8"
    ):
        memory.fetch(transfer(Stream.MAP, 32, 8, entry=8))
