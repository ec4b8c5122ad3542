"""The map banks: all clusters read in their slots at once, while the intake writes."""

import random
from dataclasses import dataclass, field

import pytest
from amaranth.back import rtlil
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import Build
from hdl.banks import MapBanks
from tests.hdl.harness import plain, simulate
from tests.hdl.hostile import hostile_memories
from tests.layers import BUILDS

SMALL = {build.name: build.replace(map_words=13) for build in BUILDS}

#: Bank and address.
Place = tuple[int, int]
#: Which piece of a word, and the piece.
Write = tuple[int, dict]


@dataclass
class Cycle:
    """A write, and what each cluster reads."""

    write: tuple[Place, Write] | None = None
    reads: dict[int, Place] = field(default_factory=dict)


def a_write(build: Build, generator: random.Random, part: int | None = None) -> Write:
    """A random piece of a map word."""
    n = build.step_pixels
    if part is None:
        part = generator.randrange(build.word_pixels // n)
    values = [generator.randrange(1 << build.act_bits) for _ in range(n)]
    return part, {"mask": generator.randrange(1 << n), "values": values}


def real(word: dict) -> dict[int, int]:
    """The pixels of a map word that are not zero."""
    return {i: value for i, value in enumerate(word["values"]) if word["mask"] >> i & 1}


def written(build: Build, old: dict[int, int], write: Write) -> dict[int, int]:
    """The pixels of a word after a write."""
    part, piece = write
    first = part * build.step_pixels
    return {i: value for i, value in old.items() if i < first} | {
        first + i: value for i, value in real(piece).items()
    }


def play(build: Build, cycles: list[Cycle], generator: random.Random) -> list[list[dict]]:
    """Drive the banks; what stands on `words` in each cycle, and in the two after the last."""
    with hostile_memories():
        dut = MapBanks(build)
        answers: list[list[dict]] = []

        def noise() -> dict:
            """A request that is none."""
            return {"banks": 0, "addresses": [0] * build.clusters}

        async def drive(ctx):
            for cycle in [*cycles, Cycle(), Cycle()]:
                place, (part, piece) = cycle.write or ((0, 0), a_write(build, generator))
                ctx.set(dut.w_en, cycle.write is not None)
                ctx.set(dut.w_bank, place[0])
                ctx.set(dut.w_address, place[1])
                ctx.set(dut.w_part, part)
                ctx.set(dut.w_piece, piece)
                requests = [noise() for _ in range(build.clusters)]
                for c, (bank, address) in cycle.reads.items():
                    addresses = [address if b == bank else 0 for b in range(build.clusters)]
                    requests[c] = {"banks": 1 << bank, "addresses": addresses}
                ctx.set(dut.requests, requests)
                _, _, words = await ctx.tick().sample(dut.words)
                answers.append(plain(words))

        simulate(dut, drive)
    return answers


def check(build: Build, cycles: list[Cycle], seed: int) -> None:
    """Fill the banks, play the cycles, and compare every answer with the words last written."""
    generator = random.Random(seed)
    places = [(b, a) for b in range(build.clusters) for a in range(13)]
    generator.shuffle(places)
    filling = [Cycle(write=(place, a_write(build, generator, 0))) for place in places]
    contents: dict[Place, dict[int, int]] = {}
    wanted: list[dict[int, dict[int, int]]] = []
    filling.append(Cycle())
    before = Cycle()  # its write goes to the memory one cycle later
    for cycle in [*filling, *cycles]:
        assert not before.write or before.write[0] not in cycle.reads.values()
        wanted.append({c: contents[place] for c, place in cycle.reads.items()})
        if before.write:
            place, write = before.write
            contents[place] = written(build, contents.get(place, {}), write)
        before = cycle
    answers = play(build, [*filling, *cycles], generator)
    for reads, words in zip(wanted, answers[2:], strict=True):
        assert {c: real(word) for c, word in enumerate(words)} == {
            c: reads.get(c, {}) for c in range(build.clusters)
        }


def slots(build: Build, teams: list[int], count: int, density: float, seed: int) -> list[Cycle]:
    """Cycles in which each team owns its slot's bank, and reads there as often as `density` says.

    The intake writes in every cycle, wherever nobody reads in the next.
    """
    generator = random.Random(seed)
    cycles = []
    for phase in range(count):
        cycle = Cycle()
        asks = {team: generator.random() < density for team in set(teams)}
        spots = {team: ((phase + team) % build.clusters, generator.randrange(13)) for team in asks}
        cycle.reads = {c: spots[team] for c, team in enumerate(teams) if asks[team]}
        cycles.append(cycle)
    for cycle, following in zip(cycles, [*cycles[1:], Cycle()], strict=True):
        taken = set(following.reads.values())
        free = [(b, a) for b in range(build.clusters) for a in range(13) if (b, a) not in taken]
        cycle.write = (generator.choice(free), a_write(build, generator))
    return cycles


@pytest.mark.parametrize("name", SMALL)
def test_all_clusters_read_their_slots_in_every_cycle(name):
    build = SMALL[name]
    check(build, slots(build, list(range(build.clusters)), 60, 1, seed=1), seed=2)


@pytest.mark.parametrize("name", SMALL)
@given(draw=st.data(), density=st.sampled_from((0.3, 0.8)), seed=st.integers(0, 999))
@settings(max_examples=max(3, settings.default.max_examples // 20))
def test_clusters_of_a_team_share_a_request(name, draw, density, seed):
    build = SMALL[name]
    groups = draw.draw(st.integers(1, build.clusters))
    teams = [c // groups for c in range(build.clusters)]
    check(build, slots(build, teams, 40, density, seed), seed)


@pytest.mark.parametrize("name", SMALL)
def test_words_that_are_written_just_before_or_after_their_read(name):
    build = SMALL[name]
    generator = random.Random(5)
    cycles = []
    for turn in range(20):
        cluster, place = turn % build.clusters, (generator.randrange(build.clusters), 12)
        cycles += [
            Cycle(write=(place, a_write(build, generator))),
            Cycle(),
            Cycle(reads={cluster: place}, write=(place, a_write(build, generator))),
        ]
    check(build, cycles, seed=6)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_converts_to_rtlil(build):
    text = rtlil.convert(MapBanks(build))
    memories = build.clusters * build.word_pixels // build.step_pixels
    assert text.count("attribute \\no_rw_check 1") == memories
    assert text.count(f"size {build.map_words} ") == memories
