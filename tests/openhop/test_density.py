"""Cycles over the share of zeros: both kinds of lanes take the same, and fewer with more zeros."""

import json
from dataclasses import replace

import pytest

from golden.params import PRESETS, preset, presets
from openhop import density
from openhop.density import Sweep, record_path, sweep
from openhop.running import names

TINY = (preset("tiny8"), preset("tiny_l1"))


@pytest.fixture(scope="module")
def small() -> Sweep:
    """Three points in RTL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "SHARES", (0, 60, 100))
        return sweep(TINY, "rtl")


def test_rtl_of_both_kinds_of_lanes_takes_the_cycles_of_the_model(small):
    assert small.passed
    for point in small.points:
        multiplying, adding = point.sums
        assert multiplying.cycles == adding.cycles == multiplying.cycles_model
        assert multiplying.useful_ops == adding.useful_ops
        assert multiplying.exact
        assert adding.exact


def test_cycles_fall_with_the_zeros(small):
    """Nearly as the useful operations do; what is left at the end is decoding and output."""
    dense, most, empty = (point.sums[0] for point in small.points)
    assert dense.input_zeros == 0
    assert most.input_zeros == pytest.approx(0.6, abs=1e-4)
    assert empty.useful_ops == 0
    assert dense.cycles > most.cycles > empty.cycles
    assert most.cycles / dense.cycles == pytest.approx(0.4, abs=0.05)


def test_what_differs_is_seen(small):
    point = small.points[0]
    other = replace(point.sums[1], cycles=point.sums[1].cycles + 1)
    assert not replace(point, sums=(point.sums[0], other)).alike
    wrong = replace(point.sums[1], exact=False)
    changed = replace(point, sums=(point.sums[0], wrong))
    assert changed.alike
    assert not changed.passed
    assert not replace(small, points=(changed,)).passed


def test_json_names_each_kind_of_lanes(small):
    content = small.json()
    assert (content["preset"], content["engine"]) == ("tiny8+tiny_l1", "rtl")
    assert content["layer"] == "3x3, 16x16x64 to 8, padding 1"
    first = content["points"][0]
    assert first["mac"]["cycles"] == first["l1"]["cycles"]
    assert first["alike"] is True


@pytest.mark.bench
def test_the_record_is_what_the_models_give():
    builds = presets("nullhop8+nullhop_l1")
    record = json.loads(record_path(builds).read_text())
    assert record["command"] == f"openhop density --preset {names(builds)} --record"
    assert {build.name for build in builds} <= set(PRESETS)
    assert record["points"] == sweep(builds, "golden").json()["points"]
