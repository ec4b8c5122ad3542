"""The descriptor: every field in its bits, and nothing else."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.descriptor import (
    CLUSTER_WORD,
    MAGIC,
    PASS_WORDS,
    SIGNED_FIELDS,
    ClusterWork,
    Fault,
    PassDescriptor,
    block_sizes,
    descriptor_words,
    pack_word,
)
from golden.params import PRESETS, preset

WORDS = (*PASS_WORDS, CLUSTER_WORD)
BITS = dict(field for word in WORDS for field in word)
STRIDE_MAX = 4
PLAIN = dict.fromkeys((field.name for field in fields(PassDescriptor)), 0)


def limits(name: str) -> tuple[int, int]:
    if name in SIGNED_FIELDS:
        return -(1 << BITS[name] - 1), (1 << BITS[name] - 1) - 1
    return 0, (1 << BITS[name]) - 1


def unpack(layout: tuple[tuple[str, int], ...], word: int) -> dict[str, int]:
    """Cut the word's binary digits, the first field's being the last."""
    digits = f"{word:064b}"
    values = {}
    for name, bits in layout:
        digits, field = digits[:-bits], digits[-bits:]
        values[name] = int(field, 2)
        if name in SIGNED_FIELDS and field[0] == "1":
            values[name] -= 1 << bits
    assert int(digits or "0", 2) == 0
    return values


@pytest.mark.parametrize("layout", WORDS)
def test_a_word_has_at_most_64_bits(layout):
    assert sum(bits for _, bits in layout) <= 64
    assert min(bits for _, bits in layout) >= 1


def test_fields_have_one_name_each():
    names = [name for word in PASS_WORDS for name, _ in word]
    assert len(set(names)) == len(names)
    assert set(names) >= SIGNED_FIELDS
    assert set(names) == {f.name for f in fields(PassDescriptor)} - {"clusters"} | {"magic"}
    assert [name for name, _ in CLUSTER_WORD] == [f.name for f in fields(ClusterWork)]


@given(st.data())
def test_words_hold_every_field(data):
    def draw(name):
        return data.draw(st.sampled_from(limits(name)) | st.integers(*limits(name)))

    values = {name: draw(name) for word in PASS_WORDS for name, _ in word if name != "magic"}
    works = [{name: draw(name) for name, _ in CLUSTER_WORD} for _ in range(3)]
    d = PassDescriptor(**values, clusters=tuple(ClusterWork(**work) for work in works))
    words = d.words()
    assert len(words) == len(PASS_WORDS) + 3
    found = {}
    for layout, word in zip(PASS_WORDS, words, strict=False):
        found |= unpack(layout, word)
    assert found == values | {"magic": MAGIC}
    assert [unpack(CLUSTER_WORD, word) for word in words[len(PASS_WORDS) :]] == works


def test_the_first_byte_is_the_magic():
    d = PassDescriptor(**PLAIN | {"clusters": ()})
    assert d.words() == [MAGIC, *[0] * 7]
    assert replace(d, first=True, last=True).words()[0] == 0x300 | MAGIC
    assert bytes([MAGIC]) == b"H"


@pytest.mark.parametrize("name", sorted(set(BITS) - {"magic"}))
def test_what_does_not_fit_is_refused(name):
    low, high = limits(name)
    in_cluster = name in dict(CLUSTER_WORD)

    def words(value):
        if in_cluster:
            works = (ClusterWork(), ClusterWork(**{name: value}))
            return PassDescriptor(**PLAIN | {"clusters": works}).words()
        return PassDescriptor(**PLAIN | {"clusters": (), name: value}).words()

    assert words(low) != words(high)
    for value in (low - 1, high + 1):
        message = rf"^descriptor field {name} must be {low} to {high}, not {value}$"
        with pytest.raises(ValueError, match=message):
            words(value)


def test_pack_word_puts_the_first_field_lowest():
    assert pack_word((("a", 4), ("b", 8)), {"a": 3, "b": 0x55, "c": 9}) == 0x553
    assert pack_word((("in_zero", 17), ("b", 1)), {"in_zero": -1, "b": 0}) == (1 << 17) - 1


@pytest.mark.parametrize("name", PRESETS)
def test_words_of_a_descriptor(name):
    build = preset(name)
    d = PassDescriptor(**PLAIN | {"clusters": (ClusterWork(),) * build.clusters})
    assert descriptor_words(build) == len(d.words()) == 8 + build.clusters


@pytest.mark.parametrize("name", PRESETS)
def test_fields_have_room_for_the_presets(name):
    build = preset(name)
    needed = {
        "tile_weights": build.half_words,
        "last_weights": build.weight_words,
        "region": build.acc_words // 4,
        "window": build.acc_words // 2 - 1,
        "block_channels": build.lanes,
        "out_channels": build.lanes,
        "groups": build.clusters,
        "lanes": build.lanes_per_cluster,
        "team": build.clusters - 1,
        "group": build.clusters - 1,
        "slice": build.clusters - 1,
        "team_groups": build.clusters,
        "slice_words": 2048 // build.word_pixels,
        "first_word": 2048 // build.word_pixels - 1,
        "scan_rows": build.k_max + STRIDE_MAX | 1,
        "pack": build.clusters.bit_length() - 1,
        "pad_top": -2047,
        "pad_left": -2047,
        "first_stripe": build.clusters - 1,
        "stripe_step": build.clusters,
        "first_bank": build.clusters - 1,
        "first_address": build.map_words - 1,
        "row_pitch": build.map_words,
        "ring_words": build.map_words,
        "row_skip": build.clusters - 1,
        "column_skip": build.clusters - 1,
        "kernel_h": build.k_max,
        "kernel_w": build.k_max,
        "kernel_size": build.k_max**2,
        "row_step": STRIDE_MAX * build.k_max,
        "stride_h": STRIDE_MAX,
        "stride_w": STRIDE_MAX,
        "last_tap": build.k_max - 1,
        "last_phase": STRIDE_MAX - 1,
        "jump_rows": STRIDE_MAX,
        "jump_columns": STRIDE_MAX,
        "word_step": build.word_pixels * build.k_max**2,
        "clamp_high": (1 << 16) - 1,
        "clamp_low": -(1 << 15),
    }
    assert {n: v for n, v in needed.items() if not limits(n)[0] <= v <= limits(n)[1]} == {}


@pytest.mark.parametrize(("out_rows", "stripes"), [(1, 1), (2, 1), (3, 2), (8, 4)])
def test_a_stripe_is_two_rows(out_rows, stripes):
    assert PassDescriptor(**PLAIN | {"out_rows": out_rows}).stripes == stripes


@pytest.mark.parametrize(
    ("channels", "branch", "block", "sizes"),
    [
        (20, 20, 128, [20]),
        (300, 300, 128, [128, 128, 44]),
        (384, 192, 128, [128, 64, 128, 64]),
        (400, 192, 128, [128, 64, 128, 64, 16]),
        (256, 64, 128, [64] * 4),
        (384, 384, 128, [128] * 3),
    ],
)
def test_blocks_of_branches(channels, branch, block, sizes):
    assert block_sizes(channels, branch, block) == sizes
    fields = {"in_channels": channels, "branch_channels": branch, "block_channels": block}
    assert PassDescriptor(**PLAIN | fields).in_blocks == sizes


def test_leads_are_the_first_clusters_of_the_teams():
    teams = (0, 0, None, 2, 2, 1, None, 3)
    works = tuple(
        ClusterWork() if team is None else ClusterWork(active=True, team=team) for team in teams
    )
    assert PassDescriptor(**PLAIN | {"clusters": works}).leads == (0, 3, 5, 7)
    assert PassDescriptor(**PLAIN | {"clusters": works[2:3]}).leads == ()


def test_faults_have_the_codes_of_the_manual():
    assert {fault.name: fault.value for fault in Fault} == {
        "NONE": 0,
        "DESCRIPTOR": 1,
        "MAP_SHORT": 2,
        "MAP_LONG": 3,
        "MAP_SPARSITY": 4,
    }
