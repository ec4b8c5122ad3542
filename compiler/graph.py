"""An ONNX graph made easy to walk: constants and attributes are values, and nothing is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from compiler.errors import CompileError


def load_model(source: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """Read an ONNX file; a model that is in memory already is returned as it is.

    Raises
    ------
    CompileError
        If there is no such file, or it holds no ONNX network.
    """
    if isinstance(source, onnx.ModelProto):
        name, model = source.graph.name or "model", source
    else:
        name = str(source)
        try:
            model = onnx.load(name)
        except OSError as error:
            raise CompileError(name, f"cannot be read: {error.strerror or error}") from error
        except Exception as error:  # protobuf and onnx have no common class for a damaged file
            raise CompileError(
                name, "is not a complete ONNX file", "export it or fetch it again"
            ) from error
    if not model.graph.node:
        raise CompileError(name, "holds no network", "give an ONNX file with at least one layer")
    return model


def label(node: NodeProto) -> str:
    """Name a node in a message: its own name, or its first output where it has none."""
    return f"{node.name or ' '.join(node.output[:1])} ({node.op_type})"


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes of a node as Python values, strings decoded."""
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


class Graph:
    """What a model computes its outputs with, in order.

    Parameters
    ----------
    model : ModelProto
        The model; its weights are in memory.

    Attributes
    ----------
    nodes : list of NodeProto
        Nodes that an output needs, each after those whose outputs it takes.
    idle : list of NodeProto
        Nodes that no output needs.
    constants : dict of str to ndarray
        Initialisers and `Constant` nodes by tensor name.
    input : str
        Name of the network's input, a float tensor.
    input_shape : tuple of int
        Its shape without the batch: (C, H, W), or (K,) for a vector.
    outputs : list of str
        Names of the network's outputs.
    metadata : dict of str to str
        Metadata properties of the model.

    Raises
    ------
    CompileError
        If the graph has not one float input of a fixed shape, or a node takes a tensor that
        nothing gives.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        _check_names(model)
        graph, name = model.graph, model.graph.name or "model"
        try:
            onnx.checker.check_model(model)
        except Exception as error:  # beside its own, it passes on those of protobuf
            reason = str(error).strip().partition("\n")[0]
            raise CompileError(name, f"is not valid ONNX ({reason})", "export it again") from error

        self.metadata = {item.key: item.value for item in model.metadata_props}
        self.outputs = [item.name for item in graph.output]
        self.constants = {item.name: _array(item) for item in graph.initializer}
        nodes: list[NodeProto] = []
        for node in graph.node:
            value = attributes(node).get("value") if node.op_type == "Constant" else None
            if value is None:
                nodes.append(node)
            else:
                self.constants[node.output[0]] = _array(value)

        inputs = [item for item in graph.input if item.name not in self.constants]
        if len(inputs) != 1:
            names = ", ".join(item.name for item in inputs) or "none"
            raise CompileError(
                name,
                f"has {len(inputs)} inputs ({names})",
                "OpenHop takes networks with exactly one",
            )
        self.input = inputs[0].name
        self.input_shape = _shape_without_batch(inputs[0])

        needed = set(self.outputs)
        self.nodes, self.idle = [], []
        for node in reversed(nodes):
            if needed.isdisjoint(node.output):
                self.idle.insert(0, node)
            else:
                self.nodes.insert(0, node)
                needed.update(node.input)

    def constant(self, node: NodeProto, index: int, role: str) -> np.ndarray:
        """Constant input `index` of a node; `role` is what a message calls it.

        Raises
        ------
        CompileError
            If it is left out, or not constant.
        """
        value = self.optional(node, index, role)
        if value is None:
            raise CompileError(label(node), f"has no {role}", "the file is incomplete")
        return value

    def optional(self, node: NodeProto, index: int, role: str) -> np.ndarray | None:
        """Constant input `index` of a node, or None where the node leaves it out.

        Raises
        ------
        CompileError
            If it is not constant.
        """
        name = node.input[index] if index < len(node.input) else ""
        if not name:
            return None
        if name not in self.constants:
            raise CompileError(
                label(node), f"its {role} {name!r} is not constant", "only the map may be computed"
            )
        return self.constants[name]


def _check_names(model: onnx.ModelProto) -> None:
    """Make sure that every name is text, and every tensor that is taken is given."""
    graph = model.graph
    known = {item.name for item in [*graph.input, *graph.initializer]}
    texts = [*known, *(item.name for item in graph.output)]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
    if not all(isinstance(text, str) for text in texts):  # protobuf gives bytes if it is not UTF-8
        raise CompileError("model", "has damaged names", "export it or fetch it again")
    for node in graph.node:
        for name in filter(None, node.input):
            if name not in known:
                raise CompileError(
                    label(node),
                    f"its input {name!r} is neither an initialiser nor an earlier output",
                    "the file is incomplete: export it again",
                )
        known.update(node.output)
    for item in graph.output:
        if item.name not in known:
            raise CompileError(f"output {item.name!r}", "no node gives it", "export it again")


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # numpy, onnx and protobuf each have their own for missing bytes
        raise CompileError(
            f"initialiser {tensor.name!r}", "its values are damaged or missing", "export it again"
        ) from error


def _shape_without_batch(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    tensor, where = value.type.tensor_type, f"input {value.name!r}"
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kinds = {number: kind for kind, number in onnx.TensorProto.DataType.items()}
        kind = kinds.get(tensor.elem_type, "of an unknown type")
        raise CompileError(where, f"is {kind}", "let it be float, with a QuantizeLinear behind it")
    dims = tensor.shape.dim
    sizes = tuple(dim.dim_value for dim in dims)
    shape = " x ".join(str(dim.dim_value or dim.dim_param or "?") for dim in dims)
    if len(sizes) not in (2, 4) or min(sizes[1:]) < 1:
        raise CompileError(
            where,
            f"has the shape {shape or 'of a scalar'}",
            "fix it to N x C x H x W, where only N may be dynamic",
        )
    if sizes[0] > 1:
        raise CompileError(where, f"has a batch of {sizes[0]}", "export it with batch 1 or dynamic")
    return sizes[1:]
