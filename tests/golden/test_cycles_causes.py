"""Accounting against a count of every cluster in every cycle."""

from collections import Counter
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.cycles.causes import Counts, account, find_starved
from golden.cycles.passes import PassRun, Team
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build
from tests.layers import BUILDS, Case

EIGHT = BUILDS[-1]
CAUSES = ("busy", "decode", "weights", "drain", "imbalance", "bus")


def descriptor(groups: int) -> PassDescriptor:
    (d,) = Case(build=EIGHT, channels=2, kernel=(1, 1), shape=(1, 1, 1)).plan.descriptors
    return replace(d, team_groups=groups)


def team(d: PassDescriptor, cycles: str, start: int, *, done: int = 0, lanes: int = 2) -> Team:
    """A team by what it does in each cycle from `start` on.

    h: waits for weights; w: for rows; b: visits; d: retires or is held up; x: decodes.
    It is done so many cycles before it has retired.
    """
    made = Team(0, ClusterWork(active=True, end_col=1), lanes, d)
    previous = ""
    for cycle, what in enumerate(cycles, start):
        if what in "hw":
            # A wait begins with the weights, if it is for them.
            if previous not in ("h", "w") or (previous == "w" and what == "h"):
                made.waits.append((cycle, cycle))
                made.hungers.append((cycle, cycle))
            made.waits[-1] = (made.waits[-1][0], cycle + 1)
            if what == "h":
                made.hungers[-1] = (made.hungers[-1][0], cycle + 1)
        previous = what
    made.busy = made.operations = cycles.count("b")
    made.drain = cycles.count("d")
    made.last_step = start + len(cycles) - 1
    made.done = made.last_step + 1 - done
    return made


def count(build: Build, d: PassDescriptor, lives: list[str], start: int, end: int) -> Counts:
    """Count cluster by cluster and cycle by cycle, the pass done when its last team is."""
    counts: Counter[str] = Counter()
    idle = build.clusters - len(lives) * d.team_groups
    all_done = start + max(map(len, lives))
    for cycle in range(end):
        counts["cycles"] += 1
        if cycle < start:
            counts["weights"] += build.clusters
            continue
        now = [life[cycle - start] if cycle - start < len(life) else "z" for life in lives]
        if cycle >= all_done:
            counts["compute"] += 1
            counts["drain"] += build.clusters
            continue
        if set(now) <= set("hwz") and set(now) != {"z"}:
            counts["weights" if "h" in now else "bus"] += build.clusters
            continue
        counts["compute"] += 1
        counts["imbalance"] += idle
        names = {"h": "weights", "w": "bus", "b": "busy", "d": "drain", "z": "imbalance"}
        for what in now:
            counts[names.get(what, "decode")] += d.team_groups
    return Counts(**counts)


# Each wait begins with hunger, if at all.
LIVES = st.lists(st.from_regex(r"\A(h{0,3}w{0,3}[bdx]{1,4}){1,4}d\Z"), min_size=1, max_size=4)


@given(lives=LIVES, groups=st.integers(1, 2), start=st.integers(0, 9), tail=st.integers(0, 9))
def test_equals_a_count_of_every_cycle(lives, groups, start, tail):
    d = descriptor(groups)
    teams = [team(d, life, start) for life in lives]
    end = start + max(map(len, lives)) + tail
    run = cast(PassRun, SimpleNamespace(teams=teams, finish=end - 1, from_cycle=start))
    found = account(EIGHT, d, run, 0)
    expected = count(EIGHT, d, lives, start, end)
    expected.useful = sum(life.count("b") for life in lives) * 2
    assert found == expected
    assert sum(getattr(found, cause) for cause in CAUSES) == end * EIGHT.clusters


@given(lives=LIVES, since=st.integers(0, 9))
def test_what_lies_before_the_layer_is_not_counted(lives, since):
    d = descriptor(1)
    teams = [team(d, life, 9) for life in lives]
    end = 9 + max(map(len, lives))
    run = cast(PassRun, SimpleNamespace(teams=teams, finish=end - 1, from_cycle=9))
    whole, part = account(EIGHT, d, run, 0), account(EIGHT, d, run, since)
    assert whole.cycles - part.cycles == since
    assert whole.weights - part.weights == since * EIGHT.clusters
    assert others(whole) == others(part)


def others(counts: Counts) -> dict[str, int]:
    """All counters but those of what comes before the pass runs."""
    return {k: v for k, v in asdict(counts).items() if k not in ("cycles", "weights")}


def test_a_team_that_still_retires_when_all_are_done_drains_once():
    """Two steps of the last token in the cycles in which the pass already counts as drained."""
    d = descriptor(8)
    made = team(d, "bbdd", 0, done=2)
    run = cast(PassRun, SimpleNamespace(teams=[made], finish=9, from_cycle=0))
    found = account(EIGHT, d, run, 0)
    assert (found.busy, found.drain, found.decode) == (2 * 8, 8 * 8, 0)
    assert found.compute == found.cycles == 10


@pytest.mark.parametrize(
    ("lives", "starved", "hungry"),
    [
        (["bb"], [], []),
        (["wwb"], [(5, 7)], []),
        (["hwb"], [(5, 7)], [(5, 6)]),
        # Only while no one works.
        (["wwb", "bwb"], [(6, 7)], []),
        (["bbb", "wwb"], [], []),
        # Who is done waits with the others, but not by itself.
        (["b", "bwwb"], [(6, 8)], []),
        (["b", "bbb"], [], []),
        # Weights, if one wants them.
        (["hhb", "wwb"], [(5, 7)], [(5, 7)]),
        (["whb"], [(5, 7)], [(6, 7)]),
    ],
)
def test_when_every_team_waits(lives, starved, hungry):
    d = descriptor(1)
    found = find_starved([team(d, life, 5) for life in lives], 5 + max(map(len, lives)))

    def cycles(spans: list[tuple[int, int]]) -> list[int]:
        return [cycle for span in spans for cycle in range(*span)]

    assert cycles(found.all) == cycles(starved)
    assert cycles(found.hungry) == cycles(hungry)


def test_counts_add_up_field_by_field():
    rng = np.random.default_rng(0)
    a, b = (Counts(**{n: int(rng.integers(99)) for n in asdict(Counts())}) for _ in range(2))
    assert asdict(a + b) == {n: getattr(a, n) + getattr(b, n) for n in asdict(a)}
    assert a + Counts() == a
