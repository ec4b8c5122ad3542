"""Planned layers: their passes, and what leaves the core in each."""

from dataclasses import dataclass

from compiler.cuts import ChannelPart, MapPart, Piece, Range, Shape
from golden.cycles.core import PassData
from golden.descriptor import PassDescriptor
from golden.network import Conv
from golden.params import Build


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of columns of one output row of one block, as it leaves the core in one piece.

    `block` and `row` count in the output map.
    """

    context: int
    block: int
    row: int
    columns: Range


@dataclass(frozen=True, kw_only=True)
class PassPlan:
    """One pass: what it computes, and what leaves the core.

    Parameters
    ----------
    descriptor : PassDescriptor
    part : ChannelPart
        Its output channels, and the input channels that it reads.
    piece : Piece
        Its part of the kernel.
    given : MapPart
        Blocks of the input map that it is given.
    in_rows : (int, int)
        Rows [first, end) of the input map that it is given.
    out_rows : (int, int)
        Rows [first, end) of the output map that it computes.
    segments : tuple of Segment
        In each context's order; none if the sums stay for the next pass.
    """

    descriptor: PassDescriptor
    part: ChannelPart
    piece: Piece
    given: MapPart
    in_rows: Range
    out_rows: Range
    segments: tuple[Segment, ...]

    @property
    def channels(self) -> Range:
        """Output channels [first, end)."""
        return self.part.channels

    @property
    def data(self) -> PassData:
        """What the cycle model is to know."""
        return PassData(
            descriptor=self.descriptor,
            in_blocks=self.given.blocks,
            in_channels=(self.given.channel, self.given.channel + self.given.channels),
            in_rows=self.in_rows,
            out_rows=self.out_rows,
            channels=self.channels,
        )


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer on a build.

    `layer` is what the lanes compute, for a pool the convolution that stands for it, and `kind`
    what the network says. `in_shape` and `out_shape` are (H, W, C), branches concatenated;
    `in_block` are the channels of an input block, `out_blocks` the channels and the column ranges
    of each block of the output map.
    """

    layer: Conv
    kind: str
    build: Build
    in_shape: Shape
    in_block: int
    out_shape: Shape
    dense: bool
    passes: tuple[PassPlan, ...]
    out_blocks: tuple[tuple[int, tuple[Range, ...]], ...]

    @property
    def descriptors(self) -> tuple[PassDescriptor, ...]:
        """The passes' descriptors."""
        return tuple(p.descriptor for p in self.passes)

    @property
    def pass_data(self) -> tuple[PassData, ...]:
        """What the cycle model is to know of the passes."""
        return tuple(p.data for p in self.passes)
