"""`openhop check`: a verdict on every node of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compiler.blocks import block_channels
from compiler.errors import CompileError
from compiler.onnx_import import NodeVerdict, Verdict, check, import_onnx
from compiler.passes import LayerPlan
from compiler.plan import build_for, plan_layer, plan_network
from compiler.pools import never_negative
from golden.network import Conv, Network
from golden.params import Build, presets
from openhop import library, views
from openhop.output import require_writable, show, write_json
from openhop.running import names


def main(*, model: str, build_name: str | None, json: Path | None) -> int:
    """Judge, print and write; 0 if the build runs the network, else 1."""
    require_writable(json)
    builds = presets(build_name or "nullhop")
    path = library.model_path(model)
    verdicts = check(path)
    if _supported(verdicts):
        network = import_onnx(path)
        builds = builds if build_name else presets(library.default_preset(network))
        verdicts = list(on_build(verdicts, network, builds))
    supported = _supported(verdicts)
    show(views.nodes(model, names(builds), verdicts))
    nodes = [
        {"name": node.name, "type": node.op, "verdict": node.verdict.value, "note": node.note}
        for node in verdicts
    ]
    content = {"model": model, "preset": names(builds), "supported": supported, "nodes": nodes}
    write_json(json, content)
    return 0 if supported else 1


def on_build(
    verdicts: Sequence[NodeVerdict], network: Network, builds: Build | Sequence[Build]
) -> Iterator[NodeVerdict]:
    """Judge the nodes of a network that OpenHop runs once more, for builds of the core."""
    refused: dict[str, str] = {}
    positive = never_negative(network)
    inputs = zip(network.layers, network.in_shapes, network.sources, strict=True)
    for layer, shape, taken in inputs:
        if not isinstance(layer, Conv):
            continue
        above_zero = all(positive[t] for t in taken)
        try:
            plan_layer(layer, shape, build_for(layer, builds), positive=above_zero)
        except CompileError as error:
            refused[layer.name] = error.reason
    try:
        block_channels(network, builds if isinstance(builds, Build) else builds[0])
    except CompileError as error:
        names = {f"layer {layer.name!r}": layer.name for layer in network.layers}
        refused[names[error.where]] = error.reason
    pools = set()
    if not refused:
        plans = zip(network.layers, plan_network(network, builds), strict=True)
        pools = {layer.name for layer, plan in plans if isinstance(plan, LayerPlan)}
    for node in verdicts:
        # A layer has the name of its node, without what the quantiser appended.
        layer = node.name.removesuffix("_quant")
        reason = refused.get(layer) if node.verdict is not Verdict.FOLDED else None
        if reason:
            yield replace(node, verdict=Verdict.UNSUPPORTED, note=reason)
        elif node.verdict is Verdict.HOST and layer in pools:
            yield replace(node, verdict=Verdict.CORE, note="")
        else:
            yield node


def _supported(verdicts: Sequence[NodeVerdict]) -> bool:
    return all(node.verdict is not Verdict.UNSUPPORTED for node in verdicts)
