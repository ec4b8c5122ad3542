"""The planner: splits a layer into passes, and a pass over the clusters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from compiler.checks import check_layer
from compiler.cuts import (
    ChannelPart,
    Piece,
    Range,
    Shape,
    Split,
    choose_bands,
    choose_split,
    cut_columns,
    grouped,
    kernel_pieces,
    map_layout,
    ungrouped,
)
from compiler.errors import CompileError
from compiler.tiling import Scans, Tiling, choose_tiling
from golden.cycles.core import PassData
from golden.descriptor import (
    REQUANT_SCALE,
    REQUANT_SHIFT,
    ClusterWork,
    PassDescriptor,
)
from golden.network import Conv, Network
from golden.params import LOADS_MAX, Build, ceil_div
from golden.requant import Shift


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
            in_rows=self.in_rows,
            out_rows=self.out_rows,
            channels=self.channels,
        )


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer on a build.

    `in_shape` and `out_shape` are (H, W, C); `out_blocks` are the channels and the column ranges of
    each block of the output map.
    """

    layer: Conv
    build: Build
    in_shape: Shape
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


def plan_network(network: Network, build: Build, *, dense_input: bool = False) -> list[LayerPlan]:
    """Plan every layer; `dense_input` says that the first map comes without sparsity maps.

    Raises
    ------
    CompileError
        If the build cannot run a layer: names the layer, what it needs and what there is.
    """
    return [
        plan_layer(layer, shape, build, dense=dense_input and i == 0)
        for i, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=False))
    ]


def plan_layer(
    layer: Conv,
    in_shape: Shape,
    build: Build,
    *,
    dense: bool = False,
    in_block: int | None = None,
    out_block: int | None = None,
) -> LayerPlan:
    """Plan one layer for an input map of `in_shape`.

    `in_block` are the channels of every block of the input map but the last, `out_block` those of
    every pass but the last; as many as the build has lanes if absent. Grouped layers choose their
    own.

    Raises
    ------
    CompileError
        If the build cannot run it.
    """
    blocks = in_block or build.lanes, out_block or build.lanes
    check_layer(layer, in_shape, build, blocks[0])
    cols = layer.conv_shape(in_shape)[1]
    if layer.pool:
        cols = cols // 2 * 2
    # Sums that find no room at once are computed a window of columns after the other.
    windows, refusal = 1, None
    while windows <= cols:
        try:
            return _Planner(layer, in_shape, build, dense, blocks, windows).plan()
        except CompileError as error:
            refusal = refusal or error
        windows *= 2
    assert refusal
    raise refusal


class _Planner:
    """Plans one layer; `windows` are how many windows of columns it is computed in."""

    def __init__(
        self,
        layer: Conv,
        in_shape: Shape,
        build: Build,
        dense: bool,
        blocks: tuple[int, int],
        windows: int,
    ) -> None:
        self.layer, self.in_shape, self.build, self.dense = layer, in_shape, build, dense
        self.in_block = blocks[0]
        rows, cols, _ = layer.conv_shape(in_shape)
        if layer.pool:  # an odd row or column at the end has no output: it is not computed
            rows, cols = rows // 2 * 2, cols // 2 * 2
        self.rows = rows
        self.shrink = 2 if layer.pool else 1
        self.windows = cut_columns(0, cols, windows, even=layer.pool)
        self.pieces = kernel_pieces(layer, build)
        self.layout = map_layout(layer, in_shape, build)
        parts = grouped(layer, build) if layer.groups > 1 else None
        if parts is None:
            parts = ungrouped(layer, build, blocks[1])
        self.parts = parts
        self.splits = {
            (part, window): self._split(part, window) for part in parts for window in self.windows
        }

    def _split(self, part: ChannelPart, window: Range) -> Split:
        teams = self.build.clusters // (part.slices * self._team_groups(part))
        capacity = self.layout.capacity
        if len(self.pieces) == 1:
            on_chip = None if capacity >= self.in_shape[0] else capacity
            return choose_split(self.layer, self.rows, window, teams, on_chip)
        split = choose_bands(self.layer, self.build, self.rows, window, teams, capacity)
        if split is None:
            raise CompileError(
                f"layer {self.layer.name!r}",
                f"has a kernel in {len(self.pieces)} pieces, for which build "
                f"{self.build.name!r} needs more than {self.build.acc_words} acc_words",
            )
        return split

    def _team_groups(self, part: ChannelPart) -> int:
        channels = min(part.block, part.channels[1] - part.channels[0])
        return ceil_div(channels, self.build.lanes_per_cluster)

    def plan(self) -> LayerPlan:
        """Plan all passes: band by band, in it window by window, channels, pieces."""
        rows = min(split.rows for split in self.splits.values())
        passes = []
        for first in range(0, self.rows, rows):
            band = (first, min(first + rows, self.rows))
            loaded = False
            for window in self.windows:
                for part in self.parts:
                    for i, piece in enumerate(self.pieces):
                        made = self._pass(part, window, piece, band, loaded=loaded)
                        last = i == len(self.pieces) - 1
                        descriptor = replace(made.descriptor, continues=i > 0, stays=not last)
                        segments = made.segments if last else ()
                        passes.append(replace(made, descriptor=descriptor, segments=segments))
                        loaded = descriptor.ring_rows == descriptor.in_rows
        for i, made in enumerate(passes):
            descriptor = replace(made.descriptor, first=i == 0, last=i == len(passes) - 1)
            passes[i] = replace(made, descriptor=descriptor)
        return LayerPlan(
            layer=self.layer,
            build=self.build,
            in_shape=self.in_shape,
            out_shape=self.layer.out_shape(self.in_shape),
            dense=self.dense,
            passes=tuple(passes),
            out_blocks=tuple(self._blocks()),
        )

    def _blocks(self) -> Iterator[tuple[int, tuple[Range, ...]]]:
        for part in self.parts:
            ranges = tuple(
                (a // self.shrink, b // self.shrink)
                for window in self.windows
                for a, b in self.splits[part, window].ranges
            )
            first, end = part.channels
            for channel in range(first, end, part.block):
                yield min(part.block, end - channel), ranges

    def _in_rows(self, band: Range) -> Range:
        """Input rows that a band needs; the whole map if it is the only one."""
        height = self.in_shape[0]
        if band == (0, self.rows):
            return 0, height
        stride_h, top = self.layer.stride[0], self.layer.pads[0]
        first = band[0] * stride_h - top
        end = (band[1] - 1) * stride_h - top + self.layer.kernel[0]
        first = min(max(0, first), height - 1)  # a band may lie outside the map altogether
        return first, max(first + 1, min(height, end))

    def _tiling(self, part: ChannelPart, piece: Piece, split: Split, band: Range) -> Tiling:
        layer, build = self.layer, self.build
        resident = self.layout.capacity >= self.in_shape[0]
        channels = min(
            part.slice_words * build.word_pixels,
            layer.in_channels - part.first_word * build.word_pixels,
        )
        stripes = ceil_div(ceil_div(band[1] - band[0], 2), split.down)
        return choose_tiling(
            layer.name,
            build,
            Scans(
                kernel=(piece.height, piece.width),
                channels=channels,
                stride_h=layer.stride[0],
                columns=split.columns,
                down=split.down,
                ring=None if resident else self.layout.capacity,
                open_stripes=stripes if len(self.pieces) > 1 else None,
            ),
        )

    def _pass(
        self, part: ChannelPart, window: Range, piece: Piece, band: Range, *, loaded: bool
    ) -> PassPlan:
        layer, build, layout = self.layer, self.build, self.layout
        split = self.splits[part, window]
        tiling = self._tiling(part, piece, split, band)
        in_rows = self._in_rows(band)
        rows, height = band[1] - band[0], in_rows[1] - in_rows[0]
        stride_h, stride_w = layer.stride
        regions = ceil_div(ceil_div(ceil_div(rows, 2), split.down), tiling.region)
        loads = tiling.tiles * (1 if tiling.resident else regions)
        if loads > LOADS_MAX:
            raise CompileError(
                f"layer {layer.name!r}",
                f"loads {tiling.tiles} tiles of weights {regions} times over, {loads} loads are "
                f"above the {LOADS_MAX} of the core: use a build with more weight_words or "
                "acc_words",
            )
        team_groups = self._team_groups(part)
        last_tap, last_phase = divmod(piece.width - 1, stride_w)
        # A single output row has no row after it to go to.
        jump_rows = 1 + max(0, stride_h - piece.height) if rows > 1 else 1
        jump_columns = 1 + max(0, stride_w - piece.width)
        turn = layout.col_words * layout.scan_rows
        left = layer.pads[1] - piece.cols[0]
        size = piece.height * piece.width
        ring = min(height, layout.capacity)
        shift = layer.requant if isinstance(layer.requant, Shift) else None
        low, high = layer.clamp
        descriptor = PassDescriptor(
            first=False,
            last=False,
            load_map=not loaded,
            dense=self.dense,
            signed_in=layer.in_format.signed,
            pool=layer.pool,
            requant=REQUANT_SHIFT if shift else REQUANT_SCALE,
            rounding=shift.rounding.value if shift else 0,
            shift=shift.shift if shift else 0,
            kernel_h=piece.height,
            kernel_w=piece.width,
            stride_h=stride_h,
            stride_w=stride_w,
            pad_top=in_rows[0] - (band[0] * stride_h - layer.pads[0] + piece.rows[0]),
            pad_left=left,
            groups=part.slices * team_groups,
            in_rows=height,
            in_cols=self.in_shape[1],
            in_channels=self.in_shape[2],
            block_channels=self.in_block,
            in_zero=layer.in_format.zero_point,
            out_rows=rows,
            out_cols=self.windows[-1][1],
            out_channels=part.channels[1] - part.channels[0],
            out_zero=layer.out_format.zero_point,
            clamp_low=low,
            clamp_high=high,
            ring_rows=ring,
            row_pitch=layout.row_pitch,
            col_pitch=layout.col_pitch,
            col_words=layout.col_words,
            kernel_size=size,
            **vars(tiling),
            loads=loads,
            word_step=build.word_pixels * size,
            taps=sum(
                len(range(phase, piece.width, stride_w)) << 3 * phase for phase in range(stride_w)
            ),
            last_tap=last_tap,
            last_phase=last_phase,
            row_step=stride_h * piece.width,
            ring_words=ring * layout.row_pitch,
            jump_words=jump_rows * layout.row_pitch,
            jump_rows=jump_rows,
            row_skip=(jump_rows - 1) * layout.col_words % build.clusters,
            jump_columns=jump_columns,
            column_skip=(jump_columns - 1) * turn % build.clusters,
            column_jump=jump_columns * layout.col_pitch,
            maximum=False,
            first_word=part.first_word,
            slice_words=part.slice_words,
            team_groups=team_groups,
            scan_rows=layout.scan_rows,
            pack=layout.pack,
            continues=False,
            stays=False,
            clusters=tuple(
                self._work(part, split, rows, left, cluster) for cluster in range(build.clusters)
            ),
        )
        out_rows = (band[0] // self.shrink, band[1] // self.shrink)
        return PassPlan(
            descriptor=descriptor,
            part=part,
            piece=piece,
            in_rows=in_rows,
            out_rows=out_rows,
            segments=tuple(self._segments(part, descriptor, out_rows[0])),
        )

    def _work(
        self, part: ChannelPart, split: Split, rows: int, left: int, cluster: int
    ) -> ClusterWork:
        """The share of one cluster: the teams of a slice lie side by side."""
        lanes, team_groups = self.build.lanes_per_cluster, self._team_groups(part)
        team, member = divmod(cluster, team_groups)
        slice_, share = divmod(team, self.build.clusters // (part.slices * team_groups))
        if slice_ >= part.slices or share >= split.down * len(split.ranges):
            return ClusterWork()
        stripe, at = divmod(share, len(split.ranges))
        if 2 * stripe >= rows:
            return ClusterWork()
        first_col, end_col = split.ranges[at]
        group = slice_ * team_groups + member
        if part.sharing is None:
            used = min(lanes, part.channels[1] - part.channels[0] - group * lanes)
        else:
            used = 0 if member else part.sharing
        skipped = max(0, first_col * self.layer.stride[1] - left)
        return ClusterWork(
            active=True,
            team=team,
            group=group,
            slice=slice_,
            first_stripe=stripe,
            stripe_step=split.down,
            first_col=first_col,
            end_col=end_col,
            lanes=used,
            first_address=skipped * self.layout.col_pitch,
            first_bank=skipped
            * self.layout.col_words
            * self.layout.scan_rows
            % self.build.clusters,
        )

    def _segments(self, part: ChannelPart, d: PassDescriptor, first_row: int) -> Iterator[Segment]:
        """The segments that leave the core in a pass, in each context's order."""
        block = sum(p.slices for p in self.parts[: self.parts.index(part)])
        for lead in d.leads:
            work = d.clusters[lead]
            columns = (work.first_col // self.shrink, work.end_col // self.shrink)
            for stripe in range(work.first_stripe, d.stripes, work.stripe_step):
                for lower in range(1 if d.pool else 2):
                    row = stripe if d.pool else 2 * stripe + lower
                    if row * self.shrink < d.out_rows:
                        yield Segment(
                            context=2 * work.team + lower,
                            block=block + work.slice,
                            row=first_row + row,
                            columns=columns,
                        )
