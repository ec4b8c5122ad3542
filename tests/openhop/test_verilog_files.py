"""The files of a core."""

import re

import pytest

from golden.descriptor import CLUSTER_WORD, PASS_WORDS, Fault
from golden.params import preset
from hdl.verilog import TOP
from openhop.verilog_files import write_core


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Contents of the files, by suffix."""
    paths = write_core(tmp_path_factory.mktemp("core"), preset("tiny"))
    return {path.suffix: path.read_text() for path in paths}


def test_the_verilog_has_the_top_module(files):
    assert re.search(rf"^module {TOP}\s*\(", files[".v"], re.MULTILINE)


def test_the_core_file_is_capi2(files):
    assert files[".core"].startswith("CAPI=2:\n")
    assert re.search(r"^name: openhop:core:tiny:[\w.]+$", files[".core"], re.MULTILINE)
    assert f"- {TOP}.v\n" in files[".core"]
    assert "\t" not in files[".core"]


def test_every_port_of_the_module_is_documented(files):
    module = files[".v"][re.search(rf"^module {TOP}\s*\(", files[".v"], re.MULTILINE).end() :]
    ports = [name.strip() for name in module[: module.index(")")].split(",")]
    assert len(ports) > 20
    for port in ports:
        assert f"| `{port}` |" in files[".md"]


def test_every_field_and_fault_is_documented(files):
    fields = [field for word in (*PASS_WORDS, CLUSTER_WORD) for field in word]
    assert len(re.findall(r"^\| [\d:]+ \| `\w+` \|", files[".md"], re.MULTILINE)) == len(fields)
    assert "| 7:0 | `magic` |  |" in files[".md"]
    assert "| `in_zero` | signed |" in files[".md"]
    for fault in Fault:
        assert f"| {fault.value} | {fault.name} |" in files[".md"]
