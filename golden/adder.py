"""The adder layer (AdderNet): -sum |x - w|, as it is defined and as an L1 build forms it.

For every x of its format and w folded to w+ = clip(w, lowest x, largest x)

    -sum |x - w| = 2 sum min(|x|, |w+|) - sum |x| - K,    K = sum |w|,

the minima taken where x and w have the same sign: everywhere, for a map without sign. A zero pixel
adds nothing, and so does padding, which counts as x = 0; sum |x| is the same for every output
channel, and K joins the bias. docs/l1.md derives it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from golden.conv import ConvError, Pads, Pair, bits_needed, output_size
from golden.formats import IntFormat
from golden.network import Conv

#: Sums that are worked on at a time, so that they stay in the cache.
CHUNK = 1 << 14


def adder2d(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    *,
    stride: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
) -> np.ndarray:
    """Exact -sum |x - w| over each window, padding included as x = 0, with bias: the definition.

    Parameters
    ----------
    x : ndarray of int, shape (H, W, Cin)
        Map, up to 16 bits.
    weights : ndarray of int, shape (Cout, Cin, kh, kw)
        Weights, up to 32 bits, in steps of the map's scale.
    bias : ndarray of int, shape (Cout,)
        Bias.
    stride, pads
        Geometry.

    Returns
    -------
    ndarray of int64, shape (rows, columns, Cout)

    Raises
    ------
    ConvError
        If the shapes do not go together.
    """
    windows, size = _windows(x, weights, stride, pads)
    lines = weights.reshape(len(weights), -1).T.astype(np.int64)
    reach = (_largest(windows) + _largest(lines)) * len(lines)
    dtype = np.int32 if bits_needed(reach) <= 32 else np.int64
    windows, lines = windows.astype(dtype), lines.astype(dtype)
    out = np.empty((windows.shape[1], len(weights)), np.int64)
    step = max(1, CHUNK // len(weights))
    for first in range(0, len(out), step):
        part = windows[:, first : first + step, np.newaxis]
        total = np.zeros((part.shape[1], len(weights)), dtype)
        distance = np.empty_like(total)
        for pixels, line in zip(part, lines, strict=True):
            np.subtract(pixels, line, out=distance)
            np.abs(distance, out=distance)
            total += distance
        out[first : first + step] = np.asarray(bias, np.int64) - total
    return out.reshape(*size, -1)


@dataclass(frozen=True, eq=False)
class Folded:
    """Weights and bias of an adder layer as a core holds them.

    Attributes
    ----------
    weights : ndarray of int64, shape (Cout, Cin, kh, kw)
        Weights clipped to the values that a pixel can have.
    bias : ndarray of int64, shape (Cout,)
        Bias less K.
    """

    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, bias: np.ndarray, pixels: IntFormat) -> "Folded":
        """Clip weights to the format of the pixels, and take K, what all pixels cost at 0, off.

        K = sum |w+| + sum |w - w+|, and w+ lies between 0 and w.
        """
        weights = weights.astype(np.int64)
        constant = np.abs(weights).sum(axis=(1, 2, 3))
        return cls(pixels.saturate(weights), np.asarray(bias, np.int64) - constant)

    def codes(self, bits: int) -> np.ndarray:
        """Weights as the lanes of a build with signed pixels hold them: sign and magnitude.

        The sign is the highest of `bits` bits; below it stands w, or for negative ones -w - 1, so
        that the most negative weight has a code too. Equal to w where w is not negative.
        """
        return np.where(self.weights < 0, (1 << bits - 1) | -1 - self.weights, self.weights)


def sparse2d(
    x: np.ndarray, folded: Folded, *, stride: Pair = (1, 1), pads: Pads = (0, 0, 0, 0)
) -> np.ndarray:
    """`adder2d` in the form that the hardware computes; parameters and result are those.

    Each value is formed in three sums: of minima, where both operands have the same sign; of
    magnitudes of the pixels, once for all output channels; and the bias.
    """
    weights = folded.weights
    windows, size = _windows(x, weights, stride, pads)
    lines = weights.reshape(len(weights), -1).T
    minima = np.zeros((windows.shape[1], len(weights)), np.int64)
    for pixels, line in zip(windows.astype(np.int64)[:, :, np.newaxis], lines, strict=True):
        same = (pixels < 0) == (line < 0)
        minima += np.where(same, np.minimum(np.abs(pixels), np.abs(line)), 0)
    pixel_sums = np.abs(windows.astype(np.int64)).sum(axis=0)[:, np.newaxis]
    return (2 * minima - pixel_sums + folded.bias).reshape(*size, -1)


@dataclass(frozen=True, eq=False)
class Adder(Conv):
    """An adder layer: as `Conv`, with -sum |x - w| in place of the sum of products.

    The zero point of the input map must be 0. Weights stand in steps of that map's scale, not
    clipped.

    Raises
    ------
    NetworkError
        Names the layer and what is wrong.
    """

    kind: Literal["conv", "fc", "adder"] = "adder"

    KINDS: ClassVar[tuple[str, ...]] = ("adder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups != 1:
            raise self._error(f"has {self.groups} groups, adder layers have one")
        if self.in_format.zero_point:
            raise self._error(
                f"|x - w| needs an input map of zero point 0, not {self.in_format.zero_point}"
            )

    @property
    def folded(self) -> Folded:
        """Weights and bias as a core holds them."""
        return Folded.of(self.weights, self.bias, self.in_format.ints)

    @property
    def pe(self) -> str:
        """The lanes that the layer needs, `golden.params.Build.pe`."""
        return "l1"

    @property
    def weight_bits(self) -> int:
        """Bits that the weights need in a build: clipped, they are as wide as the pixels."""
        return self.in_format.bits

    @property
    def lane_bias(self) -> np.ndarray:
        """What sums start from in the lanes."""
        return self.folded.bias

    def lane_weights(self, bits: int) -> np.ndarray:
        """Weights as lanes hold them: the bits as unsigned int64, sign and magnitude if signed."""
        return self.folded.codes(bits) if self.in_format.signed else self.folded.weights

    @property
    def reach(self) -> int:
        """Largest magnitude of any sum: of minima, of pixels, and of both, with the bias."""
        folded, ints = self.folded, self.in_format.ints
        lines = np.abs(folded.weights.reshape(self.out_channels, -1))
        pixels = lines.shape[1] * max(ints.max, -ints.min)
        return max(
            abs(int(b)) + max(2 * int(line.sum()), pixels)
            for b, line in zip(folded.bias, lines, strict=True)
        )

    @property
    def reach_above_zero(self) -> int:
        """The same: minima are bounded by the weights, whatever the pixels."""
        return self.reach

    def accumulate(self, x: np.ndarray) -> np.ndarray:
        """Exact sums with bias, before pooling: int64, (rows, columns, Cout).

        Parameters
        ----------
        x : ndarray of int, shape (H, W, Cin)
            Raw values of `in_format`.
        """
        return adder2d(x, self.weights, self.bias, stride=self.stride, pads=self.pads)


def _windows(
    x: np.ndarray, weights: np.ndarray, stride: Pair, pads: Pads
) -> tuple[np.ndarray, Pair]:
    """Pixels by tap, (K, windows), taps in the order of the weights; rows and columns of windows.

    Raises
    ------
    ConvError
        If the shapes do not go together.
    """
    kernel = weights.shape[2], weights.shape[3]
    if x.ndim != 3 or x.shape[2] != weights.shape[1]:
        raise ConvError(f"a map {x.shape} does not go with weights {weights.shape}")
    size = output_size(x.shape[:2], kernel, stride, pads)
    if min(size) < 1:
        raise ConvError(f"kernel {kernel} is larger than map {x.shape} with pads {pads}")
    top, left, bottom, right = pads
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)))
    view = sliding_window_view(padded, kernel, axis=(0, 1))[:: stride[0], :: stride[1]]
    taps = np.moveaxis(view, (2, 3, 4), (0, 1, 2))
    return taps.reshape(-1, size[0] * size[1]), size


def _largest(values: np.ndarray) -> int:
    return max(abs(int(values.max())), abs(int(values.min())))
