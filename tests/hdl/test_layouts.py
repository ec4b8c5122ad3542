"""The layouts against the descriptor's packing, golden's sizes, and the simulators' records."""

import pytest
from amaranth.hdl import Shape
from amaranth.lib import data
from hypothesis import given
from hypothesis import strategies as st

from golden.descriptor import CLUSTER_WORD, MAGIC, PASS_WORDS, SIGNED_FIELDS, pack_word
from golden.params import PRESETS, Build
from hdl.layouts import (
    CLUSTER_CONFIG,
    MAP_BEAT,
    OUT_BEAT,
    PASS_CONFIG,
    drain_chunk,
    fields_layout,
    map_word,
    value_chunk,
)
from sim.streams import MAP_BEATS, OUT_BEATS

WORDS = (*PASS_WORDS, CLUSTER_WORD)
FIELDS = [field for word in WORDS for field in word]
BUILDS = pytest.mark.parametrize("build", PRESETS.values(), ids=lambda build: build.name)


def places(layout: data.StructLayout) -> dict[str, tuple[int, int]]:
    """Lowest bit and width of every field."""
    return {name: (field.offset, field.width) for name, field in layout}


def values_of(word: tuple[tuple[str, int], ...]) -> st.SearchStrategy[dict[str, int]]:
    """Values that the fields of one descriptor word can have."""
    ranges = {}
    for name, bits in word:
        low = -(1 << bits - 1) if name in SIGNED_FIELDS else 0
        ranges[name] = st.integers(low, low + (1 << bits) - 1)
    return st.fixed_dictionaries(ranges)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word[0][0])
@given(draw=st.data())
def test_a_packed_word_reads_back(word, draw):
    """What golden packs, the hardware sees: every field, with its sign."""
    values = draw.draw(values_of(word))
    layout = fields_layout(word)
    packed = pack_word(word, values)
    assert packed < 1 << layout.size <= 1 << 64
    seen = layout.from_bits(packed)
    assert {name: seen[name] for name, _ in word} == values


def test_a_pass_has_all_fields_in_their_order():
    assert [name for name, _ in PASS_CONFIG] == [f for word in PASS_WORDS for f, _ in word]
    assert PASS_CONFIG.size == sum(bits for word in PASS_WORDS for _, bits in word)
    assert [name for name, _ in CLUSTER_CONFIG] == [name for name, _ in CLUSTER_WORD]
    assert places(PASS_CONFIG)["magic"] == (0, 8)
    assert MAGIC < 1 << 8


@pytest.mark.parametrize(("name", "bits"), FIELDS)
def test_a_field_has_its_width_and_sign(name, bits):
    (layout,) = [layout for layout in (PASS_CONFIG, CLUSTER_CONFIG) if name in dict(layout)]
    shape = Shape.cast(layout[name].shape)
    assert (shape.width, shape.signed) == (bits, name in SIGNED_FIELDS)


def test_bus_words_lie_as_the_pins_document_them():
    assert places(MAP_BEAT) == {"data": (0, 64), "bytes": (64, 4), "last": (68, 1)}
    assert places(OUT_BEAT) == {
        "data": (0, 64),
        "bytes": (64, 4),
        "last": (68, 1),
        "context": (69, 4),
        "length": (73, 24),
    }


@pytest.mark.parametrize(("layout", "record"), [(MAP_BEAT, MAP_BEATS), (OUT_BEAT, OUT_BEATS)])
def test_the_simulators_records_have_room_for_every_field(layout, record):
    assert [name for name, _ in layout] == list(record.names)
    for name, field in layout:
        assert record[name].kind == "u"
        assert record[name].itemsize * 8 >= field.width


@BUILDS
def test_a_context_names_every_team_and_row(build):
    for layout in (OUT_BEAT, drain_chunk(build), value_chunk(build)):
        assert 2 * (build.clusters - 1) + 1 < 1 << layout["context"].width


@BUILDS
def test_a_map_word_has_a_mask_bit_and_a_raw_value_per_pixel(build):
    layout = map_word(build)
    n, bits = build.word_pixels, build.act_bits
    assert layout.size == build.map_word_bits
    assert places(layout) == {"mask": (0, n), "values": (n, n * bits)}
    values = list(range(1, n + 1))
    seen = layout.from_bits(sum(v << n + i * bits for i, v in enumerate(values)) | 0b101)
    assert ([seen.values[i] for i in range(n)], seen.mask) == (values, 0b101)
    full = layout.from_bits((1 << layout.size) - 1)
    assert full.values[n - 1] == (1 << bits) - 1  # raw: no sign


def chunk_shapes(layout: data.StructLayout, array: str) -> tuple[int, Shape]:
    shape = layout[array].shape
    return shape.length, Shape.cast(shape.elem_shape)


@BUILDS
def test_chunks_carry_a_drain_of_sums_and_of_values(build: Build):
    sums, values = drain_chunk(build), value_chunk(build)
    assert chunk_shapes(sums, "sums") == (build.drain, Shape(build.acc_bits, signed=True))
    assert chunk_shapes(values, "values") == (build.drain, Shape(build.act_bits, signed=False))
    assert sums["real"].width == values["real"].width == build.drain
    # What goes along is the same on both sides of the requantiser.
    along = {name: field.width for name, field in sums if name != "sums"}
    assert along == {name: field.width for name, field in values if name != "values"}
