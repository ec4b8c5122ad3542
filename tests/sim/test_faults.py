"""What the core does when its streams are wrong: it stops, says where, and recovers on `clear`."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from compiler.memory import lay_out
from compiler.plan import plan_layer
from golden.descriptor import Fault
from golden.network import Conv, TensorFormat
from golden.params import preset
from golden.requant import Shift
from sim.native import NativeCore
from sim.network import cut_segments, execute, map_beats

BUILD = preset("tiny")
FORMAT = TensorFormat(16, True, 1.0)
ROWS, COLS, CHANNELS = 6, 5, 10
LAYER = Conv(
    name="layer",
    weights=np.arange(3 * CHANNELS * 9).reshape(3, CHANNELS, 3, 3) % 41 - 20,
    bias=np.array([5, -7, 0]),
    in_format=FORMAT,
    out_format=FORMAT,
    requant=Shift(4),
    pads=(1, 1, 1, 1),
)
PLAN = plan_layer(LAYER, (ROWS, COLS, CHANNELS), BUILD)
PROGRAM = lay_out([PLAN])


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 1000, (ROWS, COLS, CHANNELS))
    return np.where(rng.random(x.shape) < 0.6, x, 0).astype(np.int16)


@pytest.fixture(scope="module")
def core() -> Iterator[NativeCore]:
    with NativeCore(BUILD) as opened:
        yield opened


def segments() -> list[bytes]:
    """Segments of the good map, a row each (two blocks of 8 and 2 channels)."""
    memory = PROGRAM.load()
    PROGRAM.places[0].store(memory, PROGRAM.places[0].encode(picture()))
    return [memory.fetch(transfer) for transfer in PROGRAM.moves[0].maps]


def short(good: list[bytes]) -> list[bytes]:
    """Row 3's first block ends in the middle of its last column."""
    good[6] = good[6][:-2]
    return good


def long(good: list[bytes]) -> list[bytes]:
    """Row 2's second block goes on after its last column."""
    good[5] += b"\0\0"
    return good


def beyond(good: list[bytes]) -> list[bytes]:
    """Row 0's second block names a channel that a block of two does not have."""
    bits = int.from_bytes(good[1][:2], "little") | 1 << 2
    good[1] = bits.to_bytes(2, "little") + good[1][2:]
    return good


def recovers(core: NativeCore) -> None:
    """After `clear`, the same layer with a good map runs to its end."""
    core.clear()
    memory = PROGRAM.load()
    x = picture()
    PROGRAM.places[0].store(memory, PROGRAM.places[0].encode(x))
    execute(core, PROGRAM.moves[0], memory)
    np.testing.assert_array_equal(PROGRAM.places[1].fetch(memory).to_dense(), LAYER.run(x))


@pytest.mark.parametrize("gaps", [0.0, 0.5])
@pytest.mark.parametrize(
    ("spoil", "fault", "row"),
    [
        (short, Fault.MAP_SHORT, 3),
        (long, Fault.MAP_LONG, 2),
        (beyond, Fault.MAP_SPARSITY, 0),
    ],
)
def test_map(
    core: NativeCore,
    spoil: Callable[[list[bytes]], list[bytes]],
    fault: Fault,
    row: int,
    gaps: float,
) -> None:
    result = core.run(PROGRAM.control, map_beats(spoil(segments())), gaps=gaps, seed=3)
    assert result.fault is not None
    assert (result.fault.code, result.fault.row) == (fault, row)
    # What was given out before is right as far as it goes.
    memory = PROGRAM.load()
    x = picture()
    PROGRAM.places[1].store(memory, PROGRAM.places[1].encode(LAYER.run(x)))
    for context in range(4):
        words = result.out[result.out["context"] == context]
        ends = np.flatnonzero(words["last"])
        whole = cut_segments(words[: ends[-1] + 1] if ends.size else words[:0])
        right = [memory.fetch(t) for t in PROGRAM.moves[0].outputs_of(context)]
        assert whole == right[: len(whole)]
    recovers(core)


def test_descriptor(core: NativeCore) -> None:
    control = PROGRAM.control.copy()
    control[0] ^= np.uint64(1)
    result = core.run(control, map_beats(segments()))
    assert result.fault is not None
    assert result.fault.code == Fault.DESCRIPTOR
    assert result.control_taken == 1
    assert len(result.out) == 0
    recovers(core)
