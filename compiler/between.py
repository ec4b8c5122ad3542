"""What stands between the layers: pools, and nodes that only reshape or pass on a map."""

import math

from onnx import NodeProto

from compiler.chain import Chain
from compiler.errors import CompileError
from compiler.geometry import read_pool
from compiler.graph import attributes, label
from compiler.tensors import Tensor


def max_pool(chain: Chain, node: NodeProto) -> None:
    """Pool in the convolution before, or in a layer of its own."""
    source = chain.source(node)
    H, W, _ = source.shape
    chain.pool(node, source, read_pool(node, H, W))


def concat(chain: Chain, node: NodeProto) -> None:
    """Put maps one behind the other along the channels."""
    parts = [chain.source(node, at) for at in range(len(node.input))]
    require_channels(node, parts[0])
    chain.concatenate(node, parts)


def require_channels(node: NodeProto, first: Tensor) -> None:
    """Make sure that a node joins maps along their channels.

    Raises
    ------
    CompileError
        If it joins them along another axis.
    """
    axis = attributes(node).get("axis", 1)
    if axis % (2 if first.flat else 4) != 1:
        raise CompileError(label(node), f"joins maps along axis {axis}", "join channels, axis 1")


def flatten(chain: Chain, node: NodeProto) -> None:
    """Read a map as a vector: Flatten, Reshape or Squeeze to N x K."""
    source, where = chain.source(node), label(node)
    size = math.prod(source.shape)
    if node.op_type == "Flatten":
        fits = attributes(node).get("axis", 1) in (1, -3 if not source.flat else -1)
    elif node.op_type == "Reshape":
        shape = chain.graph.constant(node, 1, "shape").tolist()
        # The batch is 1, copied (0) or left open (-1); so may be the vector, but not both.
        fits = len(shape) == 2 and shape[0] in (-1, 0, 1) and shape[1] in (-1, size)
        fits = fits and shape != [-1, -1]
    else:
        axes = chain.graph.constant(node, 1, "axes").tolist()
        fits = sorted(axis % 4 for axis in axes) == [2, 3] and source.shape[:2] == (1, 1)
    if not fits:
        raise CompileError(where, "gives another shape than a vector", "flatten to N x K only")
    chain.view(node, source, flat=True)


def identity(chain: Chain, node: NodeProto) -> None:
    """Let the values pass, as far as the core is concerned."""
    if node.input[0] in chain.graph.constants:
        chain.graph.constants[node.output[0]] = chain.graph.constants[node.input[0]]
    else:
        chain.view(node, chain.source(node))
