"""Files that are whole or absent, and tables that keep their figures."""

import io
import json
import os

import pytest
from rich.console import Console

from openhop.output import require_writable, table, write_file, write_json


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("before")
    write_json(path, {"cycles": 3})
    assert json.loads(path.read_text()) == {"cycles": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_json_cannot_say_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "result.json", {"share": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    write_file(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, "text")
    assert os.read(reader, 99) == b"text"
    os.close(reader)


def test_no_file_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(None, {})
    require_writable(None)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_files_are_refused_first(tmp_path):
    require_writable(tmp_path / "new.json")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        require_writable(tmp_path)
    with pytest.raises(FileNotFoundError, match="its folder does not exist"):
        require_writable(tmp_path / "missing" / "new.json")


def test_figures_are_never_cut_off():
    figures = table("title", "layer", "cycles", "ops")
    figures.add_row("conv", "1,234,567", "89")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(figures)
    assert "1,234,567" in console.export_text()
