"""Block sizes: how many channels a pass writes, and the next layers find in a block.

The intake takes branches of one size, each of them cut into blocks of one size, of which the last
may be smaller; so may the last branch. Passes of any one size give that, unless branches of
different sizes are joined: then the passes of all of them write blocks of a size that divides every
branch but the last, so that they make up one branch together.
"""

import math
from collections.abc import Iterator, Sequence

from compiler.cuts import arrival_cycles, map_layout
from compiler.errors import CompileError
from golden.network import Conv, Network
from golden.params import Build, ceil_div

#: What a pass costs beside its work, as part of a pass that one team makes alone.
PASS_OVERHEAD = 1 / 64


def block_channels(network: Network, build: Build) -> list[int]:
    """Channels of every block but the last, for each tensor: the input's, each layer's output's.

    Raises
    ------
    CompileError
        If no size of blocks suits the branches that a layer joins.
    """
    shapes = network.shapes
    sizes = [build.lanes] * len(shapes)
    for i, (layer, in_shape) in enumerate(zip(network.layers, network.in_shapes, strict=True)):
        if isinstance(layer, Conv):
            sizes[i + 1] = lone_block(layer, in_shape, build)
    for family in _families(network):
        joining = [taken for taken in network.sources if len(taken) > 1 and taken[0] in family]
        lists = [[shapes[t][2] for t in taken] for taken in joining]
        fitting = [
            size
            for size in range(build.lanes, 0, -build.word_pixels)
            if all(branch_channels(channels, size, build) for channels in lists)
        ]
        if not fitting:
            inner = {t for taken in joining for t in taken[:-1]}
            branches = ", ".join(str(shapes[t][2]) for t in sorted(inner))
            raise CompileError(
                f"layer {network.layers[network.sources.index(joining[0])].name!r}",
                f"joins branches of {branches} channels, which are not whole map words of "
                f"{build.word_pixels} pixels of build {build.name!r}",
                "let all branches but the last have a multiple of so many channels",
            )
        channels = [shapes[t][2] for t in family if t]
        size = min(fitting, key=lambda size: sum(turns(n, size, build) for n in channels))
        for t in family:
            sizes[t] = size
    return sizes


def lone_block(layer: Conv, in_shape: tuple[int, int, int], build: Build) -> int:
    """Channels of the blocks of a layer whose output joins no other: so that few clusters idle.

    Smaller blocks take more passes, and a map that does not stay on chip comes again for each.
    """
    channels = layer.out_channels
    step = math.lcm(build.lanes_per_cluster, build.word_pixels)
    if layer.groups > 1 or step > build.lanes:
        return build.lanes
    best = min(range(build.lanes, 0, -step), key=lambda block: turns(channels, block, build))
    rows, cols, _ = layer.conv_shape(in_shape)
    visits = rows * cols * math.prod(layer.weights.shape[1:]) / 2  # half of the pixels are zeros
    arrival = arrival_cycles(in_shape, build)
    if map_layout(layer, in_shape, build).capacity < in_shape[0]:
        arrival *= ceil_div(channels, best)
    # Else the first pass has to wait for the map, and a quicker one waits longer.
    return best if arrival < visits * turns(min(best, channels), best, build) else build.lanes


def branch_channels(channels: Sequence[int], block: int, build: Build) -> int:
    """Channels of a branch as the intake is told, given those that are joined; 0 if it cannot.

    `block` are the channels of the blocks.
    """
    *inner, last = channels
    if any(count % build.word_pixels for count in inner):
        return 0
    if all(count % block == 0 for count in inner):
        return sum(channels)
    return inner[0] if set(inner) == {inner[0]} and last <= inner[0] else 0


def turns(channels: int, block: int, build: Build) -> float:
    """Estimate the time of a layer's passes, in passes that one team makes alone.

    Clusters that a pass leaves over form further teams, which share its work out.
    """
    total = 0.0
    for start in range(0, channels, block):
        groups = ceil_div(min(block, channels - start), build.lanes_per_cluster)
        total += 1 / (build.clusters // groups) + PASS_OVERHEAD
    return total


def _families(network: Network) -> Iterator[set[int]]:
    """Sets of tensors that are joined, directly or through others."""
    families: list[set[int]] = []
    for taken in network.sources:
        if len(taken) > 1:
            family = set(taken)
            for other in [other for other in families if other & family]:
                family |= other
                families.remove(other)
            families.append(family)
    return iter(families)
