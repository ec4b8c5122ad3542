"""Comparison of signed numbers by a carry alone."""

from amaranth.hdl import Cat, Value


def less(a: Value, b: Value) -> Value:
    """Return a < b for signed values of the same width.

    Counted from the lowest number, both are unsigned, and the carry of their difference says it;
    Yosys makes more of a comparison of signed numbers.
    """
    return _from_lowest(a) < _from_lowest(b)


def _from_lowest(number: Value) -> Value:
    return Cat(number[:-1], ~number[-1])
