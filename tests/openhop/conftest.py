"""The command line as tests call it."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from openhop.cli import app

Invoke = Callable[..., Any]


@pytest.fixture(scope="session")
def openhop() -> Invoke:
    """Call a verb with its arguments; returns typer's result."""

    def invoke(*args: object) -> Any:
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(arg) for arg in args])

    return invoke


@pytest.fixture(scope="session")
def refusal(openhop: Invoke) -> Callable[..., str]:
    """Call a verb that must fail: exit 2, nothing on stdout, one line on stderr, returned."""

    def invoke(*args: object) -> str:
        result = openhop(*args)
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("openhop: ")
        return line.removeprefix("openhop: ")

    return invoke
