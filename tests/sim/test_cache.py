"""The cache folder: where it is, what an entry's name depends on, and that entries are whole."""

import os
import threading
import time
from pathlib import Path

import pytest

from sim import cache
from sim.cache import cache_dir, cached, digest, stored


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    return tmp_path


def write(folder: Path) -> None:
    (folder / "file").write_text("content")


def refuse(folder: Path) -> None:
    raise AssertionError(f"made again in {folder}")


def test_the_variables_say_where(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path
    monkeypatch.setenv("OPENHOP_CACHE", "beside")
    assert cache_dir() == Path.cwd() / "beside"
    monkeypatch.delenv("OPENHOP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_dir() == Path("/elsewhere/openhop")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/somebody")
    assert cache_dir() == Path("/somebody/.cache/openhop")


def test_a_digest_depends_on_every_part_and_where_it_ends():
    names = [digest(*parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["ä"])]
    assert len(set(names)) == len(names)
    assert digest("ab", "c") == names[0]
    assert all(len(name) == 32 and name.isalnum() for name in names)


def test_an_entry_is_made_once():
    entry = cached("room", "key", write)
    assert (entry / "file").read_text() == "content"
    assert cached("room", "key", refuse) == entry
    assert cached("room", "other", write) != entry != cached("elsewhere", "key", write)


def test_what_is_stored_is_found():
    assert stored("room", "key") is None
    entry = cached("room", "key", write)
    os.utime(entry, (0, 0))
    assert stored("room", "key") == entry
    assert time.time() - entry.stat().st_mtime < 60


def test_what_fails_leaves_nothing_behind(folder):
    def fail(draft: Path) -> None:
        write(draft)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cached("room", "key", fail)
    assert [path.name for path in (folder / "room").iterdir()] == ["key.lock"]
    assert (cached("room", "key", write) / "file").exists()


def test_nothing_but_entries_stays(folder):
    entry = cached("room", "key", write)
    assert list((folder / "room").iterdir()) == [entry]


def test_one_makes_it_and_the_others_wait():
    made, found = [], []

    def slow(draft: Path) -> None:
        time.sleep(0.1)
        made.append(draft)
        write(draft)

    def want() -> None:
        found.append((cached("room", "key", slow) / "file").read_text())

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["content"] * 5
    assert len(made) == 1


def test_a_new_entry_removes_what_nobody_used_for_long():
    old, used = (cached("room", key, write) for key in ("old", "used"))
    long_ago = time.time() - cache.KEEP_SECONDS - 60
    for entry in (old, used):
        os.utime(entry, (long_ago, long_ago))
    cached("room", "used", refuse)
    assert old.exists()
    cached("room", "new", write)
    assert not old.exists()
    assert used.exists()
