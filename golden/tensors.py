"""How the raw integers of a map stand for real numbers."""

import math
from dataclasses import dataclass

import numpy as np

from golden.formats import IntFormat


class NetworkError(ValueError):
    """A network that contradicts itself, or a map that it cannot take."""


@dataclass(frozen=True)
class TensorFormat:
    """How a map's raw integers stand for real numbers: real = (raw - zero_point) * scale.

    Parameters
    ----------
    bits : int
        8 or 16.
    signed : bool
        Whether raw values are two's complement.
    scale : float
        Positive and finite; the nearest float32 is meant.
    zero_point : int
        The raw value that stands for zero, which the core skips.

    Raises
    ------
    NetworkError
        If a parameter is out of range.
    """

    bits: int
    signed: bool
    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise NetworkError(f"a map must have 8 or 16 bits, not {self.bits}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise NetworkError(f"scale must be positive and finite, not {self.scale}")
        if not self.ints.min <= self.zero_point <= self.ints.max:
            raise NetworkError(
                f"zero point must be {self.ints.min} to {self.ints.max} ({self.ints}), "
                f"not {self.zero_point}"
            )

    @property
    def ints(self) -> IntFormat:
        """The raw integers."""
        return IntFormat(self.bits, self.signed)

    def quantise(self, real: np.ndarray) -> np.ndarray:
        """Nearest raw values: clamp(rint(x / scale) + zero_point), ONNX Runtime's QuantizeLinear.

        In float32, ties to even; the result has the format's type.

        Raises
        ------
        NetworkError
            If a value is not a number.
        """
        with np.errstate(over="ignore"):
            y = np.rint(np.asarray(real, np.float32) / np.float32(self.scale))
        if np.isnan(y).any():
            raise NetworkError("a value to quantise is not a number")
        ints, zero = self.ints, self.zero_point
        return (np.clip(y, ints.min - zero, ints.max - zero).astype(np.int64) + zero).astype(
            ints.dtype
        )

    def dequantise(self, raw: np.ndarray) -> np.ndarray:
        """The real numbers, in float32, that raw values stand for."""
        return (np.asarray(raw, np.int64) - self.zero_point).astype(np.float32) * np.float32(
            self.scale
        )
