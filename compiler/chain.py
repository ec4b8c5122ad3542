"""A network under way: what the tensors of an ONNX graph are to the core, and the layers so far."""

import math
from dataclasses import dataclass, replace

from onnx import NodeProto

from compiler.errors import CompileError
from compiler.geometry import Window
from compiler.graph import Graph, label
from compiler.quantised import Steps, StoredConstant
from compiler.requantisation import Sums, requantise
from golden.conv import output_size
from golden.network import Conv, NetworkError, TensorFormat

QUANTISE = "quantise the network first, with onnxruntime.quantization.quantize_static"


class LostTensorError(Exception):
    """A node takes what an unsupported node would have given."""


@dataclass(frozen=True)
class Tensor:
    """What a tensor of the graph is to the core: the map at some place of the chain.

    Attributes
    ----------
    shape : (int, int, int)
        (H, W, C) of the map.
    place : int
        Steps of the chain that made it; tensors that hold the same values share it.
    form : TensorFormat or None
        How the values are quantised, or None for real numbers that are not yet.
    real : bool
        Whether the graph has it in floating point.
    flat : bool
        Whether the graph has it as a vector, channel by channel.
    unscaled : bool
        Whether the scale of `form` means nothing yet: the node that gave the map did not say it.
    """

    shape: tuple[int, int, int]
    place: int = 0
    form: TensorFormat | None = None
    real: bool = True
    flat: bool = False
    unscaled: bool = False


class Chain:
    """Layers one after the other, built while the nodes of a graph pass by in order.

    Parameters
    ----------
    graph : Graph
        The graph.

    Attributes
    ----------
    layers : list of Conv
        Layers whose output is quantised.
    pending : Sums or None
        The last layer, while its output is not quantised yet.
    input_shape : (int, int, int)
        (H, W, C) of the input.
    input_format : TensorFormat or None
        How the input is quantised, once that is known.
    stored : dict of str to StoredConstant
        Dequantised constants by tensor name.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Conv] = []
        self.pending: Sums | None = None
        self.input_format: TensorFormat | None = None
        self.stored: dict[str, StoredConstant] = {}
        sizes = graph.input_shape
        flat = len(sizes) == 1
        self.input_shape = (1, 1, sizes[0]) if flat else (sizes[1], sizes[2], sizes[0])
        self._tensors = {graph.input: Tensor(self.input_shape, flat=flat)}
        self._place = 0

    @property
    def last(self) -> Sums | Conv | None:
        """The layer that came last."""
        return self.pending or (self.layers[-1] if self.layers else None)

    def source(self, node: NodeProto) -> Tensor:
        """The map that a node takes as its first input.

        Raises
        ------
        CompileError
            If it is constant, or, because the network branches, not the end of the chain.
        LostTensorError
            If an unsupported node would have given it.
        """
        name = node.input[0]
        if name in self.graph.constants or name in self.stored:
            raise CompileError(
                label(node),
                f"its first input {name!r} is constant",
                "fold constants before quantising",
            )
        if name not in self._tensors:
            raise LostTensorError(name)
        tensor = self._tensors[name]
        if tensor.place != self._place:
            raise CompileError(
                label(node),
                f"takes {name!r}, which another layer has taken already",
                "OpenHop runs chains of layers, without branches",
            )
        return tensor

    def quantised_source(self, node: NodeProto, form: TensorFormat) -> Tensor:
        """`source` of a node on integers, which says what their format is.

        Raises
        ------
        CompileError
            If the input has another format, or is not quantised; else as `source`.
        """
        tensor = self.source(node)
        if tensor.form is None or tensor.real:
            raise CompileError(label(node), "its input is not quantised", QUANTISE)
        if tensor.unscaled:
            tensor = self._scale(node.input[0], replace(tensor.form, scale=form.scale))
        if tensor.form != form:
            assert tensor.form is not None
            raise CompileError(
                label(node),
                f"takes its input as {describe(form)}, but that is {describe(tensor.form)}",
                "the file contradicts itself: quantise again",
            )
        return tensor

    def dequantised_source(self, node: NodeProto) -> tuple[Tensor, TensorFormat]:
        """`source` of a node on real numbers that stand for a quantised map, with its format.

        Raises
        ------
        CompileError
            If the input is not quantised; else as `source`.
        """
        tensor = self.source(node)
        if tensor.form is None:
            raise CompileError(
                label(node),
                "its input is not quantised",
                QUANTISE
                if self.pending is None
                else f"put QuantizeLinear and DequantizeLinear behind {self.pending.where}",
            )
        return tensor, tensor.form

    def view(self, node: NodeProto, tensor: Tensor, **guise: bool) -> None:
        """Let the node's output be values of the chain in another guise (`real`, `flat`)."""
        self._tensors[node.output[0]] = replace(tensor, **guise)

    def _advance(self, node: NodeProto, tensor: Tensor) -> Tensor:
        """Let the node's output be new values, the end of the chain from here on."""
        self._place += 1
        tensor = replace(tensor, place=self._place)
        self._tensors[node.output[0]] = tensor
        return tensor

    def convolve(
        self,
        node: NodeProto,
        source: Tensor,
        in_format: TensorFormat,
        weights: Steps,
        bias: Steps | None,
        window: Window,
    ) -> Tensor:
        """Append a convolution; its output is pending until `quantise`.

        Raises
        ------
        CompileError
            If weights and window do not fit the map.
        """
        where = label(node)
        H, W, C = source.shape
        if source.flat:
            raise CompileError(where, "convolves a vector", "use Gemm or MatMul after Flatten")
        if weights.values.shape[1] != C:
            raise CompileError(
                where,
                f"its weights are for {weights.values.shape[1]} channels, its input has {C}",
                "the file contradicts itself: export it again",
            )
        pads = window.pads(H, W)
        rows, cols = output_size((H, W), window.kernel, window.stride, pads)
        if rows < 1 or cols < 1:
            kernel = "x".join(map(str, window.kernel))
            raise CompileError(
                where,
                f"its {kernel} kernel is larger than its map of {H}x{W} with pads {list(pads)}",
                "use a larger picture, more padding or a smaller kernel",
            )
        self.pending = Sums(
            where=where,
            name=layer_name(node),
            in_format=in_format,
            weights=weights,
            bias=bias,
            stride=window.stride,
            pads=pads,
        )
        return self._advance(node, Tensor((rows, cols, len(weights.values))))

    def connect(
        self,
        node: NodeProto,
        source: Tensor,
        in_format: TensorFormat,
        weights: Steps,
        bias: Steps | None,
        gain: float = 1.0,
    ) -> Tensor:
        """Append a fully connected layer; its output is pending until `quantise`.

        Parameters
        ----------
        weights : Steps
            Weights (Cout, K), whose K inputs are the map channel by channel.
        gain : float
            Constant factor of the sums.

        Raises
        ------
        CompileError
            If the weights do not fit the map.
        """
        where = label(node)
        H, W, C = source.shape
        if not source.flat:
            raise CompileError(where, "multiplies a map", "put a Flatten before it")
        if weights.values.shape[1] != math.prod(source.shape):
            raise CompileError(
                where,
                f"its weights are for {weights.values.shape[1]} inputs, "
                f"but it takes {math.prod(source.shape)}",
                "the file contradicts itself: export it again",
            )
        self.pending = Sums(
            where=where,
            name=layer_name(node),
            in_format=in_format,
            weights=replace(weights, values=weights.values.reshape(-1, C, H, W)),
            bias=bias,
            kind="fc",
            gain=gain,
        )
        return self._advance(node, Tensor((1, 1, len(weights.values)), flat=True))

    def quantise(self, node: NodeProto, source: Tensor, form: TensorFormat) -> None:
        """Give the input, or the pending layer, the format of its values.

        Raises
        ------
        CompileError
            If no requantiser of the core does that.
        """
        if self.pending is None:
            self.input_format = form
        else:
            self.layers.append(requantise(self.pending, form))
            self.pending = None
        self._advance(node, replace(source, form=form, real=False))

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
        self.layers.append(layer)
        self._advance(node, Tensor(shape, form=layer.out_format, real=False, unscaled=True))

    def _scale(self, name: str, form: TensorFormat) -> Tensor:
        """Let the last layer's output, all tensors of which `name` is one, have a scale."""
        self.layers[-1] = replace(self.layers[-1], out_format=form)
        for other, tensor in self._tensors.items():
            if tensor.place == self._place:
                self._tensors[other] = replace(tensor, form=form, unscaled=False)
        return self._tensors[name]

    def rectify(self, node: NodeProto, source: Tensor) -> None:
        """Let the last layer replace negative results by zero.

        Raises
        ------
        CompileError
            If there is no layer.
        """
        if self.pending is not None:
            self.pending = replace(self.pending, relu=True)
        elif self.layers:
            self.layers[-1] = replace(self.layers[-1], relu=True)
        else:
            raise CompileError(
                label(node), "acts on the network's input", "it must follow a convolution or Gemm"
            )
        self._advance(node, source)

    def pool(self, node: NodeProto, source: Tensor) -> None:
        """Let the last layer pool its sums, 2x2 with stride 2.

        Its scale is positive and its roundings monotone, so that the maximum of the sums becomes
        the maximum of the requantised values.

        Raises
        ------
        CompileError
            If there is no layer, it pools already, or the map is too small.
        """
        last = self.last
        H, W, C = source.shape
        if last is None or last.pool:
            before = "another pool" if last else "the network's input"
            raise CompileError(
                label(node), f"pools {before}", "a pool must follow a convolution directly"
            )
        if source.flat or min(H, W) < 2:
            what = "a vector" if source.flat else f"a map of {H}x{W}"
            raise CompileError(label(node), f"pools {what}", "remove it, or use a larger picture")
        if self.pending is not None:
            self.pending = replace(self.pending, pool=True)
        else:
            self.layers[-1] = replace(self.layers[-1], pool=True)
        self._advance(node, replace(source, shape=(H // 2, W // 2, C)))

    def finish(self) -> None:
        """Make sure that the network is complete: quantised to its end, which is its output.

        Raises
        ------
        CompileError
            If it is not.
        """
        if self.pending is not None:
            raise CompileError(
                self.pending.where,
                "its output stays in floating point",
                "quantise it too: the core gives 8 or 16 bits, which decide the label",
            )
        if not self.layers:
            raise CompileError("network", "has no layer for the core", "it needs a Conv or Gemm")
        for name in self.graph.outputs:
            if name not in self._tensors or self._tensors[name].place != self._place:
                raise CompileError(
                    f"output {name!r}",
                    "is not the end of the chain of layers",
                    "remove it: OpenHop gives the last map only",
                )


def describe(form: TensorFormat) -> str:
    """A format in words."""
    return f"{form.ints} of scale {form.scale:.9g} and zero point {form.zero_point}"


def layer_name(node: NodeProto) -> str:
    """Name of the layer that a node becomes, without what the quantiser appended."""
    return (node.name or node.output[0]).removesuffix("_quant")
