"""The fetcher against golden's scan order: every read and every tag, to the cycle."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import FETCH_LATENCY, Build
from hdl.fetcher import Fetcher
from tests.golden.scanning import scan_words
from tests.hdl.harness import PATTERNS, activity, plain, simulate
from tests.hdl.stripes import Share, shares
from tests.layers import BUILDS, TINY, Case, cluster_config, pass_config

NOTHING_NEEDED = (1 << 13) - 1


class Cycle(NamedTuple):
    """All pins but the configuration in one cycle."""

    arm: int
    run: int
    slot: int
    rows_done: int
    taken: int
    finished: int
    row_floor: int
    waiting: int
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
    floors: dict[int, int] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)  # not `done`
    #: Per stripe, the cycles in which words inside the map were read.
    inside: list[list[int]] = field(default_factory=list)


def drive(
    work: list[Share], late: str, stall: str, *, seed: int, first_slot: int = 0, hold_run: int = 5
) -> list[Cycle]:
    """Run shares one after the other, with rows that arrive late and a queue that stalls."""
    build = work[0].build
    dut = Fetcher(build)
    cycles: list[Cycle] = []

    async def run(ctx):
        rows, takes = activity(late, seed), activity(stall, seed + 1)
        queue: list[dict[str, int]] = []

        async def tick(**pins: int):
            now = len(cycles)
            ctx.set(dut.slot, (now + first_slot) % build.clusters)
            take = bool(queue) and next(takes)
            head = queue.pop(0) if take else {}
            ctx.set(dut.taken, take)
            ctx.set(dut.finished, head.get("item_end", 0))
            for name in ("arm", "run"):
                ctx.set(getattr(dut, name), pins.get(name, 0))
            ticks = ctx.tick().sample(*(getattr(dut, name) for name in Cycle._fields))
            _, _, *values = await ticks
            cycles.append(Cycle(*map(plain, values)))
            if cycles[-1].tag_valid:
                queue.append(cycles[-1].tag)
                assert len(queue) <= build.fifo_depth

        await tick()
        for share in work:
            loaded = 0 if share.d.load_map else share.d.in_rows
            ctx.set(dut.config, pass_config(share.d))
            ctx.set(dut.work, cluster_config(share.work))
            ctx.set(dut.rows_done, loaded)
            await tick(arm=1)
            for _ in range(hold_run):
                await tick()
            await tick(run=1)
            while not ctx.get(dut.done):
                if loaded < share.d.in_rows and next(rows):
                    loaded += 1
                    ctx.set(dut.rows_done, loaded)
                await tick(run=1)
            for _ in range(5):
                await tick(run=1)
            await tick()

    simulate(dut, run, max_cycles=20_000)
    return cycles


def expect(share: Share, cycles: list[Cycle], armed: int, until: int, wanted: Wanted) -> None:
    """Follow the docstring through the cycles from `armed` on, up to the next share's."""
    build, d = share.build, share.d
    started = next(t for t in range(armed + 1, until) if cycles[t].run)
    wanted.busy.update(range(armed + 1, started + 1))
    waits_from = started + 1
    seek, sought = armed + 1, 0  # one row per cycle is sought from here on
    floor_from = armed + 2
    credits_used: list[int] = []  # cycles of the reads so far
    back = [t for t in range(armed, until) if cycles[t].taken]
    for stripe in share.stripes:
        rows = share.rows(stripe)
        found = max(waits_from, seek + rows.start - sought)
        while cycles[found].rows_done < rows.stop:
            found += 1
        wanted.waiting.update(range(waits_from, found + 1))
        seek, sought = found + 1, rows.start

        now, bank, inside = found + 2, 0, []
        for word in scan_words(build, d, share.work, stripe):
            in_map = 0 <= word.x < d.in_cols
            if word.place is not None:
                bank = share.address(word.place)[0]
            # A word in the map waits for its bank; all wait until the queue has room.
            while (in_map and cycles[now].slot != bank) or (
                len(credits_used) - sum(t < now for t in back) == build.fifo_depth
            ):
                now += 1
            if word.place is not None:
                wanted.reads[now + 1] = share.address(word.place)
            wanted.tags[now + FETCH_LATENCY] = share.tag(stripe, word)
            credits_used.append(now)
            if in_map:
                inside.append(now)
                bank = (bank + 1) % build.clusters
            now += 1
        wanted.inside.append(inside)
        finished = next(t for t in range(now, until) if cycles[t].finished)
        wanted.floors |= dict.fromkeys(range(floor_from, finished + 2), rows.start)
        wanted.busy.update(range(waits_from, finished + 2))
        waits_from, floor_from = finished + 1, finished + 2
    wanted.floors |= dict.fromkeys(range(floor_from, until + 1), NOTHING_NEEDED)


def check(work: list[Share], cycles: list[Cycle]) -> Wanted:
    """Compare every pin in every cycle."""
    arms = [t for t, cycle in enumerate(cycles) if cycle.arm]
    ends = [*arms[1:], len(cycles)]
    wanted = Wanted()
    for share, armed, until in zip(work, arms, ends, strict=True):
        expect(share, cycles, armed, until, wanted)
    reads = {
        t: (c.request["bank"], c.request["address"])
        for t, c in enumerate(cycles)
        if c.request["valid"]
    }
    assert reads == wanted.reads
    tags = {t: c.tag for t, c in enumerate(cycles) if c.tag_valid}
    assert tags.keys() == wanted.tags.keys()
    for t, tag in wanted.tags.items():
        assert tags[t] | tag == tags[t]
    assert {t for t, c in enumerate(cycles) if c.waiting} == wanted.waiting
    assert {t for t, c in enumerate(cycles) if not c.done} == wanted.busy
    floors = {t: c.row_floor for t, c in enumerate(cycles) if t in wanted.floors}
    assert floors == {t: row for t, row in wanted.floors.items() if t < len(cycles)}
    return wanted


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("late", PATTERNS)
@given(work=shares(), seed=st.integers(0, 999))
@settings(max_examples=max(3, settings.default.max_examples // 16))
def test_reads_what_the_scan_needs_when_it_may(work, seed, late, stall):
    cycles = drive(work, late, stall, seed=seed, first_slot=seed % 8, hold_run=seed % 7)
    check(work, cycles)


def share_of(build: Build, **changes: Any) -> Share:
    case = Case(build=build, **changes)
    d = case.plan.descriptors[0]
    return Share(build, case, d, d.clusters[0])


@pytest.mark.parametrize("first_slot", range(4))
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_in_step_it_reads_a_word_in_every_cycle(build, first_slot):
    """Padded at all sides, so that rows are missing and columns lie outside of the map."""
    share = share_of(build, shape=(5, 4, 19), pads=(1, 1, 1, 1), channels=build.lanes)
    wanted = check([share], drive([share], "none", "none", seed=0, first_slot=first_slot))
    assert all(len(inside) >= 4 * 2 * share.d.col_words for inside in wanted.inside)
    for inside in wanted.inside:
        assert inside == list(range(inside[0], inside[0] + len(inside)))


def test_first_read_two_cycles_after_the_rows_were_found():
    share = share_of(TINY.replace(clusters=1), shape=(4, 4, 4), channels=4)
    cycles = drive([share], "none", "none", seed=0)
    found = next(t for t, c in enumerate(cycles) if c.waiting and not cycles[t + 1].waiting)
    first = next(t for t, c in enumerate(cycles) if c.request["valid"])
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
        phase = 0

        async def words(cycles: int, **pins: int) -> int:
            """Words that come in some cycles."""
            nonlocal phase
            total = 0
            for name in ("arm", "run", "taken"):
                ctx.set(getattr(dut, name), pins.get(name, 0))
            for _ in range(cycles):
                ctx.set(dut.slot, phase % build.clusters)
                phase += 1
                _, _, valid = await ctx.tick().sample(dut.tag_valid)
                total += valid
            return total

        assert await words(1, arm=1) == 0
        assert await words(200, run=1) == depth
        assert await words(3, run=1, taken=1) == 0
        assert await words(100, run=1) == 3
        assert await words(100, run=1) == 0

    simulate(dut, run)


def test_a_cluster_without_work_does_nothing():
    share = share_of(TINY, shape=(4, 4, 4), channels=4)
    dut = Fetcher(TINY)

    async def run(ctx):
        ctx.set(dut.config, pass_config(share.d))
        ctx.set(dut.rows_done, 4)
        ctx.set(dut.arm, 1)
        await ctx.tick()
        ctx.set(dut.arm, 0)
        ctx.set(dut.run, 1)
        await ctx.tick()
        for _ in range(50):
            values = await ctx.tick().sample(
                dut.done, dut.waiting, dut.request.valid, dut.tag_valid, dut.row_floor
            )
            assert values[2:] == (1, 0, 0, 0, NOTHING_NEEDED)

    simulate(dut, run)
