"""The drain between clusters and a writer that Python plays: values, turns, and every cycle."""

from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.cycles.output import RETURN_TO_PICK
from golden.cycles.passes import TOKEN_TO_STEP
from golden.descriptor import ClusterWork
from golden.params import (
    ANNOUNCED_TO_PICK,
    LANE_LATENCY,
    PICK_TO_CHUNK,
    PICK_TO_RELEASE,
    PICK_TO_SHADOW,
    Build,
    ceil_div,
    preset,
)
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
        # So slow that teams of one cluster each are back before it is their turn again.
        TINY.replace(name="crowded", clusters=4, act_bits=8, lanes_per_cluster=8, drain=1),
    )
}

ANNOUNCED_TO_SHADOW = ANNOUNCED_TO_PICK + PICK_TO_SHADOW
#: From the first cycle in which a walker may fill its shadow registers to its announcement.
FREE_TO_ANNOUNCED = TOKEN_TO_STEP + LANE_LATENCY - ANNOUNCED_TO_SHADOW
#: From a pick to what the drain says of it. The clusters register `row`, `shift` and `release`.
PICK_TO_PORTS = {
    "closing": 0,
    "row": PICK_TO_SHADOW - 1,
    "shift": PICK_TO_SHADOW - 1,
    "release": PICK_TO_RELEASE - 1,
    "channel": PICK_TO_CHUNK - 1,
    "valid": PICK_TO_CHUNK,
}


@dataclass(frozen=True)
class Column:
    """A finished column of a team: sums (rows, groups x lanes)."""

    sums: np.ndarray
    last: bool
    #: Cycles by which it is announced later than it could be.
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

    @property
    def count(self) -> int:
        """Chunks of all columns."""
        return sum(len(column.sums) for team in self.teams for column in team) * self.length

    def first_group(self, team: int) -> int:
        """Where the groups of a team begin."""
        return team // self.shares * self.groups

    def span(self, team: int) -> slice:
        """The clusters of a team."""
        return slice(team * self.groups, (team + 1) * self.groups)

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
    """Random columns that come up to `delay` cycles later than the walkers could make them.

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
    announced: int
    row: int
    shift: int
    release: int
    closing: int
    channel: int
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
        """Announce all columns of a pass; return what was seen until the last one had left."""
        dut, width = self._dut, self._build.drain
        lanes = self._build.lanes_per_cluster
        queues = [deque(columns) for columns in work.teams]
        heads: dict[int, tuple[int, Column]] = {}  # each team's column, and when it is announced
        shadow = np.zeros((self._build.clusters, 2, lanes), np.int64)
        sums = shadow[:, 0, :width].tolist()

        def follow(team: int, wait: int) -> None:
            heads.pop(team, None)
            if queues[team]:
                column = queues[team].popleft()
                heads[team] = self._now + wait + column.delay, column

        ctx.set(dut.config, {"team_groups": work.groups, "out_channels": work.out_channels})
        ctx.set(dut.work, work.works)
        ctx.set(dut.arm, 1)
        cycles = [await self._tick(ctx)]
        ctx.set(dut.arm, 0)
        for team in range(len(queues)):
            follow(team, 0)
        left = 0
        while left < work.count:
            announced = rows2 = last = 0
            for team, (first, column) in heads.items():
                members = work.members(team)
                known = self._now >= first
                announced |= members * (self._now == first)
                # Before its announcement they are not the column's.
                rows2 |= members * (known == (len(column.sums) == 2))
                last |= members * (known == column.last)
                if self._now == first + ANNOUNCED_TO_SHADOW:
                    finished = column.sums.reshape(-1, work.groups, lanes).swapaxes(0, 1)
                    shadow[work.span(team), : finished.shape[1]] = finished
            ctx.set(dut.announced, announced)
            ctx.set(dut.rows2, rows2)
            ctx.set(dut.last, last)
            ctx.set(dut.sums, sums)
            late = cycles[-1]  # as the clusters' registers hold it
            sums = shadow[:, late.row, :width].tolist()
            for c in range(len(shadow)):
                if late.shift >> c & 1:
                    shadow[c, late.row] = np.roll(shadow[c, late.row], -width)
            cycles.append(await self._tick(ctx))
            left += cycles[-1].valid
            for team in [*heads]:
                if late.release & work.members(team):
                    shadow[work.span(team)] = 0
                    follow(team, FREE_TO_ANNOUNCED)
        return cycles

    async def _tick(self, ctx) -> State:
        dut = self._dut
        ctx.set(dut.returned, self._writer.returns(self._now))
        _, _, *values = await ctx.tick().sample(
            *(dut.arm, dut.returned, dut.announced, dut.row, dut.shift, dut.release, dut.closing),
            *(dut.channel, dut.o.valid, dut.o.payload.packet_end),
        )
        state = State(*map(plain, values))
        self._writer.see(self._now, state)
        self._now += 1
        return state


def replay(work: Pass, cycles: list[State], room: int) -> tuple[list[int], int]:
    """Check every cycle against the rules, given what was announced and what was returned.

    A column that is on its way is the list of its chunks: row, cluster, channel, whether a packet
    opens.
    There is room for so many packets more, to begin with. Returns the teams in turn, and the room
    that is left.
    """
    n, chunks = work.build.clusters, work.build.lanes_per_cluster // work.build.drain
    taken = [0] * len(work.teams)
    turns: list[int] = []
    way: deque[tuple[int, int, int, bool]] = deque()
    waiting: set[int] = set()  # teams whose column is known and not yet on its way
    announced = deque([0] * (ANNOUNCED_TO_PICK - 1))
    ports = {port: deque([0] * late) for port, late in PICK_TO_PORTS.items()}
    lead = 0
    for now in cycles:
        opens = bool(way) and way[0][3]
        pick = bool(way) and (room > 0 or not opens)
        ends = pick and len(way) == 1
        says: dict[str, int | None] = {
            "closing": 0,
            "row": way[0][0] if way else None,
            "shift": 1 << way[0][1] if pick and not ends else 0,
            "release": work.members(turns[-1]) if ends else 0,
            "channel": way[0][2] if pick else None,
            "valid": pick,
        }
        if pick:
            row, *_ = way.popleft()
            column = work.teams[turns[-1]][taken[turns[-1]] - 1]
            row_ends = not way or way[0][0] != row
            says["closing"] = row_ends and column.last
        for port, line in ports.items():
            line.append(says[port])
            wanted = line.popleft()
            assert wanted is None or getattr(now, port) == wanted, port

        announced.append(now.announced)
        known = announced.popleft()
        waiting |= {team for team in range(len(work.teams)) if known & work.members(team)}
        if not way and waiting:
            lead = min((team * work.groups for team in waiting), key=lambda c: (c - lead - 1) % n)
            team = lead // work.groups
            waiting.remove(team)
            turns.append(team)
            rows = len(work.teams[team][taken[team]].sums)
            taken[team] += 1
            sources = [*product(range(rows), range(work.groups), range(chunks))]
            assert len(sources) == rows * work.length
            base = work.first_group(team) * work.build.lanes_per_cluster
            channels = [n % work.length * work.build.drain for n in range(len(sources))]
            way += [
                (row, lead + group, base + channel, channel % 16 == 0)
                for (row, group, _), channel in zip(sources, channels, strict=True)
            ]
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

    async def clusters(ctx):
        of_all = Clusters(dut, build, writer)
        seen.extend([await of_all.play(ctx, work) for work in works])

    async def consumer(ctx):
        left.extend(await get(ctx, dut.o, sum(work.count for work in works)))
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
    (cycles,) = check(build, [work])
    channels = {now.channel for now, then in pairwise(cycles) if then.valid}
    assert {channel // (groups * build.lanes_per_cluster) for channel in channels} == {
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
    """A chunk is picked in every cycle in which one could be."""
    build = BUILDS[name]
    teams = build.clusters
    work = make(build, groups=1, teams=teams, columns=4)
    (cycles,) = check(build, [work])
    columns = [iter(team) for team in work.teams]
    announced = [
        iter([cycle for cycle, now in enumerate(cycles) if now.announced & work.members(team)])
        for team in range(teams)
    ]
    picks: list[int] = []
    free = 0
    for team in replay(work, cycles, build.output_packets)[0]:
        first = max(free, next(announced[team]) + ANNOUNCED_TO_PICK)
        free = first + len(next(columns[team]).sums) * work.length
        picks += range(first, free)
    assert [cycle - PICK_TO_CHUNK for cycle, now in enumerate(cycles) if now.valid] == picks
    if name == "crowded":
        assert picks == [*range(picks[0], free)]


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
    late = RETURN_TO_PICK + PICK_TO_CHUNK
    assert [cycle % 60 for cycle in starts[most:]] == [late] * (len(starts) - most)
    assert starts[most] >= 500


def test_nobody_waits_for_more_than_one_turn_of_each_other_team():
    build = BUILDS["crowded"]
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
