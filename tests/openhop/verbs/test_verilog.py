"""`openhop verilog`: the files of a core; tests/openhop/test_verilog_files.py reads them."""

import json

from golden.params import preset
from hdl.verilog import TOP
from sim.rtl import core_verilog


def test_files_and_json(openhop, tmp_path):
    folder, out = tmp_path / "new" / "rtl", tmp_path / "verilog.json"
    result = openhop("verilog", "--preset", "tiny8", "-o", folder, "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(out.read_text())
    names = [f"{TOP}.v", f"{TOP}.core", f"{TOP}.md"]
    assert content == {
        "preset": "tiny8",
        "top": TOP,
        "files": [str(folder / name) for name in names],
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert (folder / f"{TOP}.v").read_text() == core_verilog(preset("tiny8"))
    for name in names:
        assert name in result.stdout.replace("\n", "")


def test_the_current_folder_is_the_default(openhop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert openhop("verilog", "--preset", "tiny").exit_code == 0
    assert (tmp_path / f"{TOP}.v").is_file()
