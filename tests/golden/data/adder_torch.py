"""Makes `adder.npz`: adder layers computed by PyTorch, which the tests do not install.

Run as `python tests/golden/data/adder_torch.py` where torch and numpy are. The layer is AdderNet's
own: windows of the zero-padded map by `unfold`, L1 distances by `cdist`. Operands are integers, and
so are the sums in float64.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

#: Map (H, W, C), output channels, kernel, stride, pads (top, left, bottom, right), signed.
CASES = (
    ((9, 8, 5), 4, (3, 3), (1, 1), (1, 1, 1, 1), False),
    ((9, 8, 5), 4, (3, 3), (1, 1), (1, 1, 1, 1), True),
    ((11, 7, 3), 6, (5, 2), (2, 1), (2, 0, 1, 1), False),
    ((11, 7, 3), 6, (2, 5), (1, 2), (0, 3, 1, 2), True),
    ((4, 4, 20), 10, (4, 4), (1, 1), (0, 0, 0, 0), False),
    ((13, 12, 2), 3, (7, 7), (4, 3), (6, 5, 4, 3), True),
    ((6, 6, 33), 5, (1, 1), (3, 3), (0, 0, 0, 0), False),
)


def adder(x: torch.Tensor, w: torch.Tensor, stride: tuple, pads: tuple) -> torch.Tensor:
    """-sum |x - w|: x (C, H, W), w (O, C, kh, kw), result (O, rows, columns), all float64."""
    top, left, bottom, right = pads
    padded = functional.pad(x[None], (left, right, top, bottom))
    rows = (padded.shape[2] - w.shape[2]) // stride[0] + 1
    taps = functional.unfold(padded, w.shape[2:], stride=stride)[0].T
    return -torch.cdist(taps, w.flatten(1), p=1.0).T.reshape(len(w), rows, -1)


def main() -> None:
    """Write the vectors beside this script."""
    rng = np.random.default_rng(0)
    arrays = {}
    for index, (shape, channels, kernel, stride, pads, signed) in enumerate(CASES):
        low, high = (-128, 127) if signed else (0, 255)
        x = rng.integers(low, high, shape, endpoint=True)
        x[rng.random(shape) < 0.4] = 0
        # A quarter of the weights is wider than a pixel.
        w = rng.integers(-300, 400, (channels, shape[2], *kernel), endpoint=True)
        y = adder(
            torch.tensor(x.transpose(2, 0, 1)).double(), torch.tensor(w).double(), stride, pads
        )
        arrays |= {
            f"x{index}": x.astype(np.int8 if signed else np.uint8),
            f"w{index}": w.astype(np.int16),
            f"y{index}": y.numpy().transpose(1, 2, 0).astype(np.int32),
        }
        assert (arrays[f"y{index}"] == y.numpy().transpose(1, 2, 0)).all()
    geometry = [{"stride": stride, "pads": pads} for _, _, _, stride, pads, _ in CASES]
    arrays["geometry"] = np.array(json.dumps(geometry))
    arrays["torch"] = np.array(torch.__version__)
    np.savez_compressed(Path(__file__).with_name("adder.npz"), **arrays)


if __name__ == "__main__":
    main()
