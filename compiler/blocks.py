"""Block sizes: how many channels a pass writes, and the next layers find in a block.

The intake takes blocks of one size, of which only the last may be smaller. Passes of all lanes give
that, unless branches that end in smaller blocks are joined: then the passes of all these branches
write blocks of a size that divides every branch but the last.
"""

import math
from collections.abc import Iterator

from compiler.errors import CompileError
from golden.network import Network
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
    for family in _families(network):
        joining = [taken for taken in network.sources if len(taken) > 1 and taken[0] in family]
        inner = {t for taken in joining for t in taken[:-1]}
        divisor = math.gcd(*(shapes[t][2] for t in inner))
        fitting = [
            size
            for size in range(build.lanes, 0, -1)
            if divisor % size == 0 and size % build.word_pixels == 0
        ]
        if not fitting:
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
