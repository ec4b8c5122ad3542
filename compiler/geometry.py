"""Strides, pads and kernels: what the attributes of a node mean, and which of them the core has."""

from dataclasses import dataclass, replace

from onnx import NodeProto

from compiler.errors import CompileError
from compiler.graph import attributes, label

STRIDE_MAX = 4
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """How a kernel moves over a map.

    Attributes
    ----------
    kernel, stride : (int, int)
        Rows and columns.
    fixed_pads : (int, int, int, int) or None
        Top, left, bottom, right; None if they depend on the map (auto_pad SAME).
    extra_first : bool
        Whether an odd row or column of SAME padding goes before the map (SAME_LOWER).
    groups : int
        Groups of channels.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    fixed_pads: Pads | None
    extra_first: bool = False
    groups: int = 1

    def pads(self, rows: int, cols: int) -> Pads:
        """Pads around a map of that size."""
        if self.fixed_pads is not None:
            return self.fixed_pads
        before, after = [], []
        for size, kernel, stride in zip((rows, cols), self.kernel, self.stride, strict=True):
            outputs = -(-size // stride)
            total = max(0, (outputs - 1) * stride + kernel - size)
            first = (total + self.extra_first) // 2
            before.append(first)
            after.append(total - first)
        return before[0], before[1], after[0], after[1]


def read_window(node: NodeProto, kernel: tuple[int, ...]) -> Window:
    """Read the attributes that a convolution and a pool share, for a kernel of that shape.

    Raises
    ------
    CompileError
        If the kernel is not two-dimensional, is dilated, or has negative pads.
    """
    where, given = label(node), attributes(node)
    if len(kernel) != 2 or len(given.get("strides", kernel)) != 2:
        raise CompileError(
            where, f"has a kernel of {len(kernel)} dimensions", "use two: maps are N x C x H x W"
        )
    if tuple(given.get("kernel_shape", kernel)) != kernel:
        raise CompileError(
            where,
            f"kernel_shape {given['kernel_shape']} is not that of the weights, {list(kernel)}",
            "the file contradicts itself: export it again",
        )
    dilations = given.get("dilations", [1, 1])
    if any(step != 1 for step in dilations):
        raise CompileError(
            where, f"has dilations {dilations}", "use an ordinary kernel, or spread it with zeros"
        )
    rows, cols = given.get("strides", [1, 1])
    kinds = {"NOTSET": None, "VALID": (0, 0, 0, 0), "SAME_UPPER": None, "SAME_LOWER": None}
    kind = given.get("auto_pad", "NOTSET")
    if kind not in kinds:
        raise CompileError(where, f"auto_pad {kind!r} is unknown", f"use {', '.join(kinds)}")
    pads = kinds[kind]
    if kind == "NOTSET":
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        pads = (top, left, bottom, right)
        if min(pads) < 0:
            raise CompileError(where, f"has negative pads {list(pads)}", "crop the input instead")
    return Window((kernel[0], kernel[1]), (rows, cols), pads, kind == "SAME_LOWER")


def read_convolution(node: NodeProto, weights: tuple[int, ...]) -> Window:
    """Read the attributes of a convolution with weights of that shape.

    Raises
    ------
    CompileError
        If its groups do not share out its outputs, or it has a stride that the core does not have;
        else as `read_window`.
    """
    window = read_window(node, weights[2:])
    groups = attributes(node).get("group", 1)
    if groups < 1 or weights[0] % groups:
        raise CompileError(
            label(node),
            f"has {groups} groups for {weights[0]} output channels",
            "the file contradicts itself: export it again",
        )
    if max(window.stride) > STRIDE_MAX:
        raise CompileError(
            label(node), f"has strides {list(window.stride)}", f"use 1 to {STRIDE_MAX}"
        )
    return replace(window, groups=groups)


def read_pool(node: NodeProto, rows: int, cols: int) -> Window:
    """Read the attributes of a max-pool over a map of that size.

    With `ceil_mode`, what windows at the end lack is padding, which never wins.

    Raises
    ------
    CompileError
        If it gives indices; else as `read_window`.
    """
    given = attributes(node)
    window = read_window(node, tuple(given.get("kernel_shape", ())))
    if len(node.output) > 1 and node.output[1]:
        raise CompileError(label(node), "gives indices", "remove its second output")
    if not given.get("ceil_mode", 0) or given.get("auto_pad", "NOTSET") != "NOTSET":
        return window
    pads = window.pads(rows, cols)
    ends = []
    for axis, size in enumerate((rows, cols)):
        kernel, stride = window.kernel[axis], window.stride[axis]
        room = size + pads[axis]
        outputs = -(-(room + pads[axis + 2] - kernel) // stride) + 1
        outputs -= (outputs - 1) * stride >= room  # no window begins behind the map
        ends.append(max(pads[axis + 2], (outputs - 1) * stride + kernel - room))
    return replace(window, fixed_pads=(pads[0], pads[1], ends[0], ends[1]))
