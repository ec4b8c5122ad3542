"""The AdderNets: what their layers are, and where their files stand."""

from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1]

#: Pictures are grey, SIZE x SIZE; there are CLASSES classes.
SIZE, CLASSES = 28, 10


@dataclass(frozen=True)
class Layer:
    """One layer: L1 distances ("adder") or a convolution ("conv"), each with a batch norm.

    All but a network's last one end in a ReLU, and `pool` says whether a 2x2 max pool follows.
    """

    name: str
    kind: str
    maps_in: int
    maps_out: int
    kernel: int
    stride: int = 1
    pad: int = 0
    pool: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights: filters, channels, rows, columns."""
        return self.maps_out, self.maps_in, self.kernel, self.kernel

    def size_out(self, size: int) -> int:
        """Edge of the square map that comes out, pooled, for the edge of the one that goes in."""
        size = (size + 2 * self.pad - self.kernel) // self.stride + 1
        return size // 2 if self.pool else size


@dataclass(frozen=True)
class AdderNet:
    """One network, how it is trained, and its files."""

    name: str
    layers: tuple[Layer, ...]
    #: Passes over the training set.
    epochs: int
    #: Pictures are moved by up to so many pixels in training, in both directions.
    shift: int
    #: Whether half of the pictures are mirrored in training.
    mirror: bool

    @property
    def folder(self) -> Path:
        """Folder of the network's files."""
        return MODELS / f"{self.name}_adder"

    @property
    def onnx(self) -> Path:
        """File of the 8-bit network."""
        return self.folder / f"{self.name}_adder.onnx"

    @property
    def weights(self) -> Path:
        """File of the trained float weights."""
        return self.folder / f"{self.name}_adder_float.npz"

    def labels(self) -> list[str]:
        """Return the class names, in class order."""
        return (self.folder / "labels.txt").read_text(encoding="utf-8").split()


DIGITS = AdderNet(
    name="digits",
    layers=(
        Layer("adder0", "adder", 1, 16, 3, stride=2, pad=1),
        Layer("adder1", "adder", 16, 32, 3, stride=2, pad=1),
        Layer("adder2", "adder", 32, 64, 3, stride=2, pad=1),
        Layer("adder3", "adder", 64, CLASSES, 4),
    ),
    epochs=40,
    shift=1,
    mirror=False,
)

FASHION = AdderNet(
    name="fashion",
    layers=(
        Layer("conv0", "conv", 1, 32, 3, pad=1, pool=True),
        Layer("adder1", "adder", 32, 64, 3, pad=1, pool=True),
        Layer("adder2", "adder", 64, 128, 3, pad=1, pool=True),
        Layer("adder3", "adder", 128, 128, 3, pad=1),
        Layer("conv4", "conv", 128, CLASSES, 3),
    ),
    epochs=12,
    shift=0,
    mirror=True,
)

NETWORKS = {network.name: network for network in (DIGITS, FASHION)}
