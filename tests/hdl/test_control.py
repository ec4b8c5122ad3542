"""The control loader, cycle by cycle, against the list of what each word must do."""

from dataclasses import dataclass, field
from types import SimpleNamespace

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
        preset("tiny8").replace(name="two_beats", clusters=4, lanes_per_cluster=16),
    )
}


@dataclass
class Pass:
    """One pass's control stream, and the writes that it makes, with the word that causes each."""

    build: Build
    descriptor: PassDescriptor
    seed: int = 0
    words: list[int] = field(default_factory=list)
    loads: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    scales: list[tuple[int, tuple[int, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        build, lanes = self.build, self.build.lanes_per_cluster
        self.words = self.descriptor.words()
        for group in range(self.descriptor.groups):
            for lane in range(lanes):
                bias, scale = rng.integers(0, 1 << 64, 2, np.uint64).tolist()
                self.loads.append((len(self.words), {"group": group, "lane": lane, "data": bias}))
                self.words.append(bias)
                number = group * lanes + lane
                self.scales.append((len(self.words), (number, scale & (1 << 32) - 1)))
                self.words.append(scale)
            for address in range(self.descriptor.weight_count):
                for beat in range(ceil_div(lanes, build.weights_per_beat)):
                    data = int(rng.integers(0, 1 << 64, dtype=np.uint64))
                    place = {"group": group, "address": address, "beat": beat, "data": data}
                    self.loads.append((len(self.words), place))
                    self.words.append(data)

    @property
    def config(self) -> dict[str, int]:
        return {"magic": MAGIC} | pass_config(self.descriptor)

    @property
    def works(self) -> list[dict[str, int]]:
        return [cluster_config(work) for work in self.descriptor.clusters]


def random_fields(rng: np.random.Generator, fields: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """Any value that a field can say; both limits are likely."""
    values = {}
    for name, bits in fields:
        low = -(1 << bits - 1) if name in SIGNED_FIELDS else 0
        high = low + (1 << bits) - 1
        values[name] = int(rng.choice([low, high, rng.integers(low, high, endpoint=True)]))
    return values


def make(build: Build, *, groups: int, weight_count: int, seed: int = 0, **more: int) -> Pass:
    rng = np.random.default_rng(seed)
    values = random_fields(rng, tuple(f for word in PASS_WORDS for f in word if f[0] != "magic"))
    clusters = tuple(ClusterWork(**random_fields(rng, CLUSTER_WORD)) for _ in range(build.clusters))
    values |= {"groups": groups, "weight_count": weight_count, **more}
    return Pass(build, PassDescriptor(**values, clusters=clusters), seed)


class Watch:
    """What a loader did: one entry per cycle."""

    NAMES = ("arm", "run", "finish", "opening", "scale_en", "scale_channel", "scale_data", "fault")

    def __init__(self, dut: ControlLoader):
        self._dut = dut
        self.cycles: list[SimpleNamespace] = []

    async def record(self, ctx):
        dut = self._dut
        self.cycles.clear()
        ticks = ctx.tick().sample(
            *(dut.i.valid, dut.i.ready, dut.config, dut.clusters, dut.load),
            *(getattr(dut, name) for name in self.NAMES),
        )
        async for _, _, valid, ready, config, clusters, load, *rest in ticks:
            self.cycles.append(
                SimpleNamespace(
                    taken=bool(valid and ready),
                    ready=ready,
                    config=plain(config),
                    clusters=plain(clusters),
                    load=plain(load),
                    **dict(zip(self.NAMES, rest, strict=True)),
                )
            )

    def when(self, name: str) -> list[int]:
        """Cycles in which a signal is high."""
        return [cycle for cycle, now in enumerate(self.cycles) if getattr(now, name)]


def run(passes: list[Pass], idle: str = "none", work: str = "none", *, seed: int = 0) -> Watch:
    """Send passes; each computes for some cycles, by the pattern, before it finishes."""
    dut = ControlLoader(passes[0].build)
    watch = Watch(dut)

    async def producer(ctx):
        await put(ctx, dut.i, [word for p in passes for word in p.words], idle, seed=seed)

    async def finisher(ctx):
        busy = activity(work, seed + 1)
        for _ in passes:
            while not ctx.get(dut.run) or not next(busy):
                await ctx.tick()
            ctx.set(dut.finish, 1)
            await ctx.tick()
            ctx.set(dut.finish, 0)
        await ctx.tick().repeat(5)

    simulate(dut, producer, finisher, monitors=[watch.record])
    return watch


def check(passes: list[Pass], watch: Watch, *, dense: bool) -> None:
    """Compare every cycle; `dense`: the stream had no gaps, so a word is taken in each cycle."""
    cycles = watch.cycles
    taken, finishes = watch.when("taken"), watch.when("finish")
    assert len(taken) == sum(len(p.words) for p in passes)
    arms, opens, loads, scales, running, waiting = [], [], [], [], [], []
    at = 0
    for p, finish in zip(passes, finishes, strict=True):
        times = taken[at : at + len(p.words)]
        at += len(p.words)
        if dense:
            assert times == list(range(times[0], times[0] + len(times)))
        opens += [times[0]] * p.descriptor.first
        arms.append(times[len(p.descriptor.words()) - 1] + 1)
        running += range(times[-1] + 2, finish + 1)
        waiting += range(times[-1] + 1, finish + 1)
        loads += [(times[word] + 1, load) for word, load in p.loads]
        scales += [(times[word] + 1, scale) for word, scale in p.scales]
        until = taken[at] if at < len(taken) else len(cycles) - 1
        for now in cycles[arms[-1] : until + 1]:
            assert (now.config, now.clusters) == (p.config, p.works)
    assert [c for c, now in enumerate(cycles) if not now.ready] == waiting
    assert watch.when("run") == running
    assert watch.when("arm") == arms
    assert watch.when("opening") == opens
    assert watch.when("fault") == []

    writes = [(c, now.load) for c, now in enumerate(cycles) if sum(enables(now.load))]
    assert [c for c, _ in writes] == [c for c, _ in loads]
    for (_, load), (_, wanted) in zip(writes, loads, strict=True):
        assert enables(load) == ("lane" in wanted, "beat" in wanted)
        assert {name: load[name] for name in wanted} == wanted
    assert [
        (c, (now.scale_channel, now.scale_data)) for c, now in enumerate(cycles) if now.scale_en
    ] == scales


def enables(load: dict[str, int]) -> tuple[int, int]:
    return load["bias_en"], load["weight_en"]


def two_passes(build: Build) -> list[Pass]:
    return [
        make(build, groups=build.clusters, weight_count=3, seed=1, first=1),
        make(build, groups=1, weight_count=1, seed=2, first=0),
    ]


@pytest.mark.parametrize("work", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
def test_every_word_does_what_it_must(idle, work):
    passes = two_passes(TINY)
    check(passes, run(passes, idle, work, seed=3), dense=idle == "none")


@pytest.mark.parametrize("idle", ["none", "random"])
@pytest.mark.parametrize("name", BUILDS)
def test_every_build(name, idle):
    passes = two_passes(BUILDS[name])
    check(passes, run(passes, idle, "long"), dense=idle == "none")


@settings(max_examples=max(3, settings.default.max_examples // 8))
@given(data=st.data())
def test_passes_of_every_size(data):
    build = BUILDS[data.draw(st.sampled_from(sorted(BUILDS)))]
    passes = [
        make(
            build,
            groups=data.draw(st.integers(1, build.clusters)),
            weight_count=data.draw(st.integers(1, 9)),
            seed=data.draw(st.integers(0, 1000)),
        )
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    idle, work = (data.draw(st.sampled_from(PATTERNS)) for _ in range(2))
    check(passes, run(passes, idle, work), dense=idle == "none")


def test_all_weights_that_a_lane_holds():
    build = BUILDS["up5k"]
    passes = [make(build, groups=2, weight_count=build.weight_words, seed=n) for n in range(2)]
    check(passes, run(passes), dense=True)


def check_fault(watch: Watch, taken: int) -> None:
    """The last of `taken` words was bad: from the next cycle on, the loader does nothing."""
    bad = watch.when("taken")[-1]
    assert len(watch.when("taken")) == taken
    assert {now.fault for now in watch.cycles[: bad + 1]} == {Fault.NONE}
    after = watch.cycles[bad + 1 :]
    assert len(after) > 20
    assert {now.fault for now in after} == {Fault.DESCRIPTOR}
    for now in after:
        idle = now.arm, now.run, now.opening, now.scale_en, now.ready
        assert (idle, enables(now.load)) == ((0,) * 5, (0, 0))
    assert bad not in watch.when("opening")


@pytest.mark.parametrize("magic", [0, MAGIC ^ 1, MAGIC ^ 0x80, 0xFF])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("idle", ["none", "random"])
def test_a_word_that_opens_no_descriptor(idle, before, magic):
    """After so many good passes; the words behind it look like a good pass."""
    passes = [make(TINY, groups=1, weight_count=2, seed=n, first=1) for n in range(before + 1)]
    words = [word for p in passes for word in p.words]
    good = len(words) - len(passes[-1].words)
    words[good] = words[good] & ~0xFF | magic
    dut = ControlLoader(TINY)
    watch = Watch(dut)

    async def producer(ctx):
        await put(ctx, dut.i, words, idle, seed=4)

    async def finisher(ctx):
        for _ in range(before):
            await ctx.tick().until(dut.run)
            ctx.set(dut.finish, 1)
            await ctx.tick()
            ctx.set(dut.finish, 0)
        await ctx.tick().until(dut.fault != Fault.NONE)
        await ctx.tick().repeat(30)

    # The producer waits for ever.
    simulate(dut, finisher, monitors=[producer, watch.record])
    check_fault(watch, good + 1)
    assert len(watch.when("opening")) == before
