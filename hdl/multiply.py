"""Products of small numbers, which are not worth a multiplier block."""

from amaranth.hdl import Mux, Value, ValueLike


def times(value: ValueLike, small: ValueLike) -> Value:
    """Product of two unsigned numbers by shifts and adds, an addend per bit of `small`."""
    factor = Value.cast(small)
    addend = Value.cast(value)
    return sum((Mux(factor[b], addend << b, 0) for b in range(len(factor))), Value.cast(0))
