"""Accounting: what each cluster spends each cycle of a pass on (`hdl.counters`)."""

from dataclasses import dataclass, fields

from golden.cycles.passes import PassRun, Team
from golden.descriptor import PassDescriptor
from golden.params import Build

Span = tuple[int, int]


@dataclass(kw_only=True)
class Counts:
    """The core's counters, see `hdl.counters`: cycles, operations, and cluster-cycles by cause."""

    cycles: int = 0
    compute: int = 0
    useful: int = 0
    busy: int = 0
    decode: int = 0
    weights: int = 0
    drain: int = 0
    imbalance: int = 0
    bus: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


@dataclass(frozen=True)
class Starved:
    """Spans in which every team waits or is done, and those of them in which one is hungry."""

    all: list[Span]
    hungry: list[Span]


def account(build: Build, d: PassDescriptor, run: PassRun, since: int) -> Counts:
    """Add up a pass from cycle `since` to its last."""
    n = build.clusters
    end, all_done = run.finish + 1, max(team.done for team in run.teams)
    starved = find_starved(run.teams, all_done)
    lost, hungry = _length(starved.all), _length(starved.hungry)
    counts = Counts(
        cycles=end - since,
        compute=end - run.from_cycle - lost,
        weights=(run.from_cycle - since + hungry) * n,
        drain=(end - all_done) * n,
        bus=(lost - hungry) * n,
    )
    span = all_done - run.from_cycle
    counts.imbalance += (n - len(run.teams) * d.team_groups) * (span - lost)
    for team in run.teams:
        done = max(team.done, team.last_step + 1)  # it may still be retiring when it is done
        stuck = team.drain - max(0, team.last_step + 1 - all_done)
        waits = _length(team.waits) - _overlap(team.waits, starved.all)
        hungers = _length(team.hungers) - _overlap(team.hungers, starved.all)
        idle = max(0, all_done - done)
        # Every other cycle of the span is one of looking for the next pixel.
        decode = span - team.busy - stuck - idle - _length(team.waits)
        counts.useful += team.operations * team.lanes
        counts.busy += team.busy * d.team_groups
        counts.drain += stuck * d.team_groups
        counts.weights += hungers * d.team_groups
        counts.bus += (waits - hungers) * d.team_groups
        counts.imbalance += (idle - _overlap([(done, all_done)], starved.all)) * d.team_groups
        counts.decode += decode * d.team_groups
    return counts


def find_starved(teams: list[Team], all_done: int) -> Starved:
    """Find the spans in which no team works and one at least waits."""
    marks: list[tuple[int, int, int, int]] = []  # cycle; change of quiet, waiting, hungry teams
    for team in teams:
        marks += [m for a, b in team.waits if b > a for m in ((a, 1, 1, 0), (b, -1, -1, 0))]
        marks += [m for a, b in team.hungers if b > a for m in ((a, 0, 0, 1), (b, 0, 0, -1))]
        done = max(team.done, team.last_step + 1)
        if done < all_done:
            marks += [(done, 1, 0, 0), (all_done, -1, 0, 0)]
    marks.sort()
    starved = Starved([], [])
    quiet = waiting = hungry = since = 0
    for cycle, more_quiet, more_waiting, more_hungry in marks:
        if quiet == len(teams) and waiting and cycle > since:
            starved.all.append((since, cycle))
            if hungry:
                starved.hungry.append((since, cycle))
        quiet += more_quiet
        waiting += more_waiting
        hungry += more_hungry
        since = cycle
    return starved


def _length(spans: list[Span]) -> int:
    return sum(max(0, b - a) for a, b in spans)


def _overlap(spans: list[Span], others: list[Span]) -> int:
    """Cycles of `spans` that lie in `others`; both in order, without overlaps of their own."""
    total, i = 0, 0
    for a, b in spans:
        while i < len(others) and others[i][1] <= a:
            i += 1
        j = i
        while j < len(others) and others[j][0] < b:
            total += max(0, min(b, others[j][1]) - max(a, others[j][0]))
            j += 1
    return total
