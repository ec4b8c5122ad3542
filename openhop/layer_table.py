"""Tables of layers: a CSV file becomes layers with random data of a stated density.

One layer a line. The first line names the columns, in any order:

    name,H,W,Cin,Cout,kh,kw,stride_h,stride_w,pad_top,pad_left,pad_bottom,pad_right,pool,density

H, W and Cin are the input map's, pool is 1 where a 2x2 max-pool follows, density is the share of
the input's pixels that are not zero. Lines that begin with # are comments.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.errors import CompileError
from golden.adder import Adder
from golden.calibrate import calibrate
from golden.network import Conv, Network, NetworkError, TensorFormat
from golden.params import Build
from golden.requant import Shift
from openhop.figures import LayerFigures
from sim.network import NetworkRunner

#: Whole numbers: lowest and highest.
NUMBERS = {
    "H": (1, 4095),
    "W": (1, 4095),
    "Cin": (1, 4095),
    "Cout": (1, 65535),
    "kh": (1, 255),
    "kw": (1, 255),
    "stride_h": (1, 255),
    "stride_w": (1, 255),
    "pad_top": (0, 255),
    "pad_left": (0, 255),
    "pad_bottom": (0, 255),
    "pad_right": (0, 255),
    "pool": (0, 1),
}
COLUMNS = ("name", *NUMBERS, "density")

#: Largest random weight: small, so that the sums stay exact in float32, which is fastest. Cycles
#: do not depend on it.
WEIGHT = 7
#: Pixels are 1 to this where they are not zero.
PIXEL = 255


class TableError(ValueError):
    """A table that cannot be read; names the line and the column."""


@dataclass(frozen=True, kw_only=True)
class TableLayer:
    """A line of a table: its number in the file, and its values."""

    line: int
    name: str
    in_shape: tuple[int, int, int]
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    pool: bool
    density: float


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A layer that a build cannot run, and why."""

    name: str
    reason: str


def read_table(path: Path) -> list[TableLayer]:
    """Read a table.

    Raises
    ------
    TableError
        Names the file, the line and the column.
    OSError
        If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise TableError(f"{path}: is not a text file") from None
    rows = (
        (number, _cells(path, number, line))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )
    number, header = next(rows, (1, []))
    for name in COLUMNS:
        if header.count(name) != 1:
            raise TableError(f"{path} line {number}: needs one column {name}")
    for name in header:
        if name not in COLUMNS:
            raise TableError(f"{path} line {number}: column {name!r} is unknown")
    layers = [_layer(path, number, header, cells) for number, cells in rows]
    if not layers:
        raise TableError(f"{path}: has no layers")
    return layers


def _cells(path: Path, number: int, line: str) -> list[str]:
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error as error:
        raise TableError(f"{path} line {number}: {error}") from None
    return [cell.strip() for cell in cells]


def _layer(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> TableLayer:
    if len(cells) != len(header):
        raise TableError(f"{path} line {number}: has {len(cells)} columns, not {len(header)}")
    texts = dict(zip(header, cells, strict=True))

    def refuse(column: str, need: str) -> TableError:
        return TableError(
            f"{path} line {number}, column {column}: must be {need}, not {texts[column]!r}"
        )

    def whole(column: str) -> int:
        low, high = NUMBERS[column]
        text = texts[column]
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise refuse(column, f"a whole number from {low} to {high}")
        return int(text)

    if not texts["name"]:
        raise refuse("name", "the layer's name")
    numbers = {column: whole(column) for column in NUMBERS}
    try:
        density = float(texts["density"])
    except ValueError:
        density = math.nan
    if not 0 <= density <= 1:
        raise refuse("density", "a number from 0 to 1")
    return TableLayer(
        line=number,
        name=texts["name"],
        in_shape=(numbers["H"], numbers["W"], numbers["Cin"]),
        out_channels=numbers["Cout"],
        kernel=(numbers["kh"], numbers["kw"]),
        stride=(numbers["stride_h"], numbers["stride_w"]),
        pads=(
            numbers["pad_top"],
            numbers["pad_left"],
            numbers["pad_bottom"],
            numbers["pad_right"],
        ),
        pool=bool(numbers["pool"]),
        density=density,
    )


def make_layer(row: TableLayer, pe: str = "mac") -> tuple[Network, np.ndarray]:
    """Return a network of one layer, and its raw input map; the same in every run.

    Both maps have 8 bits with the zero point 0. Pixels are zero at random, each by itself, and
    weights are symmetric, so that ReLU zeroes about half of the outputs; for lanes of `pe` "l1" an
    adder layer, whose bias is set so that they do.

    Raises
    ------
    NetworkError
        If the layer is impossible.
    """
    rng = np.random.default_rng([row.line, *row.in_shape, row.out_channels])
    x = rng.integers(1, PIXEL, row.in_shape, np.uint8, endpoint=True)
    x[rng.random(row.in_shape) >= row.density] = 0
    shape = (row.out_channels, row.in_shape[2], *row.kernel)
    # A sum's usual size goes to a quarter of the range of outputs.
    terms = max(1.0, math.prod(shape[1:]) * row.density)
    usual = math.sqrt(terms * PIXEL**2 / 3 * WEIGHT**2 / 3)
    shift = max(0, round(math.log2(usual / (PIXEL / 4))))
    form = TensorFormat(8, signed=False, scale=1.0)
    layer = (Adder if pe == "l1" else Conv)(
        name=row.name,
        weights=rng.integers(-WEIGHT, WEIGHT, shape, np.int8, endpoint=True),
        bias=np.zeros(row.out_channels, np.int64),
        in_format=form,
        out_format=form,
        requant=Shift(shift),
        stride=row.stride,
        pads=row.pads,
        relu=True,
        pool=row.pool,
    )
    if pe == "l1":
        layer, _ = calibrate(layer, x, 0.5)
    return Network(row.name, row.in_shape, form, (layer,)), x


def table_figures(
    path: Path, build: Build, progress: Callable[[str, int, int], None] | None = None
) -> Iterator[LayerFigures | Refusal]:
    """Predict each layer of a table by itself, its input map in one piece, rows uncut.

    Parameters
    ----------
    path, build
        The table and the build.
    progress
        Called before each layer with its name, the layers done and all layers.

    Yields
    ------
    LayerFigures or Refusal
        In the order of the table.

    Raises
    ------
    TableError
        Names the line and what is wrong with it.
    """
    rows = read_table(path)
    for done, row in enumerate(rows):
        if progress:
            progress(row.name, done, len(rows))
        try:
            network, x = make_layer(row, build.pe)
        except NetworkError as error:
            raise TableError(f"{path} line {row.line}: {error}") from error
        try:
            with NetworkRunner(network, build, engine="golden") as runner:
                yield LayerFigures.of(runner.run(x))
        except CompileError as error:
            yield Refusal(name=row.name, reason=error.reason)
