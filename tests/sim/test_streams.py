"""Streams as arrays: what is refused, how segments are cut, and how differences are told."""

import numpy as np
import pytest
from amaranth.hdl import Shape

from hdl.counters import COUNTERS as HDL_COUNTERS
from hdl.layouts import MAP_BEAT, OUT_BEAT
from sim.streams import (
    COUNTERS,
    MAP_BEATS,
    OUT_BEATS,
    Gaps,
    RunResult,
    SimulationError,
    by_context,
    control_words,
    difference,
    map_beats,
    segment_beats,
    segments,
)


def out_beats(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    """Words of `o_map`: data, bytes, last, context, length."""
    return np.array(list(rows), OUT_BEATS)


def test_the_twins_agree_with_the_hardware():
    assert COUNTERS == HDL_COUNTERS
    for dtype, layout in ((MAP_BEATS, MAP_BEAT), (OUT_BEATS, OUT_BEAT)):
        widths = {name: Shape.cast(part.shape).width for name, part in layout}
        assert set(dtype.names) == set(widths)
        assert all(8 * dtype[name].itemsize >= width for name, width in widths.items())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"control": 1.0}, r"\(control\) must be from 0 to below 1, not 1.0"),
        ({"map": -0.1}, r"\(map\) must be from 0 to below 1, not -0.1"),
        ({"out": float("nan")}, r"\(out\) must be from 0 to below 1, not nan"),
        ({"burst": 0}, "burst must be at least 1, not 0"),
        ({"seed": -1}, "seed must not be negative, not -1"),
    ],
)
def test_gaps_out_of_range_are_refused(given, text):
    with pytest.raises(ValueError, match=text):
        Gaps(**given)


def test_gaps_everywhere_are_the_same_on_all_streams():
    assert Gaps.everywhere(0.3, burst=4, seed=5) == Gaps(
        control=0.3, map=0.3, out=0.3, burst=4, seed=5
    )


@pytest.mark.parametrize("words", [[0, (1 << 64) - 1], np.array([3, 5], np.int16), []])
def test_control_words_keep_their_values(words):
    array = control_words(words)
    assert (array.dtype, array.flags.c_contiguous) == (np.uint64, True)
    assert array.tolist() == list(words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([1 << 64], r"from 0 to 2\*\*64 - 1"),
        ([-1], r"from 0 to 2\*\*64 - 1"),
        (np.array([1.0]), "must be integers, not float64"),
        (np.zeros((2, 2), int), r"one row, not of shape \(2, 2\)"),
    ],
)
def test_other_control_words_are_refused(words, text):
    with pytest.raises(ValueError, match=text):
        control_words(words)


def test_map_beats_take_any_widths_and_order(beats):
    wide = beats.astype([("last", "i8"), ("data", "u8"), ("bytes", "u2")])
    wide["data"], wide["bytes"], wide["last"] = (beats[k] for k in ("data", "bytes", "last"))
    array = map_beats(wide[::2])
    assert (array.dtype, array.flags.c_contiguous) == (MAP_BEATS, True)
    assert np.array_equal(array, beats[::2])
    assert len(map_beats(None)) == 0


@pytest.mark.parametrize("dtype", ["u8", [("data", "u8"), ("bytes", "u1")]])
def test_other_map_beats_are_refused(dtype):
    with pytest.raises(ValueError, match="one row with the fields data, bytes and last"):
        map_beats(np.zeros(3, dtype))
    with pytest.raises(ValueError, match="one row"):
        map_beats(np.zeros((2, 2), MAP_BEATS))


def test_sorting_by_context_keeps_the_order_within():
    out = out_beats((1, 8, 0, 2, 0), (2, 8, 0, 0, 0), (3, 8, 1, 2, 16), (4, 8, 1, 0, 16))
    assert by_context(out)["data"].tolist() == [2, 4, 1, 3]


def test_a_difference_is_told_where_it_is_first():
    want = out_beats((1, 8, 0, 0, 0), (9, 8, 1, 1, 8), (2, 8, 1, 0, 16))
    swapped = want[[1, 0, 2]]
    assert difference(want, want) == ""
    assert difference(swapped, want) == ""
    wrong = want.copy()
    wrong["data"][2] = 0x12
    assert difference(wrong, want) == "context 0, beat 1 of 2: data is 0x12, not 0x2"
    assert difference(want[:2], want) == "context 0: 1 beats, not 2"
    assert difference(want[[0, 2]], want) == "context 1: 0 beats, not 1"
    assert difference(want, want[[0, 2]]) == "context 1: 1 beats, not 0"
    # Fields go before beats: the first wrong field is told.
    wrong["bytes"][0] = 7
    assert difference(wrong, want).startswith("context 0, beat 1 of 2: data")


def test_segments_become_beats():
    beats = segment_beats([b"abcdefghi", b"j", bytes(8)])
    assert beats["data"].tolist() == [int.from_bytes(b"abcdefgh", "little"), ord("i"), ord("j"), 0]
    assert beats["bytes"].tolist() == [8, 1, 1, 8]
    assert beats["last"].tolist() == [0, 1, 1, 1]
    assert segment_beats([]).dtype == MAP_BEATS
    with pytest.raises(ValueError, match="at least one byte"):
        segment_beats([b"a", b""])


def test_beats_become_segments_again():
    parts = [b"abcdefghi", b"j", bytes(range(24))]
    beats = segment_beats(parts)
    out = np.zeros(len(beats), OUT_BEATS)
    for name in MAP_BEATS.names or ():
        out[name] = beats[name]
    out["context"] = 3
    out["length"][beats["last"] == 1] = [len(part) for part in parts]
    other = out_beats((ord("x"), 1, 1, 5, 1))
    mixed = np.concatenate([out[:1], other, out[1:]])
    assert segments(mixed) == {3: parts, 5: [b"x"]}
    assert segments(out[:0]) == {}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(0, 8, 0, 1, 0)], "the last segment of context 1 has no end"),
        ([(0, 8, 1, 1, 8), (0, 8, 0, 1, 0)], "the last segment of context 1 has no end"),
        ([(0, 8, 0, 0, 0), (0, 3, 1, 0, 12)], "segment 0 of context 0 has 11 bytes, not 12"),
        ([(0, 7, 0, 0, 0), (0, 8, 1, 0, 16)], "segment 0 of context 0 has 16 bytes, not 16"),
        ([(0, 1, 1, 0, 1), (0, 2, 1, 0, 1)], "segment 1 of context 0 has 2 bytes, not 1"),
    ],
)
def test_segments_that_are_not_right_are_refused(rows, text):
    with pytest.raises(SimulationError, match=text):
        segments(out_beats(*rows))


def test_a_result_without_ends_has_no_counters():
    result = RunResult(out=out_beats(), ends=(), cycles=0, control_taken=0, map_taken=0)
    assert (result.counters, result.fault) == ({}, None)
