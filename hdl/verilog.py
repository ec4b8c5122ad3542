"""Verilog generation: one file per component, without source locations, the same text each time."""

from dataclasses import dataclass

from amaranth.back import verilog
from amaranth.hdl import Value, ValueCastable
from amaranth.lib import data, wiring

from golden.params import Build
from hdl.core import Core
from hdl.merge import loop_memories, merge_modules

#: Name of the core's Verilog module.
TOP = "openhop_core"


@dataclass(frozen=True)
class Field:
    """A part of a port that carries several values: bits [low + width - 1 : low]."""

    name: str
    low: int
    width: int


@dataclass(frozen=True)
class Port:
    """A port of a Verilog module.

    `direction` is "input" or "output". Verilog sees every port as unsigned; `fields` names the
    parts of a packed payload, the least significant first, and is empty for a plain value.
    """

    name: str
    direction: str
    width: int
    fields: tuple[Field, ...] = ()


def generate(build: Build) -> str:
    """Return the Verilog of the core of this build; its top module is `TOP`.

    The text depends on the build and on the versions of Amaranth and Yosys alone.
    """
    return convert(Core(build), TOP)


def convert(component: wiring.Component, name: str) -> str:
    """Return a component as Verilog, with `name` as its top module; see `hdl.merge`."""
    text = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return loop_memories(merge_modules(text, name))


def ports(component: wiring.Component) -> tuple[Port, ...]:
    """Return the ports of the Verilog module that `convert` makes, clock and reset first."""
    table = [Port("clk", "input", 1), Port("rst", "input", 1)]
    for path, member, value in component.signature.flatten(component):
        layout = value.shape() if isinstance(value, ValueCastable) else None
        width = len(Value.cast(value))
        table.append(
            Port(
                name="__".join(map(str, path)),
                direction="input" if member.flow == wiring.In else "output",
                width=width,
                fields=_fields(layout) if isinstance(layout, data.Layout) else (),
            )
        )
    return tuple(table)


def port_table(table: tuple[Port, ...]) -> str:
    """Return the ports as a Markdown table."""
    rows = [("port", "direction", "bits", "fields"), ("---", "---", "---", "---")]
    for port in table:
        parts = ", ".join(f"{field.name} [{_bits(field)}]" for field in port.fields)
        rows.append((f"`{port.name}`", port.direction, str(port.width), parts))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _fields(layout: data.Layout) -> tuple[Field, ...]:
    return tuple(Field(str(name), field.offset, field.width) for name, field in layout)


def _bits(field: Field) -> str:
    high = field.low + field.width - 1
    return str(high) if field.width == 1 else f"{high}:{field.low}"
