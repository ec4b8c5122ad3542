"""The planner: splits a layer into passes, and a pass over the clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.blocks import block_channels, branch_channels
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
from compiler.geometry import STRIDE_MAX
from compiler.host import HostPlan
from compiler.pools import as_convolution, never_negative, runs_on_core
from compiler.tiling import Scans, Tiling, choose_tiling
from golden.conv import bits_needed
from golden.cycles.core import PassData
from golden.descriptor import (
    REQUANT_SCALE,
    REQUANT_SHIFT,
    ClusterWork,
    PassDescriptor,
    block_sizes,
)
from golden.network import Conv, Layer, Network
from golden.params import LOADS_MAX, Build, ceil_div
from golden.requant import Scale, Shift

#: What lanes do, for messages.
LANES = {"mac": "multiply", "l1": "add |x - w|"}


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


#: A planned layer.
Plan = LayerPlan | HostPlan


def plan_network(
    network: Network, build: Build | Sequence[Build], *, dense_input: bool = False
) -> list[Plan]:
    """Plan every layer; `dense_input` says that the first map comes without sparsity maps.

    Of several builds, side by side, each takes the layers that are for its lanes. Pools are passes
    of the core, or the host's where the build has none for them (`compiler.pools`).

    Raises
    ------
    CompileError
        If the build cannot run a layer: names the layer, what it needs and what there is.
    """
    first = build if isinstance(build, Build) else build[0]
    sizes, shapes = block_channels(network, first), network.shapes
    joined = {t for taken in network.sources if len(taken) > 1 for t in taken}
    positive = never_negative(network)
    plans: list[Plan] = []
    for i, (layer, shape, taken) in enumerate(
        zip(network.layers, network.in_shapes, network.sources, strict=True)
    ):
        own = build_for(layer, build)
        parts = [shapes[t][2] for t in taken]
        in_blocks = (sizes[taken[0]], branch_channels(parts, sizes[taken[0]], own))
        dense = dense_input and 0 in taken
        if isinstance(layer, Conv):
            plan = plan_layer(
                layer, shape, own, dense=dense, in_blocks=in_blocks, out_block=sizes[i + 1]
            )
        elif runs_on_core(
            layer, own, positive=all(positive[t] for t in taken), joined=i + 1 in joined
        ):
            plan = plan_layer(
                as_convolution(layer, shape[2]),
                shape,
                own,
                dense=dense,
                in_blocks=in_blocks,
                kind=layer.kind,
            )
            sizes[i + 1] = plan.out_blocks[0][0]
        else:
            plan = HostPlan(
                layer=layer,
                build=own,
                in_shape=shape,
                out_shape=layer.out_shape(shape),
                block_channels=sizes[i + 1],
            )
        plans.append(plan)
    return plans


def build_for(layer: Layer, builds: Build | Sequence[Build]) -> Build:
    """The build whose lanes a layer needs; the first of all where none has them."""
    if isinstance(builds, Build):
        return builds
    pe = layer.pe if isinstance(layer, Conv) else "mac"
    return next((build for build in builds if build.pe == pe), builds[0])


def plan_layer(
    layer: Conv,
    in_shape: Shape,
    build: Build,
    *,
    dense: bool = False,
    in_blocks: tuple[int, int] | None = None,
    out_block: int | None = None,
    kind: str | None = None,
) -> LayerPlan:
    """Plan one layer for an input map of `in_shape`.

    `in_blocks` are the channels of the input map's blocks, and those of its branches
    (`golden.descriptor.block_sizes`), `out_block` those of every pass but the last; as many as the
    build has lanes, and one branch, if absent. Grouped layers choose their own blocks. `kind` is
    "maxpool" or "avgpool" where the layer stands for a pool.

    Raises
    ------
    CompileError
        If the build cannot run it.
    """
    in_blocks = in_blocks or (build.lanes, in_shape[2])
    check_layer(layer, in_shape, build, in_blocks[0])
    cols = layer.conv_shape(in_shape)[1]
    if layer.pool:
        cols = cols // 2 * 2
    task = _Task(
        layer=layer,
        kind=kind or layer.kind,
        in_shape=in_shape,
        build=build,
        dense=dense,
        in_blocks=in_blocks,
        out_block=out_block or build.lanes,
    )
    # Sums that find no room at once are computed a window of columns after the other.
    windows, refusal = 1, None
    while windows <= cols:
        try:
            return _Planner(task, windows).plan()
        except CompileError as error:
            refusal = refusal or error
        windows *= 2
    assert refusal
    raise refusal


def check_layer(layer: Conv, in_shape: Shape, build: Build, in_block: int | None = None) -> None:
    """Refuse what the build cannot run; `in_block` as of `plan_layer`.

    Raises
    ------
    CompileError
        Names the layer, what it needs and what the build has.
    """

    def need(ok: object, text: str) -> None:
        if not ok:
            raise CompileError(f"layer {layer.name!r}", text)

    need(
        layer.pe == build.pe,
        f"needs lanes that {LANES[layer.pe]}, those of build {build.name!r} {LANES[build.pe]}",
    )
    height, width, channels = in_shape
    kernel_h, kernel_w = layer.kernel
    in_block = in_block or build.lanes
    need(
        all(1 <= step <= STRIDE_MAX for step in layer.stride),
        f"stride {layer.stride} is not supported: use 1 to {STRIDE_MAX}",
    )
    need(
        max(height, width, *layer.conv_shape(in_shape)[:2]) <= 2047,
        "maps must be at most 2047 rows and columns",
    )
    # A stride that steps over rows or columns does so inside the map.
    pieces = kernel_pieces(layer, build)
    for axis, least in ((0, min(p.height for p in pieces)), (1, min(p.width for p in pieces))):
        pads = max(layer.pads[axis], layer.pads[axis + 2])
        need(
            pads < least or layer.stride[axis] <= least,
            f"pads {layer.pads} must be smaller than the kernel {kernel_h}x{kernel_w}, whose "
            f"stride {layer.stride} is larger"
            + (f" than its pieces of {least}" if len(pieces) > 1 else ""),
        )
    need(channels <= 2048, f"{channels} input channels are above the 2048 of the core")
    need(
        channels <= in_block or in_block % build.word_pixels == 0,
        f"{channels} input channels come in blocks of {in_block}, which are not whole map words "
        f"of the {build.word_pixels} pixels of build {build.name!r}: use fewer word_pixels",
    )
    need(
        layer.weight_bits <= build.weight_bits,
        f"needs {layer.weight_bits}-bit weights, build {build.name!r} has {build.weight_bits}",
    )
    for form in (layer.in_format, layer.out_format):
        need(
            form.bits <= build.act_bits and not (form.bits == 16 and not form.signed),
            f"a map of {form.bits} bits {'signed' if form.signed else 'unsigned'} does not fit "
            f"build {build.name!r} with {build.act_bits}-bit activations",
        )
    name = "scale" if isinstance(layer.requant, Scale) else "shift"
    need(
        name in build.requant,
        f"needs the {name!r} requantiser, build {build.name!r} has {', '.join(build.requant)}",
    )
    ints, zero = layer.in_format.ints, layer.in_format.zero_point
    half = 1 << build.pixel_bits - 1
    need(
        ints.min - zero >= -half and ints.max - zero < half,
        f"pixels less the zero point {zero} need more than {build.pixel_bits} bits",
    )
    bits = bits_needed(layer.reach)
    need(
        bits <= build.acc_bits,
        f"accumulators need {bits} bits, build {build.name!r} has {build.acc_bits}",
    )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What `plan_layer` is given."""

    layer: Conv
    kind: str
    in_shape: Shape
    build: Build
    dense: bool
    in_blocks: tuple[int, int]
    out_block: int


class _Planner:
    """Plans one layer; `windows` are how many windows of columns it is computed in."""

    def __init__(self, task: _Task, windows: int) -> None:
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
        parts = grouped(layer, build) if layer.groups > 1 else None
        if parts is None:
            parts = ungrouped(layer, build, task.out_block)
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
