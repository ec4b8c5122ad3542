"""Train an AdderNet and write its float weights (needs torch and g++).

    pip install -e ".[train]"
    python -m models.adder.train digits --data DIR
    python -m models.adder.train fashion --data DIR

data.py says how to get the pictures.  The output, models/NAME_adder/NAME_adder_float.npz, is all
that quantise.py needs.  Every adder layer has its weights `LAYER_w` float32 [O, C, K, K] and what
the batch normalisation behind it does, `LAYER_gain` and `LAYER_offset` [O]; the gains are positive,
so that a max pool may come first.  A convolution has its normalisation folded in: `LAYER_w` and
`LAYER_b`.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.adder.data import DEFAULT_DATA, load
from models.adder.layer import Adder2d
from models.adder.networks import NETWORKS, AdderNet

BATCH = 128
PEAK_RATE = 0.1
DECAY = 5e-4
#: Gains of the batch norms stay at or above this.
LEAST_GAIN = 0.01
#: Pictures whose statistics the batch norms end with.
STATISTICS = 8192


def make_model(network: AdderNet) -> nn.Sequential:
    """Build the network: a layer, its batch norm, ReLU but at the end, max pools where due."""
    parts: list[nn.Module] = []
    for layer in network.layers:
        shape = (layer.maps_in, layer.maps_out, layer.kernel, layer.stride, layer.pad)
        make = {"adder": Adder2d, "conv": lambda *args: nn.Conv2d(*args, bias=False)}[layer.kind]
        parts += [make(*shape), nn.BatchNorm2d(layer.maps_out)]
        if layer is not network.layers[-1]:
            parts.append(nn.ReLU())
        if layer.pool:
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.Flatten())


def varied(network: AdderNet, batch: torch.Tensor) -> torch.Tensor:
    """Move every picture by up to `shift` pixels, and mirror half of them if they may be."""
    if network.mirror:
        chosen = torch.rand(len(batch)) < 0.5
        batch[chosen] = batch[chosen].flip(3)
    if network.shift:
        size = batch.shape[-1]
        wide = functional.pad(batch, (network.shift,) * 4)
        steps = torch.randint(0, 2 * network.shift + 1, (2, len(batch)))
        for n, (down, across) in enumerate(steps.t().tolist()):
            batch[n] = wide[n, :, down : down + size, across : across + size]
    return batch


def train(model: nn.Module, network: AdderNet, pictures: torch.Tensor, labels: torch.Tensor):
    """Train in place: SGD with momentum and weight decay, the rate rising, then along a cosine."""
    steps = len(pictures) // BATCH
    total = steps * network.epochs
    optimiser = torch.optim.SGD(
        model.parameters(), PEAK_RATE, momentum=0.9, weight_decay=DECAY, nesterov=True
    )
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    model.train()
    done = 0
    for epoch in range(network.epochs):
        start, losses, right = time.monotonic(), 0.0, 0
        order = torch.randperm(len(pictures))
        for rows in order[: steps * BATCH].split(BATCH):
            rising = min(1.0, (done + 1) / (0.05 * total))
            rate = PEAK_RATE * rising * 0.5 * (1 + math.cos(math.pi * done / total))
            for group in optimiser.param_groups:
                group["lr"] = rate
            scores = model(varied(network, pictures[rows]))
            loss = functional.cross_entropy(scores, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for norm in norms:
                    norm.weight.clamp_(min=LEAST_GAIN)
            losses += loss.item()
            right += int((scores.argmax(1) == labels[rows]).sum())
            done += 1
        seconds = time.monotonic() - start
        share = right / (steps * BATCH)
        said = f"mean loss {losses / steps:.4f}, {share:.2%} right, {seconds:.0f} s"
        print(f"epoch {epoch + 1}: {said}", flush=True)


@torch.no_grad()
def settle(model: nn.Module, pictures: torch.Tensor) -> None:
    """Measure the batch norms' statistics anew with the final weights, over so many pictures."""
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    for part in pictures.split(BATCH):
        model(part)
    model.eval()


def folded_weights(model: nn.Sequential, network: AdderNet) -> dict[str, np.ndarray]:
    """Collect all layers' weights, and their batch norms as gain and offset or folded in."""
    tensors: dict[str, torch.Tensor] = {}
    parts = [part for part in model if isinstance(part, Adder2d | nn.Conv2d)]
    norms = [part for part in model if isinstance(part, nn.BatchNorm2d)]
    for layer, part, norm in zip(network.layers, parts, norms, strict=True):
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        offset = norm.bias.double() - norm.running_mean.double() * gain
        weights = part.weight.double()
        if layer.kind == "conv":
            tensors[f"{layer.name}_w"] = weights * gain[:, None, None, None]
            tensors[f"{layer.name}_b"] = offset
        else:
            tensors[f"{layer.name}_w"] = weights
            tensors[f"{layer.name}_gain"] = gain
            tensors[f"{layer.name}_offset"] = offset
    return {name: tensor.detach().numpy().astype(np.float32) for name, tensor in tensors.items()}


@torch.inference_mode()
def accuracy(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of pictures [N, 1, 28, 28] whose highest score is the right class."""
    model.eval()
    scores = torch.cat([model(part) for part in pictures.split(500)])
    return float((scores.argmax(1) == labels).double().mean())


def tensors(network: AdderNet, folder: Path, *, held_out: bool) -> tuple[torch.Tensor, ...]:
    """Load pictures as input [N, 1, 28, 28], pixel / 255, and class numbers [N]."""
    pictures, labels = load(network, folder, held_out=held_out)
    scaled = pictures[:, None].astype(np.float32) / np.float32(255)
    return torch.from_numpy(scaled), torch.from_numpy(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train an AdderNet.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", type=Path, help="folder of the pictures")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    network = NETWORKS[args.network]
    folder = args.data or DEFAULT_DATA[network.name]

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # with several, sums round otherwise
    model = make_model(network).to(memory_format=torch.channels_last)
    pictures, labels = tensors(network, folder, held_out=False)
    train(model, network, pictures, labels)
    settle(model, pictures[torch.randperm(len(pictures))[:STATISTICS]])
    score = accuracy(model, *tensors(network, folder, held_out=True))
    print(f"{score:.2%} of the held-out pictures right")
    np.savez_compressed(
        args.out or network.weights,
        **folded_weights(model, network),
        seed=np.int64(args.seed),
        epochs=np.int64(network.epochs),
        torch_version=np.array(torch.__version__),
    )


if __name__ == "__main__":
    main()
