"""The walker against golden's walker, cycle by cycle, and what its steps amount to."""

import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.cycles.schedule import Scan
from golden.params import ANNOUNCED_TO_PICK, LANE_LATENCY, PICK_TO_RELEASE, PICK_TO_SHADOW
from hdl.walker import Walker
from tests.golden.scanning import Entry, Place, Retire, SlowWalker, Step, Visit
from tests.hdl.harness import PATTERNS, activity, plain, simulate
from tests.hdl.stripes import Share, garbage, shares, tiled
from tests.layers import TINY, Case, cluster_config, pass_config


class Cycle(NamedTuple):
    """The pins that say what a cycle is spent on, and what the walker tells its neighbours."""

    taken: int
    finished: int
    full: int
    announced: int
    rows2: int  # valid from a column's last step to its release, as `last`
    last: int
    visiting: int
    users: int  # valid with `visiting`
    retiring: int
    blocked: int


class Seen(NamedTuple):
    """What was driven and what was seen in one cycle."""

    entry: Entry | None
    scan: Scan | None  # of the entry
    release: int
    pins: Cycle
    step: dict[str, int]
    forward: int
    pixels: list[int]  # what the lanes take


def payload(share: Share, scan: Scan, entry: Entry, noise: random.Random) -> dict[str, Any]:
    """An entry of the queue; an empty one has no pixels."""
    tag = {name: noise.getrandbits(1) for name in ("upper", "lower")}
    tag |= {"base": noise.getrandbits(13)} | share.tag(scan, entry.word)
    place = entry.word.place
    return {"word": share.word(place, noise) if place else garbage(share.build, noise), "tag": tag}


def drive(share: list[Share], idle: str, hold: str, *, seed: int) -> list[list[Seen]]:
    """Walk shares one after the other; per share all cycles, until everything has come out."""
    dut = Walker(share[0].build)
    of_lanes = dut.pixels if share[0].build.depthwise else dut.step.pixel
    found: list[list[Seen]] = []

    async def run(ctx):
        noise = random.Random(seed)
        gaps, drained = activity(idle, seed), activity(hold, seed + 1)
        pins = {"taken": dut.i.ready & dut.i.valid}
        pins |= {name: getattr(dut, name) for name in Cycle._fields if name != "taken"}
        for part in share:
            ctx.set(dut.config, pass_config(part.d))
            ctx.set(dut.work, cluster_config(part.work))
            await ctx.tick().repeat(3)
            queue = [
                (entry, scan, payload(part, scan, entry, noise))
                for scan in part.scans
                for entry in part.entries(scan)
            ]
            seen: list[Seen] = []
            found.append(seen)
            head = None
            quiet = 0  # cycles since something was left to do
            drainable: int | None = None  # cycle from which a column may have been drained
            while quiet < 10:
                if head is None and queue and next(gaps):
                    head = queue.pop(0)
                    ctx.set(dut.i.payload, head[2])
                ctx.set(dut.i.valid, head is not None)
                now = len(seen)
                if ctx.get(dut.announced):
                    drainable = now + ANNOUNCED_TO_PICK + PICK_TO_RELEASE
                release = int(drainable is not None and now >= drainable and next(drained))
                drainable = None if release else drainable
                ctx.set(dut.release, release)
                ticks = ctx.tick().sample(*pins.values(), dut.step, dut.forward, of_lanes)
                _, _, *values, step, forward, pixels = await ticks
                entry, scan = head[:2] if head else (None, None)
                cycle = Cycle(*values)
                seen.append(Seen(entry, scan, release, cycle, plain(step), forward, plain(pixels)))
                if seen[-1].pins.taken:
                    head = None
                quiet = 0 if queue or head or ctx.get(dut.full) else quiet + 1

    simulate(dut, run, max_cycles=50_000)
    return found


@dataclass
class Model:
    """Golden's walker with the shadow registers' state around it."""

    share: Share
    walker: SlowWalker = field(default_factory=SlowWalker)
    full: int = 0
    tokens: int = 0  # of this scan
    scan: Scan | None = None  # of what is being carried out
    fills: tuple[int, int] | None = None  # a column that is being retired: rows2, last
    column: tuple[int, int] | None = None  # one that has been and is not yet released
    announced: int | None = None  # the cycle in which it is announced

    def cycle(self, now: int, seen: Seen) -> tuple[Cycle, tuple[Step | None, Scan | None]]:
        """What the pins must be in this cycle, and the step that must leave in the next one."""
        pool = self.share.d.pool
        merges = pool and self.tokens % 2 == 1  # the right column of a pool window
        closes = bool(seen.scan and seen.scan.closes)
        gate = not self.full or not closes
        ends_step = len(self.walker.steps) == 1
        carried, steps = self.scan, self.walker.steps
        did = self.walker.cycle(seen.entry, gate=gate)
        if self.walker.steps is not steps:  # something new is carried out
            self.scan = seen.scan
        # The left column has waited, so that the right one never has to.
        assert not (did.due and closes and merges and self.full)
        ends = bool(did.token and seen.entry and seen.entry.word.item_end)
        rows2, last = self.column or (seen.pins.rows2, seen.pins.last)
        pins = Cycle(
            taken=did.pop,
            finished=ends,
            full=self.full,
            announced=now == self.announced,
            rows2=rows2,
            last=last,
            visiting=isinstance(did.step, Visit),
            users=self._users(did.step) if isinstance(did.step, Visit) else seen.pins.users,
            retiring=isinstance(did.step, Retire),
            blocked=did.due and not gate,
        )
        if isinstance(did.step, Retire) and ends_step and self.fills:
            self.column, self.fills = self.fills, None
            self.announced = now + LANE_LATENCY - PICK_TO_SHADOW - ANNOUNCED_TO_PICK
        if seen.release:
            self.full, self.column = 0, None
        if did.token:
            assert seen.entry
            if closes and (merges or not pool):
                rows = len(seen.entry.token)
                self.full, self.fills = 1, (int(rows == 2 and not pool), int(ends))
            self.tokens = 0 if ends else self.tokens + 1
        return pins, (did.step, carried)

    def _users(self, visit: Visit) -> int:
        """Lanes that have an operation."""
        if not self.share.d.depthwise:
            return self.share.work.lanes
        own = self.share.own_pixels(place_of(self.share, visit))
        return sum(pixel != 0 for pixel in own)


def place_of(share: Share, visit: Visit) -> Place:
    """The word of a visit."""
    row, column, channel = visit.pixel
    return Place(row, column, channel // share.build.word_pixels)


class Sums:
    """What the steps make of the accumulators: the visits that each of them holds."""

    def __init__(self, share: Share):
        self.share = share
        self.slots: dict[int, list[Visit]] = {}
        self.retired: list[tuple[tuple[int, int], list[Visit]]] = []
        self.before: dict[str, int] = {"visit": 0}

    def step(self, wanted: Step | None, scan: Scan | None, seen: Seen) -> None:
        d, step, forward = self.share.d, seen.step, seen.forward
        if wanted is not None and self.share.build.depthwise:
            lanes = self.share.build.lanes_per_cluster
            own = d.depthwise and isinstance(wanted, Visit)
            place = place_of(self.share, wanted) if own else None
            assert seen.pixels == (
                self.share.own_pixels(place) if place else [step["pixel"]] * lanes
            )
        # A token of a tile that is not the last adds nothing to its sum, and leaves it there.
        settles = isinstance(wanted, Retire) and not (scan and scan.closes)
        assert step["visit"] == (isinstance(wanted, Visit) or settles)
        assert step["retire"] == (isinstance(wanted, Retire) and not settles)
        if wanted is not None and not step["fresh"]:
            assert forward == (self.before["visit"] and self.before["slot"] == step["slot"])
        # What is neither fresh nor there is read all the same, when nothing is to be done.
        held = [] if step["fresh"] or wanted is None else self.slots[step["slot"]]
        if isinstance(wanted, Visit):
            y, x, channel = wanted.pixel
            assert scan is not None
            if not d.depthwise:
                assert step["pixel"] == self.share.x[y, x, channel] - d.in_zero
            assert step["address"] == self.share.weight(scan, channel, wanted.tap)
            self.slots[step["slot"]] = [*held, wanted]
        elif settles:
            assert step["pixel"] == 0
            self.slots[step["slot"]] = held
        elif isinstance(wanted, Retire):
            row, column = wanted.output
            place = row % 2, (column - self.share.work.first_col) % 2
            assert step["row"] == (0 if d.pool else place[0])
            assert step["merge"] == (d.pool and place != (0, 0))
            self.retired.append((wanted.output, held))
            self.slots.pop(step["slot"], None)
        self.before = step


def check(share: Share, seen: list[Seen]) -> None:
    """Compare every pin in every cycle, and every output's visits at the end."""
    model, sums = Model(share), Sums(share)
    leaving: tuple[Step | None, Scan | None] = None, None
    for now, cycle in enumerate(seen):
        pins, step = model.cycle(now, cycle)
        assert cycle.pins == pins, f"cycle {now}"
        sums.step(*leaving, cycle)
        leaving = step
    wanted = []
    visits: dict[tuple[int, int], list[Visit]] = {}  # of each output, of all tiles
    for scan in share.scans:
        for entry in share.entries(scan):
            for visit in (visit for pixel in entry.pixels for visit in pixel):
                visits.setdefault(visit.output, []).append(visit)
            if scan.closes:
                wanted += [retire.output for retire in entry.token]
    assert sums.retired == [(output, visits.get(output, [])) for output in wanted]
    assert not sums.slots


@pytest.mark.parametrize("hold", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@given(work=shares(cols=6), seed=st.integers(0, 999))
@settings(max_examples=max(3, settings.default.max_examples // 25))
def test_every_pixel_visits_its_outputs_in_the_stated_cycles(work, seed, idle, hold):
    for share, seen in zip(work, drive(work, idle, hold, seed=seed), strict=True):
        check(share, seen)


@pytest.mark.parametrize("hold", ["none", "rare"])
@pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])
@pytest.mark.parametrize("tiles", [2, 3])
def test_sums_of_several_stripes_stay_open_from_tile_to_tile(tiles, pool, hold):
    """Also those without a visit in the first tile, which start from 0 there."""
    share = tiled(TINY, tiles, pool=pool, density=0.1, seed=2)
    (seen,) = drive([share], "none", hold, seed=1)
    check(share, seen)
    if hold == "rare":  # nobody but the last tile waits for the shadow registers
        tokens = [now for now in seen if now.pins.full and now.entry and now.entry.token]
        assert any(now.scan and not now.scan.closes for now in tokens)
        assert any(now.pins.blocked for now in tokens)


class Sketch(Case):
    """A picture with one pixel in the first and in the last word of its middle column."""

    @cached_property
    def x(self) -> np.ndarray:
        """Raw input map."""
        x = np.zeros(self.shape, int)
        x[0, self.shape[1] // 2, [0, -1]] = 7
        return x


def walk(case: Case) -> list[Seen]:
    """Walk a case's only stripe without a stall."""
    d = case.plan.descriptors[0]
    share = Share(case.build, case, d, d.clusters[0])
    (seen,) = drive([share], "none", "none", seed=0)
    check(share, seen)
    return seen


@pytest.mark.parametrize("between", range(6))
@pytest.mark.parametrize("visits", range(1, 6))
def test_empty_words_hide_behind_the_visits_of_the_pixel_before(visits, between):
    shape = (1, 2 * visits - 1, 4 * (between + 2))
    build = TINY.replace(clusters=1)
    seen = walk(Sketch(build=build, shape=shape, kernel=(1, visits), channels=4))
    steps = [now for now, cycle in enumerate(seen) if cycle.pins.visiting]
    assert len(steps) == 2 * visits
    assert steps[visits] - steps[0] == max(visits, 1 + between)


class Column(Case):
    """The column of docs/core.md: two pixels, two empty words, and one pixel in the last word."""

    @cached_property
    def x(self) -> np.ndarray:
        """Raw input map."""
        x = np.zeros(self.shape, int)
        x[0, 2, [0, 3]] = x[1, 2, 6] = 1
        return x


def test_a_column_cycle_by_cycle():
    seen = walk(Column(build=TINY, shape=(2, 5, 8), kernel=(1, 3), channels=8))
    start = next(now for now, cycle in enumerate(seen) if cycle.entry and cycle.entry.pixels)
    line = seen[start : start + 12]
    assert "".join(" vr"[c.pins.visiting + 2 * c.pins.retiring] for c in line) == " vvvvvvvvvrr"
    # The first word goes with its second pixel, the last one with the token.
    assert [n for n, c in enumerate(line) if c.pins.taken] == [3, 4, 5, 9, 10, 11]
