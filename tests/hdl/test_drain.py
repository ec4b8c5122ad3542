"""The drain between clusters and a writer that Python plays: values, turns, and every cycle."""

from collections import deque
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.descriptor import ClusterWork
from golden.params import Build, ceil_div, preset
from hdl.drain import Drain
from tests.hdl.harness import PATTERNS, activity, expect_silence, get, plain, simulate
from tests.layers import cluster_config

TINY = preset("tiny")
BUILDS = {
    build.name: build
    for build in (
        TINY,
        preset("up5k"),
        preset("nullhop"),
        TINY.replace(name="one_cluster", clusters=1, drain=1),
        TINY.replace(name="one_chunk", clusters=4, lanes_per_cluster=2, drain=2),
        TINY.replace(name="four", clusters=4, act_bits=8, lanes_per_cluster=8, drain=4),
    )
}


@dataclass(frozen=True)
class Column:
    """A finished column of a team: sums (rows, groups x lanes)."""

    sums: np.ndarray
    last: bool
    #: Cycles from the release of the column before to this one standing there.
    delay: int


@dataclass(frozen=True)
class Pass:
    """The columns of each team of a pass; every `shares` teams have the same channels."""

    build: Build
    groups: int
    shares: int
    out_channels: int
    teams: tuple[tuple[Column, ...], ...]

    @property
    def works(self) -> list[dict[str, int]]:
        """Clusters: team by team, in a team group by group, the rest without work."""
        works = [
            ClusterWork(active=True, team=team, group=self.first_group(team) + group)
            for team in range(len(self.teams))
            for group in range(self.groups)
        ]
        works += [ClusterWork()] * (self.build.clusters - len(works))
        return [cluster_config(work) for work in works]

    @property
    def length(self) -> int:
        """Cycles that one row takes."""
        return self.groups * self.build.lanes_per_cluster // self.build.drain

    def first_group(self, team: int) -> int:
        """Where the groups of a team begin."""
        return team // self.shares * self.groups

    def members(self, team: int) -> int:
        """The clusters of a team, one bit each."""
        return (1 << self.groups) - 1 << team * self.groups

    def chunks(self, team: int, column: Column) -> list[dict[str, Any]]:
        """What must leave for one column."""
        width = self.build.drain
        ends = self.length * width
        base = self.first_group(team) * self.build.lanes_per_cluster
        return [
            {
                "sums": sums[channel : channel + width].tolist(),
                "real": sum((base + channel + i < self.out_channels) << i for i in range(width)),
                "channel": base + channel,
                "context": 2 * team + row,
                "packet_end": (channel + width) % 16 == 0 or channel + width == ends,
                "segment_end": column.last and channel + width == ends,
            }
            for row, sums in enumerate(column.sums)
            for channel in range(0, ends, width)
        ]


def make(
    build: Build,
    *,
    groups: int,
    teams: int,
    columns: int = 4,
    shares: int | None = None,
    out_channels: int | None = None,
    delay: int = 0,
    seed: int = 0,
) -> Pass:
    """Random columns that stand ready up to `delay` cycles after the team's last release.

    All teams share their channels if nothing else is said.
    """
    rng = np.random.default_rng(seed)
    lanes = groups * build.lanes_per_cluster
    high = 1 << build.acc_bits - 1
    made = tuple(
        tuple(
            Column(
                sums=rng.integers(-high, high, (int(rng.integers(1, 3)), lanes)),
                last=bool(rng.random() < 0.3),
                delay=int(rng.integers(delay + 1)),
            )
            for _ in range(columns)
        )
        for _ in range(teams)
    )
    shares = shares or teams
    return Pass(build, groups, shares, out_channels or ceil_div(teams, shares) * lanes, made)


class State(NamedTuple):
    """The ports in one cycle."""

    arm: int
    returned: int
    pending: int
    row: int
    shift: int
    release: int
    closing: int
    busy: int
    valid: int
    packet_end: int


class Writer:
    """The far end: returns packets when the pattern lets it, `late` cycles after their ends."""

    def __init__(self, pattern: str, late: int):
        self._active = activity(pattern, 2)
        self._late = late
        self._ends: deque[int] = deque()

    def returns(self, now: int) -> bool:
        """Whether a packet is returned in this cycle."""
        due = bool(self._ends) and self._ends[0] + self._late < now and next(self._active)
        if due:
            self._ends.popleft()
        return due

    def see(self, now: int, state: State) -> None:
        """Take what stands at `o`."""
        if state.valid and state.packet_end:
            self._ends.append(now)


class Clusters:
    """The clusters' ends of the drain: shadow registers, and columns that follow."""

    def __init__(self, dut: Drain, build: Build, writer: Writer):
        self._dut, self._build, self._writer = dut, build, writer
        self._now = 0

    async def play(self, ctx, work: Pass) -> list[State]:
        """Offer all columns of a pass; return what was seen until the last one had left."""
        dut, width = self._dut, self._build.drain
        lanes = self._build.lanes_per_cluster
        cycles: list[State] = []
        queues = [deque(columns) for columns in work.teams]
        waits = [columns[0].delay for columns in work.teams]
        standing = [False] * len(queues)
        shadow = np.zeros((self._build.clusters, 2, lanes), np.int64)

        def of_clusters(flags: list[bool]) -> int:
            return sum(int(flag) * work.members(team) for team, flag in enumerate(flags))

        ctx.set(dut.config, {"team_groups": work.groups, "out_channels": work.out_channels})
        ctx.set(dut.work, work.works)
        ctx.set(dut.arm, 1)
        cycles.append(await self._tick(ctx))
        ctx.set(dut.arm, 0)
        while any(queues) or ctx.get(dut.busy):
            for team, queue in enumerate(queues):
                if queue and not standing[team]:
                    standing[team] = waits[team] == 0
                    waits[team] -= 1
                    sums = queue[0].sums.reshape(-1, work.groups, lanes).swapaxes(0, 1)
                    first = team * work.groups
                    shadow[first : first + work.groups, : sums.shape[1]] = sums
            ctx.set(dut.pending, of_clusters(standing))
            ctx.set(dut.rows2, of_clusters([bool(q) and len(q[0].sums) == 2 for q in queues]))
            ctx.set(dut.last, of_clusters([bool(q) and q[0].last for q in queues]))
            row, shift = ctx.get(dut.row), ctx.get(dut.shift)
            ctx.set(dut.sums, shadow[:, row, :width].tolist())
            for c in range(len(shadow)):
                if shift >> c & 1:
                    shadow[c, row] = np.roll(shadow[c, row], -width)
            now = await self._tick(ctx)
            cycles.append(now)
            for team, queue in enumerate(queues):
                if now.release & work.members(team):
                    queue.popleft()
                    standing[team] = False
                    waits[team] = queue[0].delay if queue else 0
        return cycles

    async def _tick(self, ctx) -> State:
        dut = self._dut
        ctx.set(dut.returned, self._writer.returns(self._now))
        _, _, *values = await ctx.tick().sample(
            *(
                dut.arm,
                dut.returned,
                dut.pending,
                dut.row,
                dut.shift,
                dut.release,
                dut.closing,
                dut.busy,
            ),
            *(dut.o.valid, dut.o.payload.packet_end),
        )
        state = State(*map(plain, values))
        self._writer.see(self._now, state)
        self._now += 1
        return state


def replay(work: Pass, cycles: list[State], room: int) -> tuple[list[int], int]:
    """Check every cycle against the rules, given what stood ready and what was returned.

    A column that is on its way is the list of its chunks: row, cluster, whether a packet opens.
    There is room for so many packets more, to begin with. Returns the teams in turn, and the room
    that is left.
    """
    n, chunks = work.build.clusters, work.build.lanes_per_cluster // work.build.drain
    taken = [0] * len(work.teams)
    turns: list[int] = []
    way: deque[tuple[int, int, bool]] = deque()
    valid = False
    lead = 0
    for now in cycles:
        opens = bool(way) and way[0][2]
        pick = bool(way) and (room > 0 or not opens)
        ends = pick and len(way) == 1
        assert (now.busy, now.valid) == (bool(way) or valid, valid)
        closing, release = False, 0
        assert now.shift == (1 << way[0][1] if pick and not ends else 0)
        if way:
            assert now.row == way[0][0]
        if pick:
            row, *_ = way.popleft()
            column = work.teams[turns[-1]][taken[turns[-1]] - 1]
            row_ends = not way or way[0][0] != row
            closing = row_ends and column.last
            release = work.members(turns[-1]) if ends else 0
        assert (now.closing, now.release) == (closing, release)

        if not way:
            waiting = [
                team * work.groups
                for team in range(len(work.teams))
                if now.pending & work.members(team) and not (ends and team == turns[-1])
            ]
            if waiting:
                lead = min(waiting, key=lambda c: (c - lead - 1) % n)
                team = lead // work.groups
                turns.append(team)
                rows = len(work.teams[team][taken[team]].sums)
                taken[team] += 1
                sources = [*product(range(rows), range(work.groups), range(chunks))]
                assert len(sources) == rows * work.length
                way += [
                    (row, lead + group, n % work.length * work.build.drain % 16 == 0)
                    for n, (row, group, _) in enumerate(sources)
                ]
        valid = pick
        room += now.returned - (pick and opens)
        assert 0 <= room <= work.build.output_packets
        if now.arm:
            lead = 0
    assert taken == [len(columns) for columns in work.teams]
    return turns, room


def check(build: Build, works: list[Pass], stall: str = "none", late: int = 0) -> list[list[State]]:
    """Run passes one after the other; compare all that leaves, and every cycle."""
    dut = Drain(build)
    writer = Writer(stall, late)
    seen: list[list[State]] = []
    left: list[dict[str, Any]] = []
    count = sum(
        len(column.sums) * work.length for work in works for team in work.teams for column in team
    )

    async def clusters(ctx):
        of_all = Clusters(dut, build, writer)
        seen.extend([await of_all.play(ctx, work) for work in works])

    async def consumer(ctx):
        left.extend(await get(ctx, dut.o, count))
        await expect_silence(ctx, dut.o)

    simulate(dut, clusters, consumer)
    wanted = []
    room = build.output_packets
    for work, cycles in zip(works, seen, strict=True):
        columns = [iter(team) for team in work.teams]
        turns, room = replay(work, cycles, room)
        for team in turns:
            wanted += work.chunks(team, next(columns[team]))
    assert left == wanted
    return seen


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("delay", [0, 5, 40])
@pytest.mark.parametrize(("groups", "teams"), [(1, 4), (2, 2), (3, 1), (1, 3)])
def test_columns_leave_whole_and_in_turn(groups, teams, delay, stall):
    build = BUILDS["four"]
    check(build, [make(build, groups=groups, teams=teams, delay=delay, columns=6)], stall)


@pytest.mark.parametrize(("groups", "teams", "shares"), [(1, 4, 1), (1, 4, 2), (2, 2, 1)])
def test_teams_of_different_channels_say_which(groups, teams, shares):
    """Of the last team's channels, one does not exist."""
    build = BUILDS["four"]
    slices = teams // shares
    work = make(
        build,
        groups=groups,
        teams=teams,
        shares=shares,
        out_channels=slices * groups * build.lanes_per_cluster - 1,
    )
    check(build, [work])
    chunks = [chunk for team in range(teams) for chunk in work.chunks(team, work.teams[team][0])]
    assert {chunk["channel"] // (groups * build.lanes_per_cluster) for chunk in chunks} == {
        *range(slices)
    }


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("name", BUILDS)
def test_passes_follow_each_other(name, stall):
    build = BUILDS[name]
    works = [
        make(build, groups=build.clusters, teams=1, columns=2),
        make(build, groups=1, teams=build.clusters, columns=2, delay=3, seed=1),
        make(build, groups=1, teams=1, columns=2, out_channels=1, seed=2),
    ]
    check(build, works, stall)


@settings(max_examples=max(3, settings.default.max_examples // 8))
@given(data=st.data())
def test_passes_of_every_shape(data):
    build = BUILDS[data.draw(st.sampled_from(sorted(BUILDS)))]
    works = []
    for seed in range(data.draw(st.integers(1, 2))):
        groups = data.draw(st.integers(1, build.clusters))
        lanes = groups * build.lanes_per_cluster
        teams = data.draw(st.integers(1, build.clusters // groups))
        shares = data.draw(st.integers(1, teams))
        slices = ceil_div(teams, shares)
        works.append(
            make(
                build,
                groups=groups,
                teams=teams,
                shares=shares,
                columns=data.draw(st.integers(1, 4)),
                out_channels=data.draw(st.integers((slices - 1) * lanes + 1, slices * lanes)),
                delay=data.draw(st.integers(0, 2 * lanes)),
                seed=seed + 2 * data.draw(st.integers(0, 1000)),
            )
        )
    check(build, works, data.draw(st.sampled_from(PATTERNS)), data.draw(st.integers(0, 40)))


@pytest.mark.parametrize("name", BUILDS)
def test_no_cycle_is_lost_while_columns_stand_ready(name):
    """From the first column's turn on, a chunk leaves in every cycle."""
    build = BUILDS[name]
    teams = build.clusters
    work = make(build, groups=1, teams=teams, columns=4)
    (cycles,) = check(build, [work])
    leaves = [c for c, now in enumerate(cycles) if now.valid]
    count = sum(len(column.sums) * work.length for team in work.teams for column in team)
    if teams > 1:
        # Picked two cycles behind `arm`, one in which the columns first stand there.
        assert leaves == list(range(3, 3 + count))


@pytest.mark.parametrize("name", BUILDS)
def test_no_cycle_of_a_column_is_lost_while_the_writer_keeps_up(name):
    """All lanes in use, packets come back as late as they do behind the requantiser."""
    build = BUILDS[name]
    late = build.requant_latency + build.encoder_latency
    work = make(build, groups=build.clusters, teams=1, columns=2)
    (cycles,) = check(build, [work], late=late)
    leaves = "".join(" x"[now.valid] for now in cycles).split()
    assert [len(run) for run in leaves] == [len(c.sums) * work.length for c in work.teams[0]]


@pytest.mark.parametrize("name", ["tiny", "up5k", "one_cluster", "four"])
def test_no_more_packets_leave_than_find_room(name):
    """While none comes back, the drain waits in the midst of a column; then one by one."""
    build = BUILDS[name]
    most = build.output_packets
    work = make(build, groups=build.clusters, teams=1, columns=most + 2)
    dut = Drain(build)
    starts: list[int] = []

    class Patient(Writer):
        """Returns a packet every 60 cycles, from cycle 500 on."""

        def returns(self, now: int) -> bool:
            return now >= 500 and now % 60 == 0 and super().returns(now)

    async def clusters(ctx):
        cycles = await Clusters(dut, build, Patient("none", 0)).play(ctx, work)
        turns, room = replay(work, cycles, most)
        assert len(turns) == most + 2
        assert room < most  # the last packet is still on its way
        begins = True
        starts.clear()
        for cycle, now in enumerate(cycles):
            if now.valid:
                if begins:
                    starts.append(cycle)
                begins = bool(now.packet_end)

    async def consumer(ctx):
        ctx.set(dut.o.ready, 1)

    simulate(dut, consumer, clusters)
    assert len(starts) > most
    assert starts[most - 1] < 500
    assert [cycle % 60 for cycle in starts[most:]] == [2] * (len(starts) - most)
    assert starts[most] >= 500


def test_nobody_waits_for_more_than_one_turn_of_each_other_team():
    build = BUILDS["four"]
    work = make(build, groups=1, teams=4, columns=12)
    (cycles,) = check(build, [work])
    turns, _ = replay(work, cycles, build.output_packets)
    assert turns == [1, 2, 3, 0] * 12  # the first turn goes to the team behind the first one


@pytest.mark.parametrize("late", range(4))
def test_arm_starts_the_turns_anew(late):
    """Whoever had the last turn: the first one of the next pass is the second team's."""
    build = BUILDS["four"]
    first, second = (make(build, groups=1, teams=4, columns=1, seed=n) for n in range(2))
    teams = [
        (replace(columns[0], delay=200 * (t == late)),) for t, columns in enumerate(first.teams)
    ]
    first = replace(first, teams=tuple(teams))
    before, after = check(build, [first, second])
    turns, room = replay(first, before, build.output_packets)
    assert turns[-1] == late
    assert replay(second, after, room)[0] == [1, 2, 3, 0]
