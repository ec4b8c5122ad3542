"""The planner: splits a layer into passes, and a pass over the clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.errors import CompileError
from compiler.geometry import STRIDE_MAX
from compiler.tiling import choose_tiling
from golden.conv import bits_needed
from golden.descriptor import (
    REQUANT_SCALE,
    REQUANT_SHIFT,
    ClusterWork,
    PassDescriptor,
)
from golden.network import Conv, Network
from golden.params import LOADS_MAX, Build, ceil_div
from golden.requant import Scale, Shift

#: Cycles that a stripe costs a cluster beside its visits, for choosing a split.
STRIPE_OVERHEAD = 16
#: Cycles that an output column costs beside its visits.
COLUMN_OVERHEAD = 2

#: What lanes do, for messages.
LANES = {"mac": "multiply", "l1": "add |x - w|"}

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of columns of one output row of one block, as it leaves the core in one piece."""

    context: int
    row: int
    columns: Range


@dataclass(frozen=True, kw_only=True)
class PassPlan:
    """One pass: its descriptor, the output channels [first, end), and what leaves the core.

    `column_ranges` cut every row of the pass's block; `segments` come in each context's order.
    """

    descriptor: PassDescriptor
    channels: Range
    column_ranges: tuple[Range, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """A layer on a build: `in_shape` and `out_shape` are (H, W, C)."""

    layer: Conv
    build: Build
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    dense: bool
    passes: tuple[PassPlan, ...]

    @property
    def descriptors(self) -> tuple[PassDescriptor, ...]:
        """The passes' descriptors."""
        return tuple(p.descriptor for p in self.passes)


def plan_network(
    network: Network, build: Build | Sequence[Build], *, dense_input: bool = False
) -> list[LayerPlan]:
    """Plan every layer; `dense_input` says that the first map comes without sparsity maps.

    Of several builds, side by side, each takes the layers that are for its lanes.

    Raises
    ------
    CompileError
        If the build cannot run a layer: names the layer, what it needs and what there is.
    """
    return [
        plan_layer(layer, shape, build_for(layer, build), dense=dense_input and i == 0)
        for i, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=False))
    ]


def build_for(layer: Conv, builds: Build | Sequence[Build]) -> Build:
    """The build whose lanes a layer needs; the first of all where none has them."""
    if isinstance(builds, Build):
        return builds
    return next((build for build in builds if build.pe == layer.pe), builds[0])


def plan_layer(
    layer: Conv, in_shape: tuple[int, int, int], build: Build, *, dense: bool = False
) -> LayerPlan:
    """Plan one layer for an input map of `in_shape`.

    Raises
    ------
    CompileError
        If the build cannot run it.
    """
    check_layer(layer, in_shape, build)
    rows, cols, channels = layer.conv_shape(in_shape)
    if layer.pool:  # an odd row or column at the end has no output: it is not computed
        rows, cols = rows // 2 * 2, cols // 2 * 2
    groups = ceil_div(channels, build.lanes_per_cluster)
    count = ceil_div(groups, build.clusters)
    passes = tuple(
        _plan_pass(layer, in_shape, build, dense, (rows, cols, channels), i, count)
        for i in range(count)
    )
    return LayerPlan(
        layer=layer,
        build=build,
        in_shape=in_shape,
        out_shape=layer.out_shape(in_shape),
        dense=dense,
        passes=passes,
    )


def check_layer(layer: Conv, in_shape: tuple[int, int, int], build: Build) -> None:
    """Refuse what the build cannot run.

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
    need(
        max(layer.kernel) <= build.k_max,
        f"kernel {kernel_h}x{kernel_w} is above the {build.k_max}x{build.k_max} of build "
        f"{build.name!r}",
    )
    need(
        all(1 <= step <= STRIDE_MAX for step in layer.stride),
        f"stride {layer.stride} is not supported: use 1 to {STRIDE_MAX}",
    )
    need(
        max(height, width, *layer.conv_shape(in_shape)[:2]) <= 2047,
        "maps must be at most 2047 rows and columns",
    )
    need(
        max(layer.pads[0], layer.pads[2]) < kernel_h
        and max(layer.pads[1], layer.pads[3]) < kernel_w,
        f"pads {layer.pads} must be smaller than the kernel {kernel_h}x{kernel_w}",
    )
    need(channels <= 2048, f"{channels} input channels are above the 2048 of the core")
    need(
        channels <= build.lanes or build.lanes % build.word_pixels == 0,
        f"{channels} input channels come in blocks of {build.lanes}, which are not whole map words "
        f"of the {build.word_pixels} pixels of build {build.name!r}: use fewer word_pixels",
    )
    ring = ring_rows(in_shape, build)
    stripe = min(height, kernel_h + layer.stride[0])
    need(
        ring >= stripe,
        f"needs {stripe} input rows on chip, build {build.name!r} holds {ring} "
        f"of {width} columns and {channels} channels: use a build with more map_words",
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


def ring_rows(in_shape: tuple[int, int, int], build: Build) -> int:
    """Input rows that the map banks hold, at most those of the map."""
    height, width, channels = in_shape
    pitch = width * ceil_div(ceil_div(channels, build.word_pixels), build.clusters)
    return min(height, build.map_words // pitch)


def splits(teams: int) -> Iterator[tuple[int, int]]:
    """Ways to split over at most that many teams: over stripes, over columns."""
    for over_columns in range(1, teams + 1):
        yield teams // over_columns, over_columns


def cut_columns(cols: int, parts: int, *, even: bool) -> tuple[Range, ...]:
    """Cut columns into at most `parts` ranges of nearly equal width, of even width if asked."""
    unit = 2 if even else 1
    step = ceil_div(ceil_div(cols, unit), parts) * unit
    return tuple((first, min(first + step, cols)) for first in range(0, cols, step))


def choose_split(
    layer: Conv, rows: int, cols: int, teams: int, ring: int | None
) -> tuple[int, tuple[Range, ...]]:
    """Teams over stripes, and the column ranges, with the least estimated cycles.

    `ring` is how many input rows are on chip at a time; None if all of them are.
    """
    stripes = ceil_div(rows, 2)
    kernel_h, kernel_w = layer.kernel
    # Half of the pixels taken for zeros: only the proportion to the overheads matters.
    work = kernel_h * kernel_w * layer.in_channels + COLUMN_OVERHEAD

    def cost(split: tuple[int, int]) -> tuple[int, int]:
        over_stripes, over_columns = split
        width = max(end - first for first, end in cut_columns(cols, over_columns, even=layer.pool))
        turns = ceil_div(stripes, over_stripes)
        return turns * (width * work + STRIPE_OVERHEAD + kernel_w), over_columns

    # Teams that are stripes apart need all rows between them on chip.
    fitting = [
        (down, across)
        for down, across in splits(teams)
        if down == 1 or ring is None or ring >= 2 * layer.stride[0] * down + kernel_h + 1
    ] or [(1, teams)]
    down, across = min(fitting, key=cost)
    return min(down, stripes), cut_columns(cols, across, even=layer.pool)


def _plan_pass(
    layer: Conv,
    in_shape: tuple[int, int, int],
    build: Build,
    dense: bool,
    conv_shape: tuple[int, int, int],
    index: int,
    count: int,
) -> PassPlan:
    height, width, in_channels = in_shape
    rows, cols, out_channels = conv_shape
    kernel_h, kernel_w = layer.kernel
    stride_h, stride_w = layer.stride
    last_tap, last_phase = divmod(kernel_w - 1, stride_w)
    top, left = layer.pads[:2]
    lanes = build.lanes_per_cluster
    first = index * build.lanes
    end = min(first + build.lanes, out_channels)
    groups = ceil_div(end - first, lanes)
    ring = ring_rows(in_shape, build)
    col_words = ceil_div(in_channels, build.word_pixels)
    col_pitch = ceil_div(col_words, build.clusters)
    row_pitch = width * col_pitch
    # A single output row has no row after it to go to.
    jump_rows = 1 + max(0, stride_h - kernel_h) if rows > 1 else 1
    jump_columns = 1 + max(0, stride_w - kernel_w)
    resident = ring == height
    teams = build.clusters // groups
    on_chip = None if resident else ring
    down, ranges = choose_split(layer, rows, cols, teams, on_chip)
    widest = max(end_col - first_col for first_col, end_col in ranges)
    tiling = choose_tiling(layer, build, columns=widest, down=down, ring=on_chip)
    regions = ceil_div(ceil_div(ceil_div(rows, 2), down), tiling.region)
    loads = tiling.tiles * (1 if tiling.resident else regions)
    if loads > LOADS_MAX:
        raise CompileError(
            f"layer {layer.name!r}",
            f"loads {tiling.tiles} tiles of weights {regions} times over, {loads} loads are above "
            f"the {LOADS_MAX} of the core: use a build with more weight_words or acc_words",
        )

    def work(cluster: int) -> ClusterWork:
        team, group = divmod(cluster, groups)
        if team >= down * len(ranges):
            return ClusterWork()
        stripe, part = divmod(team, len(ranges))
        first_col, end_col = ranges[part]
        skipped = max(0, first_col * stride_w - left)
        return ClusterWork(
            active=True,
            team=team,
            group=group,
            first_stripe=stripe,
            stripe_step=down,
            first_col=first_col,
            end_col=end_col,
            lanes=min(lanes, end - first - group * lanes),
            first_address=skipped * col_pitch,
            first_bank=(skipped * col_words * (kernel_h + stride_h)) % build.clusters,
        )

    shift = layer.requant if isinstance(layer.requant, Shift) else None
    low, high = layer.clamp
    descriptor = PassDescriptor(
        first=index == 0,
        last=index == count - 1,
        load_map=index == 0 or not resident,
        dense=dense,
        signed_in=layer.in_format.signed,
        pool=layer.pool,
        requant=REQUANT_SHIFT if shift else REQUANT_SCALE,
        rounding=shift.rounding.value if shift else 0,
        shift=shift.shift if shift else 0,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=stride_h,
        stride_w=stride_w,
        pad_top=top,
        pad_left=left,
        groups=groups,
        in_rows=height,
        in_cols=width,
        in_channels=in_channels,
        block_channels=build.lanes,
        in_zero=layer.in_format.zero_point,
        out_rows=rows,
        out_cols=cols,
        out_channels=end - first,
        out_zero=layer.out_format.zero_point,
        clamp_low=low,
        clamp_high=high,
        ring_rows=ring,
        row_pitch=row_pitch,
        col_pitch=col_pitch,
        col_words=col_words,
        kernel_size=kernel_h * kernel_w,
        **vars(tiling),
        loads=loads,
        word_step=build.word_pixels * kernel_h * kernel_w,
        taps=sum(len(range(phase, kernel_w, stride_w)) << 3 * phase for phase in range(stride_w)),
        last_tap=last_tap,
        last_phase=last_phase,
        row_step=stride_h * kernel_w,
        ring_words=ring * row_pitch,
        jump_words=jump_rows * row_pitch,
        jump_rows=jump_rows,
        row_skip=(jump_rows - 1) * col_words % build.clusters,
        jump_columns=jump_columns,
        column_skip=(jump_columns - 1) * col_words * (kernel_h + stride_h) % build.clusters,
        column_jump=jump_columns * col_pitch,
        clusters=tuple(work(cluster) for cluster in range(build.clusters)),
    )
    shrink = 2 if layer.pool else 1
    return PassPlan(
        descriptor=descriptor,
        channels=(first, end),
        column_ranges=tuple((a // shrink, b // shrink) for a, b in ranges),
        segments=tuple(_segments(descriptor)),
    )


def _segments(descriptor: PassDescriptor) -> Iterator[Segment]:
    """The segments that leave the core in a pass, in each context's order."""
    shrink = 2 if descriptor.pool else 1
    for work in descriptor.clusters:
        if not work.active or work.group:
            continue
        columns = (work.first_col // shrink, work.end_col // shrink)
        for stripe in range(work.first_stripe, descriptor.stripes, work.stripe_step):
            for lower in range(1 if descriptor.pool else 2):
                row = stripe if descriptor.pool else 2 * stripe + lower
                if row * shrink < descriptor.out_rows:
                    yield Segment(context=2 * work.team + lower, row=row, columns=columns)
