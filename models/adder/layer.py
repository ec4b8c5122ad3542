"""The L1 layer for PyTorch, on one thread of a CPU (needs torch and g++).

Its loops are l1.cpp, compiled on first use for the machine at hand into the folder of temporary
files.
"""

import ctypes
import functools
import hashlib
import math
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

SOURCE = Path(__file__).with_name("l1.cpp")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")

#: l1.cpp takes rows and filters in multiples of so many.
BLOCK = 32

#: AdderNet's factor of the weights' gradient, which is scaled to a norm of ETA x sqrt(number).
ETA = 0.2


@functools.cache
def library() -> ctypes.CDLL:
    """Compile l1.cpp, unless that has been done, and load it."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    file = Path(tempfile.gettempdir()) / f"openhop-l1-{digest}.so"
    if not file.exists():
        scratch = file.with_suffix(".new")
        subprocess.run(["g++", *FLAGS, SOURCE, "-o", scratch], check=True)
        scratch.rename(file)
    return ctypes.CDLL(str(file))


def call(function: str, sizes: tuple[int, int, int], *tensors: torch.Tensor) -> None:
    """Call a function of l1.cpp: three sizes, then float32 arrays."""
    numbers = [ctypes.c_long(size) for size in sizes]
    places = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    getattr(library(), function)(*numbers, *places)


def padded(matrix: torch.Tensor) -> torch.Tensor:
    """Fill both edges of a matrix up to a multiple of BLOCK, with zeros."""
    rows, columns = (-size % BLOCK for size in matrix.shape)
    return functional.pad(matrix, (0, columns, 0, rows)).contiguous()


def windows(x: torch.Tensor, kernel: int, stride: int, pad: int) -> torch.Tensor:
    """Return every window of a map [n, c, h, w], as [n, rows, columns, kernel, kernel, c]."""
    x = functional.pad(x, (pad,) * 4)
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride).permute(0, 2, 3, 4, 5, 1)


def gathered(rows: torch.Tensor, shape: torch.Size, stride: int, pad: int) -> torch.Tensor:
    """Add windows up into the map that they were taken from: the adjoint of `windows`."""
    n, c, h, w = shape
    _, high, wide, kernel, _, _ = rows.shape
    total = rows.new_zeros(n, h + 2 * pad, w + 2 * pad, c)
    for i in range(kernel):
        for j in range(kernel):
            down = slice(i, i + stride * (high - 1) + 1, stride)
            across = slice(j, j + stride * (wide - 1) + 1, stride)
            total[:, down, across] += rows[:, :, :, i, j]
    return total[:, pad : pad + h, pad : pad + w].permute(0, 3, 1, 2)


class Distances(torch.autograd.Function):
    """-sum |x - w| over every window, with AdderNet's gradients."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weights: torch.Tensor, stride: int, pad: int):
        """Take a map [n, c, h, w] and filters [o, c, k, k] to a map [n, o, rows, columns]."""
        filters, _, kernel, _ = weights.shape
        view = windows(x, kernel, stride, pad)
        taps = view.shape[3:].numel()
        rows = view.reshape(-1, taps)
        flat = weights.permute(0, 2, 3, 1).reshape(filters, taps)
        if taps % BLOCK:
            rows = functional.pad(rows, (0, -taps % BLOCK))
        rows = rows.contiguous()
        flat = padded(flat)
        sums = rows.new_empty(len(rows), len(flat))
        call("l1_forward", (*rows.shape, len(flat)), rows, flat.t().contiguous(), sums)
        ctx.save_for_backward(rows, flat)
        ctx.geometry = x.shape, view.shape, weights.shape, stride, pad
        return -sums[:, :filters].reshape(*view.shape[:3], filters).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *slopes: torch.Tensor):
        """Gradient of the weights in full precision and rescaled; of the map, clipped to +-1."""
        rows, flat = ctx.saved_tensors
        x_shape, view_shape, shape, stride, pad = ctx.geometry
        filters, channels, kernel, _ = shape
        taps = view_shape[3:].numel()
        slope = slopes[0].permute(0, 2, 3, 1).reshape(-1, filters)
        slope = functional.pad(slope, (0, -filters % BLOCK)).contiguous()

        g_weights = slope.t() @ rows - flat * slope.sum(0)[:, None]
        g_weights = g_weights[:filters, :taps]
        g_weights = g_weights * (ETA * math.sqrt(g_weights.numel()) / g_weights.norm().clamp(1e-12))
        g_weights = g_weights.reshape(filters, kernel, kernel, channels).permute(0, 3, 1, 2)

        g_x = None
        if ctx.needs_input_grad[0]:
            g_rows = torch.empty_like(rows)
            call("l1_backward", (*rows.shape, len(flat)), rows, flat, slope, g_rows)
            g_x = gathered(g_rows[:, :taps].reshape(view_shape), x_shape, stride, pad)
        return g_x, g_weights.contiguous(), None, None


class Adder2d(nn.Module):
    """A layer of L1 distances without bias; padding is zeros, which cost |0 - w| like any pixel."""

    def __init__(self, maps_in: int, maps_out: int, kernel: int, stride: int, pad: int) -> None:
        super().__init__()
        self.stride, self.pad = stride, pad
        self.weight = nn.Parameter(torch.randn(maps_out, maps_in, kernel, kernel))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's map [n, maps_out, rows, columns]."""
        return Distances.apply(x, self.weight, self.stride, self.pad)
