"""Delay lines."""

from typing import Any

from amaranth.hdl import Module, Signal


def delayed(m: Module, value: Any, cycles: int, name: str) -> Any:
    """Return a value some cycles later."""
    for cycle in range(1, cycles + 1):
        later = Signal.like(value, name=f"{name}_{cycle}")
        m.d.sync += later.eq(value)
        value = later
    return value
