"""What the tensors of an ONNX graph are to the core."""

from dataclasses import dataclass

from onnx import NodeProto

from golden.network import TensorFormat

QUANTISE = "quantise the network first, with onnxruntime.quantization.quantize_static"


class LostTensorError(Exception):
    """A node takes what an unsupported node would have given."""


@dataclass
class Values:
    """What a layer gives, or the input, or several of them one behind the other.

    Attributes
    ----------
    tensors : tuple of int
        As in `golden.network.Network.sources`.
    shared : bool
        Whether more than one node takes them.
    replaced : bool
        Whether a node has become part of the layer, so that it gives other values now.
    """

    tensors: tuple[int, ...]
    shared: bool = False
    replaced: bool = False


@dataclass(frozen=True)
class Tensor:
    """What a tensor of the graph is to the core.

    Attributes
    ----------
    shape : (int, int, int)
        (H, W, C) of the map.
    values : Values
        What it holds; tensors that hold the same share it.
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
    values: Values
    form: TensorFormat | None = None
    real: bool = True
    flat: bool = False
    unscaled: bool = False


def describe(form: TensorFormat) -> str:
    """A format in words."""
    return f"{form.ints} of scale {form.scale:.9g} and zero point {form.zero_point}"


def layer_name(node: NodeProto) -> str:
    """Name of the layer that a node becomes, without what the quantiser appended."""
    return (node.name or node.output[0]).removesuffix("_quant")
