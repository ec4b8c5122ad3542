"""Where the command line writes: the screen, progress bars, and files that are whole or absent."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

#: What is said of files and folders that the user must not write.
UNWRITABLE = "cannot be written; choose another place"

#: Columns of what is written to a file or a pipe.
PIPE_WIDTH = 100


def screen() -> Console:
    """Return the console of the results."""
    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if wide else PIPE_WIDTH, highlight=False, soft_wrap=False)


def show(parts: Iterable[RenderableType]) -> None:
    """Print results, with an empty line around each table."""
    out = screen()
    before = None
    for part in parts:
        if before is not None and Table in (type(before), type(part)):
            out.print()
        out.print(part)
        before = part


def table(title: str, *columns: str, left: int = 1) -> Table:
    """Return an empty table; the first `left` columns are text, the others figures."""
    result = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for index, name in enumerate(columns):
        result.add_column(name, justify="left" if index < left else "right", no_wrap=True)
    return result


class Bar:
    """A progress bar on stderr; see `bar`."""

    def __init__(self, progress: Progress, text: str) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=None)

    def show(self, text: str, done: float = 0, total: float | None = None) -> None:
        """Say what is under way and how much of it is done; without a total it only moves."""
        self._progress.update(self._task, description=text, completed=done, total=total)


@contextmanager
def bar(text: str) -> Iterator[Bar]:
    """Show a progress bar that vanishes at the end; nothing where stderr is no terminal."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        yield Bar(progress, text)


def require_writable(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before the work that fills them.

    Raises
    ------
    OSError
        Names the file.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder; give the name of a file", str(path))
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(2, "its folder does not exist; make it first", str(path))
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise PermissionError(13, UNWRITABLE, str(path))


def require_folder(path: Path) -> None:
    """Refuse a folder that can neither be written to nor made; it is not made yet.

    Raises
    ------
    OSError
        Names what is in the way.
    """
    place = path.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(20, "is no folder; give the name of a folder", str(place))
    if not os.access(place, os.W_OK):
        raise PermissionError(13, UNWRITABLE, str(place))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that is never seen half-written: under another name first, then renamed."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_bytes(data)
        return
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write files by name into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_file(folder / name, content)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write a result as JSON, if a file is asked for."""
    if path:
        write_file(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
