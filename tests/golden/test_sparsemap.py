"""Sparse maps: round trips, faults by name, and memory images."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from golden.segment import MapError
from golden.sparsemap import TABLE_ENTRY, Block, SparseMap


def cut(draw, columns):
    """Column ranges that cut a row somewhere."""
    inner = draw(st.sets(st.integers(1, columns - 1))) if columns > 1 else set()
    points = [0, *sorted(inner), columns]
    return list(itertools.pairwise(points))


@st.composite
def arguments(draw):
    """A map and how to encode it: the arguments of `from_dense`."""
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 50))
    value_bytes, signed = draw(st.sampled_from([1, 2])), draw(st.booleans())
    limits = np.iinfo(f"{'i' if signed else 'u'}{value_bytes}")
    zero = draw(st.sampled_from([0, limits.min, limits.max, 115]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    values = rng.integers(limits.min, limits.max, shape, endpoint=True)
    values[rng.random(shape) < draw(st.floats(0, 1))] = zero
    block_channels = draw(
        st.integers(1, 128)
        | st.integers(1, shape[2]).map(lambda c: [c, shape[2] - c] if c < shape[2] else [c])
    )
    count = (
        len(block_channels) if isinstance(block_channels, list) else -(-shape[2] // block_channels)
    )
    ranges = draw(st.sampled_from(["none", "alike", "each"]))
    return values, {
        "zero_point": zero,
        "value_bytes": value_bytes,
        "signed": signed,
        "block_channels": block_channels,
        "column_ranges": {
            "none": lambda: None,
            "alike": lambda: cut(draw, shape[1]),
            "each": lambda: [cut(draw, shape[1]) for _ in range(count)],
        }[ranges](),
        "dense": draw(st.booleans()),
    }


@given(arguments())
def test_decoding_gives_the_map_back(case):
    values, options = case
    encoded = SparseMap.from_dense(values, **options)
    decoded = encoded.to_dense()
    assert decoded.dtype == encoded.format.dtype
    assert (decoded == values).all()
    assert encoded.zeros == np.mean(values == options["zero_point"])


@given(arguments())
def test_size_is_that_of_the_format(case):
    """Two bytes for each group of 16 channels of a block, and the values that are not zero."""
    values, options = case
    encoded = SparseMap.from_dense(values, **options)
    H, W, _ = values.shape
    stored = values.size if options["dense"] else np.count_nonzero(values != options["zero_point"])
    groups = 0 if options["dense"] else sum(-(-block.channels // 16) for block in encoded.blocks)
    assert encoded.total_bytes == 2 * H * W * groups + stored * options["value_bytes"]


def with_segment(encoded, block, row, index, segment):
    """A copy with one segment replaced."""
    old = encoded.blocks[block]
    segments = list(old.rows[row])
    segments[index] = segment
    rows = (*old.rows[:row], tuple(segments), *old.rows[row + 1 :])
    blocks = (*encoded.blocks[:block], replace(old, rows=rows), *encoded.blocks[block + 1 :])
    return replace(encoded, blocks=blocks)


def decode(encoded):
    """The map, or the fault that decoding names."""
    try:
        return encoded.to_dense(), None
    except MapError as fault:
        return None, fault


@given(arguments(), st.data())
def test_damage_never_goes_unseen(case, data):
    """A changed, lost or added byte is a fault in its own segment, or another map."""
    values, options = case
    encoded = SparseMap.from_dense(values, **options)
    block = data.draw(st.integers(0, len(encoded.blocks) - 1))
    row = data.draw(st.integers(0, len(values) - 1))
    index = data.draw(st.integers(0, len(encoded.blocks[block].ranges) - 1))
    segment = encoded.blocks[block].rows[row][index]
    position = data.draw(st.integers(0, len(segment) - 1))
    kind = data.draw(st.sampled_from(["change", "drop", "add"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    assume(kind != "change" or byte != segment[position : position + 1])
    rest = segment[position:] if kind == "add" else segment[position + 1 :]
    damaged = segment[:position] + (b"" if kind == "drop" else byte) + rest
    broken = with_segment(encoded, block, row, index, damaged)
    start, end = encoded.blocks[block].ranges[index]
    decoded, fault = decode(broken)
    if fault is None:
        assert (decoded != values).any()
        assert SparseMap.from_dense(decoded, **options) == broken
    else:
        assert (fault.block, fault.row) == (block, row)
        assert start <= fault.column < end
        assert 0 <= fault.offset <= len(damaged)


def test_a_fault_is_named_with_its_place():
    values = np.arange(1, 1 + 3 * 4 * 20).reshape(3, 4, 20) % 251
    encoded = SparseMap.from_dense(
        values,
        zero_point=0,
        value_bytes=1,
        signed=False,
        block_channels=16,
        column_ranges=[(0, 1), (1, 4)],
    )
    segment = encoded.blocks[1].rows[2][1]
    assert segment[6:8] == b"\x0f\x00"  # second column: a map of 4 pixels
    broken = with_segment(encoded, 1, 2, 1, segment[:7] + b"\x10" + segment[8:])
    with pytest.raises(MapError) as caught:
        broken.to_dense()
    assert str(caught.value) == (
        "block 1, row 2, column 2, byte 6: sparsity map names pixel 12 of a group of 4"
    )


def test_the_first_fault_counts():
    values = np.ones((3, 2, 2), int)
    encoded = SparseMap.from_dense(values, zero_point=0, value_bytes=1, signed=False)
    broken = with_segment(with_segment(encoded, 0, 2, 0, b""), 0, 1, 0, b"\x03\x00\x01")
    with pytest.raises(MapError, match="row 1, column 0, byte 3: ends within the values"):
        broken.to_dense()


@given(arguments(), st.integers(0, 50), st.sampled_from([4, 8, 16]), st.booleans())
def test_memory_gives_the_map_back(case, words, align, reserve):
    values, options = case
    encoded = SparseMap.from_dense(values, **options)
    base = words * align
    image, tables = encoded.to_memory(base, align, reserve=reserve)
    again = SparseMap.from_memory(
        image,
        tables,
        columns=values.shape[1],
        base=base,
        align=align,
        **(options | {"block_channels": [block.channels for block in encoded.blocks]}),
    )
    assert again == encoded
    assert len(image) % align == 0
    spans = np.concatenate([table.reshape(-1, 2) for table in tables])
    starts, ends = spans[:, 0], spans.sum(axis=1)
    assert (starts % align == 0).all()
    assert (ends[:-1] <= starts[1:]).all()
    if not reserve:
        assert (starts[1:] - ends[:-1] < align).all()


def test_reserved_places_do_not_depend_on_the_values():
    def places(values):
        encoded = SparseMap.from_dense(
            values, zero_point=0, value_bytes=2, signed=True, column_ranges=[(0, 3), (3, 5)]
        )
        return encoded.tables(64, reserve=True)[0][..., 0]

    full = places(np.ones((4, 5, 18), int))
    assert (places(np.zeros((4, 5, 18), int)) == full).all()
    # 3 columns of 4 bytes of maps and 36 of values: 15 words; 2 columns: 10 words.
    assert full[:2].tolist() == [[64, 64 + 120], [64 + 200, 64 + 320]]


def test_a_table_entry_is_one_bus_word():
    assert TABLE_ENTRY.pack(0x01020304, 5) == bytes([4, 3, 2, 1, 5, 0, 0, 0])


OPTIONS = {"zero_point": 0, "value_bytes": 1, "signed": False}


@pytest.mark.parametrize(
    ("shape", "changes", "text"),
    [
        ((2, 2, 2), {"value_bytes": 3}, "value_bytes must be 1 or 2, not 3"),
        ((2, 2, 2), {"zero_point": 256}, r"zero point must be 0 to 255 \(u8\), not 256"),
        ((2, 2, 2), {"signed": True, "zero_point": 128}, "zero point must be -128 to 127"),
        ((2, 2, 2), {"block_channels": 0}, "block_channels must be positive, not 0"),
        ((2, 2, 2), {"block_channels": [1]}, "blocks must have 2 channels together"),
        ((2, 2, 129), {"block_channels": 129}, "block 0: a block has 1 to 128 channels, not 129"),
        ((2, 2, 2), {"column_ranges": [(0, 1)]}, "column ranges must cut 0 to 2 without gaps"),
        ((2, 2, 2), {"column_ranges": [(0, 2), (2, 2)]}, "column ranges must cut 0 to 2"),
        ((2, 2, 2), {"column_ranges": [(0, 1), (0, 2)]}, "column ranges must cut 0 to 2"),
        ((2, 2, 2), {"column_ranges": []}, "column ranges must cut 0 to 2"),
        (
            (2, 2, 2),
            {"column_ranges": [[(0, 2)], [(0, 2)]]},
            "column ranges for 2 blocks do not fit 1 blocks",
        ),
        ((0, 2, 2), {}, r"shape must be positive, not \(0, 2, 2\)"),
    ],
)
def test_impossible_geometries_are_refused(shape, changes, text):
    with pytest.raises(MapError, match=f"^{text}"):
        SparseMap.from_dense(np.zeros(shape, int), **(OPTIONS | changes))


def test_values_that_do_not_fit_are_refused():
    values = np.zeros((2, 3, 4), int)
    values[1, 2, 3] = -1
    with pytest.raises(
        MapError, match=r"^map value at \(1, 2, 3\) must be 0 to 255 \(u8\), not -1$"
    ):
        SparseMap.from_dense(values, **OPTIONS)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (((b"\0\0",),), "block 0: has 1 rows, not 2"),
        (((b"\0\0",), (b"\0\0", b"\0\0")), "block 0, row 1: has 2 segments, not 1"),
    ],
)
def test_incomplete_maps_are_refused(rows, text):
    with pytest.raises(MapError, match=f"^{text}$"):
        SparseMap((2, 1, 1), 1, False, 0, (Block(1, ((0, 1),), rows),))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ((-8, 2), "segment of 2 bytes at -8 lies outside the memory, 0 to 16"),
        ((8, 9), "segment of 9 bytes at 8 lies outside the memory, 0 to 16"),
        ((0, -1), "segment of -1 bytes at 0 lies outside the memory, 0 to 16"),
        ((4, 2), "segment at 4 does not start at a multiple of 8"),
    ],
)
def test_tables_that_lead_astray_are_refused(entry, text):
    table = np.array([[(0, 2)], [entry]])
    with pytest.raises(MapError, match=f"^block 0, row 1: {text}$"):
        SparseMap.from_memory(bytes(16), [table], columns=1, block_channels=[1], **OPTIONS)


def test_a_base_off_the_bus_is_refused():
    encoded = SparseMap.from_dense(np.zeros((1, 1, 1), int), **OPTIONS)
    with pytest.raises(MapError, match=r"^base 12 is not a multiple of 8$"):
        encoded.to_memory(12)
