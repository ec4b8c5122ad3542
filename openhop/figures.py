"""The figures of a layer: sums over pictures, and the ratios that follow from them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from compiler.passes import LayerPlan
from golden.conv import useful_ops
from golden.network import Conv, Layer
from sim.network import LayerRun

#: What a cluster spends a cycle on; every cluster-cycle has exactly one of them.
CAUSES = ("busy", "decode", "weights", "drain", "imbalance", "bus")


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Figures that add up over pictures and layers.

    Attributes
    ----------
    lanes : int
        Lanes of the build; the same in both terms of a sum.
    pixels, zeros : int
        Pixels of the input map, and how many of them are the zero point.
    dense_ops, useful_ops : int
        Multiply-accumulates: all, and those with a non-zero pixel that an output needs. Pools that
        are layers of their own have none.
    cycles, cycles_model, cycles_compute, cycles_bus : int
        At the pins, as predicted, without waiting for weights and ports, with a bus.
    stalls : tuple of int
        Cluster-cycles for each of `CAUSES`.
    exact, as_predicted : bool
        Whether every output value is the golden model's, and every counter the cycle model's.
    """

    lanes: int
    pixels: int
    zeros: int
    dense_ops: int
    useful_ops: int
    cycles: int
    cycles_model: int
    cycles_compute: int
    cycles_bus: int
    stalls: tuple[int, ...]
    exact: bool
    as_predicted: bool

    @classmethod
    def of(cls, run: LayerRun) -> "Sums":
        """Figures of one layer with one picture."""
        plan = run.plan
        layer, build = plan.layer, plan.build
        nonzero = run.x != layer.in_format.zero_point
        return cls(
            lanes=build.lanes,
            pixels=run.x.size,
            zeros=run.x.size - int(np.count_nonzero(nonzero)),
            dense_ops=0 if is_pool(plan.kind) else dense_ops(layer, plan.in_shape),
            useful_ops=0 if is_pool(plan.kind) else _useful_ops(layer, nonzero),
            cycles=run.counters["cycles"],
            cycles_model=run.model.cycles,
            cycles_compute=run.counters["compute"],
            cycles_bus=run.cycles_bus,
            stalls=tuple(run.counters[cause] for cause in CAUSES),
            exact=run.exact,
            as_predicted=run.counts_equal,
        )

    def __add__(self, other: "Sums") -> "Sums":
        def add(name: str) -> Any:
            a, b = getattr(self, name), getattr(other, name)
            if name == "lanes":
                return a
            if isinstance(a, tuple):
                return tuple(p + q for p, q in zip(a, b, strict=True))
            return a and b if isinstance(a, bool) else a + b

        return Sums(**{field.name: add(field.name) for field in fields(self)})

    @property
    def input_zeros(self) -> float:
        """Share of the input's pixels that are zero, 0 to 1."""
        return self.zeros / self.pixels

    @property
    def cycles_ideal(self) -> float:
        """Cycles if every lane did a useful operation in each."""
        return self.useful_ops / self.lanes

    @property
    def cycles_dense(self) -> float:
        """Cycles if every lane did an operation in each, useful or not."""
        return self.dense_ops / self.lanes

    @property
    def utilisation(self) -> float:
        """Useful operations per lane and compute cycle, 0 to 1."""
        return self.cycles_ideal / self.cycles_compute

    @property
    def efficiency(self) -> float:
        """Dense operations per lane and compute cycle; above 1 where zeros are skipped."""
        return self.cycles_dense / self.cycles_compute

    @property
    def stall_shares(self) -> tuple[float, ...]:
        """Share of the cluster-cycles for each of `CAUSES`; they add up to 1."""
        return tuple(amount / sum(self.stalls) for amount in self.stalls)

    def json(self) -> dict[str, Any]:
        """Figures under their names in JSON."""
        return {
            "dense_ops": self.dense_ops,
            "useful_ops": self.useful_ops,
            "input_zeros": self.input_zeros,
            "cycles": self.cycles,
            "cycles_model": self.cycles_model,
            "cycles_compute": self.cycles_compute,
            "cycles_bus": self.cycles_bus,
            "cycles_ideal": self.cycles_ideal,
            "utilisation": self.utilisation,
            "efficiency": self.efficiency,
            "stalls": dict(zip(CAUSES, self.stalls, strict=True)),
        }


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """A layer and its figures, summed over all pictures; shapes are (H, W, C)."""

    name: str
    kind: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pool: bool
    sums: Sums

    @classmethod
    def of(cls, runs: Sequence[LayerRun]) -> "LayerFigures":
        """Figures of the runs of one layer, at least one."""
        plan = runs[0].plan
        return cls(
            name=plan.layer.name,
            kind=plan.kind,
            in_shape=plan.in_shape,
            out_shape=plan.out_shape,
            kernel=plan.layer.kernel,
            stride=plan.layer.stride,
            pool=plan.layer.pool,
            sums=total(Sums.of(run) for run in runs),
        )

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "in_shape": list(self.in_shape),
            "out_shape": list(self.out_shape),
            "kernel": list(self.kernel),
            "stride": list(self.stride),
            **self.sums.json(),
        }


def total(terms: Iterable[Sums]) -> Sums:
    """Sum of at least one term."""
    first, *rest = terms
    for term in rest:
        first += term
    return first


@dataclass(frozen=True, kw_only=True)
class HostLayer:
    """A layer between those of the core that the host computes; shapes are (H, W, C)."""

    name: str
    kind: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]

    @classmethod
    def of(cls, run: LayerRun) -> "HostLayer":
        """The layer of a run."""
        plan = run.plan
        return cls(
            name=plan.layer.name,
            kind=plan.layer.kind,
            in_shape=plan.in_shape,
            out_shape=plan.out_shape,
            kernel=plan.layer.kernel,
            stride=plan.layer.stride,
        )

    def json(self) -> dict[str, Any]:
        """Everything under its name in JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "in_shape": list(self.in_shape),
            "out_shape": list(self.out_shape),
            "kernel": list(self.kernel),
            "stride": list(self.stride),
        }


def on_core(run: LayerRun) -> bool:
    """Whether the core ran a layer, and not the host."""
    return isinstance(run.plan, LayerPlan)


def is_pool(kind: str) -> bool:
    """Whether a layer of that kind is a pool, which has no multiply-accumulates."""
    return kind in ("maxpool", "avgpool")


def dense_ops(layer: Layer, in_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of a layer: all positions before pooling, padding included.

    Pools as layers have none.
    """
    if not isinstance(layer, Conv):
        return 0
    return math.prod(layer.conv_shape(in_shape)) * math.prod(layer.weights.shape[1:])


def _useful_ops(layer: Layer, nonzero: np.ndarray) -> int:
    """Multiply-accumulates whose pixel is not zero and whose output is needed, pooled or not."""
    if not isinstance(layer, Conv):
        return 0
    height, width, channels = nonzero.shape
    rows, cols, outputs = layer.conv_shape((height, width, channels))
    if layer.pool:
        rows, cols = rows // 2 * 2, cols // 2 * 2
    ops = useful_ops(nonzero, layer.kernel, layer.stride, layer.pads, (rows, cols))
    return outputs // layer.groups * ops
