"""Train the VGG-6 on Fashion-MNIST and write its folded float weights (needs torch).

    pip install -e ".[train]"
    python models/fashion/train.py --data DIR

DIR holds the four IDX files; data.py says how to get them.  The output, fashion_float.npz, is all
that quantise.py needs: for every convolution `convK_w` float32 [M, C, 3, 3] and `convK_b` [M] with
the batch normalisation folded in, and for the last layer `fc_w` [10, 1152] and `fc_b` [10].
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from data import DEFAULT_DATA, HERE, TEST, TRAIN, load_split, to_input
from torch import nn

CHANNELS = (32, 32, 64, 64, 128, 128)  # maps out of each 3x3 convolution; a pool after every second
FEATURES = 128 * 3 * 3  # 28 -> 14 -> 7 -> 3 by floor pooling
CLASSES = 10
BATCH = 128
PEAK_RATE = 0.1


def make_model() -> nn.Sequential:
    """Build conv-BN-ReLU x 6 with a 2x2 max pool after every second one, then one dense layer."""
    layers: list[nn.Module] = []
    maps = 1
    for index, out in enumerate(CHANNELS):
        layers += [nn.Conv2d(maps, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        if index % 2:
            layers.append(nn.MaxPool2d(2))
        maps = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(FEATURES, CLASSES))


def flip_some(batch: torch.Tensor) -> torch.Tensor:
    """Mirror about half of the pictures [N, 1, 28, 28] left to right."""
    chosen = torch.rand(len(batch)) < 0.5
    batch[chosen] = batch[chosen].flip(3)
    return batch


def train(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Train in place: SGD with momentum, weight decay and a one-cycle learning rate."""
    steps = len(pictures) // BATCH
    optimiser = torch.optim.SGD(model.parameters(), PEAK_RATE, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, epochs=epochs, steps_per_epoch=steps
    )
    model.train()
    for epoch in range(epochs):
        start, total = time.monotonic(), 0.0
        order = torch.randperm(len(pictures))
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            loss = nn.functional.cross_entropy(model(flip_some(pictures[rows])), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - start
        print(f"epoch {epoch + 1}: mean loss {total / steps:.4f}, {seconds:.0f} s", flush=True)


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold a batch normalisation into the convolution before it: weights [M, C, 3, 3], bias [M]."""
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weights = conv.weight.double() * gain[:, None, None, None]
    return weights, norm.bias.double() - norm.running_mean.double() * gain


def folded_weights(model: nn.Sequential) -> dict[str, np.ndarray]:
    """Collect the weights of the six folded convolutions and the dense layer as float32 arrays."""
    layers = list(model)
    tensors: dict[str, torch.Tensor] = {}
    places = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    for number, at in enumerate(places):
        tensors[f"conv{number}_w"], tensors[f"conv{number}_b"] = fold(layers[at], layers[at + 1])
    tensors["fc_w"], tensors["fc_b"] = layers[-1].weight, layers[-1].bias
    return {name: tensor.detach().numpy().astype(np.float32) for name, tensor in tensors.items()}


@torch.inference_mode()
def accuracy(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of pictures [N, 1, 28, 28] whose highest score is the right class."""
    model.eval()
    right = sum(
        int((model(part).argmax(1) == answer).sum())
        for part, answer in zip(pictures.split(500), labels.split(500), strict=True)
    )
    return right / len(pictures)


def tensors(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Load one split as input [N, 1, 28, 28] and class numbers [N]."""
    pictures, labels = load_split(folder, split)
    return torch.from_numpy(to_input(pictures)), torch.from_numpy(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the VGG-6 on Fashion-MNIST.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the IDX files")
    parser.add_argument("--out", type=Path, default=HERE / "fashion_float.npz")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = make_model()
    train(model, *tensors(args.data, TRAIN), args.epochs)
    score = accuracy(model, *tensors(args.data, TEST))
    print(f"{score:.2%} of the test pictures right (before folding)")
    np.savez_compressed(
        args.out,
        **folded_weights(model),
        seed=np.int64(args.seed),
        epochs=np.int64(args.epochs),
        torch_version=np.array(torch.__version__),
    )


if __name__ == "__main__":
    main()
