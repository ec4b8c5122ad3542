"""Errors as lines."""

import pytest

from compiler.errors import CompileError
from golden.params import BuildError
from golden.segment import MapError
from openhop.errors import describe
from openhop.layer_table import TableError
from sim.streams import SimulationError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CompileError("node", "is odd", "make it even"), "node: is odd; make it even"),
        (BuildError("lanes\n  too many"), "lanes too many"),
        (MapError("ends early", row=3), "row 3: ends early"),
        (SimulationError("no end"), "no end"),
        (TableError("t.csv line 2: bad"), "t.csv line 2: bad"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or d"),
        (OSError("disk"), "disk"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_foreseen_errors_speak_for_themselves(error, line):
    assert describe(error).startswith(line)
    assert "\n" not in describe(error)


def test_others_are_faults_of_openhop():
    assert describe(ZeroDivisionError("by zero")) == (
        "internal error, please report it: ZeroDivisionError: by zero "
        "(OPENHOP_TRACEBACK=1 shows where)"
    )
