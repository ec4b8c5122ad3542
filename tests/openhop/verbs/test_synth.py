"""`openhop synth`: what is asked of the flow, what is shown and written; the flow is stubbed."""

import json

import pytest

from openhop.verbs import synth as verb

RESULT = {
    "preset": "tiny",
    "device": "lfe5u-25f",
    "lanes": 8,
    "pe": "mac",
    "fits": True,
    "reason": "",
    "lut": 4321,
    "ff": 1234,
    "bram": 9,
    "dsp": 8,
    "fmax_mhz": {"median": 61.5, "min": 60.25, "max": 63.0},
    "seeds": 3,
    "options": [],
    "tools": {"yosys": "0.1", "nextpnr": "0.2"},
    "blocks": [],
}
UNFIT = {"fits": False, "reason": "30 of 28 multipliers", "fmax_mhz": None}


@pytest.fixture
def flow(monkeypatch):
    """Replace the flow; `flow.update` changes its answer, `flow["asked"]` is what it was given."""
    seen = {"result": dict(RESULT)}

    def synthesise_build(build, part, *, seeds, blocks, progress):
        seen["asked"] = (build.name, part.name, seeds, blocks)
        progress(0, 1, "synthesis")
        return seen["result"]

    monkeypatch.setattr(verb, "synthesise_build", synthesise_build)
    monkeypatch.setattr(verb, "load", lambda *_: None)
    return seen


def test_table_and_json(openhop, flow, tmp_path):
    out = tmp_path / "synth.json"
    result = openhop("synth", "--preset", "tiny", "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert flow["asked"] == ("tiny", "lfe5u-25f", 3, False)
    for text in ("4,321", "61.5", "60.2", "63.0", "yosys 0.1, nextpnr 0.2"):
        assert text in result.stdout
    content = json.loads(out.read_text())
    promised = ("preset", "device", "lanes", "pe", "lut", "ff", "bram", "dsp", "fmax_mhz")
    assert {*promised, "seeds", "tools"} <= set(content)
    assert content == RESULT


def test_options_reach_the_flow(openhop, flow):
    openhop("synth", "--preset", "tiny8", "--device", "up5k", "--seeds", 5, "--blocks")
    assert flow["asked"] == ("tiny8", "up5k", 5, True)


def test_a_core_that_does_not_fit_is_exit_1(openhop, flow):
    flow["result"] |= UNFIT
    result = openhop("synth", "--preset", "tiny")
    assert result.exit_code == 1
    assert "Does not fit: 30 of 28 multipliers" in result.stdout


def test_a_record_is_compared(openhop, flow, monkeypatch):
    monkeypatch.setattr(verb, "load", lambda *_: RESULT)
    assert "As recorded" in openhop("synth", "--preset", "tiny").stdout
    flow["result"]["lut"] = 4444
    result = openhop("synth", "--preset", "tiny")
    assert "Other than recorded:" in result.stdout
    assert "4321 -> 4444" in result.stdout


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--device", "spartan"), "device 'spartan' is unknown: choose one of lfe5u-25f, "),
        (("--preset", "huge"), "preset 'huge' is unknown: choose one of tiny, "),
    ],
)
def test_unknown_names_are_refused_before_any_work(refusal, flow, args, line):
    assert refusal("synth", *args).startswith(line)
    assert "asked" not in flow
