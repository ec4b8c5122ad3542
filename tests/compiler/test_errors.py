"""CompileError: one line, whatever its parts are."""

import pytest

from compiler.errors import CompileError


def test_message_has_place_reason_and_hint():
    error = CompileError("conv1 (Conv)", "has 2 groups", "use group=1")
    assert str(error) == "conv1 (Conv): has 2 groups; use group=1"
    assert (error.where, error.reason) == ("conv1 (Conv)", "has 2 groups; use group=1")


def test_the_hint_may_be_left_out():
    assert str(CompileError("x.png", "is not a picture")) == "x.png: is not a picture"


@pytest.mark.parametrize("text", ["two\nlines", "two\r\n  lines", " two lines\n"])
def test_message_is_one_line(text):
    assert str(CompileError(text, text, text)) == "two lines: two lines; two lines"
