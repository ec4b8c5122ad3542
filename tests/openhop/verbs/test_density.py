"""`openhop density`: table, JSON, exit codes."""

import json

import pytest

from openhop import density


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(density, "SHARES", (0, 100))


def test_table_and_json(openhop, tmp_path):
    out = tmp_path / "density.json"
    args = ("--preset", "tiny8+tiny_l1", "--engine", "golden", "--json", out)
    result = openhop("density", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "tiny_l1 cycles" in result.stdout
    content = json.loads(out.read_text())
    assert [point["zeros"] for point in content["points"]] == [0.0, 1.0]


def test_rtl_is_compared(openhop):
    result = openhop("density", "--preset", "tiny8+tiny_l1")
    assert result.exit_code == 0
    assert "Bits: all exact" in result.stdout
    assert "Cycles: all as the cycle model predicts" in result.stdout


def test_a_record_names_its_command(openhop, tmp_path, monkeypatch):
    monkeypatch.setattr(density, "record_path", lambda _builds: tmp_path / "record.json")
    monkeypatch.setattr("openhop.verbs.density.record_path", lambda _builds: tmp_path / "x.json")
    args = ("--preset", "tiny8+tiny_l1", "--engine", "golden", "--record")
    assert "Recorded in" in openhop("density", *args).stdout
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["command"] == ("openhop density --preset tiny8+tiny_l1 --engine golden --record")


def test_builds_that_do_not_fit_together_are_refused(refusal):
    assert "do not share maps" in refusal("density", "--preset", "tiny8+nullhop_l1")
