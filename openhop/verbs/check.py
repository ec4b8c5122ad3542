"""`openhop check`: a verdict on every node of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compiler.checks import check_layer
from compiler.errors import CompileError
from compiler.onnx_import import NodeVerdict, Verdict, check, import_onnx
from golden.network import Network
from golden.params import Build, preset
from openhop import library, views
from openhop.output import require_writable, show, write_json


def main(*, model: str, build_name: str, json: Path | None) -> int:
    """Judge, print and write; 0 if the build runs the network, else 1."""
    require_writable(json)
    build = preset(build_name)
    path = library.model_path(model)
    verdicts = check(path)
    if _supported(verdicts):
        verdicts = list(on_build(verdicts, import_onnx(path), build))
    supported = _supported(verdicts)
    show(views.nodes(model, build.name, verdicts))
    nodes = [
        {"name": node.name, "type": node.op, "verdict": node.verdict.value, "note": node.note}
        for node in verdicts
    ]
    content = {"model": model, "preset": build.name, "supported": supported, "nodes": nodes}
    write_json(json, content)
    return 0 if supported else 1


def on_build(
    verdicts: Sequence[NodeVerdict], network: Network, build: Build
) -> Iterator[NodeVerdict]:
    """Judge the nodes of a network that OpenHop runs once more, for one build of the core."""
    refused: dict[str, str] = {}
    for layer, shape in zip(network.layers, network.shapes, strict=False):
        try:
            check_layer(layer, shape, build)
        except CompileError as error:
            refused[layer.name] = error.reason
    for node in verdicts:
        # A layer has the name of its node, without what the quantiser appended.
        layer = node.name.removesuffix("_quant")
        reason = refused.get(layer) if node.verdict is Verdict.CORE else None
        yield replace(node, verdict=Verdict.UNSUPPORTED, note=reason) if reason else node


def _supported(verdicts: Sequence[NodeVerdict]) -> bool:
    return all(node.verdict is not Verdict.UNSUPPORTED for node in verdicts)
