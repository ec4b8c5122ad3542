"""The cluster on whole stripes: sums against golden's convolution, cycles against its model.

The bench stands in for everything around it: the intake, the banks, the control and the drain.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings

from compiler.lower import pack_weights
from golden.conv import conv2d, max_pool2x2
from golden.cycles.core import READ_TO_HEAD, STRIPE_SETUP, TOKEN_TO_STEP
from golden.cycles.scan import left_columns, scan_stripe, stripe_shape
from golden.params import LANE_LATENCY, ceil_div
from hdl.cluster import Cluster
from tests.golden.scanning import Place, rows_out, scan_words
from tests.hdl.harness import PATTERNS, activity, plain, simulate
from tests.hdl.hostile import hostile_memories
from tests.hdl.stripes import Share, garbage, shares
from tests.layers import BUILDS, TINY, Case, cluster_config, pass_config


class Cycle(NamedTuple):
    """The cluster's pins in one cycle."""

    slot: int
    rows_done: int
    release: int
    request: dict[str, int]
    row_floor: int
    waiting: int
    done: int
    full: int
    pending: int
    rows2: int
    last: int
    visiting: int
    retiring: int
    blocked: int
    heads: list[list[int]]


@dataclass
class Column:
    """A finished column: the cycle of its release, and per row the sums of all lanes."""

    released: int
    rows: list[list[int]]
    last: int


@dataclass
class Run:
    """What a cluster did with a share, from `arm` on."""

    cycles: list[Cycle] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)


def weights_of(share: Share) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of all lanes; lanes without a channel have zeros."""
    lanes = share.build.lanes_per_cluster
    (passed,) = (p for p in share.case.plan.passes if p.descriptor == share.d)
    first = passed.channels[0] + share.work.group * lanes
    chosen = slice(first, min(first + lanes, passed.channels[1]))
    layer = share.case.layer
    weights = np.zeros((lanes, *layer.weights.shape[1:]), np.int64)
    bias = np.zeros(lanes, np.int64)
    weights[: share.work.lanes] = layer.weights[chosen]
    bias[: share.work.lanes] = layer.bias[chosen]
    return weights, bias


def loads(share: Share, noise: random.Random) -> Iterator[dict[str, int]]:
    """Writes to the lanes, as from the control stream, and between them those of another group."""
    build, group = share.build, share.work.group
    lanes, per_beat = build.lanes_per_cluster, build.weights_per_beat
    weights, bias = weights_of(share)
    other = (group + 1) % 8
    for lane in range(lanes):
        yield {"bias_en": 1, "group": group, "lane": lane, "data": int(bias[lane]) % (1 << 64)}
        yield {"bias_en": 1, "group": other, "lane": lane, "data": noise.getrandbits(64)}
    beats = ceil_div(lanes, per_beat)
    for n, word in enumerate(pack_weights(weights.reshape(lanes, -1), build).tolist()):
        load = {"weight_en": 1, "address": n // beats, "beat": n % beats}
        yield {**load, "group": group, "data": word}
        yield {**load, "group": other, "data": noise.getrandbits(64)}


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
        dut = self.dut
        noise = random.Random(self.seed)
        rows, drains = activity(self.late, self.seed), activity(self.hold, self.seed + 1)
        for share in self.work:
            ctx.set(dut.config, pass_config(share.d))
            ctx.set(dut.work, cluster_config(share.work))
            await ctx.tick()
            for load in loads(share, noise):
                ctx.set(dut.load, load)
                await ctx.tick()
            ctx.set(dut.load, {})
            await ctx.tick().repeat(2)
            ctx.set(dut.arm, 1)
            await ctx.tick()
            ctx.set(dut.arm, 0)
            run = Run()
            self.runs.append(run)
            await self._run(ctx, share, run, rows, drains, noise)

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
        loaded = 0
        phase = 0
        taken: list[list[list[int]]] = []  # per chunk of the column that leaves, the heads
        count = 0  # its chunks, none while it has not begun
        while not (ctx.get(dut.done) and not ctx.get(dut.full) and phase > 4):
            ctx.set(dut.run, phase >= 3)
            ctx.set(dut.slot, (phase + share.work.team) % build.clusters)
            free = phase > 3 and loaded < min(d.in_rows, ctx.get(dut.row_floor) + d.ring_rows)
            if free and next(rows):
                for x, w in np.ndindex(d.in_cols, d.col_words):
                    place = Place(loaded, x, w)
                    banks[share.address(place)] = share.word(place, noise)
                loaded += 1
            ctx.set(dut.rows_done, loaded)
            pick = count > 0 and next(drains)
            ends = pick and len(taken) == count - 1
            chunks = build.lanes_per_cluster // build.drain
            ctx.set(dut.shift, (1 << len(taken) // chunks) if pick else 0)
            ctx.set(dut.release, ends)
            ctx.set(dut.word, answers.pop(0))
            _, _, *values = await ctx.tick().sample(*(getattr(dut, n) for n in Cycle._fields))
            now = Cycle(*map(plain, values))
            run.cycles.append(now)
            asked = now.request["bank"], now.request["address"]
            answers.append(banks[asked] if now.request["valid"] else garbage(build, noise))
            if pick:
                taken.append(now.heads)
            if ends:
                sums = [
                    [value for chunk in taken[row * chunks :][:chunks] for value in chunk[row]]
                    for row in range(count // chunks)
                ]
                run.columns.append(Column(phase, sums, now.last))
                taken, count = [], 0
            elif now.pending and not count:
                count = chunks * (1 + now.rows2)
            phase += 1
        ctx.set(dut.run, 0)
        await ctx.tick().repeat(3)


def sums_of(share: Share) -> list[tuple[list[list[int]], int]]:
    """Rows of every column that the share makes, in order, and whether it is its stripe's last."""
    d, work = share.d, share.work
    weights, bias = weights_of(share)
    pads = share.case.pads
    sums = conv2d(share.case.x, weights, bias, pads=pads, zero_point=d.in_zero)
    sums = sums[: d.out_rows, : d.out_cols]
    columns = range(work.first_col, work.end_col)
    if d.pool:
        sums, columns = max_pool2x2(sums), range(work.first_col // 2, work.end_col // 2)
    found = []
    for stripe in share.stripes:
        rows = [stripe] if d.pool else rows_out(d, stripe)
        found += [
            ([sums[row, column].tolist() for row in rows], int(column == columns[-1]))
            for column in columns
        ]
    return found


def check_cycles(share: Share, run: Run) -> None:
    """Compare what every cycle was spent on with the model of the stripes' scans."""
    d, cycles = share.d, run.cycles
    waits = [t for t, c in enumerate(cycles) if c.waiting and not cycles[t + 1].waiting]
    releases = iter([column.released for column in run.columns])
    retiring: list[int] = []
    pending: set[int] = set()
    full: set[int] = set()
    visits = stuck = 0
    gate = 0
    for stripe, found in zip(share.stripes, waits, strict=True):
        scan = scan_stripe(share.build, d, share.work, stripe_shape(d, stripe), share.counts)
        words = scan_words(share.build, d, share.work, stripe)
        first = next(word.place for word in words if word.place)
        read = found + STRIPE_SETUP + left_columns(d, share.work)
        while cycles[read].slot != share.address(first)[0]:
            read += 1
        now = read + READ_TO_HEAD
        for k, (earliest, idle) in enumerate(zip(scan.earliest, scan.idle_from, strict=True)):
            fills = not d.pool or k % 2 == 1
            waited = now + idle
            now += earliest
            if not d.pool or k % 2 == 0:
                now = max(now, gate)
                stuck += max(0, now - waited)
            last = now + TOKEN_TO_STEP + scan.steps - 1
            retiring += range(now + TOKEN_TO_STEP, last + 1)
            if fills:
                released = next(releases)
                full.update(range(now + 1, released + 1))
                pending.update(range(last + LANE_LATENCY, released + 1))
                gate = released + 1
        visits += scan.visits
    assert [t for t, c in enumerate(cycles) if c.retiring] == retiring
    assert {t for t, c in enumerate(cycles) if c.pending} == pending
    assert {t for t, c in enumerate(cycles) if c.full} == full
    assert sum(c.visiting for c in cycles) == visits
    assert sum(c.blocked and not (c.visiting or c.retiring) for c in cycles) == stuck
    assert next(t for t, c in enumerate(cycles) if c.done and t > 4) == now + 2


def check(share: Share, run: Run) -> None:
    """Compare sums, cycles, and in whose slots the banks were read."""
    assert [(column.rows, column.last) for column in run.columns] == sums_of(share)
    check_cycles(share, run)
    for before, cycle in zip(run.cycles, run.cycles[1:], strict=False):
        assert not cycle.request["valid"] or cycle.request["bank"] == before.slot


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
    silent = [[cycle._replace(heads=[]) for cycle in run.cycles] for run in runs]
    assert silent[0] == silent[1]
    sums = [[column.rows for column in run.columns] for run in runs]
    assert sums[0] != sums[1]
