"""The bytes of one segment of a sparse feature map: a run of columns of one row of one block.

    segment    its columns, one behind the other
    column     its groups of 16 channels, one behind the other; the last group may have fewer
    group      sparsity map, 2 bytes: bit i says that pixel i differs from the zero point;
               then the raw values of those pixels, in order

Words are little-endian and packed back to back. A dense segment has no sparsity maps: a column is
its channels' raw values.
"""

import numpy as np

from golden.formats import IntFormat
from golden.params import ceil_div

#: Pixels of one sparsity map, and its bytes.
GROUP, SM_BYTES = 16, 2


class MapError(ValueError):
    """A map that is not in the format.

    Attributes
    ----------
    block, row, column : int or None
        Where the fault was noticed; None where it has no such place.
    offset : int or None
        Byte within the segment.
    reason : str
        What is wrong.
    """

    def __init__(
        self,
        reason: str,
        *,
        block: int | None = None,
        row: int | None = None,
        column: int | None = None,
        offset: int | None = None,
    ) -> None:
        self.reason, self.block, self.row = reason, block, row
        self.column, self.offset = column, offset
        names = {"block": block, "row": row, "column": column, "byte": offset}
        place = ", ".join(f"{name} {at}" for name, at in names.items() if at is not None)
        super().__init__(f"{place}: {reason}" if place else reason)

    def within(self, block: int, row: int, column: int) -> "MapError":
        """The same fault of a segment, seen from the map: its block, row and first column."""
        return MapError(
            self.reason,
            block=block,
            row=row,
            column=None if self.column is None else self.column + column,
            offset=self.offset,
        )


def segment_room(channels: int, columns: int, value_bytes: int, *, dense: bool = False) -> int:
    """Most bytes that a segment can have: every pixel non-zero."""
    maps = 0 if dense else SM_BYTES * ceil_div(channels, GROUP)
    return columns * (maps + channels * value_bytes)


def encode_dense(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of a block without sparsity maps, and how many belong to each column of each row."""
    H, W, C = values.shape
    data = np.ascontiguousarray(values).view(np.uint8)
    return data, np.full(H * W, C * values.itemsize)


def encode_sparse(values: np.ndarray, zero_point: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of a block, and how many belong to each column of each row.

    Every group is written at full length, sparsity map and all 16 values; then the bytes of zero
    pixels are dropped, all at once.
    """
    H, W, C = values.shape
    groups, size = ceil_div(C, GROUP), values.itemsize
    full = np.full((H * W, groups * GROUP), zero_point, values.dtype)
    full[:, :C] = values.reshape(H * W, C)
    real = (full != zero_point).reshape(H * W, groups, GROUP)
    records = np.empty((H * W, groups, SM_BYTES + GROUP * size), np.uint8)
    records[..., :SM_BYTES] = np.packbits(real, axis=-1, bitorder="little")
    records[..., SM_BYTES:] = full.view(np.uint8).reshape(H * W, groups, GROUP * size)
    keep = np.ones(records.shape, bool)
    keep[..., SM_BYTES:] = np.repeat(real, size, axis=-1)
    return records[keep], np.count_nonzero(keep, axis=(1, 2))


def decode_dense(segment: bytes, shape: tuple[int, int], form: IntFormat) -> np.ndarray:
    """Values (columns, channels) of a segment without sparsity maps."""
    columns, channels = shape
    column_bytes = channels * form.bits // 8
    extra = len(segment) - columns * column_bytes
    if extra < 0:
        raise MapError(
            "ends before all values are there",
            column=len(segment) // column_bytes,
            offset=len(segment),
        )
    if extra > 0:
        raise MapError(
            f"goes on for {extra} bytes after its last column",
            column=columns - 1,
            offset=columns * column_bytes,
        )
    return np.frombuffer(segment, form.dtype.newbyteorder("<")).reshape(shape)


def decode_sparse(
    segment: bytes, shape: tuple[int, int], form: IntFormat, zero_point: int
) -> np.ndarray:
    """Values (columns, channels) of a segment with sparsity maps."""
    columns, channels = shape
    size, end = form.bits // 8, len(segment)
    groups = [min(GROUP, channels - start) for start in range(0, channels, GROUP)]
    maps: list[int] = []
    starts: list[int] = []
    position = 0
    for column in range(columns):
        for pixels in groups:
            if position + SM_BYTES > end:
                raise MapError("ends before a sparsity map is complete", column=column, offset=end)
            bits = segment[position] | segment[position + 1] << 8
            if bits >> pixels:
                raise MapError(
                    f"sparsity map names pixel {bits.bit_length() - 1} of a group of {pixels}",
                    column=column,
                    offset=position,
                )
            maps.append(bits)
            starts.append(position)
            position += SM_BYTES + bits.bit_count() * size
            if position > end:
                raise MapError("ends within the values of a group", column=column, offset=end)
    if position < end:
        raise MapError(
            f"goes on for {end - position} bytes after its last column",
            column=columns - 1,
            offset=position,
        )

    # What is no sparsity map is a value, and values come in the order of the set bits.
    is_value = np.ones(end, bool)
    for byte in range(SM_BYTES):
        is_value[np.array(starts) + byte] = False
    data = np.frombuffer(segment, np.uint8)[is_value]
    values = data.view(form.dtype.newbyteorder("<"))
    wrong = np.flatnonzero(values == zero_point)
    if wrong.size:
        offset = int(np.flatnonzero(is_value)[wrong[0] * size])
        group = int(np.searchsorted(starts, offset)) - 1
        raise MapError(
            f"stores the zero point {zero_point}", column=group // len(groups), offset=offset
        )
    words = np.array(maps, "<u2").view(np.uint8).reshape(-1, SM_BYTES)
    real = np.unpackbits(words, axis=1, bitorder="little").astype(bool)
    out = np.full(real.shape, zero_point, form.dtype)
    out[real] = values
    return out.reshape(columns, -1)[:, :channels]
