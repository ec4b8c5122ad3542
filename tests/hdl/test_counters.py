"""The counters against their rules, read aloud in Python, one cluster and one cycle at a time."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import preset
from hdl.counters import COUNTER_BITS, COUNTER_LAYOUT, COUNTERS, Counters
from tests.hdl.harness import plain, simulate

BUILDS = {
    n: preset("tiny").replace(name=f"{n}", clusters=n, lanes_per_cluster=16, drain=2)
    for n in (1, 2, 4, 8)
}

#: A cluster's signals.
SIGNALS = ("visiting", "retiring", "blocked", "waiting", "hungry", "done")

#: Cycles until the counters show a layer that has ended.
LATENCY = 3


@dataclass(frozen=True)
class Cycle:
    """One cycle at the ports; `clusters` has the names of each cluster's high signals."""

    clusters: tuple[frozenset[str], ...]
    run: bool = True
    opening: bool = False
    running: bool = True
    ending: bool = False


def causes(now: Cycle) -> list[str]:
    """What each cluster spends the cycle on."""
    alone = [cause_alone(now, signals) for signals in now.clusters]
    # Where nobody does anything but wait, all wait for the weights that one of them needs, or else
    # for rows; those that are done wait with them.
    if now.run and set(alone) <= {"weights", "bus", "imbalance"}:
        for cause in ("weights", "bus"):
            if cause in alone:
                return [cause] * len(alone)
    return alone


def cause_alone(now: Cycle, signals: frozenset[str]) -> str:
    rules = {
        "weights_of_all": not now.run,
        "drain_of_all": all("done" in each for each in now.clusters),
        "busy": "visiting" in signals,
        "drain": signals & {"retiring", "blocked"},
        "weights": {"waiting", "hungry"} <= signals,
        "bus": "waiting" in signals,
        "imbalance": "done" in signals,
        "decode": True,
    }
    return next(name for name, holds in rules.items() if holds).removesuffix("_of_all")


def expected(cycles: list[Cycle], lanes: list[int]) -> list[dict[str, int]]:
    """The counters as they must stand behind each cycle."""
    counts = dict.fromkeys(COUNTERS, 0)
    ended = dict(counts)
    shown = []
    for now in cycles:
        if now.opening or now.running:
            found = causes(now)
            counts["cycles"] += 1
            counts["compute"] += not set(found) <= {"weights", "bus"}
            visits = zip(now.clusters, lanes, strict=True)
            counts["useful"] += sum(n for signals, n in visits if "visiting" in signals)
            for cause in found:
                counts[cause] += 1
        if now.ending:
            ended, counts = counts, dict.fromkeys(COUNTERS, 0)
        shown.append(ended)
    return shown


def observe(n: int, cycles: list[Cycle], lanes: list[int]) -> list[dict[str, int]]:
    """The counters `LATENCY` cycles behind each cycle."""
    dut = Counters(BUILDS[n])
    shown = []

    async def testbench(ctx):
        ctx.set(dut.users, lanes)
        for now in [*cycles, *[Cycle((frozenset(),) * n, running=False)] * LATENCY]:
            for name in ("run", "opening", "running", "ending"):
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
    assert last["cycles"] > 0
    assert sum(last[name] for name in COUNTERS[3:]) == n * last["cycles"]
    return last


def layers(rng: np.random.Generator, n: int, lengths: list[int], busy: float) -> list[Cycle]:
    """Layers that open while the one before runs, or later. No cluster waits that is done."""
    cycles: list[Cycle] = []
    opened = False  # by the layer before
    for number, length in enumerate(lengths):
        made = random_cycles(rng, n, length, busy)
        if not opened:
            made[0] = replace(made[0], opening=True, running=False)
        made[-1] = replace(made[-1], ending=True)
        opened = number + 1 < len(lengths) and bool(rng.random() < 0.6)
        if opened:
            early = int(rng.integers(1, length))
            made[early] = replace(made[early], opening=True)
        gap = 0 if opened else int(rng.integers(4))
        silent = replace(made[-1], run=False, running=False, ending=False, opening=False)
        cycles += made + [silent] * gap
    return cycles


def random_cycles(rng: np.random.Generator, n: int, length: int, busy: float) -> list[Cycle]:
    """Cycles in the midst of a layer."""
    cycles = []
    for _ in range(length):
        chance = busy if rng.random() < 0.5 else 0.05
        clusters = []
        for _ in range(n):
            signals = {name for name in SIGNALS[:3] if rng.random() < chance}
            idle = rng.choice(["waiting", "done", ""], p=[0.45, 0.45, 0.1])
            if idle == "waiting" and rng.random() < 0.3:
                signals.add("hungry")
            clusters.append(frozenset(signals | {idle} - {""}))
        cycles.append(Cycle(tuple(clusters), run=bool(rng.random() < 0.8)))
    return cycles


@pytest.mark.parametrize("n", BUILDS)
@settings(max_examples=max(3, settings.default.max_examples // 20))
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    busy=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_every_cycle_of_any_layers(n, seed, lengths, busy):
    rng = np.random.default_rng(seed)
    check(n, layers(rng, n, lengths, busy), rng.integers(0, 17, n).tolist())


def one_layer(*cycles: Cycle) -> list[Cycle]:
    """A layer by itself."""
    first = replace(cycles[0], opening=True, running=False)
    found = [first, *cycles[1:]]
    found[-1] = replace(found[-1], ending=True)
    return found


#: What one of two clusters may be at, and the cause of its cycle while the other one visits.
ALONE = {
    (): "decode",
    ("visiting",): "busy",
    ("retiring",): "drain",
    ("blocked",): "drain",
    ("waiting",): "bus",
    ("waiting", "hungry"): "weights",
    ("done",): "imbalance",
    ("visiting", "blocked"): "busy",  # a token is due behind the pixel at hand
    ("visiting", "done"): "busy",
    ("retiring", "waiting"): "drain",
    ("retiring", "waiting", "hungry"): "drain",
    ("retiring", "done"): "drain",
}


@pytest.mark.parametrize(("signals", "cause"), ALONE.items(), ids=str)
def test_a_cluster_beside_one_that_visits(signals, cause):
    now = Cycle((frozenset(["visiting"]), frozenset(signals)))
    last = check(2, one_layer(now, now, now), [3, 5])
    wanted = dict.fromkeys(COUNTERS, 0) | {"cycles": 3, "compute": 3, "busy": 3}
    wanted[cause] += 3
    wanted["useful"] = 9 + 15 * ("visiting" in signals)
    assert last == wanted


#: Pairs of what both clusters are at; the causes; and whether the cycle counts as computing.
PAIRS = [
    (("waiting", "waiting"), ("bus", "bus"), 0),
    (("hungry", "hungry"), ("weights", "weights"), 0),
    (("hungry", "waiting"), ("weights", "weights"), 0),
    (("done", "hungry"), ("weights", "weights"), 0),
    (("hungry", "blocked"), ("weights", "drain"), 1),
    (("hungry", ""), ("weights", "decode"), 1),
    (("waiting", "done"), ("bus", "bus"), 0),
    (("done", "waiting"), ("bus", "bus"), 0),
    (("done", "done"), ("drain", "drain"), 1),
    (("waiting", "retiring"), ("bus", "drain"), 1),
    (("waiting", "blocked"), ("bus", "drain"), 1),
    (("done", "blocked"), ("imbalance", "drain"), 1),
    (("done", ""), ("imbalance", "decode"), 1),
    (("waiting", ""), ("bus", "decode"), 1),
]


def signals_of(name: str) -> frozenset[str]:
    """Who is hungry waits, too."""
    return frozenset({name, "waiting"} if name == "hungry" else {name}) - {""}


@pytest.mark.parametrize(("pair", "found", "computes"), PAIRS, ids=str)
def test_two_clusters_that_do_not_visit(pair, found, computes):
    clusters = tuple(signals_of(signal) for signal in pair)
    last = check(2, one_layer(Cycle(clusters), Cycle(clusters)), [4, 4])
    wanted = dict.fromkeys(COUNTERS, 0) | {"cycles": 2, "compute": 2 * computes}
    for cause in found:
        wanted[cause] += 2
    assert last == wanted


def test_weights_outweigh_everything_while_the_pass_does_not_run():
    for signal in (*SIGNALS[1:], ""):
        now = Cycle((signals_of(signal),) * 2, run=False)
        last = check(2, one_layer(now, now), [4, 4])
        assert last == dict.fromkeys(COUNTERS, 0) | {"cycles": 2, "weights": 4}


def test_nothing_counts_outside_a_layer():
    busy = (frozenset(["visiting"]),) * 2
    inside = one_layer(Cycle(busy), Cycle(busy))
    outside = [Cycle(busy, running=False)] * 20
    before = check(2, inside, [1, 2])
    assert check(2, [*outside, *inside, *outside], [1, 2]) == before


@pytest.mark.parametrize("gap", range(4))
def test_a_layer_keeps_its_counters_until_the_next_one_has_ended(gap):
    """Also where the next one opens in the cycle after the last: `check` looks at every cycle."""
    busy = (frozenset(["visiting"]),) * 2
    one = one_layer(*[Cycle(busy)] * 6)
    between = [Cycle(busy, running=False)] * gap
    assert check(2, [*one, *between, *one[:5]], [1, 1])["cycles"] == 6
    assert check(2, [*one, *between, *one_layer(*one[:3])], [1, 1])["cycles"] == 3


@pytest.mark.parametrize("opens", range(1, 6))
def test_a_layer_that_opens_early_counts_from_the_cycle_after_the_last_of_the_one_before(opens):
    """In the very last cycle, too."""
    visit, wait = (Cycle((frozenset([name]),) * 2) for name in ("visiting", "waiting"))
    one = one_layer(*[visit] * 6)
    one[opens] = replace(one[opens], opening=True)
    last = check(2, [*one, wait, replace(wait, ending=True)], [1, 1])
    assert last == dict.fromkeys(COUNTERS, 0) | {"cycles": 2, "bus": 4}


def test_every_counter_has_its_place_and_the_same_width():
    assert tuple(name for name, _ in COUNTER_LAYOUT) == COUNTERS
    assert {field.width for _, field in COUNTER_LAYOUT} == {COUNTER_BITS}
