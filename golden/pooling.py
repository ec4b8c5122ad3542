"""Pools that are layers of their own: the largest value of each window, and the mean of a map.

The 2x2 max-pool that joins a convolution is `golden.network.Conv.pool`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from golden.conv import max_pool, output_size
from golden.requant import Scale, Shift
from golden.tensors import NetworkError, TensorFormat


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest value of each window, channel by channel; padding never wins.

    Raw values are compared, which is exact, since a map's scale is positive: input and output have
    one format. Windows that begin inside the padded map and do not fit into it are left out.

    Parameters
    ----------
    name : str
        How messages and reports call the layer.
    kernel, stride : (int, int)
        Rows and columns of a window, and from one to the next.
    form : TensorFormat
        Format of both maps.
    pads : (int, int, int, int)
        Top, left, bottom, right, each less than the kernel, so that every window has a pixel.

    Raises
    ------
    NetworkError
        Names the layer and what is wrong.
    """

    kind: ClassVar[str] = "maxpool"
    #: No 2x2 max-pool follows, and no ReLU.
    pool: ClassVar[bool] = False
    relu: ClassVar[bool] = False

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    form: TensorFormat
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if min(self.kernel) < 1 or min(self.stride) < 1:
            raise NetworkError(
                f"layer {self.name!r}: kernel and stride must be positive, not {self.kernel} and "
                f"{self.stride}"
            )
        if min(self.pads) < 0 or any(
            pad >= edge for pad, edge in zip(self.pads, self.kernel * 2, strict=True)
        ):
            raise NetworkError(
                f"layer {self.name!r}: pads must be 0 to less than the kernel {self.kernel}, "
                f"not {self.pads}"
            )

    @property
    def in_format(self) -> TensorFormat:
        """Format of the input map."""
        return self.form

    @property
    def out_format(self) -> TensorFormat:
        """Format of the output map."""
        return self.form

    def conv_shape(self, in_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (H, W, C) of the output map.

        Raises
        ------
        NetworkError
            If no window fits the map.
        """
        rows, cols = output_size(in_shape[:2], self.kernel, self.stride, self.pads)
        if rows < 1 or cols < 1:
            raise NetworkError(
                f"layer {self.name!r}: kernel {self.kernel[0]}x{self.kernel[1]} is larger than the "
                f"padded map of {in_shape[0]}x{in_shape[1]} with pads {self.pads}"
            )
        return rows, cols, in_shape[2]

    out_shape = conv_shape

    def run(self, x: np.ndarray) -> np.ndarray:
        """Raw output map for a raw input map (H, W, C), of the same type."""
        return max_pool(x, self.kernel, self.stride, self.pads)


@dataclass(frozen=True, eq=False)
class AvgPool:
    """The mean of each channel over the whole map: an exact sum, then one requantisation.

    y = requant(sum of (x - zero point)): the division by the number of pixels is part of the
    requantiser's factor, so that nothing is rounded before it. `Scale` with the float32 factor
    input scale / (pixels x output scale) is ONNX Runtime's rule; `Shift` serves where pixels and
    scales are powers of two.

    Parameters
    ----------
    name : str
        How messages and reports call the layer.
    kernel : (int, int)
        Rows and columns of the map.
    in_format, out_format : TensorFormat
        Formats of the two maps.
    requant : Shift or Scale
        How sums become values of `out_format`; `Scale` has one factor per channel.
    """

    kind: ClassVar[str] = "avgpool"
    #: No 2x2 max-pool follows, and no ReLU.
    pool: ClassVar[bool] = False
    relu: ClassVar[bool] = False
    stride: ClassVar[tuple[int, int]] = (1, 1)
    pads: ClassVar[tuple[int, int, int, int]] = (0, 0, 0, 0)

    name: str
    kernel: tuple[int, int]
    in_format: TensorFormat
    out_format: TensorFormat
    requant: Shift | Scale

    def conv_shape(self, in_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (1, 1, C) of the output map.

        Raises
        ------
        NetworkError
            If the map has other rows and columns than the kernel, or the requantiser other
            channels.
        """
        if in_shape[:2] != self.kernel:
            raise NetworkError(
                f"layer {self.name!r}: averages maps of {self.kernel[0]}x{self.kernel[1]}, "
                f"not {in_shape[0]}x{in_shape[1]}"
            )
        if isinstance(self.requant, Scale) and self.requant.scale.size != in_shape[2]:
            raise NetworkError(
                f"layer {self.name!r}: requant must have a scale for each of {in_shape[2]} "
                f"channels, not {self.requant.scale.size}"
            )
        return 1, 1, in_shape[2]

    out_shape = conv_shape

    def run(self, x: np.ndarray) -> np.ndarray:
        """Raw output map for a raw input map (H, W, C), in `out_format`'s type."""
        acc = (x.astype(np.int64) - self.in_format.zero_point).sum(axis=(0, 1), keepdims=True)
        ints = self.out_format.ints
        y = self.requant.apply(acc, self.out_format.zero_point, ints.min, ints.max)
        return y.astype(ints.dtype)
