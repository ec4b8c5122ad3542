"""The bytes of a segment, written out by hand."""

import numpy as np
import pytest

from golden.formats import IntFormat
from golden.segment import (
    MapError,
    decode_dense,
    decode_sparse,
    encode_dense,
    encode_sparse,
    segment_room,
)

U8, S16 = IntFormat(8, signed=False), IntFormat(16, signed=True)


def test_bytes_of_8_bit_values():
    """Two columns of 18 channels: a group of 16 and a group of 2, each behind its map."""
    values = np.full((1, 2, 18), 7, np.uint8)
    values[0, 0, [0, 3, 15]] = 1, 2, 3
    values[0, 0, 17] = 0
    values[0, 1, 16] = 255
    data, sizes = encode_sparse(values, 7)
    # 0 is not the zero point, so it is stored.
    expected = bytes([0x09, 0x80, 1, 2, 3, 0x02, 0x00, 0, 0x00, 0x00, 0x01, 0x00, 255])
    assert data.tobytes() == expected
    assert sizes.tolist() == [8, 5]
    assert (decode_sparse(expected, (2, 18), U8, 7) == values[0]).all()


def test_bytes_of_16_bit_values():
    values = np.zeros((1, 1, 3), np.dtype("<i2"))
    values[0, 0, 1:] = -2, 0x1234
    data, sizes = encode_sparse(values, 0)
    assert data.tobytes() == bytes([0x06, 0x00, 0xFE, 0xFF, 0x34, 0x12])
    assert sizes.tolist() == [6]
    assert (decode_sparse(data.tobytes(), (1, 3), S16, 0) == values[0]).all()


def test_bytes_of_dense_values():
    values = np.array([[[1, 0, -1], [0, 2, 0x1234]]], np.dtype("<i2"))
    data, sizes = encode_dense(values)
    assert data.tobytes() == bytes.fromhex("0100 0000 ffff 0000 0200 3412")
    assert sizes.tolist() == [6, 6]
    assert (decode_dense(data.tobytes(), (2, 3), S16) == values[0]).all()


@pytest.mark.parametrize(
    ("data", "column", "offset", "reason"),
    [
        ("", 0, 0, "ends before a sparsity map is complete"),
        ("00", 0, 1, "ends before a sparsity map is complete"),
        ("0000 0000", 1, 4, "ends before a sparsity map is complete"),
        ("0300 05", 0, 3, "ends within the values of a group"),
        ("0000 0000 0000 0300 0506 00", 1, 10, "goes on for 1 bytes after its last column"),
        ("0000 0400", 0, 2, "sparsity map names pixel 2 of a group of 2"),
        ("0000 0000 0000 0180 01", 1, 6, "sparsity map names pixel 15 of a group of 2"),
        ("0100 05 0000 0180 0600 0200 08", 1, 8, "stores the zero point 0"),
        ("0300 0500 0000 0000 0000", 0, 3, "stores the zero point 0"),
    ],
)
def test_faults_are_named(data, column, offset, reason):
    """Two columns of 18 channels, zero point 0."""
    with pytest.raises(MapError) as caught:
        decode_sparse(bytes.fromhex(data), (2, 18), U8, 0)
    fault = caught.value
    assert (fault.column, fault.offset, fault.reason) == (column, offset, reason)
    assert str(fault) == f"column {column}, byte {offset}: {reason}"


def test_a_zero_point_of_16_bits_is_found_between_values():
    data = bytes.fromhex("0700 ffff 0500 0100")
    with pytest.raises(MapError, match=r"^column 0, byte 4: stores the zero point 5$"):
        decode_sparse(data, (1, 3), S16, 5)


@pytest.mark.parametrize(
    ("length", "column", "offset", "reason"),
    [
        (7, 1, 7, "ends before all values are there"),
        (0, 0, 0, "ends before all values are there"),
        (14, 1, 12, "goes on for 2 bytes after its last column"),
    ],
)
def test_faults_of_dense_segments_are_named(length, column, offset, reason):
    with pytest.raises(MapError) as caught:
        decode_dense(bytes(length), (2, 3), S16)
    fault = caught.value
    assert (fault.column, fault.offset, fault.reason) == (column, offset, reason)


@pytest.mark.parametrize("value_bytes", [1, 2])
@pytest.mark.parametrize("channels", [1, 15, 16, 17, 128])
def test_room_is_the_size_without_zeros(channels, value_bytes):
    values = np.ones((1, 5, channels), f"<u{value_bytes}")
    assert segment_room(channels, 5, value_bytes) == len(encode_sparse(values, 0)[0])
    assert segment_room(channels, 5, value_bytes, dense=True) == encode_dense(values)[0].size
