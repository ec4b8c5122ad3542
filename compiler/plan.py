"""The plan of a network: which layers run on which build, and in what passes."""

from collections.abc import Sequence

from compiler.blocks import block_channels, branch_channels
from compiler.checks import check_layer
from compiler.cuts import Shape
from compiler.errors import CompileError
from compiler.host import HostPlan
from compiler.passes import LayerPlan
from compiler.planner import Planner, Task
from compiler.pools import as_convolution, never_negative, runs_on_core
from golden.network import Conv, Layer, Network
from golden.params import Build

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
        above_zero = all(positive[t] for t in taken)
        parts = [shapes[t][2] for t in taken]
        in_blocks = (sizes[taken[0]], branch_channels(parts, sizes[taken[0]], own))
        dense = dense_input and 0 in taken
        if isinstance(layer, Conv):
            plan = plan_layer(
                layer,
                shape,
                own,
                dense=dense,
                in_blocks=in_blocks,
                out_block=sizes[i + 1],
                own_blocks=i + 1 not in joined,
                positive=above_zero,
            )
            if layer.groups > 1:
                sizes[i + 1] = plan.out_blocks[0][0]
        elif runs_on_core(layer, own, positive=above_zero, joined=i + 1 in joined):
            plan = plan_layer(
                as_convolution(layer, shape[2]),
                shape,
                own,
                dense=dense,
                in_blocks=in_blocks,
                kind=layer.kind,
                positive=above_zero,
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
    own_blocks: bool = True,
    kind: str | None = None,
    positive: bool = False,
) -> LayerPlan:
    """Plan one layer for an input map of `in_shape`.

    `in_blocks` are the channels of the input map's blocks, and those of its branches
    (`golden.descriptor.block_sizes`), `out_block` those of every pass but the last; as many as the
    build has lanes, and one branch, if absent. With `own_blocks` a grouped layer chooses blocks
    that suit its groups; else it computes with zeros between its groups. `kind` is "maxpool" or
    "avgpool" where the layer stands for a pool. `positive` says that no pixel of the map is below
    its zero point: sums then need fewer bits.

    Raises
    ------
    CompileError
        If the build cannot run it.
    """
    in_blocks = in_blocks or (build.lanes, in_shape[2])
    check_layer(layer, in_shape, build, in_blocks[0], positive=positive)
    cols = layer.conv_shape(in_shape)[1]
    if layer.pool:
        cols = cols // 2 * 2
    task = Task(
        layer=layer,
        kind=kind or layer.kind,
        in_shape=in_shape,
        build=build,
        dense=dense,
        in_blocks=in_blocks,
        out_block=out_block or build.lanes,
        own_blocks=own_blocks,
    )
    # Sums that find no room at once are computed a window of columns after the other.
    windows, refusal = 1, None
    while windows <= cols:
        try:
            return Planner(task, windows).plan()
        except CompileError as error:
            refusal = refusal or error
        windows *= 2
    assert refusal
    raise refusal
