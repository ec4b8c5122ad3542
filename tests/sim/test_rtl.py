"""The Verilog of a build is generated once for every state of the sources."""

import pytest

import golden
from golden.params import preset
from hdl import verilog
from hdl.verilog import TOP
from sim.rtl import core_verilog

BUILD = preset("tiny")


@pytest.fixture
def generated(tmp_path, monkeypatch) -> list[str]:
    """Builds for which Verilog was generated, in an empty cache."""
    names = []

    def generate(build) -> str:
        names.append(build.name)
        return f"// {build.name} {len(names)}\n"

    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    monkeypatch.setattr(verilog, "generate", generate)
    return names


def test_it_is_the_core_s_verilog():
    text = core_verilog(BUILD)
    assert f"module {TOP} " in text
    assert all(f"c_{name}" in text for name in ("cycles", "busy", "bus"))
    assert core_verilog(BUILD) == text


def test_a_build_is_generated_once(generated):
    first = core_verilog(BUILD)
    assert core_verilog(BUILD) == first == "// tiny 1\n"
    assert generated == ["tiny"]


@pytest.mark.parametrize("what", ["drain", "map_words", "name"])
def test_another_build_is_another_entry(generated, what):
    other = {"drain": 1, "map_words": 511, "name": "other"}[what]
    assert core_verilog(BUILD) != core_verilog(BUILD.replace(**{what: other}))
    assert len(generated) == 2


def test_changed_sources_generate_anew(generated, tmp_path, monkeypatch):
    core_verilog(BUILD)
    room = tmp_path / "golden"
    (room / "deeper").mkdir(parents=True)
    source = room / "deeper" / "module.py"
    source.write_text("one = 1\n")
    monkeypatch.setattr(golden, "__path__", [str(room)])
    core_verilog(BUILD)
    core_verilog(BUILD)
    source.write_text("one = 2\n")
    core_verilog(BUILD)
    assert len(generated) == 3


def test_another_yosys_generates_anew(generated, monkeypatch):
    core_verilog(BUILD)
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    core_verilog(BUILD)
    assert len(generated) == 2
