"""Quantised networks: a graph of layers over maps of raw integers, and what it computes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from golden.conv import CHUNK, bound, conv2d, max_pool2x2, output_size
from golden.formats import FormatError, IntFormat
from golden.pooling import AvgPool, MaxPool
from golden.requant import Scale, Shift
from golden.tensors import NetworkError, TensorFormat

#: Widest weights that any build takes.
WEIGHT = IntFormat(16, signed=True)

#: What `Network.preprocessing` may say about a picture: its `mode` ("L" or "RGB") and `size`
#: (rows, columns), for whoever loads it; `mean` and `scale`, each a number or one per channel, for
#: the network's input = (pixel - mean) / scale. They are 0 and 255 if absent.
PREPROCESSING = ("mode", "size", "mean", "scale")


@dataclass(frozen=True, eq=False)
class Conv:
    """One layer: convolution with bias, max-pool, ReLU, requantisation, saturation, in that order.

    Parameters
    ----------
    name : str
        How messages and reports call the layer.
    weights : ndarray of int, shape (Cout, Cin / groups, kh, kw)
        Weights, zero point subtracted, at most 16 bits signed.
    bias : ndarray of int, shape (Cout,)
        Bias at the accumulator's scale.
    in_format, out_format : TensorFormat
        Formats of the two maps.
    requant : Shift or Scale
        How accumulators become values of `out_format`.
    stride : (int, int)
        Rows and columns from one output to the next.
    pads : (int, int, int, int)
        Top, left, bottom, right; padding is the zero point.
    relu : bool
        Whether negative results become zero.
    pool : bool
        Whether a 2x2 max-pool of stride 2 follows; an odd row or column at the end is dropped.
    groups : int
        Groups of channels: output channels see the input channels of their own group alone.
    kind : "conv" or "fc"
        "fc": a fully connected layer, whose kernel is the whole map. `golden.adder.Adder` has a
        kind of its own.

    Raises
    ------
    NetworkError
        Names the layer and what is wrong.
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray
    in_format: TensorFormat
    out_format: TensorFormat
    requant: Shift | Scale
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    relu: bool = False
    pool: bool = False
    groups: int = 1
    kind: Literal["conv", "fc", "adder"] = "conv"

    #: What `kind` may be.
    KINDS: ClassVar[tuple[str, ...]] = ("conv", "fc")

    def __post_init__(self) -> None:
        if self.weights.ndim != 4 or 0 in self.weights.shape:
            raise self._error(
                f"weights must be (Cout, Cin / groups, kh, kw), not {self.weights.shape}"
            )
        if self.groups < 1 or len(self.weights) % self.groups:
            raise self._error(
                f"has {len(self.weights)} output channels, which are not {self.groups} equal groups"
            )
        if self.bias.shape != self.weights.shape[:1]:
            raise self._error(
                f"bias must have the shape {self.weights.shape[:1]}, not {self.bias.shape}"
            )
        try:
            WEIGHT.check(self.weights, "weights")
            IntFormat(48, signed=True).check(self.bias, "bias")
        except FormatError as error:
            raise self._error(str(error)) from error
        if isinstance(self.requant, Scale) and self.requant.scale.shape != self.bias.shape:
            raise self._error(
                f"requant must have a scale for each of {self.out_channels} output channels, "
                f"not {self.requant.scale.size}"
            )
        if len(self.stride) != 2 or min(self.stride) < 1:
            raise self._error(f"stride must be two positive numbers, not {self.stride}")
        if len(self.pads) != 4 or min(self.pads) < 0:
            raise self._error(f"pads must be four numbers, none negative, not {self.pads}")
        if self.kind not in self.KINDS:
            raise self._error(
                f"kind must be {' or '.join(map(repr, self.KINDS))}, not {self.kind!r}"
            )

    def _error(self, text: str) -> NetworkError:
        return NetworkError(f"layer {self.name!r}: {text}")

    @property
    def in_channels(self) -> int:
        """Channels of the input map."""
        return self.weights.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        """Channels of the output map."""
        return self.weights.shape[0]

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.weights.shape[2], self.weights.shape[3]

    @property
    def weight_bits(self) -> int:
        """Bits that the weights need in a build: 8 or 16."""
        fits = self.weights.min() >= -128 and self.weights.max() <= 127
        return 8 if fits else 16

    @property
    def pe(self) -> str:
        """The lanes that the layer needs, `golden.params.Build.pe`."""
        return "mac"

    @property
    def lane_bias(self) -> np.ndarray:
        """What sums start from in the lanes."""
        return self.bias

    def lane_weights(self, bits: int) -> np.ndarray:
        """Weights as lanes hold them: the bits as unsigned int64, two's complement."""
        return self.weights.astype(np.int64) & (1 << bits) - 1

    @property
    def reach(self) -> int:
        """Largest magnitude that any accumulator can reach, in any order of the terms."""
        ints, zero = self.in_format.ints, self.in_format.zero_point
        return bound(self.weights, self.bias, max(ints.max - zero, zero - ints.min))

    @property
    def reach_above_zero(self) -> int:
        """The same if no pixel is below the zero point: products of either sign stand alone."""
        largest = self.in_format.ints.max - self.in_format.zero_point
        signs = self.weights.clip(min=0), self.weights.clip(max=0)
        return max(bound(weights, self.bias, largest) for weights in signs)

    @property
    def clamp(self) -> tuple[int, int]:
        """Lowest and highest raw output; ReLU is a lowest one of the zero point."""
        ints = self.out_format.ints
        return max(ints.min, self.out_format.zero_point) if self.relu else ints.min, ints.max

    def conv_shape(self, in_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (H, W, C) of the convolution's result, before pooling.

        Raises
        ------
        NetworkError
            If the layer cannot take a map of `in_shape`.
        """
        if in_shape[2] != self.in_channels:
            raise self._error(f"takes {self.in_channels} channels, not {in_shape[2]}")
        if self.kind == "fc" and (
            self.kernel != in_shape[:2] or any(self.pads) or self.stride != (1, 1)
        ):
            raise self._error(
                f"is fully connected, so its kernel must be the map, {in_shape[0]}x{in_shape[1]} "
                "without stride or padding"
            )
        rows, cols = output_size(in_shape[:2], self.kernel, self.stride, self.pads)
        if rows < 1 or cols < 1:
            raise self._error(
                f"kernel {self.kernel[0]}x{self.kernel[1]} is larger than the padded map of "
                f"{in_shape[0]}x{in_shape[1]} with pads {self.pads}"
            )
        return rows, cols, self.out_channels

    def out_shape(self, in_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (H, W, C) of the output map.

        Raises
        ------
        NetworkError
            If the layer cannot take a map of `in_shape`.
        """
        rows, cols, channels = self.conv_shape(in_shape)
        if self.pool:
            rows, cols = rows // 2, cols // 2
        if rows < 1 or cols < 1:
            raise self._error("has one row or one column, and nothing is left to pool")
        return rows, cols, channels

    def accumulate(self, x: np.ndarray) -> np.ndarray:
        """Exact sums with bias, before pooling: int64, (rows, columns, Cout).

        Parameters
        ----------
        x : ndarray of int, shape (H, W, Cin)
            Raw values of `in_format`.
        """
        ins, outs = self.weights.shape[1], self.out_channels // self.groups
        parts = [
            conv2d(
                x[:, :, group * ins : (group + 1) * ins],
                self.weights[group * outs : (group + 1) * outs],
                self.bias[group * outs : (group + 1) * outs],
                stride=self.stride,
                pads=self.pads,
                zero_point=self.in_format.zero_point,
            )
            for group in range(self.groups)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Raw output map for a raw input map, in `out_format`'s type."""
        acc = self.accumulate(x)
        if self.pool:
            acc = max_pool2x2(acc)
        low, high = self.clamp
        y = np.empty(acc.shape, self.out_format.ints.dtype)
        step = max(1, CHUNK // acc[0].size)
        for first in range(0, len(acc), step):
            rows = slice(first, first + step)
            y[rows] = self.requant.apply(acc[rows], self.out_format.zero_point, low, high)
        return y


#: What a network is made of.
Layer = Conv | MaxPool | AvgPool


@dataclass(frozen=True, eq=False)
class Network:
    """Layers, each of which takes the input or what layers before it give.

    Tensor 0 is the network's input, tensor i + 1 what layer i gives.

    Parameters
    ----------
    name : str
        How reports call the network.
    input_shape : (int, int, int)
        Rows, columns and channels of the input map.
    input_format : TensorFormat
        Format of the input map.
    layers : tuple of Conv, MaxPool or AvgPool
        At least one; the network's result is what the last one gives.
    labels : tuple of str
        Names of the classes, or none; as many as the last layer has values.
    preprocessing : mapping
        How a picture becomes the input (see `PREPROCESSING`).
    sources : tuple of tuple of int
        The tensors that each layer takes: one, or several of the same rows, columns and format, one
        behind the other along the channels (Concat). If absent, each takes the one before.

    Raises
    ------
    NetworkError
        Names the layer and what is wrong.
    """

    name: str
    input_shape: tuple[int, int, int]
    input_format: TensorFormat
    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise NetworkError(f"input_shape must be (H, W, C), not {self.input_shape}")
        if not self.layers:
            raise NetworkError(f"network {self.name!r} has no layers")
        if not self.sources:
            object.__setattr__(self, "sources", tuple((i,) for i in range(len(self.layers))))
        self._check_sources()
        values = math.prod(self.shapes[-1])
        if self.labels and len(self.labels) != values:
            raise NetworkError(
                f"network {self.name!r} has {len(self.labels)} labels for {values} results"
            )
        unknown = sorted(set(self.preprocessing) - set(PREPROCESSING))
        if unknown:
            raise NetworkError(
                f"preprocessing {unknown[0]!r} is unknown: choose of {', '.join(PREPROCESSING)}"
            )

    def _check_sources(self) -> None:
        """Make sure that every layer takes tensors of before, which go together and suit it."""
        if len(self.sources) != len(self.layers):
            raise NetworkError(
                f"sources must be given for {len(self.layers)} layers, not {len(self.sources)}"
            )
        forms = [self.input_format, *(layer.out_format for layer in self.layers)]
        for i, (layer, taken) in enumerate(zip(self.layers, self.sources, strict=True)):
            if not taken or min(taken) < 0 or max(taken) > i:
                raise NetworkError(
                    f"layer {layer.name!r}: takes the tensors {taken}, there are 0 to {i} before it"
                )
            for t in taken:
                if forms[t] != layer.in_format:
                    giver = f"layer {self.layers[t - 1].name!r}" if t else "the input"
                    raise NetworkError(
                        f"layer {layer.name!r}: takes {layer.in_format}, but {giver} gives "
                        f"{forms[t]}"
                    )

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (H, W, C) of all tensors: the input's, and each layer's output."""
        return self._shapes()[0]

    @property
    def in_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes (H, W, C) of what each layer takes, branches concatenated."""
        return self._shapes()[1]

    def _shapes(self) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        shapes, taken = [self.input_shape], []
        for layer, sources in zip(self.layers, self.sources, strict=True):
            parts = [shapes[t] for t in sources]
            if len({part[:2] for part in parts}) > 1:
                sizes = ", ".join(f"{rows}x{cols}" for rows, cols, _ in parts)
                raise NetworkError(f"layer {layer.name!r}: concatenates maps of {sizes}")
            taken.append((*parts[0][:2], sum(part[2] for part in parts)))
            shapes.append(layer.out_shape(taken[-1]))
        return shapes, taken

    def input_map(self, layer: int, maps: Sequence[np.ndarray]) -> np.ndarray:
        """Return what a layer takes, branches concatenated, given the tensors before it."""
        parts = [maps[t] for t in self.sources[layer]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def quantise_input(self, image: np.ndarray) -> np.ndarray:
        """Turn a picture, or a real-valued input, into the raw input map.

        Parameters
        ----------
        image : ndarray, (H, W, C), or (H, W) for one channel
            A picture if unsigned 8 bit, to which `preprocessing` is applied; real numbers that are
            the network's input already if floating point.

        Raises
        ------
        NetworkError
            If the shape or the type does not fit.
        """
        x = image[..., np.newaxis] if image.ndim == 2 else image
        if x.shape != self.input_shape:
            raise NetworkError(f"image must have the shape {self.input_shape}, not {image.shape}")
        if x.dtype == np.uint8:
            mean = np.float32(self.preprocessing.get("mean", 0.0))
            scale = np.float32(self.preprocessing.get("scale", 255.0))
            x = (x.astype(np.float32) - mean) / scale
        elif x.dtype.kind != "f":
            raise NetworkError(f"image must be uint8 or floating point, not {image.dtype}")
        return self.input_format.quantise(x)

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        """Run the network on a raw input map.

        Returns
        -------
        list of ndarray
            The input and each layer's output, (H, W, C) raw integers.

        Raises
        ------
        NetworkError
            If the map has another shape, or values that its format does not have.
        """
        if x.shape != self.input_shape:
            raise NetworkError(f"input must have the shape {self.input_shape}, not {x.shape}")
        try:
            self.input_format.ints.check(x, "input")
        except FormatError as error:
            raise NetworkError(str(error)) from error
        maps = [x.astype(self.input_format.ints.dtype)]
        for i, layer in enumerate(self.layers):
            maps.append(layer.run(self.input_map(i, maps)))
        return maps
