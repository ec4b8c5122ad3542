"""Layers between those of the core that it does not compute: the host does, on the golden model."""

from dataclasses import dataclass
from typing import ClassVar

from golden.descriptor import PassDescriptor
from golden.network import Layer
from golden.params import Build

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """A layer that the host computes: it decodes the map, computes, and encodes the result.

    `in_shape` and `out_shape` are (H, W, C); `block_channels` are those of every block of the
    output map but the last. The core has no pass for it.
    """

    layer: Layer
    build: Build
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    block_channels: int
    dense: ClassVar[bool] = False
    descriptors: ClassVar[tuple[PassDescriptor, ...]] = ()

    @property
    def kind(self) -> str:
        """What the network says."""
        return self.layer.kind

    @property
    def out_blocks(self) -> tuple[tuple[int, tuple[Range, ...]], ...]:
        """Channels and column ranges of each block of the output map."""
        return whole_blocks(self.out_shape, self.block_channels)


def whole_blocks(
    shape: tuple[int, int, int], channels: int
) -> tuple[tuple[int, tuple[Range, ...]], ...]:
    """Cut a map (H, W, C) into blocks of so many channels, the last of fewer; rows are whole."""
    starts = range(0, shape[2], channels)
    return tuple((min(channels, shape[2] - start), ((0, shape[1]),)) for start in starts)
