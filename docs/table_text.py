"""What the tables of the pages are made of: records, figures and Markdown (`docs/tables.py`)."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"


def record(name: str) -> dict[str, Any]:
    """Read a record of docs/figures."""
    return json.loads((FIGURES / f"{name}.json").read_text())


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table whose first `left` columns are text, the others figures."""
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *rows))


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:.1f} %"
