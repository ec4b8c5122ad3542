"""What others need for the same layers: dense systolic arrays, and NullHop as published."""

from dataclasses import dataclass
from typing import Any

from golden.params import ceil_div
from openhop.figures import LayerFigures, is_pool

#: Rows and columns of the systolic array: 128 multipliers, as many as NullHop has.
ARRAY = (8, 16)


@dataclass(frozen=True, kw_only=True)
class Systolic:
    """Compute cycles of a dense systolic array: output and weight stationary."""

    os: int
    ws: int

    def __add__(self, other: "Systolic") -> "Systolic":
        return Systolic(os=self.os + other.os, ws=self.ws + other.ws)


def systolic(
    padded: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    channels: tuple[int, int],
    array: tuple[int, int] = ARRAY,
) -> Systolic:
    """Compute cycles of one layer on an R x C array, as SCALE-Sim counts them.

    SCALE-Sim (Samajdar et al., ISPASS 2020; version 3.0.0) without prefetch, for N filters of
    K = kh kw Cin weights and P = ceil((H - kh + s) / s) ceil((W - kw + s) / s) positions:

        os:  ceil(P / R) ceil(N / C) (K +  R + C - 2) - 1
        ws:  ceil(K / R) ceil(N / C) (P + 2R + C - 2) - 1

    Parameters
    ----------
    padded : (int, int)
        Rows and columns of the input map with its padding.
    kernel, stride : (int, int)
        Rows and columns. SCALE-Sim knows one stride; here each axis has its own.
    channels : (int, int)
        In and out.
    array : (int, int)
        R and C.

    Notes
    -----
    SCALE-Sim rounds the output's size up where the stride does not divide, so that it may count
    positions that the layer does not have.
    """
    R, C = array
    H, W = (ceil_div(n - k + s, s) for n, k, s in zip(padded, kernel, stride, strict=True))
    P, K, N = H * W, kernel[0] * kernel[1] * channels[0], channels[1]
    return Systolic(
        os=ceil_div(P, R) * ceil_div(N, C) * (K + R + C - 2) - 1,
        ws=ceil_div(K, R) * ceil_div(N, C) * (P + 2 * R + C - 2) - 1,
    )


def systolic_of(layer: LayerFigures, pads: tuple[int, int, int, int]) -> Systolic:
    """`systolic` of a layer with its pads: top, left, bottom, right; nothing for a pool."""
    if is_pool(layer.kind):
        return Systolic(os=0, ws=0)
    height, width, channels = layer.in_shape
    padded = (height + pads[0] + pads[2], width + pads[1] + pads[3])
    return systolic(padded, layer.kernel, layer.stride, (channels, layer.out_shape[2]))


@dataclass(frozen=True, kw_only=True)
class Published:
    """NullHop's own figures for a network's convolutions.

    Parameters
    ----------
    milliseconds, efficiency : float
        Time per frame at 500 MHz, and dense operations per MAC and cycle, in its simulation.
    zeros : float
        Share of zeros in the maps, weighted with the operations.
    board_efficiency : float
        Efficiency on its FPGA board (XC7Z100, 60 MHz), whole network with the host.
    zeros_source, source, board_source : str
        Where the figures stand.
    """

    milliseconds: float
    efficiency: float
    zeros: float
    board_efficiency: float
    zeros_source: str
    source: str = (
        "Aimar et al., NullHop, IEEE TNNLS 30(3), 2019: 28 nm, 500 MHz, simulated, 128 MACs"
    )
    board_source: str = "board figures as cited by CoNNA (2020)"

    @property
    def cycles(self) -> int:
        """Cycles of its convolutions at 500 MHz."""
        return round(self.milliseconds * 500e3)

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "cycles": self.cycles,
            "efficiency": self.efficiency,
            "input_zeros": self.zeros,
            "input_zeros_source": self.zeros_source,
            "source": self.source,
            "board_efficiency": self.board_efficiency,
            "board_source": self.board_source,
        }


#: By name of the table. Whether the times hold the loading of weights is not said there.
NULLHOP = {
    "vgg16": Published(
        milliseconds=72.94,
        efficiency=3.288,
        zeros=0.696,
        board_efficiency=0.887,
        zeros_source="cited from the paper, second-hand",
    ),
    "vgg19": Published(
        milliseconds=82.83,
        efficiency=3.68,
        zeros=0.728,
        board_efficiency=1.048,
        zeros_source="implied by 368 %",
    ),
}
