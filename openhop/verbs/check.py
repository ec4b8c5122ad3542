"""`openhop check`: a verdict on every node of a network."""

from pathlib import Path

from compiler.onnx_import import Verdict, check
from openhop import library, views
from openhop.output import require_writable, show, write_json


def main(*, model: str, json: Path | None) -> int:
    """Judge, print and write; 0 if OpenHop runs the network, else 1."""
    require_writable(json)
    verdicts = check(library.model_path(model))
    show(views.nodes(model, verdicts))
    supported = all(node.verdict is not Verdict.UNSUPPORTED for node in verdicts)
    nodes = [
        {"name": node.name, "type": node.op, "verdict": node.verdict.value, "note": node.note}
        for node in verdicts
    ]
    write_json(json, {"model": model, "supported": supported, "nodes": nodes})
    return 0 if supported else 1
