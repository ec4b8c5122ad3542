"""Figures of a layer: counted by hand, added, and put into ratios."""

import dataclasses

import numpy as np
import pytest

from golden.network import Conv, Network, TensorFormat
from golden.params import preset
from golden.pooling import MaxPool
from golden.requant import Shift
from openhop.figures import CAUSES, HostLayer, LayerFigures, Sums, dense_ops, on_core, total
from sim.network import NetworkRunner

RAW = TensorFormat(8, signed=False, scale=1.0)

SUMS = Sums(
    lanes=4,
    pixels=100,
    zeros=25,
    dense_ops=4000,
    useful_ops=2400,
    cycles=1000,
    cycles_model=1000,
    cycles_compute=800,
    cycles_bus=1100,
    stalls=(600, 50, 200, 100, 40, 10),
    exact=True,
    as_predicted=True,
)


def run(pool: bool):
    """One 3x3 layer with padding on a 5x5 map with a single non-zero pixel, in the last corner."""
    layer = Conv(
        name="only",
        weights=np.ones((6, 2, 3, 3), np.int64),
        bias=np.zeros(6, np.int64),
        in_format=RAW,
        out_format=RAW,
        requant=Shift(0),
        pads=(1, 1, 1, 1),
        pool=pool,
    )
    x = np.zeros((5, 5, 2), np.uint8)
    x[4, 4, 1] = 9
    with NetworkRunner(Network("n", x.shape, RAW, (layer,)), preset("tiny"), engine="golden") as r:
        return r.run(x)


@pytest.mark.parametrize(
    ("pool", "outputs"),
    [
        (False, 4),  # the corner and its three neighbours
        (True, 1),  # the odd row and column are dropped: only the window at (3, 3) is left
    ],
)
def test_operations_of_one_pixel(pool, outputs):
    sums = Sums.of(run(pool)[0])
    assert sums.useful_ops == outputs * 6
    assert sums.dense_ops == 5 * 5 * 3 * 3 * 2 * 6
    assert (sums.pixels, sums.zeros) == (50, 49)
    assert sums.cycles == sums.cycles_model
    assert sum(sums.stalls) == sums.cycles * preset("tiny").clusters


def test_counters_say_the_same_useful_operations():
    (layer,) = run(pool=False)
    assert Sums.of(layer).useful_ops == layer.counters["useful"]


def test_ratios():
    assert SUMS.input_zeros == 0.25
    assert SUMS.cycles_ideal == 600
    assert SUMS.cycles_dense == 1000
    assert SUMS.utilisation == 0.75
    assert SUMS.efficiency == 1.25
    assert sum(SUMS.stall_shares) == pytest.approx(1)


def test_sums_add_up():
    wrong = dataclasses.replace(SUMS, exact=False, cycles=1, stalls=(1,) * 6)
    both = SUMS + wrong
    assert (both.lanes, both.cycles, both.useful_ops) == (4, 1001, 4800)
    assert both.stalls == (601, 51, 201, 101, 41, 11)
    assert (both.exact, both.as_predicted) == (False, True)
    assert total([SUMS, wrong]) == both


def test_json_has_the_documented_keys():
    layer = LayerFigures.of(run(pool=True))
    assert list(layer.json()) == [
        "name",
        "kind",
        "in_shape",
        "out_shape",
        "kernel",
        "stride",
        "dense_ops",
        "useful_ops",
        "input_zeros",
        "cycles",
        "cycles_model",
        "cycles_compute",
        "cycles_bus",
        "cycles_ideal",
        "utilisation",
        "efficiency",
        "stalls",
    ]
    assert layer.json()["out_shape"] == [2, 2, 6]
    assert tuple(layer.json()["stalls"]) == CAUSES


def test_a_layer_of_the_host_has_no_operations():
    pool = MaxPool("pool", (3, 3), (2, 2), RAW)
    network = Network("net", (9, 7, 3), RAW, (pool,))
    assert dense_ops(pool, network.input_shape) == 0
    build = preset("tiny").replace(max_pool=False)
    with NetworkRunner(network, build, engine="golden") as runner:
        (run,) = runner.run(np.ones((9, 7, 3), np.uint8))
    assert not on_core(run)
    assert HostLayer.of(run).json() == {
        "name": "pool",
        "kind": "maxpool",
        "in_shape": [9, 7, 3],
        "out_shape": [4, 3, 3],
        "kernel": [3, 3],
        "stride": [2, 2],
    }
