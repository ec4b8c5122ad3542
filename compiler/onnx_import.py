"""ONNX in: a quantised network as the golden model knows it, and a verdict on every node.

Two forms are read: QOperator (QLinearConv and its kin) and Q/DQ, both as onnxruntime's
`quantize_static` writes them. Adder layers are nodes of OpenHop's own (`compiler.adder`).
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import NodeProto

from compiler import adder, between, qdq, qlinear
from compiler.chain import Chain, LostTensorError
from compiler.errors import CompileError
from compiler.graph import Graph, label, load_model
from compiler.metadata import read_labels, read_preprocessing
from compiler.requantisation import Sums
from golden.network import Conv, Network, NetworkError


class Verdict(enum.StrEnum):
    """Where a node is computed."""

    CORE = "runs on the core"
    FOLDED = "folded"
    HOST = "on the host"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class NodeVerdict:
    """What becomes of one node.

    Attributes
    ----------
    name, op : str
        Name (or first output, where it has none) and type of the node.
    verdict : Verdict
        Where it is computed.
    note : str
        What it becomes; if it is unsupported, why, and what to change.
    """

    name: str
    op: str
    verdict: Verdict
    note: str = ""


Handler = Callable[[Chain, NodeProto], None]

#: Nodes that the core computes, by type.
CORE: dict[str, Handler] = {
    "QLinearConv": qlinear.qlinear_conv,
    "QGemm": qlinear.qgemm,
    "QLinearMatMul": qlinear.qlinear_matmul,
    "Conv": qdq.conv,
    "Gemm": qdq.gemm,
    "MatMul": qdq.matmul,
    "Relu": qdq.relu,
    "MaxPool": between.max_pool,
    adder.OP: adder.adder_conv,
}
#: Nodes that leave no trace, or only in the formats of the maps.
FOLDED: dict[str, Handler] = {
    "QuantizeLinear": qdq.quantize_linear,
    "DequantizeLinear": qdq.dequantize_linear,
    "Flatten": between.flatten,
    "Reshape": between.flatten,
    "Squeeze": between.flatten,
    "Identity": between.identity,
    "Dropout": between.identity,
}
#: Nodes that may stand behind the last layer, since a label does not change by them.
HOST = {"Softmax", "LogSoftmax", "QLinearSoftmax", "ArgMax", "Sigmoid", "QLinearSigmoid", "Cast"}

QUANTISE_STATICALLY = "quantise with quantize_static, not quantize_dynamic"
NO_BRANCHES = "OpenHop runs chains of layers, without branches"
NO_SUM = f"{NO_BRANCHES}; quant_pre_process makes a Gemm of MatMul and Add, before quantising"
NO_AVERAGE = "use a 2x2 MaxPool, or a Flatten with Gemm"
ONLY_RELU = "use Relu, the one activation of the core"
#: What to do about nodes that are met often.
HINTS = {
    "Add": NO_SUM,
    "QLinearAdd": NO_SUM,
    "Concat": NO_BRANCHES,
    "QLinearConcat": NO_BRANCHES,
    "AveragePool": NO_AVERAGE,
    "GlobalAveragePool": NO_AVERAGE,
    "QLinearAveragePool": NO_AVERAGE,
    "QLinearGlobalAveragePool": NO_AVERAGE,
    "BatchNormalization": "fold it into the convolution (quant_pre_process) before quantising",
    "ConvInteger": QUANTISE_STATICALLY,
    "DynamicQuantizeLinear": QUANTISE_STATICALLY,
    "MatMulInteger": QUANTISE_STATICALLY,
    "Clip": ONLY_RELU,
    "Elu": ONLY_RELU,
    "HardSwish": ONLY_RELU,
    "LeakyRelu": ONLY_RELU,
    "PRelu": ONLY_RELU,
    "QLinearLeakyRelu": ONLY_RELU,
    "Tanh": ONLY_RELU,
    "Transpose": "export the network with channels first (N x C x H x W)",
}
DOMAINS = ("", "ai.onnx", "com.microsoft")


def import_onnx(source: str | Path | onnx.ModelProto) -> Network:
    """Read a quantised network.

    A pool and a ReLU join the layer before them; a fully connected layer becomes a convolution
    whose kernel is the map. The last map is that of the last layer: what comes behind it (Softmax,
    ArgMax, DequantizeLinear) is the host's. A dynamic batch is 1.

    Metadata properties of the model say how to prepare a picture and what the classes are called
    (`compiler.metadata`).

    Parameters
    ----------
    source : path or ModelProto
        The network.

    Raises
    ------
    CompileError
        Names the first node that OpenHop cannot take, and what to change.
    """
    model = load_model(source)
    graph = Graph(model)
    chain = Chain(graph)
    _, faults = _walk(chain)
    if faults:
        raise faults[0]
    assert chain.input_format is not None  # a chain without faults has it
    name = model.graph.name if isinstance(source, onnx.ModelProto) else Path(source).stem
    try:
        return Network(
            name=name,
            input_shape=chain.input_shape,
            input_format=chain.input_format,
            layers=tuple(chain.layers),
            labels=read_labels(graph.metadata),
            preprocessing=read_preprocessing(graph.metadata, chain.input_shape),
        )
    except NetworkError as error:
        raise CompileError(name, str(error)) from error


def check(source: str | Path | onnx.ModelProto) -> list[NodeVerdict]:
    """Judge every node of a network, in the graph's order.

    `import_onnx` accepts the network if no node is unsupported.

    Raises
    ------
    CompileError
        If there is no graph to judge: no such file, several inputs, missing initialisers, no node
        between input and output.
    """
    verdicts, _ = _walk(Chain(Graph(load_model(source))))
    return verdicts


def _walk(chain: Chain) -> tuple[list[NodeVerdict], list[CompileError]]:
    """Take every node in order; the faults are those of the unsupported ones."""
    graph = chain.graph
    tail = _tail(graph)
    host: set[str] = set()
    verdicts: list[NodeVerdict] = []
    faults: list[CompileError] = []
    for node in graph.nodes:
        try:
            verdict, note = _take(chain, node, tail, host)
        except LostTensorError:
            verdict, note = _by_type(node), "not checked in full: it follows an unsupported node"
        except CompileError as error:
            faults.append(error)
            verdict, note = Verdict.UNSUPPORTED, error.reason
        verdicts.append(NodeVerdict(_name(node), node.op_type, verdict, note))
    if not faults:
        try:
            chain.finish()
        except CompileError as error:
            if not verdicts:
                raise
            faults.append(error)
            blamed = [at for at, node in enumerate(graph.nodes) if label(node) == error.where]
            at = blamed[0] if blamed else -1
            verdicts[at] = replace(verdicts[at], verdict=Verdict.UNSUPPORTED, note=error.reason)
    idle = [
        NodeVerdict(_name(node), node.op_type, Verdict.FOLDED, "no output needs it")
        for node in graph.idle
    ]
    return verdicts + idle, faults


def _take(chain: Chain, node: NodeProto, tail: set[str], host: set[str]) -> tuple[Verdict, str]:
    """Let the chain take one node; the verdict with its note.

    `tail` has the tensors behind the last layer, `host` those that the host computes.
    """
    op, where = node.op_type, label(node)
    stock = node.domain in DOMAINS and op != adder.OP
    if not stock and (node.domain, op) != (adder.DOMAIN, adder.OP):
        raise CompileError(where, f"is of domain {node.domain!r}", "use standard ONNX nodes")
    if op in HOST or not host.isdisjoint(node.input):
        if node.output[0] not in tail:
            raise CompileError(
                where,
                f"{op} stands between two layers",
                "the host computes only what is behind them",
            )
        between.identity(chain, node)
        host.update(node.output)
        return Verdict.HOST, "behind the last layer; the label is the largest value of that"
    if op in CORE:
        before = chain.last
        CORE[op](chain, node)
        return Verdict.CORE, _describe(before, chain.last)
    if op in FOLDED:
        quantised_input = chain.input_format is not None
        FOLDED[op](chain, node)
        if not quantised_input and chain.input_format is not None:
            return Verdict.HOST, "quantises the picture"
        if op == "DequantizeLinear" and node.output[0] in tail:
            return Verdict.HOST, "gives the result as real numbers"
        return Verdict.FOLDED, ""
    raise CompileError(
        where,
        f"{op} is not supported",
        HINTS.get(op, "the core has convolutions, Gemm, MatMul, Relu and 2x2 MaxPool"),
    )


def _describe(before: Sums | Conv | None, layer: Sums | Conv | None) -> str:
    """What a node of the core did: it made the layer, or joined it."""
    if layer is None or (before is not None and before.name == layer.name):
        return f"with {layer.name}" if layer else ""
    weights = layer.weights.values if isinstance(layer, Sums) else layer.weights
    outputs, inputs, rows, cols = weights.shape
    return f"{layer.kind} {rows}x{cols}, {inputs} to {outputs} channels"


def _tail(graph: Graph) -> set[str]:
    """Tensors that no layer needs."""
    passing = HOST | FOLDED.keys()
    needed = {name for node in graph.nodes if node.op_type not in passing for name in node.input}
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
    return {name for node in graph.nodes for name in node.output} - needed


def _by_type(node: NodeProto) -> Verdict:
    """The verdict on a node whose input is not known."""
    if node.op_type in CORE:
        return Verdict.CORE
    return Verdict.HOST if node.op_type in HOST else Verdict.FOLDED


def _name(node: NodeProto) -> str:
    return node.name or node.output[0]
