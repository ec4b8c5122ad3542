"""Tables of layers as workloads: chains, where each layer takes what the one before gave, or not.

A table is a chain if every layer's input has the shape of the output before. The layers of a chain
have random weights, and biases from which each layer's input gets the zeros of its density
(`golden.calibrate`): the zeros come out of the layers before. The layers of any other table are by
themselves, with random zeros (`openhop.layer_table.make_layer`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from golden.adder import Adder
from golden.calibrate import calibrate
from golden.conv import output_size
from golden.network import Conv, Network, NetworkError, TensorFormat
from golden.params import Build
from golden.requant import Shift
from openhop.frames import Frame, frame_map, frame_weights
from openhop.layer_table import PIXEL, TableError, TableLayer, make_layer

#: Seed of everything random in a chain.
SEED = 2018


@dataclass(frozen=True, eq=False)
class Known(Network):
    """A network with the maps of one input at hand, which `run` need not compute again."""

    maps: tuple[np.ndarray, ...] = ()

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        """As `Network.run`."""
        return list(self.maps) if self.maps and x is self.maps[0] else super().run(x)


@dataclass(frozen=True, kw_only=True)
class Link:
    """One layer of a chain with its raw maps; `zeros` is the share that its input should have."""

    layer: Conv
    zeros: float
    x: np.ndarray
    y: np.ndarray


def is_chain(rows: Sequence[TableLayer]) -> bool:
    """Whether every layer, of two or more, takes what the one before gives."""
    return len(rows) > 1 and all(_out_shape(a) == b.in_shape for a, b in pairwise(rows))


def _out_shape(row: TableLayer) -> tuple[int, int, int]:
    rows, cols = output_size(row.in_shape[:2], row.kernel, row.stride, row.pads)
    return rows >> row.pool, cols >> row.pool, row.out_channels


def links(
    rows: Sequence[TableLayer],
    build: Build,
    frame: Frame,
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[Link]:
    """Make a chain's layers, each calibrated on what the one before gives.

    Operands are as wide as the build's, as far as its accumulators hold the sums. The output of
    the last layer gets the zeros of its input.

    Parameters
    ----------
    rows, build, frame
        The table, what the operands must fit, and the kind of picture and weights.
    progress
        Called before each layer with its name, the layers done and all layers.

    Raises
    ------
    NetworkError
        Names the layer if it is impossible.
    """
    form = TensorFormat(build.act_bits, signed=build.act_bits == 16, scale=1.0)
    rng = np.random.default_rng(SEED)
    first = rows[0]
    x = frame_map(rng, first.in_shape, 1 - first.density, form.ints.max, frame)
    x = x.astype(form.ints.dtype)
    for done, (row, after) in enumerate(zip(rows, [*rows[1:], rows[-1]], strict=True)):
        if progress:
            progress(row.name, done, len(rows))
        shape = (row.out_channels, row.in_shape[2], *row.kernel)
        weights = frame_weights(rng, shape, _largest_weight(build, shape), frame)
        bias, kind = _biases(rng, weights, x), Conv
        if build.pe == "l1":  # what weights alone take off a sum of distances is given back
            bias, kind = bias + np.abs(weights, dtype=np.int64).sum(axis=(1, 2, 3)), Adder
        layer = kind(
            name=row.name,
            weights=weights,
            bias=bias,
            in_format=form,
            out_format=form,
            requant=Shift(0),
            stride=row.stride,
            pads=row.pads,
            relu=True,
            pool=row.pool,
        )
        layer.out_shape(row.in_shape)
        layer, y = calibrate(layer, x, 1 - after.density)
        yield Link(layer=layer, zeros=1 - row.density, x=x, y=y)
        x = y


def _largest_weight(build: Build, shape: tuple[int, int, int, int]) -> int:
    """Largest weight whose sums take half of the accumulator, bias aside, on average."""
    room = 1 << build.acc_bits - 2 - (build.act_bits - (build.act_bits == 16))
    return max(1, min((1 << build.weight_bits - 1) - 1, 2 * room // math.prod(shape[1:])))


def _biases(rng: np.random.Generator, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Random biases up to half of a sum's usual size."""
    energy = np.square(weights, dtype=np.int64).sum() / len(weights)
    power = np.square(x, dtype=np.int64).sum() / x.size
    largest = int(math.sqrt(float(energy * power))) // 2
    return rng.integers(-largest, largest, len(weights), endpoint=True)


def part(links: Sequence[Link], name: str) -> Known:
    """Network of successive links of a chain."""
    first = links[0]
    maps = (first.x, *(link.y for link in links))
    layers = tuple(link.layer for link in links)
    return Known(name, first.x.shape, first.layer.in_format, layers, maps=maps)


def single(row: TableLayer, frame: Frame) -> tuple[Network, np.ndarray]:
    """Network of a layer by itself, and its raw input map.

    Raises
    ------
    NetworkError
        If the layer is impossible.
    """
    network, x = make_layer(row)
    if frame == "clustered":
        rng = np.random.default_rng([SEED, row.line])
        x = frame_map(rng, row.in_shape, 1 - row.density, PIXEL, frame).astype(x.dtype)
    return network, x


def with_zeros(rows: Sequence[TableLayer], zeros: float | None) -> list[TableLayer]:
    """The table with another share of zeros, 0 to 1, in every layer's input, if one is given."""
    return [row if zeros is None else replace(row, density=1 - zeros) for row in rows]


def chosen(rows: Sequence[TableLayer], names: Sequence[str]) -> set[str]:
    """Names of the layers that are asked for; all if none is named.

    Raises
    ------
    TableError
        If the table has no layer of a name.
    """
    known = [row.name for row in rows]
    for name in names:
        if name not in known:
            raise TableError(f"layer {name!r} is unknown: choose of {', '.join(known)}")
    return set(names or known)


def impossible(path: object, row: TableLayer, error: NetworkError) -> TableError:
    """Error for a line of a table whose layer cannot be."""
    return TableError(f"{path} line {row.line}: {error}")
