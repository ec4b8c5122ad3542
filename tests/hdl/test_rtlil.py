"""Every component of the room converts to RTLIL, in every build: no loop, no clash of drivers.

The list of components is found by walking the room, so that a new one cannot be forgotten.
"""

import importlib
import inspect
import pkgutil
import re
from collections import Counter

import pytest
from amaranth.back import rtlil
from amaranth.hdl import CombinationalCycle, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import hdl
from golden.params import PRESETS, Build
from hdl.core import Core
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane
from hdl.layouts import map_word
from hdl.memory import EXPORT, Ram
from hdl.multiplier import Multiplier
from hdl.select_add import SelectAdd
from hdl.stream import StreamFIFO, StreamRegister

#: Arguments of the components that are not made from a build alone; one set at least for each.
EXAMPLES = {
    Ram: lambda build: [(map_word(build), build.map_words), (unsigned(1), 2)],
    Multiplier: lambda build: [(build.pixel_bits, build.weight_bits), (1, 18)],
    SelectAdd: lambda build: [(build.acc_bits,), (1,)],
    StreamRegister: lambda build: [(map_word(build),), (unsigned(64),)],
    StreamFIFO: lambda build: [(map_word(build), build.fifo_depth), (unsigned(1), 2)],
}

#: Components of builds with one kind of lanes.
FOR = {Lane: "mac", L1Lane: "l1", WindowSum: "l1"}

#: What takes long to convert, for the words of its memories.
LARGE = {("Core", "ecp5_85f")} | {
    (kind, f"nullhop{of}") for kind in ("Core", "MapBanks") for of in ("", "8", "_l1")
}


def components() -> list[type[wiring.Component]]:
    """All components that the modules of the room define, but for what is only a base of others."""
    found = []
    for info in pkgutil.walk_packages(hdl.__path__, f"{hdl.__name__}."):
        module = importlib.import_module(info.name)
        found += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, wiring.Component) and kind.__module__ == info.name
            if hasattr(kind, "elaborate") or not kind.__subclasses__()
        ]
    return found


def takes_a_build_alone(kind: type[wiring.Component]) -> bool:
    return list(inspect.signature(kind).parameters) == ["build"]


def instances(kind: type[wiring.Component], build: Build) -> list[wiring.Component]:
    if takes_a_build_alone(kind):
        return [kind(build)]
    assert kind in EXAMPLES, f"{kind.__name__} needs arguments of its own: add it to EXAMPLES"
    return [kind(*arguments) for arguments in EXAMPLES[kind](build)]


def cases() -> list:
    """Every component in every build."""
    return [
        pytest.param(
            *(kind, build),
            id=f"{kind.__name__}-{build.name}",
            marks=[pytest.mark.slow] if (kind.__name__, build.name) in LARGE else [],
        )
        for kind in components()
        for build in PRESETS.values()
        if kind not in FOR or build.pe == FOR[kind]
    ]


@pytest.mark.parametrize(("kind", "build"), cases())
def test_converts(kind, build):
    """Warnings are errors, and so are loops, which Amaranth finds in this conversion."""
    for component in instances(kind, build):
        text = rtlil.convert(component, emit_src=False)
        for path, _, _ in component.signature.flatten(component):
            name = "__".join(map(str, path))
            assert re.search(
                rf"^  wire .*(?:input|output) \d+ +(?:signed )?\\{name}$", text, re.M
            ), name


@pytest.mark.parametrize("name", ["tiny", "up5k"])
def test_converts_for_export(name):
    """Memories are then instances of a module, with all of their parameters."""
    build = PRESETS[name]
    text = rtlil.convert(Core(build), platform=EXPORT, emit_src=False)
    # A bank per cluster; weights and sums per lane.
    cells = re.findall(r"cell \\openhop_ram .*?\n  end\n", text, re.S)
    assert len(cells) == build.clusters + 2 * build.lanes
    sizes = Counter(
        tuple(int(n) for n in re.findall(r"parameter (?:signed )?\\\w+ (\d+)", cell))
        for cell in cells
    )
    words = {
        (build.map_word_bits, build.map_words): build.clusters,
        (build.weight_bits, build.weight_words): build.lanes,
        (build.acc_bits, build.acc_words): build.lanes,
    }
    assert sizes == {
        (width, depth, (depth - 1).bit_length()): count for (width, depth), count in words.items()
    }


def test_the_walk_finds_the_blocks():
    """A walk that found nothing would pass everything above."""
    names = {kind.__name__ for kind in components()}
    assert names >= {"Core", "Cluster", "Lane", "Encoder", "PacketWriter", "Ram", "StreamFIFO"}
    assert {kind.__name__ for kind in EXAMPLES} <= names
    assert {kind for kind, _ in LARGE} | {kind.__name__ for kind in FOR} <= names
    assert not any(takes_a_build_alone(kind) for kind in EXAMPLES)


def test_a_component_without_an_example_is_refused():
    class New(wiring.Component):
        def __init__(self, build: Build, depth: int):
            super().__init__({"o": Out(build.clusters * depth)})

    with pytest.raises(AssertionError, match="New needs arguments of its own: add it to EXAMPLES"):
        instances(New, PRESETS["tiny"])


class Loop(wiring.Component):
    i: In(1)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.o ^ self.i)
        return m


def test_a_loop_would_be_seen():
    with pytest.raises(CombinationalCycle):
        rtlil.convert(Loop())
