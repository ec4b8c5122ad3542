"""The mover's list: what is carried between memory and the core's streams, and where it lies.

Addresses and lengths only, never values. The compiler writes one list per layer; the simulation
harness executes it, and gateware on a board can do the same: a length that depends on the data
stands in a table entry in memory, which the mover writes when a segment has left the core and
reads when the next layer takes it in.
"""

import enum
from dataclasses import dataclass

from golden.sparsemap import TABLE_ENTRY

#: Bytes of a bus word, at which every transfer starts.
ALIGN = 8


class MoverError(ValueError):
    """An access outside memory, or a segment larger than its room."""


class Stream(enum.Enum):
    """The streams of the core."""

    CONTROL = "i_control"
    MAP = "i_map"
    OUT = "o_map"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One contiguous run of bytes between memory and a stream.

    Parameters
    ----------
    stream : Stream
        Where it goes or comes from.
    address : int
        Its first byte, a multiple of `ALIGN`.
    length : int
        Bytes to carry; where `entry` is given, the most that there may be.
    entry : int, optional
        Address of the table entry that holds the true length: read before a map segment goes in,
        written after an output segment came out. Control transfers have none, outputs always.
    context : int
        Of an output segment: the context of `o_map` that it comes from.

    Raises
    ------
    MoverError
        If an address is not aligned, a length is not positive, or `entry` is amiss.
    """

    stream: Stream
    address: int
    length: int
    entry: int | None = None
    context: int = 0

    def __post_init__(self) -> None:
        for name, address in (("address", self.address), ("entry", self.entry)):
            if address is not None and (address < 0 or address % ALIGN):
                raise MoverError(f"{name} must be a multiple of {ALIGN}, not {address}")
        if self.length < 1:
            raise MoverError(f"length must be positive, not {self.length}")
        if self.stream is Stream.CONTROL and self.entry is not None:
            raise MoverError("a control transfer has no table entry")
        if self.stream is Stream.OUT and self.entry is None:
            raise MoverError("an output segment must have a table entry")


@dataclass(frozen=True, kw_only=True)
class LayerMoves:
    """What the mover does for one layer.

    The three streams run side by side; within each, transfers follow the list. Output segments of
    different contexts may interleave: each context takes the next transfer that names it.

    Parameters
    ----------
    name : str
        The layer.
    control : tuple of Transfer
        One per pass: its descriptor, parameters and weights.
    maps : tuple of Transfer
        Segments of the input map, row by row, every pass that loads it in turn.
    outputs : tuple of Transfer
        Segments of the output map.

    Raises
    ------
    MoverError
        If a transfer is in the list of another stream.
    """

    name: str
    control: tuple[Transfer, ...]
    maps: tuple[Transfer, ...]
    outputs: tuple[Transfer, ...]

    def __post_init__(self) -> None:
        lists = (
            (Stream.CONTROL, self.control),
            (Stream.MAP, self.maps),
            (Stream.OUT, self.outputs),
        )
        for stream, transfers in lists:
            for transfer in transfers:
                if transfer.stream is not stream:
                    raise MoverError(
                        f"layer {self.name!r}: a transfer of {transfer.stream.value} "
                        f"stands in the list of {stream.value}"
                    )

    def outputs_of(self, context: int) -> list[Transfer]:
        """Output segments of one context, in the order in which they leave the core."""
        return [transfer for transfer in self.outputs if transfer.context == context]


class Memory:
    """A flat memory image.

    Parameters
    ----------
    size : int
        Bytes.

    Attributes
    ----------
    image : bytearray
        All of it, at first zero.
    """

    def __init__(self, size: int) -> None:
        self.image = bytearray(size)

    def __len__(self) -> int:
        return len(self.image)

    def _check(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > len(self.image):
            raise MoverError(
                f"{length} bytes at {address} lie outside the memory of {len(self.image)} bytes"
            )

    def read(self, address: int, length: int) -> bytes:
        """Bytes from an address on; a `MoverError` outside the memory."""
        self._check(address, length)
        return bytes(self.image[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Store bytes from an address on; a `MoverError` outside the memory."""
        self._check(address, len(data))
        self.image[address : address + len(data)] = data

    def fetch(self, transfer: Transfer) -> bytes:
        """Bytes that a control or map transfer sends to the core.

        Raises
        ------
        MoverError
            If the transfer lies outside the memory, or its table entry contradicts it.
        """
        length = transfer.length
        if transfer.entry is not None:
            start, length = TABLE_ENTRY.unpack(self.read(transfer.entry, TABLE_ENTRY.size))
            if start != transfer.address or not 0 < length <= transfer.length:
                raise MoverError(
                    f"the table entry at {transfer.entry} says {length} bytes at {start}, "
                    f"the list 1 to {transfer.length} at {transfer.address}"
                )
        return self.read(transfer.address, length)

    def store(self, transfer: Transfer, data: bytes) -> None:
        """Store an output segment, and where it is and how long in its table entry.

        Raises
        ------
        MoverError
            If the transfer lies outside the memory or the segment is larger than its room.
        """
        if transfer.entry is None:
            raise MoverError(f"a transfer of {transfer.stream.value} is not stored")
        if len(data) > transfer.length:
            raise MoverError(
                f"a segment of {len(data)} bytes at {transfer.address} has room for "
                f"{transfer.length}"
            )
        self.write(transfer.address, data)
        self.write(transfer.entry, TABLE_ENTRY.pack(transfer.address, len(data)))
