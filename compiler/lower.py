"""Lowering: a planned layer becomes the words of its control stream."""

from collections.abc import Iterator

import numpy as np

from compiler.cuts import Piece
from compiler.passes import LayerPlan, PassPlan
from golden.descriptor import PassDescriptor
from golden.network import Conv
from golden.params import Build, ceil_div
from golden.requant import Scale


def control_streams(plan: LayerPlan) -> list[np.ndarray]:
    """Words of the layer's control stream, uint64, cut into its passes.

    A pass is its descriptor, then for each group of lanes the bias and the scale of each lane, then
    its loads of weights. A load is a tile of input channels: for each group, address by address, a
    bus word for every `weights_per_beat` lanes. Lanes without an output channel get zeros.
    """
    return [np.concatenate(list(_pass_words(plan, p))) for p in plan.passes]


def _pass_words(plan: LayerPlan, pass_plan: PassPlan) -> Iterator[np.ndarray]:
    layer, build, d = plan.layer, plan.build, pass_plan.descriptor
    yield np.array(d.words(), np.uint64)
    lanes = build.lanes_per_cluster
    weights, bias = layer.lane_weights(build.weight_bits), layer.lane_bias
    first, end = pass_plan.channels
    groups = [slice(start, min(start + lanes, end)) for start in range(first, end, lanes)]
    for channels in groups:
        count = channels.stop - channels.start
        parameters = np.zeros((lanes, 2), np.uint64)
        parameters[:count, 0] = bias[channels].astype(np.int64).view(np.uint64)
        if isinstance(layer.requant, Scale):
            parameters[:count, 1] = layer.requant.scale[channels].view(np.uint32)
        yield parameters.ravel()
    tiles = []
    for tile in range(d.tiles):
        parts = []
        for i, channels in enumerate(groups):
            word = pass_plan.part.first_word + i // d.team_groups * d.slice_words
            start, stop = word + tile * d.tile_words, word + d.slice_words
            if tile < d.tiles - 1:
                stop = start + d.tile_words
            pixels = build.word_pixels
            inputs = slice(start * pixels, min(stop * pixels, layer.in_channels))
            parts.append(_weights(layer, weights, channels, inputs, pass_plan.piece, d))
        packed = [pack_weights(part.reshape(len(part), -1), build) for part in parts]
        tiles.append(np.concatenate(packed))
    yield from tiles * (d.loads // d.tiles)


def _weights(
    layer: Conv,
    weights: np.ndarray,
    outputs: slice,
    inputs: slice,
    piece: Piece,
    d: PassDescriptor,
) -> np.ndarray:
    """A layer's weights of some channels for some others, zeros where their groups differ.

    In a depthwise pass, of every channel for itself.
    """
    if d.uniform:
        weights = weights[:, :, :1, :1]
    else:
        weights = weights[:, :, slice(*piece.rows), slice(*piece.cols)]
    if d.depthwise:
        return weights[outputs]
    if layer.groups == 1:
        return weights[outputs, inputs]
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    spread = np.zeros(
        (outputs.stop - outputs.start, inputs.stop - inputs.start, *weights.shape[2:]),
        weights.dtype,
    )
    for i in range(len(spread)):
        group = (outputs.start + i) // outs
        low, high = max(group * ins, inputs.start), min((group + 1) * ins, inputs.stop)
        if low < high:
            part = slice(low - group * ins, high - group * ins)
            spread[i, low - inputs.start : high - inputs.start] = weights[outputs.start + i, part]
    return spread


def pack_weights(weights: np.ndarray, build: Build) -> np.ndarray:
    """Pack weights (lanes, addresses) of one group into bus words, lane 0 lowest: uint64."""
    per_beat = build.weights_per_beat
    beats = ceil_div(build.lanes_per_cluster, per_beat)
    padded = np.zeros((weights.shape[1], beats * per_beat), np.int64)
    padded[:, : weights.shape[0]] = weights.T
    fields = (padded & (1 << build.weight_bits) - 1).astype(np.uint64)
    fields = fields.reshape(-1, per_beat)
    shifts = np.arange(per_beat, dtype=np.uint64) * np.uint64(build.weight_bits)
    return np.bitwise_or.reduce(fields << shifts, axis=1)
