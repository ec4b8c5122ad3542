"""How cocotb is started, on the stand-in: results come back, and what goes wrong is told."""

import os

import numpy as np
import pytest

from sim import cocotb_run
from sim.cocotb_run import executable, simulate
from sim.native import NativeCore
from sim.recording import Recording
from sim.streams import Gaps, SimulationError, control_words
from tests.sim.standin import TOP, copied, header


def recording(words: list[int], beats: np.ndarray, **more) -> Recording:
    return Recording(control=control_words(words), beats=beats, **{"max_cycles": 10_000, **more})


def test_recordings_replay_one_after_the_other_like_the_native_harness(standin_verilog, beats):
    """Layers, a fault and its `clear`, gaps: the same results, and without gaps the same cycles."""
    layers = [header(beats=50, words=2, hold=9), 1, 2, header(beats=len(beats) - 50)]
    given = [
        recording([header(beats=len(beats))], beats, expected=copied(beats)),
        recording(layers, beats, ends=2),
        # Two beats into the third segment.
        recording([header(beats=6, fault=3), 1, 2], beats, fault=3, expected=copied(beats[:6])),
        recording([header(beats=len(beats))], beats, expected=copied(beats)),
        recording([header(beats=len(beats))], beats, gaps=Gaps(map=0.5, out=0.5, burst=3)),
    ]
    runs = simulate(standin_verilog, TOP, *given)
    assert all(seconds > 0 for _, seconds in runs)
    results = [result for result, _ in runs]
    with NativeCore(standin_verilog, top=TOP) as core:
        for ours, one in zip(results[:4], given, strict=False):
            theirs = core.run(one.control, one.beats, ends=one.ends)
            if theirs.fault:
                core.clear()
            assert np.array_equal(ours.out, theirs.out)
            assert (ours.ends, ours.cycles, ours.fault) == (
                theirs.ends,
                theirs.cycles,
                theirs.fault,
            )
            assert (ours.control_taken, ours.map_taken) == (theirs.control_taken, theirs.map_taken)
    slow = results[4]
    assert np.array_equal(slow.out, copied(beats))
    assert slow.cycles > 2 * results[3].cycles


def test_each_stream_has_its_own_gaps_and_the_seed_decides_them(standin_verilog, beats):
    many = np.tile(beats, 10)
    given = [
        recording([header(beats=len(many))], many, gaps=Gaps(**chances, burst=5, seed=seed))
        for chances in ({"map": 0.25}, {"out": 0.25})
        for seed in (1, 1, 2)
    ]
    results = [result for result, _ in simulate(standin_verilog, TOP, *given)]
    for k in (0, 3):
        cycles = [result.cycles for result in results[k : k + 3]]
        assert cycles[0] == cycles[1] != cycles[2]
        # 1/3 gaps of 5 cycles per beat.
        assert results[k].counters["bus"] / len(many) == pytest.approx(5 / 3, rel=0.15)


def spoiled(beats: np.ndarray) -> np.ndarray:
    """What the stand-in makes of beats, but for one bit."""
    out = copied(beats)
    out["data"][7] ^= 1
    return out


@pytest.mark.parametrize(
    ("words", "more", "text"),
    [
        ([header(beats=200)], {"expected": spoiled}, "context 2, beat 3 of 5: data is .*, not"),
        ([header(beats=200, fault=2)], {}, "fault 2 instead of 0"),
        ([header(fault=2, leak=1), 1, 2], {"fault": 2}, "streams move after FaultReport"),
        ([header(beats=201)], {}, "no end in 10000 cycles"),
        ([header(beats=7)], {}, r"ended after \(1, \d+\) of \(1, 200\) control words and map"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(standin_verilog, beats, words, more, text):
    if "expected" in more:
        more = {**more, "expected": more["expected"](beats)}
    with pytest.raises(SimulationError, match=f"^cocotb: AssertionError: {text}") as error:
        simulate(standin_verilog, TOP, recording(words, beats, **more))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_with_every_signal_in_reach_the_results_are_the_same(standin_verilog, beats):
    given = recording([header(beats=len(beats), hold=9)], beats, gaps=Gaps(map=0.5, seed=1))
    (ours, _), (theirs, _) = (
        simulate(standin_verilog, TOP, given, inside=inside)[0] for inside in (True, False)
    )
    assert np.array_equal(ours.out, theirs.out)
    assert ours.ends == theirs.ends
    assert executable(standin_verilog, TOP, inside=True) != executable(standin_verilog, TOP)


def test_a_failed_assertion_of_the_design_is_an_error(standin_verilog, beats):
    with pytest.raises(SimulationError, match=r"cocotb.*Assertion failed"):
        simulate(standin_verilog, TOP, recording([header(trip=1)], beats[:0]))


def test_verilog_that_does_not_compile_is_an_error(standin_verilog):
    with pytest.raises(SimulationError, match=r"cannot compile: %Error: .*syntax error"):
        executable(standin_verilog.replace("endmodule", "endmodul", 1), TOP)


def test_a_top_that_is_not_there_is_an_error(standin_verilog):
    with pytest.raises(SimulationError, match="has no module elsewhere with ports"):
        executable(standin_verilog, "elsewhere")


def test_the_model_is_compiled_once_and_the_environment_left_alone(
    standin_verilog, beats, monkeypatch
):
    monkeypatch.setenv("MAKEFLAGS", "n")
    before = dict(os.environ)
    folder = executable(standin_verilog, TOP)
    assert [path.name for path in folder.iterdir()] == [TOP]
    built = (folder / TOP).stat().st_mtime_ns
    simulate(standin_verilog, TOP, recording([header(beats=len(beats))], beats))
    assert executable(standin_verilog, TOP) == folder
    assert (folder / TOP).stat().st_mtime_ns == built
    assert dict(os.environ) == before


def test_a_log_s_first_error_is_the_reason(tmp_path):
    log = tmp_path / "log"
    assert cocotb_run._reason(log) == "no log"
    for content, reason in (
        ("", "empty log"),
        ("one\ntwo\n", "two"),
        ("one\n an error\nError: two\nlast", "Error: two"),
        ("Error: one\n  AssertionError: two\n", "AssertionError: two"),
    ):
        log.write_text(content)
        assert cocotb_run._reason(log) == reason
