"""What stands between the layers: pools, and nodes that only reshape or pass on a map."""

import math

from onnx import NodeProto

from compiler.chain import Chain
from compiler.errors import CompileError
from compiler.geometry import check_pool
from compiler.graph import attributes, label


def max_pool(chain: Chain, node: NodeProto) -> None:
    """Pool in the layer before."""
    source = chain.source(node)
    H, W, _ = source.shape
    check_pool(node, H, W)
    chain.pool(node, source)


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
