"""The core's memory, what stands in for it in tests, and what an exported design calls for."""

import re
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Shape, ShapeLike, signed, unsigned
from amaranth.lib import data
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.memory import EXPORT, VERILOG, Ram
from tests.hdl.harness import plain, simulate
from tests.hdl.hostile import HostileRam

STRUCT = data.StructLayout({"mask": unsigned(3), "values": data.ArrayLayout(signed(5), 2)})
SHAPES = {"u1": unsigned(1), "u16": unsigned(16), "s9": signed(9), "struct": STRUCT}
KINDS = {"plain": Ram, "hostile": HostileRam}


def word_of(shape: ShapeLike, bits: int) -> Any:
    """The word with these bits, as `plain` gives it."""
    if isinstance(shape, data.StructLayout):
        return plain(shape.from_bits(bits))
    cast = Shape.cast(shape)
    return bits - (1 << cast.width) if cast.signed and bits >> cast.width - 1 else bits


def play(
    dut: Ram, shape: ShapeLike, operations: list[tuple[tuple[int, Any] | None, int]]
) -> list[Any]:
    """Per cycle an optional write (address, word), and a read; the read's answer a cycle later."""
    answers: list[Any] = []

    async def drive(ctx):
        for write, r_addr in [*operations, (None, 0)]:
            ctx.set(dut.w_en, write is not None)
            # Without `w_en` address and word say nothing, here the worst that they could.
            address, word = write or (r_addr, word_of(shape, 0))
            ctx.set(dut.w_addr, address)
            ctx.set(dut.w_data, word)
            ctx.set(dut.r_addr, r_addr)
            _, _, answer = await ctx.tick().sample(dut.r_data)
            answers.append(plain(answer))

    simulate(dut, drive)
    return answers[1:]


@pytest.mark.parametrize("kind", KINDS)
@given(draw=st.data())
@settings(max_examples=settings.default.max_examples // 3)
def test_a_read_gives_the_last_word_written_one_cycle_later(kind, draw):
    shape = SHAPES[draw.draw(st.sampled_from(sorted(SHAPES)))]
    depth = draw.draw(st.sampled_from((2, 3, 8, 13)))
    words = st.builds(
        lambda bits: word_of(shape, bits), st.integers(0, (1 << Shape.cast(shape).width) - 1)
    )
    addresses = st.integers(0, depth - 1)
    write = st.none() | st.tuples(addresses, words)
    operations = draw.draw(st.lists(st.tuples(write, addresses), min_size=1, max_size=60))

    contents: dict[int, Any] = {}
    promised = []
    for write, r_addr in operations:
        collides = write is not None and write[0] == r_addr
        known = r_addr in contents and not collides
        promised.append([contents[r_addr]] if known else [])
        if write:
            contents[write[0]] = write[1]
    answers = play(KINDS[kind](shape, depth), shape, operations)
    assert [[a] if p else [] for a, p in zip(answers, promised, strict=True)] == promised


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [2, 5, 16])
def test_a_write_and_a_read_in_every_cycle(kind, depth):
    rounds = [[(a, (a * 37 + turn * 11) % 256) for a in range(depth)] for turn in range(4)]
    writes = [write for each in rounds for write in each]
    # The read is one cycle behind the write, so that it finds what has just been written.
    reads = [0, *(address for address, _ in writes[:-1])]
    operations = list(zip(writes, reads, strict=True))
    answers = play(KINDS[kind](unsigned(8), depth), unsigned(8), operations)
    assert answers[1:] == [word for _, word in writes[:-1]]


def test_a_hostile_memory_gives_nonsense_where_nothing_is_promised():
    operations = [
        (None, 1),  # never written
        ((1, 0x2C), 1),  # written in this cycle, for the first time
        ((1, 0x35), 1),  # and again: neither the old word nor the new one
        (None, 1),
        ((0, 0x11), 1),
    ]
    answers = play(HostileRam(unsigned(8), 4), unsigned(8), operations)
    assert answers[0] == 0xFF
    assert answers[1] not in (0, 0x2C)
    assert answers[2] not in (0x2C, 0x35)
    assert answers[3:] == [0x35, 0x35]


@pytest.mark.parametrize("depth", [-1, 0, 1])
def test_a_memory_of_less_than_two_words_is_refused(depth):
    with pytest.raises(ValueError, match=rf"^depth must be at least 2, not {depth}$"):
        Ram(unsigned(8), depth)


@pytest.mark.parametrize(
    ("shape", "depth", "width", "address"),
    [(signed(9), 2, 9, 1), (STRUCT, 300, 13, 9), (unsigned(16), 512, 16, 9)],
)
def test_an_export_is_one_instance_with_the_memory_s_sizes(shape, depth, width, address):
    text = rtlil.convert(Ram(shape, depth), platform=EXPORT)
    assert text.count(" cell \\openhop_ram ") == 1
    assert "$mem" not in text
    cell = text[text.index(" cell \\openhop_ram ") :]
    parameters = dict(re.findall(r"parameter (?:signed )?\\(\w+) (?:32')?(\w+)", cell))
    found = {name: int(value, 2 if len(value) == 32 else 10) for name, value in parameters.items()}
    assert found == {"WIDTH": width, "DEPTH": depth, "ADDRESS": address}
    pins = set(re.findall(r"^\s+connect \\(\w+) ", cell, re.M))
    declared = re.findall(r"^  (?:input|output reg) (?:\[.*?\] )?(\w+),?$", VERILOG, re.M)
    assert pins == set(declared)


def test_without_an_export_the_memory_is_inferred():
    text = rtlil.convert(Ram(signed(9), 300))
    assert "openhop_ram" not in text
    assert re.search(r"memory width 9 size 300 ", text)
    assert "attribute \\no_rw_check 1" in text
