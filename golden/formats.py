"""Integer formats, roundings and saturations: the one place where they are defined."""

import enum
from dataclasses import dataclass

import numpy as np

from golden.descriptor import ROUND_FLOOR, ROUND_HALF_EVEN


class FormatError(ValueError):
    """A format is impossible, or a value does not fit the format that it is said to have."""


class Rounding(enum.IntEnum):
    """What becomes of the bits that a right shift drops; values as in the pass descriptor."""

    FLOOR = ROUND_FLOOR  #: towards minus infinity: the bits are dropped
    HALF_EVEN = ROUND_HALF_EVEN  #: to nearest, ties to the even neighbour


@dataclass(frozen=True)
class IntFormat:
    """Integers of so many bits, two's complement if signed.

    Parameters
    ----------
    bits : int
        1 to 64; an unsigned format has at most 63, so that every value fits int64.
    signed : bool
        Whether values are two's complement.

    Raises
    ------
    FormatError
        If `bits` is out of range.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        most = 64 if self.signed else 63
        if not 1 <= self.bits <= most:
            raise FormatError(f"bits must be 1 to {most}, not {self.bits}")

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}"

    @property
    def min(self) -> int:
        """Smallest value."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest value."""
        return (1 << self.bits - self.signed) - 1

    @property
    def dtype(self) -> np.dtype:
        """Smallest numpy integer type that holds every value."""
        size = next(size for size in (1, 2, 4, 8) if self.bits <= 8 * size)
        return np.dtype(f"{'i' if self.signed else 'u'}{size}")

    def saturate(self, x: np.ndarray) -> np.ndarray:
        """Replace what lies outside the format by the nearest value that it has; `x.dtype` kept.

        The type of `x` must hold the format's own limits, as int64 always does.
        """
        return np.clip(x, self.min, self.max)

    def check(self, x: np.ndarray, what: str = "value") -> None:
        """Make sure that every element is an integer of this format.

        Raises
        ------
        FormatError
            Names `what`, and the first value that does not fit with its index.
        """
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise FormatError(f"{what} must be integers, not {x.dtype}")
        if x.size == 0 or (int(x.min()) >= self.min and int(x.max()) <= self.max):
            return
        first = int(np.argmax(((x < self.min) | (x > self.max)).reshape(-1)))
        index = tuple(int(i) for i in np.unravel_index(first, x.shape))
        place = f" at {index}" if index else ""
        raise FormatError(
            f"{what}{place} must be {self.min} to {self.max} ({self}), not {x[index]}"
        )


def shift_right(x: np.ndarray, shift: int, rounding: Rounding) -> np.ndarray:
    """Divide by 2**shift exactly, then round.

    Parameters
    ----------
    x : ndarray of int64
        Any values.
    shift : int
        0 to 63.
    rounding : Rounding
        What becomes of the fraction.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    FormatError
        If `shift` is out of range.
    """
    if not 0 <= shift <= 63:
        raise FormatError(f"shift must be 0 to 63, not {shift}")
    x = np.asarray(x, np.int64)
    quotient = x >> shift
    if rounding == Rounding.FLOOR or shift == 0:
        return quotient
    fraction = x & ((1 << shift) - 1)
    half = 1 << shift - 1
    # At a tie the odd quotient goes up, since its upper neighbour is even.
    return quotient + ((fraction > half) | ((fraction == half) & (quotient & 1 == 1)))
