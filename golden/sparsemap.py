"""The sparse feature map: blocks of channels, their rows, and where these lie in memory.

A map is a list of channel blocks. Every row of a block is cut into segments, one per column range;
a segment is a byte string of its own (`golden.segment`). In memory every segment starts at an
aligned bus word, and a table says where and how long it is.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from golden.formats import FormatError, IntFormat
from golden.params import ceil_div
from golden.segment import (
    MapError,
    decode_dense,
    decode_sparse,
    encode_dense,
    encode_sparse,
    segment_room,
)

#: Most channels of one block: those of one pass of the largest core.
BLOCK_CHANNELS = 128

#: One entry of a segment table in memory, little-endian: start address, length in bytes.
TABLE_ENTRY = struct.Struct("<II")

Range = tuple[int, int]
#: Column ranges of all blocks alike, or of each block.
Ranges = Sequence[Range] | Sequence[Sequence[Range]]


@dataclass(frozen=True)
class Block:
    """Some adjacent channels of a map.

    Attributes
    ----------
    channels : int
        1 to `BLOCK_CHANNELS`.
    ranges : tuple of (int, int)
        Column ranges [start, end) into which rows are cut, in order, without gaps.
    rows : tuple of tuple of bytes
        `rows[y][i]` is the segment of row y and range i.
    """

    channels: int
    ranges: tuple[Range, ...]
    rows: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True)
class SparseMap:
    """An encoded map; two are equal if, and only if, they hold the same in the same form.

    Attributes
    ----------
    shape : (int, int, int)
        Rows, columns, channels.
    value_bytes : int
        1 or 2.
    signed : bool
        Whether raw values are two's complement.
    zero_point : int
        The raw value that is left out.
    blocks : tuple of Block
        In the order of the channels.
    dense : bool
        Whether all values are there and no sparsity maps.

    Raises
    ------
    MapError
        If blocks, rows and ranges do not make up the shape. Segments are checked by `to_dense`.
    """

    shape: tuple[int, int, int]
    value_bytes: int
    signed: bool
    zero_point: int
    blocks: tuple[Block, ...]
    dense: bool = False

    def __post_init__(self) -> None:
        H, W, C = self.shape
        if min(self.shape) < 1:
            raise MapError(f"shape must be positive, not {self.shape}")
        _value_format(self.value_bytes, self.signed, self.zero_point)
        if sum(block.channels for block in self.blocks) != C:
            raise MapError(f"blocks must have {C} channels together")
        for index, block in enumerate(self.blocks):
            if not 1 <= block.channels <= BLOCK_CHANNELS:
                raise MapError(
                    f"a block has 1 to {BLOCK_CHANNELS} channels, not {block.channels}", block=index
                )
            if len(block.rows) != H:
                raise MapError(f"has {len(block.rows)} rows, not {H}", block=index)
            _check_ranges(block.ranges, W)
            for y, row in enumerate(block.rows):
                if len(row) != len(block.ranges):
                    raise MapError(
                        f"has {len(row)} segments, not {len(block.ranges)}", block=index, row=y
                    )

    @classmethod
    def from_dense(
        cls,
        dense_map: np.ndarray,
        *,
        zero_point: int,
        value_bytes: int,
        signed: bool,
        block_channels: int | Sequence[int] = BLOCK_CHANNELS,
        column_ranges: Ranges | None = None,
        dense: bool = False,
    ) -> "SparseMap":
        """Encode a map.

        Parameters
        ----------
        dense_map : ndarray of int, shape (H, W, C)
            Raw values.
        zero_point : int
            The raw value to leave out.
        value_bytes : int
            1 or 2.
        signed : bool
            Whether raw values are two's complement.
        block_channels : int or sequence of int
            Channels of every block but the last, or of each block.
        column_ranges : sequence of (int, int), or one such sequence per block, optional
            Column ranges [start, end) into which rows are cut; one segment per row if absent.
        dense : bool
            Write all values and no sparsity maps.

        Raises
        ------
        MapError
            If the geometry is impossible or a value does not fit.
        """
        H, W, C = dense_map.shape
        form = _value_format(value_bytes, signed, zero_point)
        try:
            form.check(dense_map, "map value")
        except FormatError as error:
            raise MapError(str(error)) from error
        if not isinstance(block_channels, Sequence):
            if block_channels < 1:
                raise MapError(f"block_channels must be positive, not {block_channels}")
            starts = range(0, C, block_channels)
            block_channels = [min(block_channels, C - start) for start in starts]
        block_ranges = _ranges_of_blocks(column_ranges, W, len(block_channels))

        values = dense_map.astype(form.dtype.newbyteorder("<"))
        blocks, first = [], 0
        for channels, ranges in zip(block_channels, block_ranges, strict=True):
            part = values[:, :, first : first + channels]
            data, sizes = encode_dense(part) if dense else encode_sparse(part, zero_point)
            offsets = np.concatenate([[0], np.cumsum(sizes)]).tolist()
            stream = data.tobytes()
            rows = tuple(
                tuple(
                    stream[offsets[y * W + start] : offsets[y * W + end]] for start, end in ranges
                )
                for y in range(H)
            )
            blocks.append(Block(channels, ranges, rows))
            first += channels
        return cls((H, W, C), value_bytes, signed, zero_point, tuple(blocks), dense)

    @property
    def format(self) -> IntFormat:
        """Format of the values in the segments."""
        return IntFormat(8 * self.value_bytes, self.signed)

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments, without the gaps that align them in memory."""
        return sum(len(segment) for block in self.blocks for row in block.rows for segment in row)

    @property
    def zeros(self) -> float:
        """Share of the pixels that are zero, 0 to 1.

        Raises
        ------
        MapError
            As `to_dense`.
        """
        return float(np.mean(self.to_dense() == self.zero_point))

    def to_dense(self) -> np.ndarray:
        """Decode into raw values (H, W, C), of the smallest type that holds them.

        Raises
        ------
        MapError
            Names the first faulty segment, in the order of blocks, rows and columns, and in it the
            first sparsity map with a bit beyond its channels, or where it ends too early or goes
            on too long, or else the first stored value that is the zero point.
        """
        out = np.empty(self.shape, self.format.dtype)
        first = 0
        for index, block in enumerate(self.blocks):
            for y, row in enumerate(block.rows):
                for (start, end), segment in zip(block.ranges, row, strict=True):
                    part = out[y, start:end, first : first + block.channels]
                    try:
                        if self.dense:
                            part[:] = decode_dense(segment, part.shape, self.format)
                        else:
                            part[:] = decode_sparse(
                                segment, part.shape, self.format, self.zero_point
                            )
                    except MapError as fault:
                        raise fault.within(index, y, start) from None
            first += block.channels
        return out

    def tables(self, base: int = 0, align: int = 8, *, reserve: bool = False) -> list[np.ndarray]:
        """Where each segment lies in memory.

        Parameters
        ----------
        base : int
            Address of the first segment, a multiple of `align`.
        align : int
            Bytes of a bus word, at which every segment starts.
        reserve : bool
            Give each segment the room of its worst case, as a planner must who does not know the
            values; else each follows the one before at the next bus word.

        Returns
        -------
        list of ndarray of int64, shape (rows, ranges, 2)
            Per block: start address and length in bytes.

        Raises
        ------
        MapError
            If `base` is not aligned.
        """
        if base % align:
            raise MapError(f"base {base} is not a multiple of {align}")
        tables, address = [], base
        for block in self.blocks:
            lengths = np.array([[len(segment) for segment in row] for row in block.rows], np.int64)
            rooms = lengths
            if reserve:
                rooms = np.broadcast_to(
                    [
                        segment_room(
                            block.channels, end - start, self.value_bytes, dense=self.dense
                        )
                        for start, end in block.ranges
                    ],
                    lengths.shape,
                )
            steps = -(-rooms // align) * align
            starts = address + np.cumsum(steps).reshape(steps.shape) - steps
            address += int(steps.sum())
            tables.append(np.stack([starts, lengths], axis=-1))
        return tables

    def to_memory(
        self, base: int = 0, align: int = 8, *, reserve: bool = False
    ) -> tuple[bytes, list[np.ndarray]]:
        """Lay the segments out in memory; parameters and tables as in `tables`.

        Returns
        -------
        (bytes, list of ndarray)
            The bytes from `base` on, gaps zero, whole bus words; and the tables.
        """
        tables = self.tables(base, align, reserve=reserve)
        size = max(int((table[..., 0] + table[..., 1]).max()) for table in tables) - base
        image = bytearray(ceil_div(size, align) * align)
        for block, table in zip(self.blocks, tables, strict=True):
            for row, entries in zip(block.rows, table.tolist(), strict=True):
                for segment, (start, length) in zip(row, entries, strict=True):
                    image[start - base : start - base + length] = segment
        return bytes(image), tables

    @classmethod
    def from_memory(
        cls,
        image: bytes | bytearray | memoryview,
        tables: Sequence[np.ndarray],
        *,
        columns: int,
        block_channels: Sequence[int],
        zero_point: int,
        value_bytes: int,
        signed: bool,
        base: int = 0,
        align: int = 8,
        column_ranges: Ranges | None = None,
        dense: bool = False,
    ) -> "SparseMap":
        """Gather a map from memory.

        Parameters
        ----------
        image : bytes-like
            Memory from address `base` on.
        tables : sequence of ndarray, shape (rows, ranges, 2)
            Per block: start address and length in bytes, as from `tables`.
        columns : int
            Columns of the map.
        block_channels : sequence of int
            Channels of each block.
        base, align
            As in `tables`.
        zero_point, value_bytes, signed, column_ranges, dense
            As in `from_dense`.

        Raises
        ------
        MapError
            If the geometry is impossible, or a segment is not aligned or not within the image.
        """
        block_ranges = _ranges_of_blocks(column_ranges, columns, len(block_channels))
        blocks = []
        for index, (channels, ranges, table) in enumerate(
            zip(block_channels, block_ranges, tables, strict=True)
        ):
            rows = []
            for y, entries in enumerate(np.asarray(table).tolist()):
                for start, length in entries:
                    if start < base or length < 0 or start + length > base + len(image):
                        raise MapError(
                            f"segment of {length} bytes at {start} lies outside the memory, "
                            f"{base} to {base + len(image)}",
                            block=index,
                            row=y,
                        )
                    if start % align:
                        raise MapError(
                            f"segment at {start} does not start at a multiple of {align}",
                            block=index,
                            row=y,
                        )
                rows.append(
                    tuple(bytes(image[at - base : at - base + size]) for at, size in entries)
                )
            blocks.append(Block(channels, ranges, tuple(rows)))
        shape = (len(tables[0]), columns, sum(block_channels))
        return cls(shape, value_bytes, signed, zero_point, tuple(blocks), dense)


def _value_format(value_bytes: int, signed: bool, zero_point: int) -> IntFormat:
    if value_bytes not in (1, 2):
        raise MapError(f"value_bytes must be 1 or 2, not {value_bytes}")
    form = IntFormat(8 * value_bytes, signed)
    if not form.min <= zero_point <= form.max:
        raise MapError(f"zero point must be {form.min} to {form.max} ({form}), not {zero_point}")
    return form


def _ranges_of_blocks(ranges: Ranges | None, columns: int, blocks: int) -> list[tuple[Range, ...]]:
    """Column ranges of each block, checked."""
    if ranges is None:
        per_block = [((0, columns),)] * blocks
    elif ranges and isinstance(ranges[0][0], Sequence):
        per_block = [tuple(block) for block in cast(Sequence[Sequence[Range]], ranges)]
    else:
        per_block = [tuple(cast(Sequence[Range], ranges))] * blocks
    if len(per_block) != blocks:
        raise MapError(f"column ranges for {len(per_block)} blocks do not fit {blocks} blocks")
    for block in per_block:
        _check_ranges(block, columns)
    return per_block


def _check_ranges(ranges: Sequence[Range], columns: int) -> None:
    end = 0
    for start, stop in ranges:
        if start != end or stop <= start:
            break
        end = stop
    else:
        if end == columns:
            return
    raise MapError(f"column ranges must cut 0 to {columns} without gaps, not {tuple(ranges)}")
