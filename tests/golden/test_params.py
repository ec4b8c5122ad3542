"""Build parameters: what is refused and how, and what follows from them."""

from dataclasses import FrozenInstanceError
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.descriptor import CLUSTER_WORD, PASS_WORDS
from golden.params import PICK_TO_CHUNK, PRESETS, BuildError, ceil_div, preset, presets

TINY, TINY8, UP5K, NULLHOP = (preset(name) for name in ("tiny", "tiny8", "up5k", "nullhop"))
FIELDS = dict(field for word in (*PASS_WORDS, CLUSTER_WORD) for field in word)


@given(st.integers(-1000, 1000), st.integers(1, 50))
def test_ceil_div(a, b):
    assert ceil_div(a, b) == ceil(Fraction(a, b))


def test_presets_are_found_by_their_names():
    assert {"tiny", "tiny8", "tiny_l1", "up5k", "nullhop", "nullhop_l1"} <= set(PRESETS)
    for name, build in PRESETS.items():
        assert build.name == name
        assert preset(name) is build


def test_an_unknown_preset_names_the_known_ones():
    known = ", ".join(PRESETS)
    with pytest.raises(BuildError, match=rf"^preset 'big' is unknown: choose one of {known}$"):
        preset("big")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clusters": 0}, r"clusters must be 1, 2, 4 or 8, not 0"),
        ({"clusters": 3}, r"clusters must be 1, 2, 4 or 8, not 3"),
        ({"clusters": 16}, r"clusters must be 1, 2, 4 or 8, not 16"),
        ({"lanes_per_cluster": 1}, r"lanes_per_cluster must be 2, 4, 8, 16 or 32, not 1"),
        ({"lanes_per_cluster": 12}, r"lanes_per_cluster must be 2, 4, 8, 16 or 32, not 12"),
        ({"act_bits": 12}, r"act_bits must be 8 or 16, not 12"),
        ({"weight_bits": 4}, r"weight_bits must be 8 or 16, not 4"),
        ({"pe": "xnor"}, r"pe must be 'mac' or 'l1', not 'xnor'"),
        ({"pe": "l1", "weight_bits": 8}, r"with pe='l1', weight_bits must be act_bits, 16, not 8"),
        ({"acc_bits": 23}, r"acc_bits must be 24 to 48, not 23"),
        ({"acc_bits": 49}, r"acc_bits must be 24 to 48, not 49"),
        ({"word_pixels": 5}, r"word_pixels must be 4, 8, 16 or 32, not 5"),
        ({"k_max": 0}, r"k_max must be 1 to 7, not 0"),
        ({"k_max": 8}, r"k_max must be 1 to 7, not 8"),
        ({"drain": 3}, r"drain must be 1, 2, 4, 8 or 16 and divide lanes_per_cluster, not 3"),
        ({"drain": 8}, r"drain must be 1, 2, 4, 8 or 16 and divide lanes_per_cluster, not 8"),
        ({"requant": ()}, r"requant must name 'shift', 'scale' or both, not \(\)"),
        ({"requant": ("float",)}, r"requant must name 'shift', 'scale' or both, not \('float',\)"),
        ({"bus_bits": 128}, r"bus_bits must be 64, not 128"),
        ({"acc_words": 15}, r"acc_words must be 16 to 256, not 15"),
        ({"acc_words": 257}, r"acc_words must be 16 to 256, not 257"),
        ({"k_max": 3, "acc_words": 7}, r"acc_words must be 8 to 256, not 7"),
    ],
)
def test_refusals_name_the_build_and_the_value(changes, message):
    with pytest.raises(BuildError, match=rf"^build 'tiny': {message}$"):
        TINY.replace(**changes)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("weight_words", value) for value in (-1, 0, 1, 1 << FIELDS["last_weights"])),
        *(("map_words", value) for value in (-1, 0, 1, 1 << FIELDS["first_address"])),
    ],
)
def test_memories_have_at_least_two_words_and_no_more_than_the_descriptor_can_name(
    parameter, value
):
    with pytest.raises(BuildError, match=rf"{parameter} must be .*, not {value}"):
        TINY.replace(**{parameter: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"clusters": 1, "lanes_per_cluster": 2, "drain": 1},
        {"clusters": 8, "lanes_per_cluster": 16, "weight_words": (1 << FIELDS["last_weights"]) - 1},
        {"act_bits": 8, "weight_bits": 16, "drain": 4, "lanes_per_cluster": 8},
        {"acc_bits": 24, "k_max": 1, "acc_words": 4, "requant": ("scale",)},
        {"drain": 4, "acc_words": 256},
        {"lanes_per_cluster": 16, "drain": 8},
        {"lanes_per_cluster": 32, "drain": 8},
        {"acc_bits": 48, "k_max": 7, "map_words": (1 << FIELDS["first_address"]) - 1},
    ],
)
def test_limits_are_permitted(changes):
    build = TINY.replace(**changes)
    assert {name: getattr(build, name) for name in changes} == changes


def test_a_build_does_not_change():
    with pytest.raises(FrozenInstanceError):
        TINY.clusters = 4
    copy = TINY.replace(map_words=600)
    assert (copy.map_words, TINY.map_words) == (600, 512)
    assert copy.replace(map_words=512) == TINY


@pytest.mark.parametrize(
    ("name", "tiny", "tiny8", "up5k", "nullhop"),
    [
        ("lanes", 8, 8, 8, 128),
        ("act_bytes", 2, 1, 1, 2),
        ("pixel_bits", 16, 9, 9, 16),
        ("bus_bytes", 8, 8, 8, 8),
        ("weights_per_beat", 4, 4, 4, 4),
        ("window", 8, 8, 4, 8),
        ("fifo_depth", 8, 8, 8, 16),
        ("intake_bytes", 16, 16, 16, 40),
        ("requant_latency", 13, 13, 5, 13),
        ("packet_channels", 8, 8, 8, 16),
        ("map_word_bits", 68, 72, 36, 544),
        ("step_pixels", 4, 8, 4, 16),
        ("half_words", 512, 512, 256, 2304),
        ("output_packets", 8, 8, 4, 32),
        # In bits: weights, map banks, accumulators and shadows, prefetch, biases and scales,
        # packets.
        (
            "on_chip_bytes",
            (131072 + 69632 + 10880 + 1088 + 1152 + 8 * 144) // 8,
            (65536 + 73728 + 4608 + 1152 + 1024 + 8 * 80) // 8,
            (32768 + 18432 + 1920 + 576 + 896 + 4 * 80) // 8,
            (9437184 + 1949696 + 1099264 + 69632 + 17920 + 32 * 272) // 8,
        ),
    ],
)
def test_what_follows_from_the_presets(name, tiny, tiny8, up5k, nullhop):
    assert [getattr(build, name) for build in (TINY, TINY8, UP5K, NULLHOP)] == [
        *(tiny, tiny8, up5k, nullhop)
    ]


def alike(one, other):
    """Whether builds have the same sizes, whatever their lanes do."""
    sizes = ("clusters", "lanes", "act_bits", "weight_bits", "acc_bits", "weight_words")
    sizes += ("map_words", "word_pixels", "k_max", "acc_words", "drain", "requant")
    return all(getattr(one, name) == getattr(other, name) for name in sizes)


def test_an_l1_build_has_sums_of_pixels():
    """One per cluster, and half sums in the lanes."""
    tiny_l1 = preset("tiny_l1")
    assert alike(TINY8, tiny_l1)
    more = 16 * (2 * 32 - 8)  # bits: sums of pixels, less the bit that each lane's sum saves
    assert tiny_l1.on_chip_bytes == TINY8.on_chip_bytes + more // 8


def test_the_builds_of_a_mixed_network_have_the_same_maps():
    assert alike(preset("nullhop8"), preset("nullhop_l1"))


def test_names_of_builds_side_by_side():
    assert presets("tiny") == (preset("tiny"),)
    assert presets("nullhop8+nullhop_l1") == (preset("nullhop8"), preset("nullhop_l1"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("nullhop+nullhop_l1", "'nullhop' and 'nullhop_l1' do not share maps: values of 16 and 8"),
        ("tiny8+nullhop_l1", "'tiny8' and 'nullhop_l1' do not share maps: .*blocks of 8 and 128"),
        ("nullhop8+tiny8", "'nullhop8' and 'tiny8' have the same pe"),
        ("tiny8+", "preset '' is unknown"),
    ],
)
def test_builds_that_cannot_stand_side_by_side(names, message):
    with pytest.raises(BuildError, match=message):
        presets(names)


@pytest.mark.parametrize(
    ("k_max", "window"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (6, 8), (7, 8)]
)
def test_the_window_is_a_power_of_two_above_the_kernel(k_max, window):
    assert TINY.replace(k_max=k_max).window == window


@pytest.mark.parametrize(("lanes", "weight_bits", "weights"), [(2, 8, 2), (16, 8, 8), (16, 16, 4)])
def test_weights_per_beat(lanes, weight_bits, weights):
    build = TINY.replace(lanes_per_cluster=lanes, weight_bits=weight_bits, drain=1)
    assert build.weights_per_beat == weights


def test_nullhop_fits_its_chip():
    """1.5 MiB, partial sums and second buffers included."""
    assert NULLHOP.on_chip_bytes <= 1.5 * 2**20


@pytest.mark.parametrize(
    ("changes", "packets"),
    [
        # Of 8 channels in 4 chunks a packet is 20 cycles on its way to the writer: 5 of them are.
        ({}, 8),
        ({"drain": 1}, 8),
        ({"drain": 4}, 16),
        ({"drain": 4, "requant": ("shift",)}, 16),
        ({"lanes_per_cluster": 16, "drain": 1}, 4),
        ({"clusters": 1, "lanes_per_cluster": 2, "drain": 2}, 32),
    ],
)
def test_room_for_the_packets_on_their_way(changes, packets):
    build = TINY.replace(**changes)
    assert build.output_packets == packets
    chunks = min(16, build.lanes) // build.drain
    # In a writer's turn of one cycle each, as many are on their way at most.
    latency = PICK_TO_CHUNK + build.requant_latency + build.encoder_latency
    assert packets > ceil(Fraction(latency, chunks))


@pytest.mark.parametrize("words", [2, 3, 1023, 1024])
def test_a_half_is_as_much_as_fits_twice(words):
    half = TINY.replace(weight_words=words).half_words
    assert 2 * half <= words < 2 * half + 2
