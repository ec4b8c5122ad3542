"""The user's cache folder: what is costly to make is made once for every process of a machine."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

#: Entries that nobody used for so long are removed when a new one is made.
KEEP_SECONDS = 30 * 24 * 3600


def cache_dir() -> Path:
    """Folder of the cache: `OPENHOP_CACHE`, else `openhop` in the user's cache folder."""
    if own := os.environ.get("OPENHOP_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "openhop"


def digest(*parts: str) -> str:
    """Name of what is made from these texts; it tells ("ab", "c") from ("a", "bc")."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:32]


def cached(room: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `room`/`key` of the cache, made by `make` if it is not there.

    Parameters
    ----------
    room
        Folder of the cache for entries of one kind.
    key
        Name of the entry; whatever its content depends on is in it (`digest`).
    make
        Fills the empty folder that it is given. The folder moves to its place when `make` returns,
        so that an entry is whole or missing. Of several processes that want the same entry, one
        makes it and the others wait.
    """
    folder = cache_dir() / room
    entry = folder / key
    if _used(entry):
        return entry
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _used(entry):
            return entry
        _prune(folder)
        draft = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=folder))
        try:
            make(draft)
            draft.rename(entry)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        # Whoever waits for this lock, or opens another one, finds the entry.
        path.unlink(missing_ok=True)
    return entry


def stored(room: str, key: str) -> Path | None:
    """Return the folder `room`/`key` of the cache if it is there; it counts as used now."""
    entry = cache_dir() / room / key
    return entry if _used(entry) else None


def _used(entry: Path) -> bool:
    """Whether the entry is there; if so it counts as used now."""
    try:
        os.utime(entry)
    except FileNotFoundError:
        return False
    return True


def _prune(folder: Path) -> None:
    """Remove entries, and drafts of processes that died, that nobody used for long."""
    oldest = time.time() - KEEP_SECONDS
    for path in folder.iterdir():
        if path.is_dir() and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
