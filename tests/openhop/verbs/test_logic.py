"""`openhop logic`: what is asked for, shown and written; the counting is stubbed."""

import json

import pytest

from openhop.verbs import logic as verb

ROW = {
    "part": "pe",
    "structure": "plain",
    "bits": 8,
    "family": "ecp5",
    "multiplier": "booth",
    "mac": 1780,
    "l1": 350,
    "mac_dsp": 27,
    "dsp": 1,
    "saving": 0.8034,
    "saving_dsp": -0.3,
    "target": 0.78,
}
RESULT = {
    "taps": 576,
    "lanes": 16,
    "counts": [],
    "rows": [ROW, {**ROW, "part": "lane", "structure": "core", "saving": 0.5, "target": None}],
    "gates": [
        {
            "part": "pe",
            "structure": "plain",
            "pe": "l1",
            "bits": 8,
            "flow": "lut",
            "and": 30,
            "xor": 20,
            "mux": 10,
            "not": 4321,
            "gates": 4381,
            "ff": 18,
        }
    ],
    "speeds": [
        {
            "part": "cluster",
            "structure": "core",
            "pe": "mac",
            "bits": 8,
            "flow": "dsp",
            "lut": 5432,
            "fmax_mhz": {"median": 61.5, "min": 60.25, "max": 63.0},
        },
        {
            "part": "array",
            "structure": "carry-mux",
            "pe": "l1",
            "bits": 8,
            "flow": "lut",
            "lut": 999,
            "fmax_mhz": None,
        },
    ],
    "tools": {"yosys": "0.1"},
}


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """Replace the counting; `counting["asked"]` is what it was given."""
    seen = {"result": json.loads(json.dumps(RESULT))}

    def measure_all(parts, widths, *, seeds, progress):
        seen["asked"] = (list(parts), list(widths), seeds)
        progress(0, 1, "LUTs: pe")
        return seen["result"]

    place = tmp_path / "logic.json"
    monkeypatch.setattr(verb, "measure_all", measure_all)
    monkeypatch.setattr(verb, "RECORD", place)
    monkeypatch.setattr(verb, "load", lambda: json.loads(place.read_text()))
    monkeypatch.setattr(verb, "save", lambda result: place.write_text(json.dumps(result)) and place)
    return seen


def test_tables_and_json(openhop, counting, tmp_path):
    out = tmp_path / "out.json"
    result = openhop("logic", "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert counting["asked"] == (["pe", "lane", "array", "cluster", "core"], [4, 8, 16], 3)
    for text in ("1,780", "350", "80.3", "78.0", "4,381", "61.5", "60.2", "yosys 0.1"):
        assert text in result.stdout
    assert "Missed" not in result.stdout
    assert json.loads(out.read_text()) == RESULT


def test_options_reach_the_counting(openhop, counting):
    openhop("logic", "--part", "pe, lane", "--bits", "8,16", "--seeds", 0)
    assert counting["asked"] == (["pe", "lane"], [8, 16], 0)


def test_a_target_that_is_missed_is_named_and_exit_1(openhop, counting):
    counting["result"]["rows"][0]["saving"] = 0.7
    result = openhop("logic")
    assert result.exit_code == 1
    assert "Missed: pe, 8 bits, ecp5: 70.0 % of 78.0 %" in result.stdout


def test_a_better_structure_reaches_the_target(openhop, counting):
    rows = counting["result"]["rows"]
    rows.append({**rows[0], "structure": "complement"})
    rows[0]["saving"] = 0.7
    assert openhop("logic").exit_code == 0


def test_figures_are_recorded_and_shown_again(openhop, counting, tmp_path):
    assert "Recorded in" in openhop("logic", "--record").stdout
    del counting["asked"]
    plot = tmp_path / "logic.png"
    result = openhop("logic", "--recorded", "--plot", plot)
    assert result.exit_code == 0
    assert "1,780" in result.stdout
    assert "asked" not in counting
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--part", "fpga"), "--part: fpga is unknown"),
        (("--bits", "12"), "--bits: 12 is unknown"),
        (("--record", "--part", "pe"), "--record: counts everything"),
        (("--recorded",), "--recorded: nothing is recorded"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(refusal, counting, args, line):
    assert refusal("logic", *args).startswith(line)
    assert "asked" not in counting
