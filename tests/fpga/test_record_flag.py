"""`openhop synth --record` keeps what the flow returned; the flow is stubbed."""

import json

import pytest
from typer.testing import CliRunner

from fpga import records
from openhop.cli import app
from openhop.verbs import synth as verb

RESULT = {
    "preset": "tiny",
    "device": "up5k",
    "lanes": 8,
    "pe": "mac",
    "fits": False,
    "reason": "ICESTORM_RAM: 40 of 30",
    "lut": 4321,
    "ff": 1234,
    "bram": 40,
    "dsp": 8,
    "fmax_mhz": None,
    "runs": [],
    "seeds": 2,
    "options": {},
    "tools": {},
    "blocks": [],
}


@pytest.fixture
def synth(monkeypatch, tmp_path):
    """Call the verb with the flow replaced and the records in `tmp_path`."""
    monkeypatch.setattr(verb, "synthesise_build", lambda *_args, **_options: dict(RESULT))
    monkeypatch.setattr(verb, "load", lambda *_: None)
    monkeypatch.setattr(
        verb, "record_path", lambda *names: records.record_path(*names, folder=tmp_path)
    )
    monkeypatch.setattr(verb, "save", lambda result: records.save(result, tmp_path))

    def call(*options):
        arguments = ("synth", "--preset", "tiny", "--device", "up5k", *options)
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)

    return call


def test_without_the_flag_nothing_is_recorded(synth, tmp_path):
    assert "Recorded" not in synth().stdout
    assert list(tmp_path.iterdir()) == []


def test_with_the_flag_the_result_is_recorded_even_if_it_does_not_fit(synth, tmp_path):
    result = synth("--record")
    path = tmp_path / "tiny-up5k.json"
    assert result.exit_code == 1
    assert f"Recorded in {path}" in result.stdout.replace("\n", "")
    assert json.loads(path.read_text()) == {"command": records.command(RESULT), **RESULT}


def test_a_record_that_cannot_be_written_is_refused_before_the_work(synth, tmp_path, monkeypatch):
    monkeypatch.setattr(verb, "synthesise_build", lambda *_args, **_options: pytest.fail("works"))
    monkeypatch.setattr(verb, "record_path", lambda *_: tmp_path / "missing" / "tiny-up5k.json")
    result = synth("--record")
    assert result.exit_code == 2
    assert "its folder does not exist" in result.stderr
