"""The fetcher against golden's scan order: every read and every tag, to the cycle."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from amaranth.utils import exact_log2
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import FETCH_LATENCY, Build
from hdl.fetcher import Fetcher
from hdl.layouts import LOAD_BITS
from tests.golden.scanning import words_in
from tests.hdl.harness import PATTERNS, activity, plain, simulate
from tests.hdl.stripes import Share, shares, tiled
from tests.layers import BUILDS, TINY, Case, cluster_config, pass_config

NOTHING_NEEDED = (1 << 13) - 1
ALL_LOADS = (1 << LOAD_BITS) - 1


class Cycle(NamedTuple):
    """All pins but the configuration in one cycle."""

    arm: int
    slot: int
    rows_done: int
    loaded: int
    taken: int
    finished: int
    row_floor: int
    released: int
    waiting: int
    hungry: int
    done: int
    tag_valid: int
    tag: dict[str, int]
    request: dict[str, int]


@dataclass
class Wanted:
    """What must be seen in which cycle; where nothing is written, nothing may happen."""

    reads: dict[int, tuple[int, int]] = field(default_factory=dict)
    tags: dict[int, dict[str, int]] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    loads: dict[int, int] = field(default_factory=dict)  # that a scan waits for
    released: dict[int, int] = field(default_factory=dict)
    floors: dict[int, int] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)  # not `done`
    #: Per scan, the cycles in which words inside the map were read.
    inside: list[list[int]] = field(default_factory=list)


def drive(
    work: list[Share], late: str, stall: str, *, seed: int, first_slot: int = 0
) -> list[Cycle]:
    """Run shares, with rows and weights that arrive late and a queue that stalls."""
    build = work[0].build
    dut = Fetcher(build)
    cycles: list[Cycle] = []

    async def run(ctx):
        rows, takes = activity(late, seed), activity(stall, seed + 1)
        loads = activity(late, seed + 2)
        queue: list[dict[str, int]] = []

        async def tick(*, arm: int = 0):
            now = len(cycles)
            ctx.set(dut.slot, (now + first_slot) % build.clusters)
            take = bool(queue) and next(takes)
            head = queue.pop(0) if take else {}
            ctx.set(dut.taken, take)
            ctx.set(dut.finished, head.get("item_end", 0))
            ctx.set(dut.arm, arm)
            ticks = ctx.tick().sample(*(getattr(dut, name) for name in Cycle._fields))
            _, _, *values = await ticks
            cycles.append(Cycle(*map(plain, values)))
            if cycles[-1].tag_valid:
                queue.append(cycles[-1].tag)
                assert len(queue) <= build.fifo_depth

        await tick()
        for share in work:
            there = 0 if share.d.load_map else share.d.in_rows
            loaded = seed % 2  # the first load may come before the pass
            ctx.set(dut.config, pass_config(share.d))
            ctx.set(dut.work, cluster_config(share.work))
            ctx.set(dut.half, share.half)
            ctx.set(dut.rows_done, there)
            ctx.set(dut.loaded, loaded)
            await tick()
            await tick(arm=1)
            while not ctx.get(dut.done):
                if there < share.d.in_rows and next(rows):
                    there += 1
                    ctx.set(dut.rows_done, there)
                if loaded < share.d.loads and next(loads):
                    loaded += 1
                    ctx.set(dut.loaded, loaded if loaded < share.d.loads else ALL_LOADS)
                await tick()
            ctx.set(dut.rows_done, share.d.in_rows)
            ctx.set(dut.loaded, ALL_LOADS)
            for _ in range(5 + share.d.in_rows):
                await tick()

    simulate(dut, run, max_cycles=20_000)
    return cycles


def expect(share: Share, cycles: list[Cycle], armed: int, until: int, wanted: Wanted) -> None:
    """Follow the docstring through the cycles from `armed` on, up to the next share's."""
    build, d = share.build, share.d
    waits_from = armed + 1
    seek, sought = armed + 2, 0  # one row per cycle is sought from here on
    floor_from = armed + 3
    freed_from, freed = armed + 1, 0
    credits_used: list[int] = []  # cycles of the reads so far
    back = [t for t in range(armed, until) if cycles[t].taken]
    for scan in share.scans:
        rows = share.rows(scan)
        # To the stripes before it goes back at once.
        found = max(waits_from, seek + max(0, rows.start - sought) + 1)
        while cycles[found - 1].rows_done < rows.stop or cycles[found - 1].loaded <= scan.load:
            found += 1
        wanted.waiting.update(range(waits_from, found + 1))
        wanted.loads |= dict.fromkeys(range(waits_from, found + 1), scan.load)
        seek, sought = found + 2, rows.start

        now, bank, inside = found + 2, 0, []
        for word in share.words(scan):
            in_map = bool(rows) and 0 <= word.x < d.in_cols
            if word.place is not None:
                bank = share.address(word.place)[0]
            # A word in the map waits for its bank; all wait until the queue has room.
            while (in_map and cycles[now].slot != bank) or (
                len(credits_used) - sum(t < now for t in back) == build.fifo_depth
            ):
                now += 1
            if word.place is not None:
                wanted.reads[now + 1] = share.address(word.place)
            wanted.tags[now + FETCH_LATENCY] = share.tag(scan, word)
            credits_used.append(now)
            if in_map:
                inside.append(now)
                bank = (bank + 1) % build.clusters
            now += 1
        wanted.inside.append(inside)
        finished = next(t for t in range(now, until) if cycles[t].finished)
        wanted.floors |= dict.fromkeys(range(floor_from, finished + 2), scan.floor)
        if scan.freed:
            wanted.released |= dict.fromkeys(range(freed_from, finished + 1), freed)
            freed_from, freed = finished + 1, scan.freed
        wanted.busy.update(range(waits_from, finished + 2))
        waits_from, floor_from = finished + 1, finished + 2
    # With the last scan its loads are free; one cycle later all are, and the cluster is done.
    assert freed_from == waits_from
    wanted.released[freed_from] = freed
    wanted.released |= dict.fromkeys(range(freed_from + 1, until + 1), ALL_LOADS)
    wanted.floors |= dict.fromkeys(range(floor_from, until + 1), NOTHING_NEEDED)


def read_of(request: dict) -> tuple[int, int]:
    """Bank and address of a read, and that it says nothing to other banks."""
    bank = exact_log2(request["banks"])
    assert not any(word for b, word in enumerate(request["addresses"]) if b != bank)
    return bank, request["addresses"][bank]


def check(work: list[Share], cycles: list[Cycle]) -> Wanted:
    """Compare every pin in every cycle."""
    arms = [t for t, cycle in enumerate(cycles) if cycle.arm]
    ends = [*arms[1:], len(cycles)]
    wanted = Wanted()
    for share, armed, until in zip(work, arms, ends, strict=True):
        expect(share, cycles, armed, until, wanted)
    reads = {t: read_of(c.request) for t, c in enumerate(cycles) if c.request["banks"]}
    assert reads == wanted.reads
    tags = {t: c.tag for t, c in enumerate(cycles) if c.tag_valid}
    assert tags.keys() == wanted.tags.keys()
    for t, tag in wanted.tags.items():
        assert tags[t] | tag == tags[t]
    assert {t for t, c in enumerate(cycles) if c.waiting} == wanted.waiting
    hungry = {t for t in wanted.waiting if cycles[t].loaded <= wanted.loads[t]}
    assert {t for t, c in enumerate(cycles) if c.hungry} == hungry
    assert {t for t, c in enumerate(cycles) if not c.done} == wanted.busy
    released = {t: c.released for t, c in enumerate(cycles) if t in wanted.released}
    assert released == {t: n for t, n in wanted.released.items() if t < len(cycles)}
    floors = {t: c.row_floor for t, c in enumerate(cycles) if t in wanted.floors}
    assert floors == {t: row for t, row in wanted.floors.items() if t < len(cycles)}
    return wanted


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("late", PATTERNS)
@given(work=shares(), seed=st.integers(0, 999))
@settings(max_examples=max(3, settings.default.max_examples // 16))
def test_reads_what_the_scan_needs_when_it_may(work, seed, late, stall):
    cycles = drive(work, late, stall, seed=seed, first_slot=seed % 8)
    check(work, cycles)


def share_of(build: Build, **changes: Any) -> Share:
    case = Case(build=build, **changes)
    d = case.plan.descriptors[0]
    return Share(build, case, d, d.clusters[0])


@pytest.mark.parametrize("first_slot", range(4))
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (4, 4)], ids=str)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_in_step_it_reads_a_word_in_every_cycle(build, stride, first_slot):
    """Padded at all sides, so that rows are missing and columns lie outside of the map."""
    share = share_of(
        build, shape=(5, 5, 19), stride=stride, pads=(1, 1, 1, 1), channels=build.lanes
    )
    wanted = check([share], drive([share], "none", "none", seed=0, first_slot=first_slot))
    for scan, inside in zip(share.scans, wanted.inside, strict=True):
        assert len(inside) >= 2 * 2 * len(words_in(share.d, share.work, scan.tile))
        assert inside == list(range(inside[0], inside[0] + len(inside)))


@pytest.mark.parametrize("late", PATTERNS)
@pytest.mark.parametrize("index", range(len(BUILDS)), ids=[build.name for build in BUILDS])
def test_tiles_of_weights_that_stay_or_come_again(index, late):
    for tiles in (2, 3):
        share = tiled(BUILDS[index], tiles)
        check([share], drive([share], late, "random", seed=4))


def test_first_read_two_cycles_after_the_rows_were_found():
    share = share_of(TINY.replace(clusters=1), shape=(4, 4, 4), channels=4)
    cycles = drive([share], "none", "none", seed=0)
    found = next(t for t, c in enumerate(cycles) if c.waiting and not cycles[t + 1].waiting)
    first = next(t for t, c in enumerate(cycles) if c.request["banks"])
    assert first == found + 2 + 1  # the read is registered once
    answer = next(t for t, c in enumerate(cycles) if c.tag_valid)
    assert answer == found + 2 + FETCH_LATENCY


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_stops_when_all_credits_are_out(build):
    share = share_of(build, shape=(4, 9, 30), channels=1)
    dut = Fetcher(build)
    depth = build.fifo_depth

    async def run(ctx):
        ctx.set(dut.config, pass_config(share.d))
        ctx.set(dut.work, cluster_config(share.work))
        ctx.set(dut.rows_done, 4)
        ctx.set(dut.loaded, ALL_LOADS)
        phase = 0

        async def words(cycles: int, **pins: int) -> int:
            """Words that come in some cycles."""
            nonlocal phase
            total = 0
            for name in ("arm", "taken"):
                ctx.set(getattr(dut, name), pins.get(name, 0))
            for _ in range(cycles):
                ctx.set(dut.slot, phase % build.clusters)
                phase += 1
                _, _, valid = await ctx.tick().sample(dut.tag_valid)
                total += valid
            return total

        assert await words(1) == 0
        assert await words(1, arm=1) == 0
        assert await words(200) == depth
        assert await words(3, taken=1) == 0
        assert await words(100) == 3
        assert await words(100) == 0

    simulate(dut, run)


def test_a_cluster_without_work_does_nothing():
    share = share_of(TINY, shape=(4, 4, 4), channels=4)
    dut = Fetcher(TINY)

    async def run(ctx):
        ctx.set(dut.config, pass_config(share.d))
        ctx.set(dut.rows_done, 4)
        ctx.set(dut.loaded, ALL_LOADS)
        await ctx.tick()
        ctx.set(dut.arm, 1)
        await ctx.tick()
        ctx.set(dut.arm, 0)
        await ctx.tick()
        for _ in range(50):
            values = await ctx.tick().sample(
                *(dut.done, dut.waiting, dut.hungry, dut.request.banks, dut.tag_valid),
                *(dut.row_floor, dut.released),
            )
            assert values[2:] == (1, 0, 0, 0, 0, NOTHING_NEEDED, ALL_LOADS)

    simulate(dut, run)


def test_work_after_a_pass_without_any():
    """What it would have scanned, had it been active, does not begin with the next pass."""
    share = share_of(TINY, shape=(4, 4, 4), channels=4)
    share = replace(share, d=replace(share.d, load_map=False))
    idle = replace(share, work=replace(share.work, active=False))
    cycles = drive([idle, share], "none", "none", seed=1)
    first, second = (t for t, cycle in enumerate(cycles) if cycle.arm)
    assert not any(c.tag_valid or c.request["banks"] for c in cycles[first:second])
    check([share], cycles[second:])
