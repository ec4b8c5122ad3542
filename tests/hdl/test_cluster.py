"""The cluster on whole stripes: sums against golden's convolution, cycles against its model.

The bench stands in for everything around it: the intake, the banks, the control and the drain.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings

from compiler.lower import pack_weights
from golden.conv import conv2d, max_pool2x2
from golden.cycles.passes import READ_TO_HEAD, STRIPE_SETUP, TOKEN_TO_STEP
from golden.cycles.scan import scan_stripe
from golden.params import (
    ANNOUNCED_TO_PICK,
    LANE_LATENCY,
    PICK_TO_CHUNK,
    PICK_TO_RELEASE,
    PICK_TO_SHADOW,
    ceil_div,
)
from hdl.cluster import Cluster
from hdl.layouts import LOAD_BITS
from tests.golden.scanning import Place, rows_out, words_in
from tests.hdl.harness import PATTERNS, activity, plain, simulate
from tests.hdl.hostile import hostile_memories
from tests.hdl.stripes import Share, garbage, shares, tiled
from tests.layers import BUILDS, TINY, Case, cluster_config, pass_config

ALL_LOADS = (1 << LOAD_BITS) - 1


class Cycle(NamedTuple):
    """The cluster's pins in one cycle."""

    slot: int
    rows_done: int
    release: int
    request: dict[str, int]
    row_floor: int
    released: int
    waiting: int
    hungry: int
    done: int
    full: int
    announced: int
    rows2: int
    last: int
    visiting: int
    retiring: int
    blocked: int
    sums: list[int]


@dataclass
class Column:
    """A finished column: when its walker is told that it is drained, and all lanes' sums by row."""

    released: int
    rows: list[list[int]]
    last: int


@dataclass
class Run:
    """What a cluster did with a share, from `arm` on."""

    cycles: list[Cycle] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)


def weights_of(share: Share) -> np.ndarray:
    """Weights (lanes, Cin, kh, kw) of all lanes.

    Lanes without a channel have zeros, and so have channels of other groups.
    """
    lanes = share.build.lanes_per_cluster
    passed, given = share.passed, share.passed.given
    first = passed.channels[0] + share.work.group * lanes
    layer = share.case.layer
    _, ins, *kernel = layer.weights.shape
    weights = np.zeros((lanes, layer.in_channels, *kernel), np.int64)
    for lane, channel in enumerate(range(first, min(first + lanes, passed.channels[1]))):
        group = channel * layer.groups // layer.out_channels
        weights[lane, group * ins : (group + 1) * ins] = layer.weights[channel]
    rows, cols = slice(*passed.piece.rows), slice(*passed.piece.cols)
    channels = slice(given.channel, given.channel + given.channels)
    return weights[:, channels, rows, cols]


def weights(share: Share, load: int, noise: random.Random) -> Iterator[dict[str, int]]:
    """Writes to the lanes for a load, and between them those of another group."""
    build, group, other = share.build, share.work.group, (share.work.group + 1) % 8
    lanes = build.lanes_per_cluster
    all_weights = weights_of(share)
    words = words_in(share.d, share.work, load % share.d.tiles)
    step = build.word_pixels
    tile = all_weights[:, words.start * step : words.stop * step]
    if share.d.depthwise:  # at most one channel has weights for a lane
        tile = tile.sum(axis=1)
    tile = tile.reshape(lanes, -1)
    beats = ceil_div(lanes, build.weights_per_beat)
    base = share.weight_base(load)
    for n, word in enumerate(pack_weights(tile, build).tolist()):
        write = {"weight_en": 1, "address": base + n // beats, "beat": n % beats}
        yield {**write, "group": group, "data": word}
        yield {**write, "group": other, "data": noise.getrandbits(64)}


class Loader:
    """What the control loader does: one write to the lanes per cycle, if it may, in good time."""

    def __init__(self, work: list[Share], noise: random.Random):
        self.work, self.noise = work, noise
        self.armed = 0  # shares that have begun
        self.running = False
        self.known = 0  # shares whose parameters are there
        self.complete = 0  # loads of the latest of them
        self.released = 0  # as the clusters say
        self.target = {"active": 0, "group": 0}

    @property
    def loaded(self) -> int:
        """The pin: of the share that runs."""
        return ALL_LOADS if self.known > self.armed else self.complete

    def writes(self) -> Iterator[dict[str, int]]:
        """What it does cycle by cycle."""
        for n, share in enumerate(self.work):
            while self.armed < n:
                yield {}
            self.target = {"active": int(share.work.active), "group": share.work.group}
            for _ in range(2 * share.d.groups * share.build.lanes_per_cluster):
                yield {}  # biases and scales, which are the requantiser's
            self.known, self.complete = n + 1, 0
            for load in range(share.d.loads):
                while not self._may_load(n, load):
                    yield {}
                pending = deque(weights(share, load, self.noise))
                while pending:
                    write = pending.popleft()
                    self.complete += not pending
                    yield write
        while True:
            yield {}

    def _may_load(self, n: int, load: int) -> bool:
        if self.armed > n:
            return load < 2 or self.released >= load - 1
        if load or not n or not self.running:
            return False
        share, before = self.work[n], self.work[n - 1]
        ready = not share.d.alone and not before.d.alone and self.released >= before.d.loads - 1
        # In the core the halves take turns from pass to pass; here they are as it comes.
        return ready and share.weight_base(0) != before.weight_base(before.d.loads - 1)


class Bench:
    """Drives one cluster through shares."""

    def __init__(self, work: list[Share], late: str, hold: str, seed: int):
        self.work, self.late, self.hold, self.seed = work, late, hold, seed
        self.build = work[0].build
        with hostile_memories():
            self.dut = Cluster(self.build)
            self.runs: list[Run] = []
            simulate(self.dut, self._play, max_cycles=50_000)

    async def _play(self, ctx: Any) -> None:
        noise = random.Random(self.seed)
        rows, drains = activity(self.late, self.seed), activity(self.hold, self.seed + 1)
        self.loader = Loader(self.work, noise)
        self.writes = self.loader.writes()
        self.runs.clear()
        for n, share in enumerate(self.work):
            while self.loader.known <= n:
                await self._tick(ctx)
            ctx.set(self.dut.config, pass_config(share.d))
            ctx.set(self.dut.work, cluster_config(share.work))
            ctx.set(self.dut.half, share.half)
            await self._tick(ctx)
            ctx.set(self.dut.arm, 1)
            self.loader.armed, self.loader.running = n + 1, True
            await self._tick(ctx)
            self.loader.released = 0  # which takes the core a cycle longer to see
            ctx.set(self.dut.arm, 0)
            run = Run()
            self.runs.append(run)
            await self._run(ctx, share, run, rows, drains, noise)
            self.loader.running = False
            for _ in range(noise.randrange(4)):
                await self._tick(ctx)

    async def _tick(self, ctx: Any) -> Cycle:
        """One cycle, in which the loader does what it can."""
        dut = self.dut
        ctx.set(dut.load, next(self.writes))
        ctx.set(dut.target, self.loader.target)
        ctx.set(dut.loaded, self.loader.loaded)
        _, _, *values = await ctx.tick().sample(*(getattr(dut, n) for n in Cycle._fields))
        now = Cycle(*map(plain, values))
        self.loader.released = now.released
        return now

    async def _run(
        self,
        ctx: Any,
        share: Share,
        run: Run,
        rows: Iterator[bool],
        drains: Iterator[bool],
        noise: random.Random,
    ) -> None:
        """Run a pass: rows arrive as long as their place is free, columns leave chunk by chunk."""
        dut, build, d = self.dut, self.build, share.d
        banks: dict[tuple[int, int], dict[str, Any]] = {}
        answers = [garbage(build, noise)] * 2
        there = 0
        phase = 0
        chunks = build.lanes_per_cluster // build.drain  # of a row
        # Of the column that leaves: its chunks, those picked, the sums of those that have come.
        count = picked = 0
        taken: list[list[int]] = []
        picks_from = released = 0
        # What follows from a pick: row and shift, release, and the sums.
        asks = deque([(0, False)] * (PICK_TO_SHADOW - 1))
        releases = deque([False] * (PICK_TO_RELEASE - 1))
        arrivals = deque([False] * (PICK_TO_CHUNK - 1))
        while not (ctx.get(dut.done) and not ctx.get(dut.full)):
            ctx.set(dut.slot, (phase + share.work.team) % build.clusters)
            free = phase > 3 and there < min(d.in_rows, ctx.get(dut.row_floor) + d.ring_rows)
            if free and next(rows):
                for x, w in np.ndindex(d.in_cols, d.col_words):
                    place = Place(there, x, w)
                    banks[share.address(place)] = share.word(place, noise)
                there += 1
            ctx.set(dut.rows_done, there)
            pick = picked < count and phase >= picks_from and next(drains)
            asks.append((picked // chunks, True) if pick else (0, False))
            picked += pick
            releases.append(pick and picked == count)
            arrivals.append(pick)
            if releases[-1]:
                released = phase + PICK_TO_RELEASE
            row, shift = asks.popleft()
            ctx.set(dut.row, row)
            ctx.set(dut.shift, shift)
            ctx.set(dut.release, releases.popleft())
            ctx.set(dut.word, answers.pop(0))
            now = await self._tick(ctx)
            run.cycles.append(now)
            asked, addresses = now.request["banks"], now.request["addresses"]
            bank = asked.bit_length() - 1
            answers.append(banks[bank, addresses[bank]] if asked else garbage(build, noise))
            if arrivals.popleft():
                taken.append(now.sums)
            if count and len(taken) == count:
                sums = [
                    [value for chunk in taken[row * chunks :][:chunks] for value in chunk]
                    for row in range(count // chunks)
                ]
                run.columns.append(Column(released, sums, now.last))
                taken, count, picked = [], 0, 0
            if now.announced:
                count, picks_from = chunks * (1 + now.rows2), phase + ANNOUNCED_TO_PICK
            phase += 1


def sums_of(share: Share) -> list[tuple[list[list[int]], int]]:
    """Rows of every column that the share makes, in order, and whether it is its stripe's last.

    They are without the biases.
    """
    d, work = share.d, share.work
    kernels, case = weights_of(share), share.case
    none = np.zeros(len(kernels), np.int64)
    sums = conv2d(share.x, kernels, none, stride=case.stride, pads=case.pads, zero_point=d.in_zero)
    sums = sums[: d.out_rows, : d.out_cols]
    columns = range(work.first_col, work.end_col)
    if d.pool:
        sums, columns = max_pool2x2(sums), range(work.first_col // 2, work.end_col // 2)
    found = []
    for scan in share.scans:
        if not scan.closes:
            continue
        rows = [scan.stripe] if d.pool else rows_out(d, scan.stripe)
        found += [
            ([sums[row, column].tolist() for row in rows], int(column == columns[-1]))
            for column in columns
        ]
    return found


def check_cycles(share: Share, run: Run) -> None:
    """Compare what every cycle was spent on with the model of the scans."""
    d, cycles = share.d, run.cycles
    build, work = share.build, share.work
    waits = [t for t, c in enumerate(cycles) if c.waiting and not cycles[t + 1].waiting]
    columns = iter(run.columns)
    retiring: list[int] = []
    announced: list[int] = []
    full: set[int] = set()
    visits = stuck = 0
    gate = 0
    for planned, found in zip(share.scans, waits, strict=True):
        scan = scan_stripe(build, d, work, planned.shape, share.counts, planned.tile)
        closes = planned.closes
        first = found + STRIPE_SETUP
        read = first + scan.left_words
        if scan.left_tokens < len(scan.earliest):
            place = next(word.place for word in share.words(planned) if word.place)
            while cycles[read].slot != share.address(place)[0]:
                read += 1
        inside = read + READ_TO_HEAD
        now = first + READ_TO_HEAD if scan.left_tokens else inside
        for k, (earliest, idle) in enumerate(zip(scan.earliest, scan.idle_from, strict=True)):
            fills = closes and (not d.pool or k % 2 == 1)
            held_up = 0
            if k and k == scan.left_tokens:
                held_up = now + scan.steps + 1
                now = max(inside, now + max(scan.steps - scan.lead, 1 + scan.left_gap))
            waited = max(now + idle, held_up)
            now += earliest
            if closes and (not d.pool or k % 2 == 0):
                now = max(now, gate)
                stuck += max(0, now - waited)
            last = now + TOKEN_TO_STEP + scan.steps - 1
            retiring += range(now + TOKEN_TO_STEP, last + 1)
            if fills:
                column = next(columns)
                full.update(range(now + 1, column.released + 1))
                announced.append(last + LANE_LATENCY - PICK_TO_SHADOW - ANNOUNCED_TO_PICK)
                for cycle in cycles[last + 1 : column.released + 1]:
                    assert (cycle.rows2 + 1, cycle.last) == (len(column.rows), column.last)
                gate = column.released + 1
        visits += scan.visits
    assert [t for t, c in enumerate(cycles) if c.retiring] == retiring
    assert [t for t, c in enumerate(cycles) if c.announced] == announced
    assert {t for t, c in enumerate(cycles) if c.full} == full
    assert sum(c.visiting for c in cycles) == visits
    assert sum(c.blocked and not (c.visiting or c.retiring) for c in cycles) == stuck
    assert next(t for t, c in enumerate(cycles) if c.done) == now + 2


def check(share: Share, run: Run) -> None:
    """Compare sums, cycles, and in whose slots the banks were read."""
    assert [(column.rows, column.last) for column in run.columns] == sums_of(share)
    check_cycles(share, run)
    for before, cycle in zip(run.cycles, run.cycles[1:], strict=False):
        assert cycle.request["banks"] in (0, 1 << before.slot)


@pytest.mark.parametrize("hold", PATTERNS)
@pytest.mark.parametrize("late", PATTERNS)
@given(work=shares(rows=6, cols=5, most=2))
@settings(max_examples=max(2, settings.default.max_examples // 50))
def test_stripes_are_convolved_in_the_model_s_cycles(work, late, hold):
    for share, run in zip(work, Bench(work, late, hold, seed=1).runs, strict=True):
        check(share, run)


@pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_a_padded_layer_with_every_lane_in_use(build, pool):
    """Five output rows, so that the last stripe has one; of a pool the fifth is left out."""
    case = Case(
        build=build,
        shape=(5, 4, 6),
        channels=build.lanes,
        pads=(1, 1, 1, 1),
        pool=pool,
        signed=True,
        in_zero=-5 if build.act_bits == 8 else 0,
        density=0.6,
    )
    d = case.plan.descriptors[0]
    share = Share(build, case, d, d.clusters[-1])
    assert share.work.lanes == build.lanes_per_cluster
    (run,) = Bench([share], "none", "none", seed=2).runs
    check(share, run)


@pytest.mark.parametrize("late", ["none", "random"])
@pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])
def test_weights_in_tiles_come_while_the_lanes_compute(pool, late):
    """Two passes; the halves of the memory take turns, from one to the next as well."""
    first = tiled(TINY, 3, pool=pool, shape=(8, 4), seed=1)
    second = tiled(TINY, 2, pool=pool, shape=(8, 4), seed=2)
    assert first.build == second.build
    assert first.weight_base(first.d.loads - 1) != second.weight_base(0)
    for share, run in zip((first, second), Bench([first, second], late, late, 4).runs, strict=True):
        check(share, run)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_strides_that_pass_over_rows_and_columns(build):
    case = Case(
        build=build,
        shape=(12, 11, 6),
        channels=3,
        kernel=(2, 3),
        stride=(4, 4),
        pads=(1, 0, 1, 1),
        density=0.8,
    )
    d = case.plan.descriptors[0]
    (run,) = Bench([share := Share(build, case, d, d.clusters[0], half=1)], "none", "none", 5).runs
    check(share, run)


def test_clusters_of_a_team_stay_in_step():
    """Two groups of one team: other weights, the same cycle for everything but the sums."""
    case = Case(build=TINY, shape=(4, 5, 6), channels=8, pads=(1, 1, 1, 1))
    d = case.plan.descriptors[0]
    both = [Share(TINY, case, d, work) for work in d.clusters]
    assert [(share.work.team, share.work.group) for share in both] == [(0, 0), (0, 1)]
    runs = []
    for share in both:
        runs += Bench([share], "random", "random", seed=3).runs
        check(share, runs[-1])
    silent = [[cycle._replace(sums=[]) for cycle in run.cycles] for run in runs]
    assert silent[0] == silent[1]
    sums = [[column.rows for column in run.columns] for run in runs]
    assert sums[0] != sums[1]
