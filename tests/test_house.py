"""The rules of the house that no linter knows: who may import whom, and what is installed."""

import ast
import gc
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What each room may import of the others: a room as a whole, or single modules of it. No arrow
# runs back up.
ARROWS = {
    "golden": set(),
    "compiler": {"golden"},
    "hdl": {"golden.descriptor", "golden.formats", "golden.params"},
    "sim": {"golden", "compiler", "hdl"},
    "fpga": {"golden", "hdl"},
    "openhop": {"golden", "compiler", "hdl", "sim", "fpga"},
}

# What each room may import beside the standard library. Tools that run as programs (Yosys,
# nextpnr, Verilator's compiler) are not imported and do not stand here.
PACKAGES = {
    "golden": {"numpy"},
    "compiler": {"numpy", "onnx"},
    "hdl": {"amaranth"},
    "sim": {"amaranth", "cocotb", "cocotb_tools", "cocotbext", "jinja2", "numpy", "verilator"},
    "fpga": {"amaranth", "jinja2"},
    "openhop": {
        "PIL",
        "h5py",
        "jinja2",
        "matplotlib",
        "numpy",
        "onnx",
        "onnxruntime",
        "rich",
        "typer",
    },
}

# Modules whose tests stand under another name than theirs, and why.
TESTED_ELSEWHERE = {
    "openhop/__init__.py": (["tests/openhop/test_api.py"], "it only hands on openhop.api"),
}

FILES = [path.relative_to(ROOT) for room in ARROWS for path in sorted((ROOT / room).rglob("*.py"))]


def tree(source: str) -> ast.Module:
    """Parse a module.

    Garbage of other tests that is collected meanwhile, such as a simulation's coroutines, makes
    CPython 3.11 lose count of its recursion depth and raise SystemError.
    """
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that the source of a module in `package` imports."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*above, *filter(None, [node.module]), alias.name])


def violations(source: str, package: str) -> list[str]:
    """What the source of a module in `package` imports against the rules, one line each."""
    room = package.split(".")[0]
    allowed = {room, *ARROWS[room], *PACKAGES[room], *sys.stdlib_module_names}
    if room == "hdl":
        # Amaranth reads annotations: as strings they cost components and structs their members.
        allowed.remove("__future__")
    return [
        f"line {line}: {room} may not import {name}"
        for line, name in imports(source, package)
        if not any(name == item or name.startswith(f"{item}.") for item in allowed)
    ]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_arrows(path):
    assert violations((ROOT / path).read_text(), ".".join(path.parent.parts)) == []


@pytest.mark.parametrize(
    ("package", "source", "name"),
    [
        ("golden", "import compiler", "compiler"),
        ("golden", "import onnx.helper", "onnx.helper"),
        ("golden", "def late():\n    from hdl import pe", "hdl.pe"),
        ("golden", "import numpyro", "numpyro"),
        ("compiler", "from sim.harness import run", "sim.harness.run"),
        ("hdl", "import golden", "golden"),
        ("hdl", "from golden import network", "golden.network"),
        ("hdl", "from golden.params import *; import numpy", "numpy"),
        ("hdl", "from __future__ import annotations", "__future__.annotations"),
        ("fpga.boards", "import compiler.plan as plan", "compiler.plan"),
        ("sim", "from openhop import cli", "openhop.cli"),
        ("openhop", "import torch", "torch"),
    ],
)
def test_a_forbidden_import_is_seen(package, source, name):
    (found,) = violations(source, package)
    assert found.endswith(f"may not import {name}")


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("golden", "import math, os.path; from numpy import typing"),
        ("golden.cycles", "from . import model; from .. import formats; from ..formats import q"),
        ("compiler", "from golden import network; from compiler.plan import tile"),
        ("hdl", "from golden import params; from golden.formats import q; from hdl import pe"),
        ("openhop", "import golden, compiler, hdl, sim, fpga; from openhop import cli"),
    ],
)
def test_a_permitted_import_is_left_alone(package, source):
    assert violations(source, package) == []


def test_every_package_is_installed():
    """A new folder of a room would be missing from a wheel, and only there."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.parts) for path in FILES}
    assert folders | {"openhop.models"} == set(setup["packages"])


def has_code(source: str) -> bool:
    """Whether there is more to a module than its docstring."""
    statements = tree(source).body
    if ast.get_docstring(ast.Module(statements, [])) is not None:
        statements = statements[1:]
    return bool(statements)


def has_tests(path: Path) -> bool:
    """Whether a file is there and has a test."""
    if not path.is_file():
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(
        isinstance(node, functions) and node.name.startswith("test_")
        for node in ast.walk(tree(path.read_text()))
    )


def mirrors(path: PurePath) -> list[Path]:
    """Where the tests of a module may be: a folder stays a folder or becomes a part of the name.

    `golden/cycles/scan.py` is tested by `tests/golden/cycles/test_scan.py` or
    `tests/golden/test_cycles_scan.py`.
    """
    room, *inner = path.parts
    return [
        Path("tests", room, *inner[:-1], f"test_{inner[-1]}"),
        Path("tests", room, f"test_{'_'.join(inner)}"),
    ]


def untested(root: Path, path: Path) -> bool:
    """Whether a module has code and no tests."""
    if not has_code((root / path).read_text()):
        return False
    others, _ = TESTED_ELSEWHERE.get(path.as_posix(), ([], ""))
    return not any(has_tests(root / place) for place in [*mirrors(path), *others])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_tests_mirror_the_code(path):
    assert not untested(ROOT, path), f"{path} has no tests: write {mirrors(path)[0]}"


@pytest.mark.parametrize("name", TESTED_ELSEWHERE)
def test_what_is_tested_elsewhere_is(name):
    """An entry goes when its module has gone, or has tests of its own."""
    path = Path(name)
    others, reason = TESTED_ELSEWHERE[name]
    assert path in FILES
    assert has_code((ROOT / path).read_text())
    assert not any(has_tests(ROOT / place) for place in mirrors(path))
    assert others
    assert all(has_tests(ROOT / place) for place in others)
    assert reason


@pytest.mark.parametrize(
    ("module", "place", "found"),
    [
        ("hdl/pe.py", "tests/hdl/test_pe.py", True),
        ("golden/cycles/scan.py", "tests/golden/test_cycles_scan.py", True),
        ("openhop/verbs/run.py", "tests/openhop/verbs/test_run.py", True),
        ("openhop/verbs/run.py", "tests/openhop/test_run.py", False),
        ("hdl/pe.py", "tests/hdl/pe.py", False),
        ("hdl/pe.py", "tests/sim/test_pe.py", False),
    ],
)
def test_a_missing_tests_file_is_seen(tmp_path, module, place, found):
    for name, text in ((module, "x = 1\n"), (place, "def test_x():\n    pass\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert untested(tmp_path, Path(module)) is not found
    (tmp_path / place).write_text("def helper():\n    pass\n")
    assert untested(tmp_path, Path(module))
    (tmp_path / module).write_text('"""Nothing but a docstring."""\n')
    assert not untested(tmp_path, Path(module))
