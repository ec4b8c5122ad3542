"""A network under way: the layers so far, while the nodes of an ONNX graph pass by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from onnx import NodeProto

from compiler.errors import CompileError
from compiler.geometry import Window
from compiler.graph import Graph, label
from compiler.quantised import StoredConstant
from compiler.requantisation import Average, Sums, requantise
from compiler.tensors import QUANTISE, LostTensorError, Tensor, Values, describe, layer_name
from golden.conv import output_size
from golden.network import Conv, Layer, NetworkError, TensorFormat
from golden.pooling import MaxPool


class Chain:
    """The layers of a network, built while the nodes of its graph pass by in order.

    Parameters
    ----------
    graph : Graph
        The graph.

    Attributes
    ----------
    layers : list of Conv, MaxPool or AvgPool; Sums or Average while their output is not quantised
        The layers so far.
    sources : list of tuple of int
        The tensors that each takes, as in `golden.network.Network`.
    touched : int or None
        Place in the list of the layer that the latest node made or joined.
    input_shape : (int, int, int)
        (H, W, C) of the input.
    input_format : TensorFormat or None
        How the input is quantised, once that is known.
    stored : dict of str to StoredConstant
        Dequantised constants by tensor name.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer | Sums | Average] = []
        self.sources: list[tuple[int, ...]] = []
        self.touched: int | None = None
        self.input_format: TensorFormat | None = None
        self.stored: dict[str, StoredConstant] = {}
        sizes = graph.input_shape
        flat = len(sizes) == 1
        self.input_shape = (1, 1, sizes[0]) if flat else (sizes[1], sizes[2], sizes[0])
        self._takers = Counter(name for node in graph.nodes for name in node.input)
        self._takers.update(graph.outputs)
        self._tensors: dict[str, Tensor] = {}
        self._name(graph.input, Tensor(self.input_shape, Values((0,)), flat=flat))

    @property
    def finished(self) -> tuple[Layer, ...]:
        """The layers whose output is quantised: all of them after `finish`."""
        return tuple(layer for layer in self.layers if not isinstance(layer, Sums | Average))

    def _name(self, name: str, tensor: Tensor) -> None:
        """Let the graph's tensor of that name be `tensor`."""
        self._tensors[name] = tensor
        tensor.values.shared |= self._takers[name] > 1

    def source(self, node: NodeProto, at: int = 0) -> Tensor:
        """The map that a node takes as input `at`.

        Raises
        ------
        CompileError
            If it is constant, or no longer what its layer gives.
        LostTensorError
            If an unsupported node would have given it.
        """
        name = node.input[at]
        if name in self.graph.constants or name in self.stored:
            which = "first input" if at == 0 else "input"
            raise CompileError(
                label(node),
                f"its {which} {name!r} is constant",
                "fold constants before quantising",
            )
        if name not in self._tensors:
            raise LostTensorError(name)
        tensor = self._tensors[name]
        if tensor.values.replaced:
            raise CompileError(
                label(node),
                f"takes {name!r}, which another node has made part of a layer",
                "branch behind the ReLU and the quantisation, not before",
            )
        return tensor

    def quantised_source(self, node: NodeProto, form: TensorFormat, at: int = 0) -> Tensor:
        """`source` of a node on integers, which says what their format is.

        Raises
        ------
        CompileError
            If the input has another format, or is not quantised; else as `source`.
        """
        tensor = self.source(node, at)
        if tensor.form is None or tensor.real:
            raise CompileError(label(node), "its input is not quantised", QUANTISE)
        if tensor.unscaled:
            self._scale(tensor.values.tensors, replace(tensor.form, scale=form.scale))
            tensor = self.source(node, at)
        if tensor.form != form:
            assert tensor.form is not None
            raise CompileError(
                label(node),
                f"takes its input as {describe(form)}, but that is {describe(tensor.form)}",
                "the file contradicts itself: quantise again",
            )
        return tensor

    def dequantised_source(self, node: NodeProto, at: int = 0) -> tuple[Tensor, TensorFormat]:
        """`source` of a node on real numbers that stand for a quantised map, with its format.

        Raises
        ------
        CompileError
            If the input is not quantised; else as `source`.
        """
        tensor = self.source(node, at)
        return tensor, self.format_of(node, tensor)

    def format_of(self, node: NodeProto, tensor: Tensor) -> TensorFormat:
        """Format of what a node takes.

        Raises
        ------
        CompileError
            If it is not quantised yet.
        """
        if tensor.form is None:
            layer = self._layer(tensor)
            raise CompileError(
                label(node),
                "its input is not quantised",
                f"put QuantizeLinear and DequantizeLinear behind {layer.where}"
                if isinstance(layer, Sums | Average)
                else QUANTISE,
            )
        return tensor.form

    def _layer(self, tensor: Tensor) -> Layer | Sums | Average | None:
        """The one layer that gives a tensor; None for the input and for several."""
        (first, *more) = tensor.values.tensors
        return None if more or first == 0 else self.layers[first - 1]

    def view(self, node: NodeProto, tensor: Tensor, **guise: bool) -> None:
        """Let the node's output be values of the chain in another guise (`real`, `flat`)."""
        self._name(node.output[0], replace(tensor, **guise))

    def _append(
        self, node: NodeProto, layer: Layer | Sums | Average, source: Tensor, shape: Tensor
    ) -> Tensor:
        """Let the node be a layer that takes `source` and gives a map like `shape`."""
        self.layers.append(layer)
        self.sources.append(source.values.tensors)
        self.touched = len(self.layers) - 1
        tensor = replace(shape, values=Values((len(self.layers),)))
        self._name(node.output[0], tensor)
        return tensor

    def _join(self, node: NodeProto, layer: Layer | Sums | Average, tensor: Tensor) -> None:
        """Let the node be part of the layer that gives `tensor`: that becomes `layer`."""
        (place,) = tensor.values.tensors
        self.touched = place - 1
        self.layers[place - 1] = layer
        self._renew(node, tensor)

    def _renew(self, node: NodeProto, tensor: Tensor) -> None:
        """Let the node's output be new values in the place of its input's."""
        tensor.values.replaced = True
        self._name(node.output[0], replace(tensor, values=Values(tensor.values.tensors)))

    def append_pending(
        self, node: NodeProto, source: Tensor, made: tuple[Sums | Average, Tensor]
    ) -> Tensor:
        """Append a layer of `compiler.sums`; its output is pending until `quantise`."""
        layer, shape = made
        return self._append(node, layer, source, shape)

    def quantise(self, node: NodeProto, source: Tensor, form: TensorFormat) -> None:
        """Give the input, or a pending layer, the format of its values.

        Raises
        ------
        CompileError
            If no requantiser of the core does that.
        """
        layer = self._layer(source)
        quantised = replace(source, form=form, real=False)
        if isinstance(layer, Sums | Average):
            self._join(node, requantise(layer, form), quantised)
        else:
            self.input_format = form
            self._renew(node, quantised)

    def append(self, node: NodeProto, source: Tensor, layer: Conv) -> None:
        """Append a layer that is complete but for the scale of its output.

        Raises
        ------
        CompileError
            If the layer does not fit the map.
        """
        if source.flat:
            raise CompileError(label(node), "takes a vector", "put it before the Flatten")
        try:
            shape = layer.out_shape(source.shape)
        except NetworkError as error:
            text = str(error).removeprefix(f"layer {layer.name!r}: ")
            raise CompileError(label(node), text) from error
        given = Tensor(shape, source.values, form=layer.out_format, real=False, unscaled=True)
        self._append(node, layer, source, given)

    def _scale(self, tensors: tuple[int, ...], form: TensorFormat) -> None:
        """Let what a layer gives, and the pools between it and that, have a scale."""
        for place in tensors:
            layer = self.layers[place - 1]
            if isinstance(layer, MaxPool):
                self.layers[place - 1] = replace(layer, form=form)
                self._scale(self.sources[place - 1], form)
            elif isinstance(layer, Conv):
                self.layers[place - 1] = replace(layer, out_format=form)
        for name, tensor in self._tensors.items():
            if tensor.values.tensors == tensors:
                self._tensors[name] = replace(tensor, form=form, unscaled=False)

    def rectify(self, node: NodeProto, source: Tensor) -> None:
        """Let a convolution replace negative results by zero.

        Raises
        ------
        CompileError
            If another node gives what it takes, or others take that, too.
        """
        layer = self._layer(source)
        if not isinstance(layer, Sums | Conv):
            what = "the network's input" if source.values.tensors == (0,) else "a pool or a Concat"
            raise CompileError(
                label(node), f"acts on {what}", "it must follow a convolution or Gemm"
            )
        self._require_alone(node, source)
        self._join(node, replace(layer, relu=True), source)

    def _require_alone(self, node: NodeProto, source: Tensor) -> None:
        if source.values.shared:
            raise CompileError(
                label(node),
                f"acts on {node.input[0]!r}, which other nodes take as it is",
                "let them all take the result",
            )

    def pool(self, node: NodeProto, source: Tensor, window: Window) -> None:
        """Append a max-pool; one of 2x2 with stride 2 joins the convolution before it.

        That pools its sums: its scale is positive and its roundings monotone, so that the maximum
        of the sums becomes the maximum of the requantised values. What other nodes take unpooled,
        and what comes from elsewhere, is pooled by a layer of its own.

        Raises
        ------
        CompileError
            If the map is too small or a vector, or not quantised.
        """
        H, W, C = source.shape
        pads = window.pads(H, W)
        rows, cols = output_size((H, W), window.kernel, window.stride, pads)
        if source.flat or min(rows, cols) < 1:
            what = "a vector" if source.flat else f"a map of {H}x{W}"
            raise CompileError(label(node), f"pools {what}", "remove it, or use a larger picture")
        pooled = replace(source, shape=(rows, cols, C))
        layer = self._layer(source)
        square = (window.kernel, window.stride, pads) == ((2, 2), (2, 2), (0, 0, 0, 0))
        if square and isinstance(layer, Sums | Conv) and not (layer.pool or source.values.shared):
            self._join(node, replace(layer, pool=True), pooled)
            return
        form = self.format_of(node, source)
        try:
            pool = MaxPool(layer_name(node), window.kernel, window.stride, form, pads)
        except NetworkError as error:
            reason = str(error).partition(": ")[2]
            raise CompileError(label(node), reason, "pad less than a window") from error
        self._append(node, pool, source, pooled)

    def concatenate(self, node: NodeProto, parts: Sequence[Tensor]) -> None:
        """Put maps one behind the other along the channels: a longer list of blocks.

        Raises
        ------
        CompileError
            If they differ in more than their channels.
        """
        where, first = label(node), parts[0]
        forms = [self.format_of(node, part) for part in parts]
        for form in forms:
            if form != forms[0]:
                raise CompileError(
                    where,
                    f"joins a map of {describe(forms[0])} with one of {describe(form)}",
                    "let all branches have one scale and zero point, as openhop/squeezenet.py does",
                )
        if len({(part.shape[:2], part.flat) for part in parts}) > 1:
            sizes = ", ".join("x".join(map(str, part.shape[:2])) for part in parts)
            raise CompileError(where, f"joins maps of {sizes}", "they must be of one size")
        tensors = tuple(t for part in parts for t in part.values.tensors)
        shape = (*first.shape[:2], sum(part.shape[2] for part in parts))
        self._name(node.output[0], replace(first, shape=shape, values=Values(tensors)))

    def finish(self) -> None:
        """Make sure that the network is complete: quantised to its end, which is its output.

        Raises
        ------
        CompileError
            If it is not.
        """
        for layer in self.layers:
            if isinstance(layer, Sums | Average):
                raise CompileError(
                    layer.where,
                    "its output stays in floating point",
                    "quantise it too: the core gives 8 or 16 bits, which decide the label",
                )
        if not any(isinstance(layer, Conv) for layer in self.layers):
            raise CompileError("network", "has no layer for the core", "it needs a Conv or Gemm")
        for name in self.graph.outputs:
            tensor = self._tensors.get(name)
            last = (len(self.layers),)
            if tensor is None or tensor.values.tensors != last or tensor.values.replaced:
                raise CompileError(
                    f"output {name!r}",
                    "is not what the last layer gives",
                    "remove it: OpenHop gives the last map only",
                )
