"""What a quantiser stores in an ONNX file: formats of maps, and weights as integers."""

import math
from dataclasses import dataclass

import numpy as np

from compiler.errors import CompileError
from golden.network import TensorFormat

#: Types of maps, and what the golden model calls them: (bits, signed).
MAP_TYPES = {"uint8": (8, False), "int8": (8, True), "int16": (16, True)}
WEIGHT_TYPES = ("int8", "uint8", "int16")
BIAS_TYPES = ("int32",)


def map_format(where: str, scale: np.ndarray, zero: np.ndarray | None) -> TensorFormat:
    """Format of a map from the constants of its quantisation; without a zero point uint8, 0.

    Raises
    ------
    CompileError
        If the map is quantised per channel, or with a type, scale or zero point that the core
        does not have.
    """
    zero = np.zeros((), np.uint8) if zero is None else zero
    if scale.size != 1 or zero.size != 1:
        raise CompileError(
            where,
            f"a map has {max(scale.size, zero.size)} scales",
            "quantise maps per tensor; only weights may have a scale per channel",
        )
    if zero.dtype.name not in MAP_TYPES:
        raise CompileError(
            where, f"a map is {zero.dtype}", f"quantise maps to {', '.join(MAP_TYPES)}"
        )
    value, point = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    if not (math.isfinite(value) and value > 0):
        raise CompileError(where, f"a map has the scale {value}", "scales must be positive")
    bits, signed = MAP_TYPES[zero.dtype.name]
    if bits == 16 and point:
        raise CompileError(
            where,
            f"a 16-bit map has the zero point {point}",
            "16-bit maps need zero point 0 and power-of-two scales; or quantise to 8 bits",
        )
    return TensorFormat(bits, signed, value, point)


@dataclass(frozen=True, eq=False)
class Steps:
    """Constants as integers in steps of a scale: real = values x scale.

    Attributes
    ----------
    values : ndarray of int64
        Zero point subtracted; output channels first.
    scale : ndarray of float32, shape (Cout,)
        One for each output channel.
    bits : int
        Bits of the type that the file stores.
    """

    values: np.ndarray
    scale: np.ndarray
    bits: int


def read_steps(
    where: str,
    role: str,
    stored: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None,
    *,
    types: tuple[str, ...] = WEIGHT_TYPES,
    axis: int = 0,
) -> Steps:
    """Read stored integers whose output channels lie along `axis`.

    Raises
    ------
    CompileError
        If the type is not one of `types`, or scales and zero points do not fit the channels.
    """
    if stored.dtype.name not in types:
        raise CompileError(
            where, f"stores its {role} as {stored.dtype}", f"use {' or '.join(types)}"
        )
    values = np.moveaxis(stored, axis, 0).astype(np.int64)
    channels = len(values)
    per_channel = (channels,) + (1,) * (values.ndim - 1)
    if zero is not None:
        values = values - spread(where, f"zero points of its {role}", zero, channels).astype(
            np.int64
        ).reshape(per_channel)
    scales = spread(where, f"scales of its {role}", scale, channels).astype(np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise CompileError(where, f"a scale of its {role} is {scales.min()}", "it must be positive")
    return Steps(values, scales, 8 * stored.dtype.itemsize)


def spread(where: str, what: str, values: np.ndarray, channels: int) -> np.ndarray:
    """One value per channel, from as many or from a single one.

    Raises
    ------
    CompileError
        If there is another number of them.
    """
    flat = values.reshape(-1)
    if flat.size not in (1, channels):
        raise CompileError(
            where, f"has {flat.size} {what} for {channels} output channels", "give one or as many"
        )
    return np.broadcast_to(flat, (channels,))


@dataclass(frozen=True, eq=False)
class StoredConstant:
    """Integers with a DequantizeLinear behind them, as the file stores them.

    Attributes
    ----------
    values : ndarray
        Integers.
    scale, zero : ndarray; zero may be None
        One, or one per channel along `axis`.
    axis : int
        Axis of the channels.
    """

    values: np.ndarray
    scale: np.ndarray
    zero: np.ndarray | None
    axis: int
