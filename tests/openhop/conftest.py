"""The command line as tests call it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from golden.params import preset
from openhop.cli import app
from openhop.library import load, sample_pictures
from openhop.running import Report, run_network
from tests.openhop.networks import classifier

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


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """An ONNX file with `classifier`."""
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(classifier(), path)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> list[Path]:
    """Two pictures for `model`."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(11)
    paths = [folder / "first.png", folder / "second.png"]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(path)
    return paths


@pytest.fixture(scope="session")
def report() -> Report:
    """The bundled network with one picture, by the models."""
    pictures = sample_pictures("fashion")[:1]
    return run_network(load("fashion"), preset("nullhop"), pictures, engine="golden")
