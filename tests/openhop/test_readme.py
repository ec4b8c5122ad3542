"""README.md: its tables are those of the records, its examples run, its commands exist."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from golden.params import PRESETS
from openhop import cycles
from openhop.library import sample_pictures
from tests.test_house import ROOT

README = ROOT / "README.md"
TEXT = README.read_text()
L1_PAGE = (ROOT / "docs" / "l1.md").read_text()
RECORD = ROOT / "docs" / "figures" / "fashion_nullhop.json"


def load_script(path: Path):
    """Load a script that is no module of a package, and what lies beside it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


tables = load_script(ROOT / "docs" / "tables.py")


def block(name: str) -> str:
    """The code that stands behind `<!-- runs: NAME -->`."""
    (code,) = re.findall(rf"^<!-- runs: {name} -->\n```python\n(.*?)^```$", TEXT, re.M | re.S)
    return code


def run_block(name: str, folder: Path) -> str:
    """Run an example in a folder; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block(name)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_the_tables_are_those_of_the_records():
    for text in (TEXT, L1_PAGE):
        assert tables.fill(text) == text, "run python docs/tables.py"


def test_every_table_is_used():
    assert set(re.findall(r"<!-- table: (\w+) -->", TEXT + L1_PAGE)) == set(tables.TABLES)


def test_a_table_without_an_end_is_an_error():
    with pytest.raises(ValueError, match="table presets must have one beginning and one end"):
        tables.fill("<!-- table: presets -->\n")


def test_lines_are_not_too_long():
    """Rows of tables cannot be broken."""
    assert [line for line in TEXT.splitlines() if len(line) > 120 and line[0] != "|"] == []


def test_files_that_it_names_exist():
    assert re.findall(r"!\[.*?\]\((.*?)\)", TEXT)
    for name in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / name).is_file()
    for name in re.findall(r"`((?:docs|golden|compiler|models|openhop|fpga)/[\w/.-]+)`", TEXT):
        assert (ROOT / name).exists(), name


def test_commands_that_it_names_exist(openhop):
    commands = re.findall(r"^openhop (\w+)([^#\n]*)", TEXT, re.MULTILINE)
    commands += re.findall(r"`openhop ([a-z]+)([^`]*)`", TEXT)
    assert len(commands) > 8
    for verb, arguments in commands:
        help_text = openhop(verb, "--help").stdout
        for option in re.findall(r"(?<=\s)--?\w+", arguments):
            assert option in help_text, (verb, option)
    assert set(re.findall(r"--preset (\w+)", TEXT)) - {"P"} <= set(PRESETS)


def test_every_preset_has_a_purpose():
    assert set(tables.PURPOSES) == set(PRESETS)


def test_the_script_checks_and_writes(tmp_path, monkeypatch):
    copy = tmp_path / "README.md"
    copy.write_text(TEXT.replace("| `tiny` |", "| `teeny` |"))
    monkeypatch.setattr(tables, "README", copy)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    with pytest.raises(SystemExit, match=r"run python docs/tables\.py"):
        tables.main()
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    tables.main()
    assert copy.read_text() == TEXT
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    tables.main()


def test_the_amaranth_example(tmp_path):
    assert f"It prints `{run_block('amaranth', tmp_path)}`" in TEXT


def test_a_network_of_one_s_own(tmp_path, openhop):
    """The quantiser's example, then `check` and `run` on what it made, by a float network."""
    fashion = ROOT / "models" / "fashion"
    graph = load_script(fashion / "graph.py")
    sys.modules.pop("data", None)
    network = graph.float_model(graph.load_weights(fashion / "fashion_float.npz"))
    (tmp_path / "float.onnx").write_bytes(network.SerializeToString())
    (tmp_path / "pictures").mkdir()
    for path in sample_pictures("fashion"):
        (tmp_path / "pictures" / path.name).write_bytes(path.read_bytes())
    run_block("quantise", tmp_path)
    assert "nullhop runs this network" in openhop("check", tmp_path / "own.onnx").stdout
    picture = tmp_path / "a.png"
    with Image.open(sample_pictures("fashion")[0]) as given:
        given.save(picture)
    out = tmp_path / "own.json"
    args = ("--images", picture, "--engine", "golden", "--json", out)
    assert openhop("run", tmp_path / "own.onnx", *args).exit_code == 0
    assert json.loads(out.read_text())["labels"] == ["class 9"]


def test_the_record_is_of_a_run_that_passed():
    record = json.loads(RECORD.read_text())
    assert (record["model"], record["preset"], record["engine"]) == ("fashion", "nullhop", "rtl")
    assert record["bit_exact"] is True
    assert record["images"] == len(sample_pictures("fashion"))
    for item in (*record["layers"], record["total"]):
        assert item["cycles"] == item["cycles_model"]


def test_the_printed_output_is_of_the_recorded_run():
    record = json.loads(RECORD.read_text())
    printed = RECORD.with_suffix(".txt").read_text()
    assert f"total  {record['total']['cycles']:,}  {record['total']['cycles_compute']:,}" in printed
    assert f"Labels: {record['correct']} of {record['images']} correct" in printed
    assert f"{record['sim_cycles_per_s']:,.0f} cycles per second" in printed


@pytest.mark.bench
def test_the_models_give_the_record():
    """RTL is compared with the models whenever it runs; this holds the record to the code."""
    record, now = json.loads(RECORD.read_text()), cycles("fashion").json()
    for key in set(record) - {"engine", "bit_exact", "sim_cycles_per_s", "layers", "total"}:
        assert now[key] == record[key]
    for old, new in zip(
        [*record["layers"], record["total"]], [*now["layers"], now["total"]], strict=True
    ):
        for key, value in old.items():
            same = new[key] == value
            assert same or (isinstance(value, float) and np.isclose(new[key], value)), key
