"""What skipping dead weights would save: operations of an AdderNet, and lane cycles in lockstep.

    python -m openhop.dead_weights digits-adder [--images F...] [--json FILE]

A weight at or below zero adds nothing to an unsigned map's sums (`golden.adder`), but lanes of a
cluster share each pixel: a visit can be left out only where the weight is dead in all of them.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from golden.adder import Adder
from golden.network import Network
from openhop import library
from openhop.figures import dense_ops
from openhop.output import show, table, write_json
from openhop.pictures import load_picture
from openhop.views import percent

#: Lanes in lockstep that are looked at.
LANES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Work:
    """Operations of one layer, summed over pictures.

    Attributes
    ----------
    name : str
        The layer's.
    dense, useful, live : int
        All operations; those whose pixel is not zero; those whose weight is above zero, too.
    given, ordered : dict of int to float
        Visits left in lockstep by lanes of a cluster, as a share of those without skipping: filters
        in the file's order, and ordered so that alike ones share a cluster.
    apart : float
        The same if each of the layer's lanes went through a list of its own, until the slowest one
        is done.
    """

    name: str
    dense: int
    useful: int
    live: int
    given: dict[int, float]
    ordered: dict[int, float]
    apart: float

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "name": self.name,
            "dense_ops": self.dense,
            "useful_ops": self.useful,
            "live_ops": self.live,
            "visits_left": self.given,
            "visits_left_ordered": self.ordered,
            "visits_left_apart": self.apart,
        }


def measure(network: Network, maps: Sequence[Sequence[np.ndarray]]) -> list[Work]:
    """Count the work of a network's adder layers over some pictures' maps (`Network.run`)."""
    return [
        _layer_work(layer, [of_picture[index] for of_picture in maps])
        for index, layer in enumerate(network.layers)
        if isinstance(layer, Adder)
    ]


def _layer_work(layer: Adder, inputs: Sequence[np.ndarray]) -> Work:
    visits = np.sum([tap_visits(layer, x) for x in inputs], axis=0)
    # A signed map has pixels of both signs: only a weight of 0 is dead for all of them.
    live = layer.weights != 0 if layer.in_format.signed else layer.weights > 0
    alone = (visits * live).sum(axis=(1, 2, 3))
    every = int(visits.sum())

    def share(groups: Callable[[np.ndarray, np.ndarray, int], list[np.ndarray]]) -> dict:
        found = {}
        for lanes in LANES:
            parts = groups(live, visits, lanes)
            left = sum(int((visits * part.any(axis=0)).sum()) for part in parts)
            found[lanes] = left / (every * len(parts)) if every else 1.0
        return found

    return Work(
        name=layer.name,
        dense=sum(dense_ops(layer, (x.shape[0], x.shape[1], x.shape[2])) for x in inputs),
        useful=layer.out_channels * every,
        live=int(alone.sum()),
        given=share(as_given),
        ordered=share(by_pattern),
        apart=int(alone.max()) / every if every else 1.0,
    )


def tap_visits(layer: Adder, x: np.ndarray) -> np.ndarray:
    """Visits of every tap (Cin, kh, kw): outputs that see a pixel through it that is not zero."""
    rows, cols, _ = layer.conv_shape((x.shape[0], x.shape[1], x.shape[2]))
    if layer.pool:
        rows, cols = rows // 2 * 2, cols // 2 * 2
    counts = np.zeros(layer.weights.shape[1:], np.int64)
    (top, left, _, _), (sy, sx) = layer.pads, layer.stride
    for c, ky, kx in np.ndindex(counts.shape):
        ys, xs = np.arange(rows) * sy + ky - top, np.arange(cols) * sx + kx - left
        ys, xs = ys[(ys >= 0) & (ys < x.shape[0])], xs[(xs >= 0) & (xs < x.shape[1])]
        counts[c, ky, kx] = np.count_nonzero(x[np.ix_(ys, xs, [c])])
    return counts


def as_given(live: np.ndarray, _visits: np.ndarray, lanes: int) -> list[np.ndarray]:
    """Filters in clusters of so many lanes, in their order."""
    return [live[first : first + lanes] for first in range(0, len(live), lanes)]


def by_pattern(live: np.ndarray, visits: np.ndarray, lanes: int) -> list[np.ndarray]:
    """Filters in clusters of so many lanes, each begun with the costliest filter that is left.

    The next one is that which adds least to what the cluster has to visit.
    """
    left = list(np.argsort(-(visits * live).sum(axis=(1, 2, 3)), kind="stable"))
    clusters = []
    while left:
        chosen = [left.pop(0)]
        union = live[chosen[0]].copy()
        while left and len(chosen) < lanes:
            added = [(visits * (live[at] & ~union)).sum() for at in left]
            chosen.append(left.pop(int(np.argmin(added))))
            union |= live[chosen[-1]]
        clusters.append(live[chosen])
    return clusters


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--images", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    network = library.load(options.model)
    pictures = options.images or library.sample_pictures(options.model)
    maps = [network.run(load_picture(path, network)) for path in pictures]
    layers = measure(network, maps)
    operations = table(
        f"{network.name}, {len(pictures)} pictures: operations in % of the dense ones",
        *("layer", "dense", "x = 0 skipped", "w <= 0 too"),
    )
    visits = table(
        "Visits in lockstep in % of those without skipping dead weights: lanes, filters as given "
        "and ordered",
        "layer",
        *(f"{lanes}{how}" for how in ("", " ord.") for lanes in LANES[1:]),
        "own lists",
    )
    for work in layers:
        shares = (work.useful / work.dense, work.live / work.dense)
        operations.add_row(work.name, f"{work.dense:,}", *map(percent, shares))
        left = [way[lanes] for way in (work.given, work.ordered) for lanes in LANES[1:]]
        visits.add_row(work.name, *map(percent, left), percent(work.apart))
    show([operations, visits])
    command = f"python -m openhop.dead_weights {options.model}"
    content = {"command": command, "model": network.name, "images": len(pictures)}
    write_json(options.json, {**content, "layers": [work.json() for work in layers]})


if __name__ == "__main__":
    main()
