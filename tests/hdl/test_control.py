"""The control loader, cycle by cycle, against the list of what each word must do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.descriptor import (
    CLUSTER_WORD,
    MAGIC,
    PASS_WORDS,
    SIGNED_FIELDS,
    ClusterWork,
    Fault,
    PassDescriptor,
)
from golden.params import Build, ceil_div, preset
from hdl.control import ControlLoader
from hdl.layouts import LOAD_BITS
from tests.hdl.harness import PATTERNS, activity, plain, put, simulate
from tests.layers import cluster_config, pass_config

TINY = preset("tiny")
BUILDS = {
    build.name: build
    for build in (
        TINY,
        preset("tiny8"),
        preset("up5k"),
        preset("nullhop"),
        TINY.replace(name="one_cluster", clusters=1, lanes_per_cluster=2),
        preset("tiny8").replace(name="four_beats", clusters=4, lanes_per_cluster=32),
    )
}
ALL_LOADS = (1 << LOAD_BITS) - 1

#: Cycles from `arm` to the clusters' counts of released loads standing at the loader.
RELEASED_LATE = 2


@dataclass
class Pass:
    """One pass's control stream: its words, and what those behind the descriptor write.

    Parameters and loads are lists of (index of the word, what it writes); of parameters, whether
    bias or scale, the channel, and the word.
    """

    build: Build
    descriptor: PassDescriptor
    seed: int = 0
    words: list[int] = field(default_factory=list)
    parameters: list[tuple[int, tuple[str, int, int]]] = field(default_factory=list)
    loads: list[list[tuple[int, dict[str, int]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        build, lanes, d = self.build, self.build.lanes_per_cluster, self.descriptor
        self.words = d.words()
        for channel in range(d.groups * lanes):
            for kind in ("bias", "scale"):
                word = int(rng.integers(0, 1 << 64, dtype=np.uint64))
                self.parameters.append((len(self.words), (kind, channel, word)))
                self.words.append(word)
        for number in range(d.loads):
            last = number % d.tiles == d.tiles - 1
            load = []
            for group in range(d.groups):
                for address in range(d.last_weights if last else d.tile_weights):
                    for beat in range(ceil_div(lanes, build.weights_per_beat)):
                        word = int(rng.integers(0, 1 << 64, dtype=np.uint64))
                        place = {"group": group, "address": address, "beat": beat, "data": word}
                        load.append((len(self.words), place))
                        self.words.append(word)
            self.loads.append(load)

    @property
    def config(self) -> dict[str, int]:
        return {"magic": MAGIC} | pass_config(self.descriptor)

    @property
    def works(self) -> list[dict[str, int]]:
        return [cluster_config(work) for work in self.descriptor.clusters]

    @property
    def targets(self) -> list[dict[str, int]]:
        return [
            {"active": int(work.active), "group": work.group} for work in self.descriptor.clusters
        ]


def random_fields(rng: np.random.Generator, fields: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """Any value that a field can say; both limits are likely."""
    values = {}
    for name, bits in fields:
        low = -(1 << bits - 1) if name in SIGNED_FIELDS else 0
        high = low + (1 << bits) - 1
        values[name] = int(rng.choice([low, high, rng.integers(low, high, endpoint=True)]))
    return values


def make(
    build: Build,
    *,
    groups: int = 1,
    weights: tuple[int, int] = (2, 1),
    tiles: int = 1,
    rounds: int = 1,
    alone: bool = False,
    seed: int = 0,
    **more: int,
) -> Pass:
    """A pass with so many weights in every tile but the last, and in that one."""
    rng = np.random.default_rng(seed)
    values = random_fields(rng, tuple(f for word in PASS_WORDS for f in word if f[0] != "magic"))
    clusters = tuple(ClusterWork(**random_fields(rng, CLUSTER_WORD)) for _ in range(build.clusters))
    values |= {
        "groups": groups,
        "tiles": tiles,
        "tile_weights": weights[0],
        "last_weights": weights[1],
        "loads": tiles * rounds,
        "alone": int(alone),
        **more,
    }
    return Pass(build, PassDescriptor(**values, clusters=clusters), seed)


class Watch:
    """What a loader did: one entry per cycle."""

    NAMES = (
        *("half", "arm", "run", "finish", "opening", "loaded", "bank", "fault"),
        *("bias_en", "scale_en", "parameter_bank", "parameter_channel", "parameter"),
    )
    LAYOUTS = ("config", "clusters", "targets")  # as numbers

    def __init__(self, dut: ControlLoader):
        self._dut = dut
        self.cycles: list[SimpleNamespace] = []

    async def record(self, ctx):
        dut = self._dut
        self.cycles.clear()
        ticks = ctx.tick().sample(
            *(dut.i.valid, dut.i.ready),
            *(getattr(dut, name) for name in self.NAMES),
            *(getattr(dut, name).as_value() for name in self.LAYOUTS),
            *(dut.released, dut.load),
        )
        async for _, _, valid, ready, *rest, released, load in ticks:
            named = dict(zip((*self.NAMES, *self.LAYOUTS), rest, strict=True))
            named |= {"taken": bool(valid and ready), "ready": ready, "load": plain(load)}
            named |= {"released": min(plain(released))}
            self.cycles.append(SimpleNamespace(**named))

    def when(self, name: str) -> list[int]:
        """Cycles in which a signal is high."""
        return [cycle for cycle, now in enumerate(self.cycles) if getattr(now, name)]


async def play_clusters(
    ctx: Any, dut: ControlLoader, passes: list[Pass], slow: Iterator[bool]
) -> None:
    """Free each load some time after it is there, then end the pass; as late as in the core."""
    clusters = cycle(range(len(dut.released)))
    for p in passes:
        while not ctx.get(dut.run):
            await ctx.tick()
        await ctx.tick().repeat(RELEASED_LATE - 1)  # `run` is one cycle behind `arm`
        freed = 0
        while freed < p.descriptor.loads:
            # The others may be ahead of the cluster that holds the loader back.
            late = next(clusters)
            others = [freed + (c != late and c % 3) for c in range(len(dut.released))]
            ctx.set(dut.released, others)
            await ctx.tick()
            freed += bool(ctx.get(dut.loaded) > freed and next(slow))
        ctx.set(dut.released, [ALL_LOADS] * len(dut.released))
        while not next(slow):
            await ctx.tick()
        ctx.set(dut.finish, 1)
        await ctx.tick()
        ctx.set(dut.finish, 0)


def run(passes: list[Pass], idle: str = "none", work: str = "none", *, seed: int = 0) -> Watch:
    """Send passes; each frees its loads and finishes as late as the pattern wants."""
    dut = ControlLoader(passes[0].build)
    watch = Watch(dut)

    async def producer(ctx):
        await put(ctx, dut.i, [word for p in passes for word in p.words], idle, seed=seed)

    async def clusters(ctx):
        await play_clusters(ctx, dut, passes, activity(work, seed + 1))
        await ctx.tick().repeat(5)

    simulate(dut, producer, clusters, monitors=[watch.record])
    return watch


class Wanted:
    """What must be seen, given when words were taken, loads released and passes finished."""

    #: What is known while a pass runs.
    OF_PASS = ("config", "clusters", "half", "bank")

    def __init__(self, passes: list[Pass], watch: Watch):
        self.watch = watch
        self.ready: list[int] = []
        self.running: list[int] = []
        self.arms: list[int] = []
        self.opens: list[int] = []
        self.writes: list[tuple[int, dict[str, int]]] = []
        self.parameters: list[tuple[int, int, str, int, int]] = []
        #: Of each cycle; None where anything may stand.
        self.values: dict[str, list[Any]] = {
            name: [None] * len(watch.cycles) for name in (*self.OF_PASS, "targets")
        }
        self.values["loaded"] = [0] * len(watch.cycles)
        #: Loads that began before their pass.
        self.early = 0
        self._half = 0
        self._free_from = 0  # the cycle from which a descriptor may come
        self._before: Pass | None = None
        self._ended = -1

        taken, finishes = watch.when("taken"), watch.when("finish")
        assert len(taken) == sum(len(p.words) for p in passes)
        at = 0
        for p, finish in zip(passes, finishes, strict=True):
            self._add(p, taken[at : at + len(p.words)])
            at += len(p.words)
            self.running += range(self.arms[-1] + 1, finish + 1)
            self._before, self._ended = p, finish
            for name in self.OF_PASS:
                self._stands(name, finish + 2, None)
        self.ready += range(self._free_from, len(watch.cycles))

    def _stands(self, name: str, first: int, value: Any) -> None:
        """Let a value stand from a cycle on."""
        values = self.values[name]
        values[first:] = [value] * (len(values) - first)

    def _add(self, p: Pass, times: list[int]) -> None:
        d, number = p.descriptor, len(self.arms)
        known = times[p.parameters[-1][0]] + 1
        armed = max(known, self._ended + 1) + 2
        self.ready += range(self._free_from, known)
        self.opens += [times[0]] * d.first
        self.arms.append(armed)
        self.parameters += [(times[word] + 1, number % 2, *write) for word, write in p.parameters]

        self._stands("loaded", known, ALL_LOADS)
        self._stands("loaded", armed, 0)
        self._stands("targets", times[len(PASS_WORDS)] + 1, None)
        self._stands("targets", times[len(d.words()) - 1] + 2, bits_of("targets", p))
        self._stands("config", armed - 1, bits_of("config", p))
        self._stands("clusters", armed - 1, bits_of("clusters", p))
        self._stands("half", armed - 1, 0 if d.alone else self._half)
        self._stands("bank", armed - 1, number % 2)

        seeks = known
        for n, load in enumerate(p.loads):
            found = seeks
            while not self._free(p, n, found, armed):
                found += 1
            first, last = times[load[0][0]], times[load[-1][0]]
            self.early += first < armed
            self.ready += range(found + 1, last + 1)
            half = 0 if d.alone else self._half
            base = half * p.build.half_words
            self.writes += [
                (times[word] + 1, place | {"address": base + place["address"]})
                for word, place in load
            ]
            self._stands("loaded", max(armed, last + 1), n + 1)
            self._half = 0 if d.alone else 1 - half
            seeks = last + 1
        self._free_from = max(seeks, armed)

    def _free(self, p: Pass, load: int, now: int, armed: int) -> bool:
        """Whether the half for a load of a pass is seen to be free."""
        released = self.watch.cycles[now].released
        if now >= armed:
            return load < 2 or released >= load - 1
        if now > self._ended or load or p.descriptor.alone:
            return False
        assert self._before
        before = self._before.descriptor
        return not before.alone and released >= before.loads - 1


def bits_of(name: str, p: Pass) -> int:
    """A member's value, as a number."""
    layout = ControlLoader(p.build).signature.members[name].shape
    return layout.const(getattr(p, "works" if name == "clusters" else name)).as_bits()


def check(passes: list[Pass], watch: Watch, *, dense: bool) -> Wanted:
    """Compare every cycle; `dense`: the stream had no gaps, so a word is taken when it may be."""
    cycles = watch.cycles
    wanted = Wanted(passes, watch)
    assert watch.when("ready") == wanted.ready
    if dense:
        taken = watch.when("taken")
        assert taken == [cycle for cycle in wanted.ready if cycle <= taken[-1]]
    assert watch.when("run") == wanted.running
    assert watch.when("arm") == wanted.arms
    assert watch.when("opening") == wanted.opens
    assert watch.when("fault") == []
    for name, values in wanted.values.items():
        seen = [getattr(now, name) for now in cycles]
        assert seen == [
            one if want is None else want for want, one in zip(values, seen, strict=True)
        ], name

    assert [(c, now.load) for c, now in enumerate(cycles) if now.load["weight_en"]] == [
        (c, {"weight_en": 1, **write}) for c, write in wanted.writes
    ]
    assert [
        (c, now.parameter_bank, kind, now.parameter_channel, now.parameter)
        for c, now in enumerate(cycles)
        for kind in ("bias", "scale")
        if getattr(now, f"{kind}_en")
    ] == wanted.parameters
    return wanted


def some_passes(build: Build) -> list[Pass]:
    """Weights in one half, in tiles that stay or come again, and across both halves."""
    kinds: list[dict[str, Any]] = [
        {"groups": build.clusters, "weights": (9, 3), "first": 1},
        {"weights": (4, 2), "tiles": 2},
        {"weights": (3, 1), "tiles": 3, "rounds": 2},
        {"weights": (9, 5), "alone": True},
        {"weights": (9, 4), "alone": True, "first": 1},
        {"weights": (3, 2), "tiles": 2, "rounds": 2},
        {"weights": (1, 1)},
        {"weights": (1, 1)},
    ]
    return [make(build, seed=n, **({"first": 0} | kind)) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize("work", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
def test_every_word_does_what_it_must(idle, work):
    passes = some_passes(TINY)
    check(passes, run(passes, idle, work, seed=3), dense=idle == "none")


@pytest.mark.parametrize("idle", ["none", "random"])
@pytest.mark.parametrize("name", BUILDS)
def test_every_build(name, idle):
    passes = some_passes(BUILDS[name])[:4]
    check(passes, run(passes, idle, "long"), dense=idle == "none")


@settings(max_examples=max(3, settings.default.max_examples // 8))
@given(data=st.data())
def test_passes_of_every_size(data):
    build = BUILDS[data.draw(st.sampled_from(sorted(BUILDS)))]
    passes = []
    for _ in range(data.draw(st.integers(1, 4))):
        alone = data.draw(st.booleans())
        passes.append(
            make(
                build,
                groups=data.draw(st.integers(1, min(2, build.clusters))),
                weights=data.draw(st.tuples(*[st.integers(1, 6)] * 2)),
                tiles=1 if alone else data.draw(st.integers(1, 3)),
                rounds=1 if alone else data.draw(st.integers(1, 3)),
                alone=alone,
                seed=data.draw(st.integers(0, 1000)),
            )
        )
    idle, work = (data.draw(st.sampled_from(PATTERNS)) for _ in range(2))
    check(passes, run(passes, idle, work), dense=idle == "none")


def slow_passes(passes: list[Pass]) -> Wanted:
    """Passes that take so long that all that may come early does."""
    return check(passes, run(passes, "none", "rare"), dense=True)


@pytest.mark.parametrize("tiles", [1, 2, 3])
def test_the_first_load_of_a_pass_comes_while_the_one_before_computes(tiles):
    """As soon as the half is free."""
    passes = [make(TINY, weights=(1, 1), tiles=tiles, seed=n) for n in range(4)]
    assert slow_passes(passes).early == 3


@pytest.mark.parametrize("alone", [1, 2])
def test_a_load_across_both_halves_waits_and_so_does_the_one_behind_it(alone):
    """Of so many passes in a row; of five passes, the first cannot be early."""
    kinds = [False] + [True] * alone + [False] * (4 - alone)
    passes = [make(TINY, weights=(1, 1), alone=kind, seed=n) for n, kind in enumerate(kinds)]
    assert slow_passes(passes).early == 4 - alone - 1


@pytest.mark.parametrize("alone", [False, True])
def test_all_weights_that_a_lane_holds(alone):
    build = BUILDS["up5k"]
    count = build.weight_words if alone else build.half_words
    passes = [make(build, groups=2, weights=(count, count), alone=alone, seed=n) for n in range(2)]
    check(passes, run(passes), dense=True)


def check_fault(watch: Watch, taken: int) -> None:
    """The last of `taken` words was bad: from the next cycle on, nothing is taken or written.

    The pass before goes on, of which all loads are there.
    """
    bad = watch.when("taken")[-1]
    assert len(watch.when("taken")) == taken
    assert {now.fault for now in watch.cycles[: bad + 1]} == {Fault.NONE}
    after = watch.cycles[bad + 1 :]
    assert len(after) > 20
    assert {now.fault for now in after} == {Fault.DESCRIPTOR}
    for now in after:
        idle = now.arm, now.opening, now.bias_en, now.scale_en, now.ready, now.load["weight_en"]
        assert idle == (0,) * 6
    assert bad not in watch.when("opening")
    assert not after[-1].run


@pytest.mark.parametrize("magic", [0, MAGIC ^ 1, MAGIC ^ 0x80, 0xFF])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("idle", ["none", "random"])
def test_a_word_that_opens_no_descriptor(idle, before, magic):
    """After so many good passes; the words behind it look like a good pass."""
    passes = [make(TINY, seed=n, first=1) for n in range(before + 1)]
    words = [word for p in passes for word in p.words]
    good = len(words) - len(passes[-1].words)
    words[good] = words[good] & ~0xFF | magic
    dut = ControlLoader(TINY)
    watch = Watch(dut)

    async def producer(ctx):
        await put(ctx, dut.i, words, idle, seed=4)

    async def clusters(ctx):
        await play_clusters(ctx, dut, passes[:before], activity("random", 1))
        while not ctx.get(dut.fault):
            await ctx.tick()
        await ctx.tick().repeat(30)

    # The producer waits for ever.
    simulate(dut, clusters, monitors=[producer, watch.record])
    check_fault(watch, good + 1)
    assert len(watch.when("opening")) == before
