"""Requantisation: how an exact accumulator becomes a value of the output map."""

from dataclasses import dataclass

import numpy as np

from golden.formats import FormatError, Rounding, shift_right


@dataclass(frozen=True)
class Shift:
    """y = clamp(round(acc / 2**shift) + zero point), one shift for the layer (NullHop).

    Parameters
    ----------
    shift : int
        Bits to drop, 0 to 63.
    rounding : Rounding
        How the fraction is rounded.

    Raises
    ------
    FormatError
        If `shift` is out of range.
    """

    shift: int
    rounding: Rounding = Rounding.FLOOR

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 63:
            raise FormatError(f"shift must be 0 to 63, not {self.shift}")

    def apply(self, acc: np.ndarray, zero_point: int, low: int, high: int) -> np.ndarray:
        """Requantise accumulators (..., C) of int64 to values in [low, high], as int64."""
        y = shift_right(acc, self.shift, self.rounding)
        # Clamped before the zero point is added: the same values, and nothing can wrap.
        return np.clip(y, low - zero_point, high - zero_point) + zero_point


@dataclass(frozen=True, eq=False)
class Scale:
    """y = clamp(rint(f32(acc) * scale) + zero point): ONNX Runtime's QLinearConv.

    Every step is IEEE float32 with ties to even: the accumulator is rounded once to 24 bits,
    however wide it is, the product once to 24 bits, then to an integer.

    Parameters
    ----------
    scale : ndarray of float32, shape (C,)
        One factor per output channel: positive, finite, normal.

    Raises
    ------
    FormatError
        If the factors are of another type, shape or range.
    """

    scale: np.ndarray

    def __post_init__(self) -> None:
        scale = self.scale
        if not isinstance(scale, np.ndarray) or scale.dtype != np.float32 or scale.ndim != 1:
            raise FormatError("scale must be a float32 array with one factor per output channel")
        good = np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)
        if not good.all():
            channel = int(np.argmin(good))
            raise FormatError(
                f"scale of channel {channel} must be positive, finite and normal, "
                f"not {scale[channel]}"
            )

    @classmethod
    def from_scales(cls, in_scale: float, weight_scales: np.ndarray, out_scale: float) -> "Scale":
        """Form the factors of a QLinearConv, (x * w) / y in float32, as ONNX Runtime does.

        Parameters
        ----------
        in_scale, out_scale : float
            Scales of the two maps, float32 values.
        weight_scales : ndarray, shape (C,)
            Scales of the weights per output channel, float32 values.
        """
        with np.errstate(all="ignore"):  # a factor that overflows or vanishes is refused above
            product = np.float32(in_scale) * np.asarray(weight_scales, np.float32)
            return cls(product / np.float32(out_scale))

    def apply(self, acc: np.ndarray, zero_point: int, low: int, high: int) -> np.ndarray:
        """Requantise accumulators (..., C) of int64 to values in [low, high], as int64.

        The limits less the zero point must be exact in float32, as those of 16-bit maps are.
        """
        with np.errstate(over="ignore", under="ignore"):  # infinity saturates, tiny becomes 0
            y = np.asarray(acc, np.int64).astype(np.float32)
            y *= self.scale
        # Limits are integers, so that it makes no difference whether they act before or after rint.
        np.clip(y, low - zero_point, high - zero_point, out=y)
        result = np.rint(y, out=y).astype(np.int64)
        result += zero_point
        return result
