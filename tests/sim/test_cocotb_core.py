"""The generated core under cocotb: gaps at its pins, layers in a row, faults; golden decides."""

import random
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest

from golden.descriptor import Fault
from hdl.verilog import TOP
from sim.cocotb_core import Idle
from sim.cocotb_run import simulate
from sim.native import NativeCore
from sim.recording import Recording
from sim.rtl import core_verilog
from sim.streams import (
    COUNTERS,
    Gaps,
    RunResult,
    control_words,
    difference,
    segment_beats,
    segments,
)
from tests.layers import TINY, Case, Loaded

#: Layers in a row: a last pass of fewer groups, several blocks and passes, pooling, a dense map,
#: both requantisers, and kernels from one pixel to seven.
LAYERS = Loaded(
    Case(build=TINY, channels=11, pads=(1, 1, 1, 1), relu=True, seed=1),
    Case(build=TINY, shape=(6, 7, 11), channels=5, pads=(1, 0, 2, 1), pool=True, seed=2),
    Case(build=TINY, kernel=(1, 1), channels=9, scale=True, signed=True, density=0.0, seed=3),
    Case(build=TINY, shape=(8, 9, 2), kernel=(7, 2), dense=True, in_zero=9, out_zero=3, seed=4),
)
#: Chance and mean length of gaps.
KINDS = {"none": (0.0, 1), "random": (0.5, 1), "long": (0.05, 40)}
CROSS = [(idle, stall) for idle in KINDS for stall in KINDS]


def gaps(idle: str, stall: str) -> Gaps:
    """Idle inputs and a busy output; one of them decides how long gaps are."""
    chance, burst = KINDS[idle]
    return Gaps(
        control=chance,
        map=chance,
        out=KINDS[stall][0],
        burst=max(burst, KINDS[stall][1]),
        seed=CROSS.index((idle, stall)),
    )


def recording(loaded: Loaded, given: Gaps) -> Recording:
    """The streams of some layers; what must come out stands context by context."""
    return Recording(
        control=control_words(loaded.control()),
        beats=segment_beats(loaded.maps()),
        gaps=given,
        ends=len(loaded.cases),
    )


def joined(loaded: Loaded) -> dict[int, list[bytes]]:
    """Segments that must come out, layer after layer, by context."""
    found: dict[int, list[bytes]] = {}
    for contexts in loaded.outputs():
        for context, parts in contexts.items():
            found.setdefault(context, []).extend(parts)
    return found


@pytest.fixture(scope="module")
def verilog() -> str:
    return core_verilog(TINY)


@pytest.fixture(scope="module")
def native(verilog) -> Iterator[NativeCore]:
    with NativeCore(verilog) as core:
        yield core


@pytest.fixture(scope="module")
def results(verilog) -> dict[tuple[str, str], RunResult]:
    """All kinds of gaps, one after the other on a core that is reset only once."""
    runs = simulate(verilog, TOP, *(recording(LAYERS, gaps(*kinds)) for kinds in CROSS))
    return {kinds: result for kinds, (result, _) in zip(CROSS, runs, strict=True)}


def test_the_layers_are_of_every_kind():
    """Else the tests below would show less than they say."""
    plans = [case.plan for case in LAYERS.cases]
    assert max(len(plan.passes) for plan in plans) > 1
    assert max(len(places.places[0].blocks) for places in LAYERS.programs) > 1
    assert len({context for contexts in LAYERS.outputs() for context in contexts}) > 1


@pytest.mark.parametrize(("idle", "stall"), CROSS)
def test_values_are_golden_s(results, idle, stall):
    assert segments(results[idle, stall].out) == joined(LAYERS)


@pytest.mark.parametrize(("idle", "stall"), CROSS)
def test_counters_add_up(results, idle, stall):
    """What does not depend on the streams' time is the model's, and every cycle has its causes."""
    result = results[idle, stall]
    for end, model in zip(result.ends, LAYERS.counts(), strict=True):
        causes = sum(end.counters[name] for name in COUNTERS[3:])
        assert causes == end.counters["cycles"] * TINY.clusters
        assert end.counters["useful"] == model.useful
        assert end.counters["busy"] == model.busy
        assert end.counters["cycles"] >= model.cycles
    assert result.cycles >= sum(end.counters["cycles"] for end in result.ends)


def test_without_gaps_every_counter_is_the_model_s(results):
    result = results["none", "none"]
    counters = [end.counters for end in result.ends]
    assert counters == [asdict(model) for model in LAYERS.counts()]
    # The next layer's first word is taken in the cycle after `done`.
    cycles = np.cumsum([of["cycles"] for of in counters]).tolist()
    assert [end.cycle for end in result.ends] == cycles
    assert result.cycles == cycles[-1]


def test_gaps_cost_cycles(results):
    swift = results["none", "none"].cycles
    for kinds in CROSS[1:]:
        assert results[kinds].cycles > swift


def test_the_native_harness_agrees_in_everything(results, native):
    """The same words in the same order, the same ends, the same counters."""
    given = recording(LAYERS, Gaps())
    theirs, ours = native.run(given.control, given.beats, ends=given.ends), results["none", "none"]
    assert np.array_equal(ours.out, theirs.out)
    assert (ours.ends, ours.cycles) == (theirs.ends, theirs.cycles)
    assert (ours.control_taken, ours.map_taken) == (theirs.control_taken, theirs.map_taken)


@pytest.mark.parametrize(("idle", "stall"), CROSS)
def test_the_native_harness_agrees_under_gaps(results, native, idle, stall):
    """The gaps differ, the words of each context do not."""
    given = recording(LAYERS, gaps(idle, stall))
    theirs = native.run(given.control, given.beats, gaps=given.gaps, ends=given.ends)
    assert difference(results[idle, stall].out, theirs.out) == ""


def faulty() -> dict[Fault, Recording]:
    """A layer with one thing wrong, for each fault."""
    good = Loaded(LAYERS.cases[0])
    control, maps = control_words(good.control()), good.maps()
    streams = {
        Fault.MAP_SHORT: (control, [maps[0], maps[1][:-2], *maps[2:]]),
        Fault.MAP_LONG: (control, [*maps[:3], maps[3] + b"\0\0", *maps[4:]]),
        Fault.MAP_SPARSITY: (control, [bytes([maps[0][0], maps[0][1] | 128]) + maps[0][2:]]),
        Fault.DESCRIPTOR: (control ^ np.uint64(1), maps),
    }
    return {
        fault: Recording(
            control=words,
            beats=segment_beats(parts),
            gaps=Gaps.everywhere(0.2, seed=7),
            fault=fault,
        )
        for fault, (words, parts) in streams.items()
    }


def test_a_core_that_met_a_fault_goes_on_after_clear(verilog, native):
    """Without a reset; the fault and its place are what the native harness finds."""
    good = Loaded(LAYERS.cases[1])
    model = asdict(good.counts()[0])
    bad = faulty()
    given = [part for one in bad.values() for part in (one, recording(good, Gaps()))]
    runs = [result for result, _ in simulate(verilog, TOP, *given)]
    for fault, one, stopped, after in zip(bad, bad.values(), runs[::2], runs[1::2], strict=True):
        theirs = native.run(one.control, one.beats, gaps=one.gaps)
        native.clear()
        assert stopped.fault is not None
        assert (stopped.fault, stopped.fault.code) == (theirs.fault, fault)
        assert stopped.ends == ()
        # Nothing false came out before.
        whole = segments(stopped.out[: np.flatnonzero([0, *stopped.out["last"]]).max(initial=0)])
        right = joined(Loaded(LAYERS.cases[0]))
        assert all(right[context][: len(parts)] == parts for context, parts in whole.items())

        assert segments(after.out) == joined(good)
        assert after.counters == model
        assert after.cycles == model["cycles"]


@pytest.mark.parametrize("burst", [1, 5])
def test_idle_times_have_the_chance_and_length_asked_for(burst):
    """A gap begins with chance 1/4 where the stream could go on: 1/3 gaps per transfer."""
    idle = Idle(0.25, burst, random.Random(1))
    seen = [idle.now() for _ in range(100_000)]
    assert sum(seen) / seen.count(False) == pytest.approx(burst / 3, rel=0.03)


def test_a_stream_without_gaps_is_never_idle():
    idle = Idle(0.0, 9, random.Random(1))
    assert not any(idle.now() for _ in range(1000))
