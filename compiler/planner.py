"""The planner of one layer: splits it into passes, and a pass over the clusters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from compiler.cuts import (
    ChannelPart,
    MapLayout,
    MapPart,
    Piece,
    Range,
    Shape,
    Split,
    arrival_cycles,
    choose_bands,
    choose_split,
    cut_columns,
    grouped,
    kernel_pieces,
    map_layout,
    map_part,
    ungrouped,
)
from compiler.errors import CompileError
from compiler.passes import LayerPlan, PassPlan, Segment
from compiler.tiling import Scans, Tiling, choose_tiling
from golden.descriptor import (
    REQUANT_SCALE,
    REQUANT_SHIFT,
    ClusterWork,
    PassDescriptor,
    block_sizes,
)
from golden.network import Conv
from golden.params import LOADS_MAX, Build, ceil_div
from golden.requant import Shift


@dataclass(frozen=True, kw_only=True)
class Task:
    """What `plan_layer` is given."""

    layer: Conv
    kind: str
    in_shape: Shape
    build: Build
    dense: bool
    in_blocks: tuple[int, int]
    out_block: int
    own_blocks: bool


class Planner:
    """Plans one layer; `windows` are how many windows of columns it is computed in."""

    def __init__(self, task: Task, windows: int) -> None:
        self.task = task
        self.layer, self.in_shape, self.build = task.layer, task.in_shape, task.build
        layer, in_shape, build = task.layer, task.in_shape, task.build
        block, branch = task.in_blocks
        self.uniform = task.kind in ("maxpool", "avgpool")
        self.in_sizes = tuple(block_sizes(in_shape[2], branch, block))
        rows, cols, _ = layer.conv_shape(in_shape)
        if layer.pool:  # an odd row or column at the end has no output: it is not computed
            rows, cols = rows // 2 * 2, cols // 2 * 2
        self.rows = rows
        self.shrink = 2 if layer.pool else 1
        self.windows = cut_columns(0, cols, windows, even=layer.pool)
        self.pieces = kernel_pieces(layer, build)
        parts = grouped(layer, build) if layer.groups > 1 and task.own_blocks else None
        alone = layer.in_channels == layer.groups == layer.out_channels
        self.depthwise = build.depthwise and alone and parts is not None
        parts = parts or ungrouped(layer, build, task.out_block)
        self.parts = parts
        self.splits = {
            (part, window): self._split(part, window) for part in parts for window in self.windows
        }

    def _given(self, part: ChannelPart) -> MapPart:
        pixels = self.build.word_pixels
        first = part.first_word * pixels
        end = first + part.slices * part.slice_words * pixels
        channels = first, min(end, self.layer.in_channels)
        return map_part(self.in_sizes, self.task.in_blocks, channels)

    def _layout(self, part: ChannelPart) -> MapLayout:
        shape = (*self.in_shape[:2], self._given(part).channels)
        return map_layout(self.layer, shape, self.build)

    def _split(self, part: ChannelPart, window: Range) -> Split:
        layer, build, height = self.layer, self.build, self.in_shape[0]
        teams = build.clusters // (part.slices * self._team_groups(part))
        capacity = self._layout(part).capacity
        tallest = max(piece.height for piece in self.pieces)
        stripe = min(height, tallest + (layer.stride[0] if self.rows > 1 else 0))
        if capacity < stripe:
            raise CompileError(
                f"layer {layer.name!r}",
                f"needs {stripe} input rows on chip, build {build.name!r} holds {capacity} of "
                f"{self.in_shape[1]} columns and {self._given(part).channels} channels: use a "
                "build with more map_words",
            )
        if len(self.pieces) == 1:
            on_chip = None if capacity >= height else capacity
            # Only a map that comes with this pass can be late.
            first = part is self.parts[0] and window is self.windows[0]
            late = first or on_chip is not None
            arrival = arrival_cycles(self.in_shape, build) if late else 0
            return choose_split(layer, self.rows, window, teams, on_chip, arrival)
        split = choose_bands(layer, build, height, self.rows, window, teams, capacity)
        if split is None:
            raise CompileError(
                f"layer {layer.name!r}",
                f"has a kernel in {len(self.pieces)} pieces, for which build "
                f"{build.name!r} needs more than {build.acc_words} acc_words",
            )
        return split

    def _team_groups(self, part: ChannelPart) -> int:
        channels = min(part.block, part.channels[1] - part.channels[0])
        return ceil_div(channels, self.build.lanes_per_cluster)

    def plan(self) -> LayerPlan:
        """Plan all passes: band by band, in it window by window, channels, pieces."""
        rows = min(split.rows for split in self.splits.values())
        passes: list[PassPlan] = []
        on_chip = None  # what is in the banks
        for first in range(0, self.rows, rows):
            band = (first, min(first + rows, self.rows))
            for window in self.windows:
                for part in self.parts:
                    for i, piece in enumerate(self.pieces):
                        made = self._pass(part, window, piece, band, on_chip)
                        last = i == len(self.pieces) - 1
                        descriptor = replace(made.descriptor, continues=i > 0, stays=not last)
                        segments = made.segments if last else ()
                        passes.append(replace(made, descriptor=descriptor, segments=segments))
                        whole = descriptor.ring_rows == descriptor.in_rows
                        on_chip = (made.given, made.in_rows, descriptor.pack) if whole else None
        for i, made in enumerate(passes):
            descriptor = replace(made.descriptor, first=i == 0, last=i == len(passes) - 1)
            passes[i] = replace(made, descriptor=descriptor)
        return LayerPlan(
            layer=self.layer,
            kind=self.task.kind,
            build=self.build,
            in_shape=self.in_shape,
            in_block=self.task.in_blocks[0],
            out_shape=self.layer.out_shape(self.in_shape),
            dense=self.task.dense,
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

    def _in_rows(self, band: Range, kernel_rows: Range) -> Range:
        """Input rows that a band needs; the whole map if it is the only one."""
        height = self.in_shape[0]
        if band == (0, self.rows) and kernel_rows == (0, self.layer.kernel[0]):
            return 0, height
        stride_h, top = self.layer.stride[0], self.layer.pads[0]
        first = band[0] * stride_h - top + kernel_rows[0]
        end = (band[1] - 1) * stride_h - top + kernel_rows[1]
        # A band may lie outside the map altogether.
        first = min(max(0, first), height - 1)
        return first, max(first + 1, min(height, end))

    def _tiling(self, part: ChannelPart, piece: Piece, split: Split, band: Range) -> Tiling:
        layer, build = self.layer, self.build
        capacity = self._layout(part).capacity
        resident = capacity >= self.in_shape[0]
        channels = 1
        if not self.depthwise:
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
                uniform=self.uniform,
                channels=channels,
                stride_h=layer.stride[0],
                columns=split.columns,
                down=split.down,
                ring=None if resident else capacity,
                open_stripes=stripes if len(self.pieces) > 1 else None,
            ),
        )

    def _pass(
        self,
        part: ChannelPart,
        window: Range,
        piece: Piece,
        band: Range,
        on_chip: tuple[MapPart, Range, int] | None,
    ) -> PassPlan:
        layer, build = self.layer, self.build
        layout, given = self._layout(part), self._given(part)
        split = self.splits[part, window]
        tiling = self._tiling(part, piece, split, band)
        in_rows = self._in_rows(band, piece.rows if split.by_piece else (0, layer.kernel[0]))
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
        size = 1 if self.uniform else piece.height * piece.width
        size = 0 if self.depthwise else size
        ring = min(height, layout.capacity)
        shift = layer.requant if isinstance(layer.requant, Shift) else None
        low, high = layer.clamp
        descriptor = PassDescriptor(
            first=False,
            last=False,
            load_map=on_chip != (given, in_rows, layout.pack),
            dense=self.task.dense,
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
            in_channels=given.channels,
            block_channels=given.block_channels,
            branch_channels=given.branch_channels,
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
            row_step=0 if self.uniform else stride_h * piece.width,
            ring_words=ring * layout.row_pitch,
            jump_words=jump_rows * layout.row_pitch,
            jump_rows=jump_rows,
            row_skip=(jump_rows - 1) * layout.col_words % build.clusters,
            jump_columns=jump_columns,
            column_skip=(jump_columns - 1) * turn % build.clusters,
            column_jump=jump_columns * layout.col_pitch,
            maximum=self.task.kind == "maxpool",
            first_word=part.first_word - given.channel // build.word_pixels,
            slice_words=part.slice_words,
            team_groups=team_groups,
            scan_rows=layout.scan_rows,
            pack=layout.pack,
            uniform=self.uniform,
            continues=False,
            stays=False,
            depthwise=self.depthwise,
            clusters=tuple(
                self._work(part, split, layout, (rows, left), cluster)
                for cluster in range(build.clusters)
            ),
        )
        out_rows = (band[0] // self.shrink, band[1] // self.shrink)
        return PassPlan(
            descriptor=descriptor,
            part=part,
            piece=piece,
            given=given,
            in_rows=in_rows,
            out_rows=out_rows,
            segments=tuple(self._segments(part, descriptor, out_rows[0])),
        )

    def _work(
        self,
        part: ChannelPart,
        split: Split,
        layout: MapLayout,
        place: tuple[int, int],
        cluster: int,
    ) -> ClusterWork:
        """The share of one cluster: the teams of a slice lie side by side.

        `place` are the band's rows and the columns by which the piece reaches left of the map.
        """
        rows, left = place
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
            first_address=skipped * layout.col_pitch,
            first_bank=skipped * layout.col_words * layout.scan_rows % self.build.clusters,
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
