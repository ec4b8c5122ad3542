"""Recordings and results survive their files; payload words are the layouts' own."""

import numpy as np
import pytest
from amaranth.hdl import Const

from hdl.layouts import MAP_BEAT, OUT_BEAT
from sim.recording import Recording, load_result, pack, save_result, unpack
from sim.streams import (
    COUNTERS,
    MAP_BEATS,
    OUT_BEATS,
    FaultReport,
    Gaps,
    LayerEnd,
    RunResult,
    control_words,
)
from tests.sim.standin import copied


@pytest.mark.parametrize("expected", [True, False])
def test_a_recording_survives(tmp_path, beats, expected):
    given = Recording(
        control=control_words([0, (1 << 64) - 1]),
        beats=beats,
        gaps=Gaps(control=0.1, map=0.2, out=0.3, burst=4, seed=5),
        ends=6,
        max_cycles=1 << 40,
        fault=7,
        expected=copied(beats) if expected else None,
    )
    given.save(tmp_path / "file.npz")
    found = Recording.load(tmp_path / "file.npz")
    for name in ("control", "beats"):
        one, other = getattr(found, name), getattr(given, name)
        assert (one.dtype, one.tolist()) == (other.dtype, other.tolist())
    for name in ("gaps", "ends", "max_cycles", "fault"):
        assert getattr(found, name) == getattr(given, name)
    if expected:
        assert np.array_equal(found.expected, copied(beats))
    else:
        assert found.expected is None


@pytest.mark.parametrize("fault", [None, FaultReport(code=3, row=4, col=5)])
def test_a_result_survives(tmp_path, beats, fault):
    counters = {name: k << 40 for k, name in enumerate(COUNTERS)}
    result = RunResult(
        out=copied(beats),
        ends=(LayerEnd(cycle=9, counters=counters), LayerEnd(cycle=1 << 50, counters=counters)),
        cycles=1 << 50,
        control_taken=2,
        map_taken=len(beats),
        fault=fault,
    )
    save_result(tmp_path / "file.npz", result, seconds=1.25)
    found, seconds = load_result(tmp_path / "file.npz")
    assert seconds == 1.25
    assert (found.out.dtype, found.out.tolist()) == (OUT_BEATS, result.out.tolist())
    for name in ("ends", "cycles", "control_taken", "map_taken", "fault"):
        assert getattr(found, name) == getattr(result, name)
    assert found.counters == counters


@pytest.mark.parametrize(("layout", "dtype"), [(MAP_BEAT, MAP_BEATS), (OUT_BEAT, OUT_BEATS)])
def test_payload_words_are_those_of_the_layout(layout, dtype):
    """Bit for bit what Amaranth makes of the same fields, and back."""
    assert {name for name, _ in layout} == set(dtype.names)
    rng = np.random.default_rng(0)
    beats = np.zeros(50, dtype)
    for name, part in layout:
        beats[name] = rng.integers(0, 1 << part.width, len(beats), dtype=np.uint64)
    words = pack(beats, layout)
    for word, beat in zip(words, beats, strict=True):
        fields = {name: int(beat[name]) for name, _ in layout}
        assert word == Const.cast(layout.const(fields).as_value()).value
    assert np.array_equal(unpack(iter(words), layout, dtype), beats)


def test_no_beats_are_no_words():
    assert pack(np.empty(0, OUT_BEATS), OUT_BEAT) == []
    assert len(unpack([], OUT_BEAT, OUT_BEATS)) == 0
