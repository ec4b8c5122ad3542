"""The native harness, on the stand-in: streams, gaps, layers, faults, and what goes wrong."""

import numpy as np
import pytest

from hdl import verilog
from sim import native
from sim.native import NativeCore
from sim.streams import Gaps, SimulationError, by_context, difference
from tests.sim.standin import RESTS, TOP, Standin, copied, header


@pytest.fixture
def core(standin_verilog):
    with NativeCore(standin_verilog, top=TOP) as core:
        yield core


def test_streams_pass_bit_for_bit(core, beats):
    words = [header(beats=len(beats), words=3, hold=5), 1, (1 << 64) - 1, 1 << 63]
    result = core.run(words, beats)
    assert np.array_equal(result.out, copied(beats))
    assert (result.control_taken, result.map_taken, result.fault) == (4, len(beats), None)


def test_counters_keep_their_names(core, beats):
    result = core.run([header(beats=len(beats), words=2, hold=9), 1, 2], beats)
    assert result.counters == {
        "cycles": result.cycles,
        "compute": len(beats),
        "useful": int(beats["bytes"].sum()),
        "busy": len(beats),
        "decode": len(beats),
        "weights": 2,
        "drain": 9,
        "imbalance": 7,
        "bus": 0,
    }


def test_cycles_count_from_the_first_control_word_to_done(core):
    # Header, "words" empty, "copy" empty, five to wait and one to see it, end.
    assert core.run([header(hold=5)]).cycles == 1 + 1 + 1 + 6 + 1
    late = core.run([header(hold=5)], gaps=Gaps(control=0.9, burst=50, seed=1))
    assert (late.cycles, late.ends[0].cycle > 10) == (10, True)


def test_beats_in_another_dtype_are_the_same_beats(core, beats):
    wide = beats.astype([("last", "i8"), ("data", "u8"), ("bytes", "u2")])
    wide["data"], wide["bytes"], wide["last"] = beats["data"], beats["bytes"], beats["last"]
    assert np.array_equal(core.run([header(beats=len(beats))], wide).out, copied(beats))


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("burst", [1, 20])
def test_gaps_change_the_time_and_nothing_else(core, beats, chance, burst):
    words = [header(beats=len(beats), words=20), *range(20)]
    swift = core.run(words, beats)
    slow = core.run(words, beats, gaps=Gaps.everywhere(chance, burst=burst, seed=3))
    assert np.array_equal(slow.out, swift.out)
    assert slow.cycles > swift.cycles
    assert slow.counters["bus"] > 0


def test_gaps_follow_the_seed(core, beats):
    words = [header(beats=len(beats))]
    cycles = [core.run(words, beats, gaps=0.5, seed=seed).cycles for seed in (1, 1, 2)]
    assert cycles[0] == cycles[1] != cycles[2]


@pytest.mark.parametrize("stream", ["map", "out"])
def test_gaps_have_the_chance_and_length_asked_for(core, beats, stream):
    many = np.tile(beats, 100)
    # After each beat a gap begins with chance 1/4; it lasts 5 cycles on average, and may be
    # followed by another one: 1/3 gaps, 5/3 cycles a beat.
    result = core.run([header(beats=len(many))], many, gaps=Gaps(**{stream: 0.25}, burst=5))
    assert result.counters["bus"] / len(many) == pytest.approx(5 / 3, rel=0.05)


def test_layers_of_one_run_end_one_by_one(core, beats):
    words = [header(beats=50), header(beats=0, hold=30), header(beats=len(beats) - 50)]
    result = core.run(words, beats, ends=3)
    assert [end.counters["compute"] for end in result.ends] == [50, 0, len(beats) - 50]
    assert [end.cycle for end in result.ends] == np.cumsum(
        [end.counters["cycles"] + (RESTS if k else 0) for k, end in enumerate(result.ends)]
    ).tolist()
    assert result.cycles == result.ends[-1].cycle
    assert result.counters == result.ends[-1].counters


def test_runs_follow_each_other_without_a_reset(core, beats):
    first = core.run([header(beats=len(beats))], beats, gaps=0.3)
    core.reset()
    for _ in range(3):
        again = core.run([header(beats=len(beats))], beats, gaps=0.3)
        assert (again.cycles, again.counters) == (first.cycles, first.counters)
        assert np.array_equal(again.out, first.out)


def test_a_fault_is_a_result_and_clear_ends_it(core, beats):
    taken = 6  # two beats into the third segment
    result = core.run([header(beats=taken, fault=3), 1, 2, 3], beats, gaps=0.2)
    assert (result.fault.code, result.fault.row, result.fault.col) == (3, 2, 2)
    assert (result.control_taken, result.map_taken, result.ends) == (1, taken, ())
    assert np.array_equal(result.out, copied(beats[:taken]))
    assert result.counters == {}
    core.clear()
    assert core.run([header(beats=len(beats))], beats).fault is None


def test_a_stream_that_moves_after_a_fault_is_an_error(core):
    with pytest.raises(SimulationError, match=r"streams moved after fault 2 after \d+ cycles"):
        core.run([header(fault=2, leak=1), 1, 2])


def test_a_core_that_does_not_come_to_rest_after_clear_is_an_error(core, monkeypatch):
    monkeypatch.setattr(native, "CLEAR_LIMIT", 100)
    with pytest.raises(SimulationError, match="no end after 20 cycles"):
        core.run([header(hold=4000)], max_cycles=20)
    with pytest.raises(SimulationError, match="not idle 100 cycles after clear"):
        core.clear()


def test_a_timeout_says_what_was_pending(core, beats):
    words = [header(beats=len(beats) + 1, words=2), 1, 2]
    text = (
        r"^no end after 1000 cycles: 0 of 2 layers done, 3 of 3 control words and 200 of 200 "
        r"map beats taken, 200 beats out, last transfer in cycle 204, core busy$"
    )
    with pytest.raises(SimulationError, match=text):
        core.run(words, beats, ends=2, max_cycles=1000)
    core.reset()
    assert core.run([header(beats=len(beats))], beats).map_taken == len(beats)


def test_a_run_in_which_nothing_moves_is_given_up(core, monkeypatch):
    monkeypatch.setattr(native, "PATIENCE", 1000)
    monkeypatch.setattr(native, "SLICE", 100)
    with pytest.raises(SimulationError, match="no end after 1100 cycles"):
        core.run([header(beats=1)])


def test_a_layer_that_ends_before_it_took_everything_is_an_error(core, beats):
    text = "ended too early after .* 1 of 1 layers done, 1 of 1 .* 7 of 200 map beats"
    with pytest.raises(SimulationError, match=text):
        core.run([header(beats=7)], beats)


def test_a_failed_assertion_is_an_error(core, beats):
    with pytest.raises(SimulationError, match="no end"):
        core.run([header(), 1], beats, ends=2, max_cycles=5)
    # The next run withdraws what the last one offered, and the stand-in minds.
    with pytest.raises(SimulationError, match=r"^core\.v:\d+: assertion failed$"):
        core.run([header()])


def test_progress_is_told(core, beats, monkeypatch):
    monkeypatch.setattr(native, "SLICE", 50)
    seen = []
    result = core.run([header(beats=len(beats))], beats, progress=lambda *now: seen.append(now))
    cycles, shares = zip(*seen, strict=True)
    assert list(cycles[:-1]) == list(range(50, result.cycles, 50))
    assert list(shares) == sorted(shares)
    assert (shares[0] < 0.5, shares[-1]) == (True, 1.0)


def test_models_of_one_process_keep_apart(core, beats):
    other = verilog.convert(Standin(imbalance=9), TOP)
    with NativeCore(other, top=TOP) as second, NativeCore(other, top=TOP) as third:
        results = [one.run([header(beats=len(beats))], beats) for one in (core, second, third)]
    assert [result.counters["imbalance"] for result in results] == [7, 9, 9]
    assert all(difference(result.out, copied(beats)) == "" for result in results)


def test_waveforms_show_the_pins_and_the_inside(standin_verilog, beats, tmp_path):
    path = tmp_path / "run.vcd"
    with NativeCore(standin_verilog, top=TOP, wave=path) as core:
        result = core.run([header(beats=len(beats))], beats)
    text = path.read_text()
    assert np.array_equal(result.out, copied(beats))
    assert all(f" {name} " in text for name in ("clk", "i_map__valid", "fsm_state"))
    # Three cycles of reset, the run, and two until the counters are final; two time steps each.
    assert f"#{2 * (3 + result.cycles + 2) - 1}\n" in text


def test_another_waveform_suffix_is_refused(standin_verilog):
    with pytest.raises(ValueError, match=r"must end in \.vcd or \.fst: a\.ghw"):
        NativeCore(standin_verilog, top=TOP, wave="a.ghw")


def test_a_closed_simulation_says_so(standin_verilog):
    core = NativeCore(standin_verilog, top=TOP)
    core.close()
    core.close()
    with pytest.raises(SimulationError, match="closed"):
        core.run([header()])


def test_results_sort_by_context(core, beats):
    out = by_context(core.run([header(beats=len(beats))], beats).out)
    assert (np.diff(out["context"].astype(int)) >= 0).all()
    assert difference(out, copied(beats)) == ""


def test_what_a_netlist_leaves_undefined_follows_the_seed(standin_verilog, beats):
    told = "assign c_imbalance = 48'h000000000007;"
    assert told in standin_verilog
    power_on = "reg [23:0] power_on; assign c_imbalance = {power_on, 24'hxxxxxx};"
    gates = standin_verilog.replace(told, power_on)
    seen = []
    for seed in (1, 1, 2):
        with NativeCore(gates, top=TOP, gates=True, undefined=seed) as core:
            result = core.run([header(beats=len(beats))], beats)
        assert np.array_equal(result.out, copied(beats))
        seen.append(result.counters["imbalance"])
    assert seen[0] == seen[1]
    assert seen[0] >> 24 != seen[2] >> 24
    assert seen[0] % (1 << 24) != seen[2] % (1 << 24)
