"""The counters against their rules, read aloud in Python, one cluster and one cycle at a time."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.descriptor import ClusterWork
from golden.params import preset
from hdl.counters import COUNTER_BITS, COUNTER_LAYOUT, COUNTERS, Counters
from tests.hdl.harness import plain, simulate
from tests.layers import cluster_config

BUILDS = {
    n: preset("tiny").replace(name=f"{n}", clusters=n, lanes_per_cluster=16, drain=2)
    for n in (1, 2, 4, 8)
}

#: A cluster's signals.
SIGNALS = ("visiting", "retiring", "blocked", "waiting", "done")

#: Cycles until the counters show a cycle.
LATENCY = 2


@dataclass(frozen=True)
class Cycle:
    """One cycle at the ports; `clusters` has the names of each cluster's high signals."""

    clusters: tuple[frozenset[str], ...]
    run: bool = True
    opening: bool = False
    running: bool = True


def causes(now: Cycle) -> list[str]:
    """What each cluster spends the cycle on."""
    alone = [cause_alone(now, signals) for signals in now.clusters]
    # Where nobody does anything but wait for rows, those that are done wait for them too.
    if "bus" in alone and set(alone) <= {"bus", "imbalance"}:
        return ["bus"] * len(alone)
    return alone


def cause_alone(now: Cycle, signals: frozenset[str]) -> str:
    rules = {
        "weights": not now.run,
        "drain_of_all": all("done" in each for each in now.clusters),
        "busy": "visiting" in signals,
        "drain": signals & {"retiring", "blocked"},
        "bus": "waiting" in signals,
        "imbalance": "done" in signals,
        "decode": True,
    }
    return next(name for name, holds in rules.items() if holds).removesuffix("_of_all")


def expected(cycles: list[Cycle], lanes: list[int]) -> list[dict[str, int]]:
    """The counters as they must stand behind each cycle."""
    counts = dict.fromkeys(COUNTERS, 0)
    shown = []
    for now in cycles:
        if now.opening:
            counts = dict.fromkeys(COUNTERS, 0)
        if now.opening or now.running:
            found = causes(now)
            counts["cycles"] += 1
            counts["compute"] += not set(found) <= {"weights", "bus"}
            visits = zip(now.clusters, lanes, strict=True)
            counts["useful"] += sum(n for signals, n in visits if "visiting" in signals)
            for cause in found:
                counts[cause] += 1
        shown.append(dict(counts))
    return shown


def observe(n: int, cycles: list[Cycle], lanes: list[int]) -> list[dict[str, int]]:
    """The counters `LATENCY` cycles behind each cycle."""
    dut = Counters(BUILDS[n])
    shown = []

    async def testbench(ctx):
        works = [cluster_config(ClusterWork(active=True, lanes=k)) for k in lanes]
        ctx.set(dut.work, works)
        for now in [*cycles, *[Cycle((frozenset(),) * n, running=False)] * LATENCY]:
            for name in ("run", "opening", "running"):
                ctx.set(getattr(dut, name), getattr(now, name))
            for name in SIGNALS:
                bits = sum((name in signals) << c for c, signals in enumerate(now.clusters))
                ctx.set(getattr(dut, name), bits)
            _, _, counts = await ctx.tick().sample(dut.counts)
            shown.append(plain(counts))

    simulate(dut, testbench)
    return shown[LATENCY:]


def check(n: int, cycles: list[Cycle], lanes: list[int]) -> dict[str, int]:
    """Compare after every cycle; return the counters at the end."""
    shown = observe(n, cycles, lanes)
    assert shown == expected(cycles, lanes)
    last = shown[-1]
    assert sum(last[name] for name in COUNTERS[3:]) == n * last["cycles"]
    return last


def layer(rng: np.random.Generator, n: int, length: int, busy: float) -> list[Cycle]:
    """One layer of random cycles, and some behind it. No cluster waits that is done."""
    cycles = []
    for cycle in range(length):
        chance = busy if rng.random() < 0.5 else 0.05
        clusters = []
        for _ in range(n):
            signals = {name for name in SIGNALS[:3] if rng.random() < chance}
            idle = rng.choice(["waiting", "done", ""], p=[0.45, 0.45, 0.1])
            clusters.append(frozenset(signals | {idle} - {""}))
        run = bool(rng.random() < 0.8)
        cycles.append(Cycle(tuple(clusters), run, cycle == 0, cycle > 0))
    gap = int(rng.integers(4))
    return cycles + [Cycle(cycles[-1].clusters, False, running=False)] * gap


@pytest.mark.parametrize("n", BUILDS)
@settings(max_examples=max(3, settings.default.max_examples // 20))
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    busy=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_every_cycle_of_any_layers(n, seed, lengths, busy):
    rng = np.random.default_rng(seed)
    cycles = [now for length in lengths for now in layer(rng, n, length, busy)]
    check(n, cycles, rng.integers(0, 17, n).tolist())


#: What one of two clusters may be at, and the cause of its cycle while the other one visits.
ALONE = {
    (): "decode",
    ("visiting",): "busy",
    ("retiring",): "drain",
    ("blocked",): "drain",
    ("waiting",): "bus",
    ("done",): "imbalance",
    ("visiting", "blocked"): "busy",  # a token is due behind the pixel at hand
    ("visiting", "done"): "busy",
    ("retiring", "waiting"): "drain",
    ("retiring", "done"): "drain",
}


@pytest.mark.parametrize(("signals", "cause"), ALONE.items(), ids=str)
def test_a_cluster_beside_one_that_visits(signals, cause):
    now = Cycle((frozenset(["visiting"]), frozenset(signals)))
    last = check(2, [Cycle(now.clusters, opening=True), now, now], [3, 5])
    wanted = dict.fromkeys(COUNTERS, 0) | {"cycles": 3, "compute": 3, "busy": 3}
    wanted[cause] += 3
    wanted["useful"] = 9 + 15 * ("visiting" in signals)
    assert last == wanted


#: Pairs of what both clusters are at; the causes; and whether the cycle counts as computing.
PAIRS = [
    (("waiting", "waiting"), ("bus", "bus"), 0),
    (("waiting", "done"), ("bus", "bus"), 0),
    (("done", "waiting"), ("bus", "bus"), 0),
    (("done", "done"), ("drain", "drain"), 1),
    (("waiting", "retiring"), ("bus", "drain"), 1),
    (("waiting", "blocked"), ("bus", "drain"), 1),
    (("done", "blocked"), ("imbalance", "drain"), 1),
    (("done", ""), ("imbalance", "decode"), 1),
    (("waiting", ""), ("bus", "decode"), 1),
]


@pytest.mark.parametrize(("pair", "found", "computes"), PAIRS, ids=str)
def test_two_clusters_that_do_not_visit(pair, found, computes):
    clusters = tuple(frozenset([signal]) - {""} for signal in pair)
    last = check(2, [Cycle(clusters, opening=True), Cycle(clusters)], [4, 4])
    wanted = dict.fromkeys(COUNTERS, 0) | {"cycles": 2, "compute": 2 * computes}
    for cause in found:
        wanted[cause] += 2
    assert last == wanted


def test_weights_outweigh_everything_while_the_pass_does_not_run():
    for signal in (*SIGNALS[1:], ""):
        clusters = (frozenset([signal]) - {""},) * 2
        last = check(2, [Cycle(clusters, run=False, opening=True)], [4, 4])
        assert last == dict.fromkeys(COUNTERS, 0) | {"cycles": 1, "weights": 2}


def test_nothing_counts_outside_a_layer():
    busy = (frozenset(["visiting"]),) * 2
    inside = [Cycle(busy, opening=True, running=False), Cycle(busy)]
    outside = [Cycle(busy, running=False)] * 20
    before = check(2, inside, [1, 2])
    assert check(2, [*outside, *inside, *outside], [1, 2]) == before


@pytest.mark.parametrize("gap", range(4))
def test_a_layer_keeps_its_counters_until_the_next_one_has_counted(gap):
    """Also where the next one opens in the cycle after the last: `check` looks at every cycle."""
    busy = (frozenset(["visiting"]),) * 2
    one = [Cycle(busy, opening=True, running=False), *[Cycle(busy)] * 5]
    between = [Cycle(busy, running=False)] * gap
    last = check(2, [*one, *between, *one[:3]], [1, 1])
    assert last["cycles"] == 3


def test_every_counter_has_its_place_and_the_same_width():
    assert tuple(name for name, _ in COUNTER_LAYOUT) == COUNTERS
    assert {field.width for _, field in COUNTER_LAYOUT} == {COUNTER_BITS}
