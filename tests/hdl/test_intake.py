"""The intake against a plain numpy layout of the map banks, the cycle model, and broken streams."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise

import pytest
from amaranth.back import rtlil
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from golden.descriptor import Fault, block_sizes
from golden.params import ceil_div, preset
from hdl.intake import Intake
from tests.hdl.harness import PATTERNS
from tests.hdl.loads import Load, Watch, run, stream, to_beats

BUILDS = {
    build.name: build
    for build in (
        preset("tiny"),
        preset("tiny8"),
        preset("nullhop"),
        preset("tiny").replace(name="one_bank", clusters=1, word_pixels=16),
        preset("tiny8").replace(name="four_banks", clusters=4, word_pixels=4),
        preset("tiny8").replace(name="eight_banks", clusters=8, word_pixels=16),
        preset("tiny8").replace(name="two_maps", clusters=4, word_pixels=32),
    )
}


def check(loads: list[Load], watch: Watch, *, exact: bool) -> None:
    """Compare all writes with the layout, and the times of the rows with the model.

    exact : the stream had no gaps, so that every row takes what the model says, not only at least
    """
    words = [word for load in loads for row in load.words() for word in row]
    assert [word for _, word in watch.writes] == words
    assert sum(c.valid & c.ready for c in watch.cycles) == len(stream(loads))
    assert not any(c.fault for c in watch.cycles)

    written = iter(watch.writes)
    idle: set[int] = set()
    now = 0
    for load in loads:
        start = next(t for t, c in enumerate(watch.cycles[now:], now) if c.start)
        assert not any(c.ready for c in watch.cycles[now : start + 1])
        idle.update(range(now, start + 1))
        now = start + 1  # when the intake first looks at the limit
        for y, (row, cycles) in enumerate(zip(load.words(), load.cycles(), strict=True)):
            while watch.cycles[now].row_limit <= y:
                assert watch.cycles[now].rows_done == y
                assert not watch.cycles[now].ready
                now += 1
            times = [next(written)[0] for _ in row]
            done = times[-1] + 1
            assert now < times[0]
            assert {c.rows_done for c in watch.cycles[now:done]} == {y}
            assert watch.cycles[done].rows_done == y + 1
            assert done == now + cycles if exact else done >= now + cycles
            now = done
    idle.update(range(now, len(watch.cycles)))
    assert {t for t, c in enumerate(watch.cycles) if c.idle} == idle


@st.composite
def column_ranges(draw, width: int) -> tuple[tuple[int, int], ...]:
    inner = draw(st.sets(st.integers(1, width - 1), max_size=3)) if width > 1 else set()
    edges = [0, *sorted(inner), width]
    return tuple(pairwise(edges))


@st.composite
def some_loads(draw) -> list[Load]:
    """One to three maps for one build."""
    build = BUILDS[draw(st.sampled_from(sorted(BUILDS)))]
    loads = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, 4)), draw(st.integers(1, 5))
        channels = draw(st.integers(1, 40))
        step = build.word_pixels
        size = draw(st.sampled_from([channels, *range(step, channels, step)]))
        branch = draw(st.sampled_from([4095, channels, *range(step, channels, step)]))
        shared, rest = divmod(build.clusters, ceil_div(channels, step))
        packed = shared > 1 and not rest and draw(st.booleans())
        scan_rows = draw(st.integers(2, 11))
        signed = draw(st.booleans())
        low = -(1 << build.act_bits - 1) if signed else 0
        load = Load(
            build=build,
            shape=(height, width, channels),
            block_channels=size,
            branch_channels=branch,
            ranges=tuple(draw(column_ranges(width)) for _ in block_sizes(channels, branch, size)),
            scan_rows=scan_rows | packed,
            pack=shared.bit_length() - 1 if packed else 0,
            ring_rows=draw(st.integers(1, 5)),
            col_gap=draw(st.integers(0, 1)),
            row_gap=draw(st.integers(0, 2)),
            density=draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1])),
            dense=draw(st.booleans()),
            signed=signed,
            zero=draw(st.sampled_from([0, low, low + (1 << build.act_bits) - 1])),
            seed=draw(st.integers(0, 1000)),
        )
        assume(max(a for row in load.words() for _, a, *_ in row) < build.map_words)
        loads.append(load)
    return loads


@pytest.mark.parametrize("limit", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@settings(max_examples=max(3, settings.default.max_examples // 20))
@given(loads=some_loads(), seed=st.integers(0, 1000))
def test_maps_of_every_shape_land_where_and_when_they_must(loads, seed, idle, limit):
    check(loads, run(loads, stream(loads), idle, limit, seed=seed), exact=idle == "none")


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", BUILDS)
def test_full_blocks(name, dense):
    load = Load(
        build=BUILDS[name],
        shape=(3, 2, 300),
        block_channels=128,
        ranges=(((0, 2),), ((0, 1), (1, 2)), ((0, 2),)),
        ring_rows=2,
        density=0.7,
        dense=dense,
        zero=115,
    )
    check([load], run([load], stream([load])), exact=True)


@pytest.mark.parametrize("name", BUILDS)
def test_branches_of_blocks(name):
    """Two whole branches and a smaller one, of two blocks, of two and of one."""
    load = Load(
        build=BUILDS[name],
        shape=(3, 2, 432),
        block_channels=128,
        branch_channels=192,
        ranges=(((0, 2),), ((0, 1), (1, 2)), ((0, 2),), ((0, 2),), ((0, 1), (1, 2))),
        ring_rows=2,
        density=0.7,
        zero=115,
    )
    assert [block.stop for block in load.blocks] == [128, 192, 320, 384, 432]
    check([load], run([load], stream([load])), exact=True)


@pytest.mark.parametrize(
    ("name", "channels", "pack"),
    [
        ("tiny", 3, 1),
        ("nullhop", 8, 3),
        ("nullhop", 33, 2),
        ("nullhop", 100, 1),
        ("four_banks", 1, 2),
        ("eight_banks", 50, 1),
    ],
)
def test_columns_of_a_narrow_map_share_their_addresses(name, channels, pack):
    """Every place is used once, and of each row's addresses all but the last in every bank."""
    build = BUILDS[name]
    load = Load(
        build=build,
        shape=(2, 11, channels),
        block_channels=channels,
        ranges=(((0, 4), (4, 11)),),
        scan_rows=5,
        pack=pack,
    )
    check([load], run([load], stream([load])), exact=True)
    places = {(bank, address) for row in load.words() for bank, address, *_ in row}
    words = ceil_div(channels, build.word_pixels)
    assert len(places) == 2 * 11 * words
    pitch = ceil_div(11, 1 << pack)
    full = {*range(pitch - 1), *range(pitch, 2 * pitch - 1)}
    assert {place for place in places if place[1] in full} == {
        (bank, address) for bank in range(build.clusters) for address in full
    }


#: Three segments per row: of 16 channels columns 0 and 1, then 2 and 3; of 4 channels all four.
TARGET = Load(
    build=preset("tiny"),
    shape=(3, 4, 20),
    block_channels=16,
    ranges=(((0, 2), (2, 4)), ((0, 4),)),
    density=1,
    zero=7,
)


def check_fault(load: Load, watch: Watch, fault: Fault, row: int, column: int) -> None:
    """A fault at that place, all rows before complete, nothing false, and nothing any more."""
    begin = next(t for t, c in enumerate(watch.cycles) if c.fault)
    after = watch.cycles[begin:]
    assert {c[-3:] for c in after} == {(fault, row, column)}
    assert {c.rows_done for c in after} == {row}
    assert any(c.valid for c in after)
    assert not any(c.ready for c in after)
    assert all(t < begin for t, _ in watch.writes)
    words = [word for _, word in watch.writes]
    assert words == [word for r in load.words() for word in r][: len(words)]
    assert len(words) >= row * len(load.words()[0])


def cut(count: int) -> Callable[[bytes], bytes]:
    return lambda segment: segment[:-count]


def keep(count: int) -> Callable[[bytes], bytes]:
    return lambda segment: segment[:count]


def extend(count: int) -> Callable[[bytes], bytes]:
    return lambda segment: segment + bytes(count)


@pytest.mark.parametrize("idle", ["none", "random"])
@pytest.mark.parametrize("name", ["tiny", "tiny8"])
@pytest.mark.parametrize(
    ("segment", "spoil", "fault", "row", "column"),
    [
        pytest.param(0, cut(2), Fault.MAP_SHORT, 0, 1, id="last value missing"),
        pytest.param(1, cut(1), Fault.MAP_SHORT, 0, 3, id="last byte missing"),
        pytest.param(4, keep(4), Fault.MAP_SHORT, 1, 2, id="few values"),
        pytest.param(4, keep(2), Fault.MAP_SHORT, 1, 2, id="nothing but a sparsity map"),
        pytest.param(5, keep(1), Fault.MAP_SHORT, 1, 0, id="half a sparsity map"),
        pytest.param(8, cut(2), Fault.MAP_SHORT, 2, 3, id="end of the map missing"),
        pytest.param(2, extend(1), Fault.MAP_LONG, 0, 3, id="one byte too many"),
        pytest.param(5, extend(2), Fault.MAP_LONG, 1, 3, id="a sparsity map too many"),
        pytest.param(8, extend(40), Fault.MAP_LONG, 2, 3, id="bus words too many"),
    ],
)
def test_segments_of_wrong_length(name, idle, segment, spoil, fault, row, column):
    load = replace(TARGET, build=preset(name))
    segments = load.segments()
    segments[segment] = spoil(segments[segment])
    # What comes behind belongs to another map and must stay in the stream.
    beats = [beat for data in [*segments, bytes(64)] for beat in to_beats(data)]
    check_fault(load, run([load], beats, idle, seed=1), fault, row, column)


@pytest.mark.parametrize("idle", ["none", "random"])
@pytest.mark.parametrize(
    ("segment", "beat", "change", "fault", "row", "column"),
    [
        pytest.param(3, 2, {"bytes": 0}, Fault.MAP_SHORT, 1, 0, id="no bytes"),
        pytest.param(3, 2, {"bytes": 9}, Fault.MAP_SHORT, 1, 0, id="more bytes than the bus has"),
        pytest.param(4, 5, {"bytes": 7}, Fault.MAP_SHORT, 1, 3, id="half a value"),
        pytest.param(3, 4, {"last": 1}, Fault.MAP_SHORT, 1, 1, id="ends early"),
        pytest.param(5, -1, {"last": 0}, Fault.MAP_LONG, 1, 3, id="does not end"),
        pytest.param(5, -1, {"bytes": 15}, Fault.MAP_SHORT, 1, 3, id="bad end"),
    ],
)
def test_bus_words_with_wrong_marks(idle, segment, beat, change, fault, row, column):
    beats = [to_beats(data) for data in TARGET.segments()]
    beats[segment][beat] |= change
    check_fault(TARGET, run([TARGET], list(chain(*beats)), idle, seed=1), fault, row, column)


@pytest.mark.parametrize(
    ("segment", "fault", "column"), [(3, Fault.MAP_SHORT, 2), (5, Fault.MAP_LONG, 3)]
)
def test_an_end_without_bytes(segment, fault, column):
    beats = [to_beats(data) for data in TARGET.segments()]
    beats[segment][-1]["last"] = 0
    beats[segment].append({"data": 0, "bytes": 0, "last": 1})
    check_fault(TARGET, run([TARGET], list(chain(*beats))), fault, 1, column)


@pytest.mark.parametrize("name", ["tiny", "tiny8", "one_bank"])
@pytest.mark.parametrize(("channels", "bit"), [(3, 3), (4, 15), (8, 8), (20, 4), (29, 15)])
def test_stray_bits_in_a_sparsity_map(name, channels, bit):
    load = replace(
        TARGET,
        build=BUILDS[name],
        shape=(2, 3, channels),
        block_channels=channels,
        ranges=(((0, 3),),),
        density=0,
    )
    segments = [bytearray(segment) for segment in load.segments()]
    groups = ceil_div(channels, 16)
    at = 2 * (2 * groups - 1)  # the last group's sparsity map, of column 1
    segments[1][at + bit // 8] |= 1 << bit % 8
    beats = [beat for data in [*segments, bytes(64)] for beat in to_beats(bytes(data))]
    check_fault(load, run([load], beats), Fault.MAP_SPARSITY, 1, 1)


@pytest.mark.parametrize("name", BUILDS)
def test_converts_to_rtlil(name):
    text = rtlil.convert(Intake(BUILDS[name]))
    assert "w_addr" in text
