"""The lane against Python integers, cycle by cycle."""

import random
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from amaranth.back import rtlil
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import LANE_LATENCY, Build
from hdl.lane import Lane
from tests.hdl.harness import plain, simulate
from tests.hdl.hostile import hostile_memories
from tests.layers import TINY, TINY8, UP5K

BUILDS = {
    build.name: build
    for build in (
        TINY,
        TINY8,
        UP5K,
        TINY.replace(name="wide_pixels", weight_bits=8, acc_bits=48),
        TINY8.replace(name="wide_weights", weight_bits=16, k_max=1),
    )
}


def limits(bits: int) -> tuple[int, int]:
    """Smallest and largest number in two's complement."""
    return -(1 << bits - 1), (1 << bits - 1) - 1


def narrow(build: Build) -> Build:
    """The build with accumulators so narrow that a few hundred products reach their ends."""
    return build.replace(acc_bits=max(24, build.pixel_bits + build.weight_bits))


@dataclass
class Cycle:
    """What a lane is told in one cycle; weights count from the next cycle on."""

    step: dict[str, int] = field(default_factory=dict)
    forward: int = 0
    weight: tuple[int, int] | None = None


def visit(slot: int, pixel: int, address: int, *, fresh: int = 0, forward: int = 0) -> Cycle:
    step = {"visit": 1, "slot": slot, "pixel": pixel, "address": address, "fresh": fresh}
    return Cycle(step, forward)


def retire(slot: int, row: int = 0, *, merge: int = 0, fresh: int = 0, forward: int = 0) -> Cycle:
    step = {"retire": 1, "slot": slot, "row": row, "merge": merge, "fresh": fresh}
    return Cycle(step, forward)


class Model:
    """What the lane promises, in Python integers; `shadows` are those of each cycle."""

    def __init__(self, build: Build, *, maximum: bool = False):
        self.maximum = maximum
        self.low, self.high = limits(build.acc_bits)
        self.weights: dict[int, int] = {}
        self.sums: dict[int, int] = {}
        self.shadows: list[list[int]] = [[0, 0]]
        self._moves: list[dict[str, int]] = [{}] * 4  # steps that are not yet at the shadow

    def start(self, step: dict[str, int]) -> int:
        """Where the accumulator of a step starts."""
        return 0 if step.get("fresh") else self.sums[step["slot"]]

    def cycle(self, cycle: Cycle) -> None:
        step = cycle.step
        move: dict[str, int] = {}
        if step.get("visit"):
            start, product = self.start(step), step["pixel"] * self.weights[step["address"]]
            total = max(start, product) if self.maximum else start + product
            assert self.low <= total <= self.high
            self.sums[step["slot"]] = total
        elif step.get("retire"):
            move = {**step, "sum": self.start(step)}
        shadow = [*self.shadows[-1]]
        self._moves.append(move)
        if due := self._moves.pop(0):
            row = due["row"]
            merges = due["merge"] and row == 0
            shadow[row] = max(due["sum"], shadow[row]) if merges else due["sum"]
        if cycle.weight:
            self.weights[cycle.weight[0]] = cycle.weight[1]
        self.shadows.append(shadow)


def check(build: Build, cycles: list[Cycle], *, maximum: bool = False) -> list[list[int]]:
    """Compare the shadow registers in every cycle; return them."""
    cycles = [*cycles, *[Cycle()] * 6]
    model = Model(build, maximum=maximum)
    seen: list[Any] = []
    with hostile_memories():
        dut = Lane(build)

        async def drive(ctx):
            ctx.set(dut.maximum, maximum)
            for cycle in cycles:
                ctx.set(dut.step, cycle.step)
                ctx.set(dut.forward, cycle.forward)
                ctx.set(dut.weight_en, cycle.weight is not None)
                address, weight = cycle.weight or (cycle.step.get("address", 0), 1)
                ctx.set(dut.weight_address, address)
                ctx.set(dut.weight_data, weight)
                _, _, shadow = await ctx.tick().sample(dut.shadow)
                seen.append(plain(shadow))

        simulate(dut, drive)
    for cycle in cycles:
        model.cycle(cycle)
    assert seen == model.shadows[:-1]
    return seen


def loads(weights: dict[int, int]) -> list[Cycle]:
    """Cycles that load weights."""
    return [Cycle(weight=item) for item in weights.items()]


def make(build: Build, total: int, slot: int) -> list[Cycle]:
    """Cycles that load weights 0 and 1, then let an accumulator reach a sum."""
    weight = limits(build.weight_bits)[0]
    low, high = limits(build.pixel_bits)
    rest = total % -weight
    left = (total - rest) // weight
    cycles = loads({0: weight, 1: rest})
    cycles.append(visit(slot, 1, 1, fresh=1))
    while left:
        pixel = max(low, min(left, high))
        cycles.append(visit(slot, pixel, 0, forward=1))
        left -= pixel
    return cycles


class Author:
    """Makes up steps that keep the rules: what was written is read, and no sum wraps."""

    def __init__(self, build: Build, *, slots: int, seed: int):
        self.build = build
        self.random = random.Random(seed)
        self.model = Model(build)
        self.slots = self.random.sample(range(build.acc_words), min(slots, build.acc_words))
        self.last: dict[str, int] = {}  # the step before

    def number(self, bits: int) -> int:
        """Mostly any number, often one from the ends of the range or near zero."""
        low, high = limits(bits)
        return self.random.choice((low, high, 0, 1, -1, *[self.random.randint(low, high)] * 5))

    def cycle(self) -> Cycle:
        chance = self.random.random
        weights = self.model.weights
        cycle = Cycle()
        if not weights or chance() < 0.1:
            last = self.build.weight_words - 1
            address = self.random.choice((0, last, self.random.randint(0, last)))
            cycle.weight = (address, self.number(self.build.weight_bits))
        step = cycle.step = {
            "slot": self.random.choice(self.slots),
            "pixel": self.number(self.build.pixel_bits),
            "row": self.random.getrandbits(1),
            "merge": self.random.getrandbits(1),
            "fresh": self.random.getrandbits(1),  # noise as long as this is no step
            "address": self.random.choice([*weights, 0]),
        }
        kind = self.random.choice(("visit",) * 6 + ("retire",) * 2 + ("idle",))
        # A weight is not read before it is there, nor in the cycle in which it is written.
        blind = step["address"] not in weights or (
            cycle.weight is not None and cycle.weight[0] == step["address"]
        )
        if kind != "idle" and not (kind == "visit" and blind):
            step[kind] = 1
            step["fresh"] = int(step["slot"] not in self.model.sums or chance() < 0.1)
            if kind == "retire":
                step["pixel"] = 0
            else:
                total = self.model.start(step) + step["pixel"] * weights[step["address"]]
                if not self.model.low <= total <= self.model.high:
                    step |= {"fresh": 1, "pixel": 0}
        same = bool(self.last.get("visit")) and self.last["slot"] == step["slot"]
        # Where the accumulator starts from 0, nobody asks whether it is forwarded.
        cycle.forward = self.random.getrandbits(1) if step["fresh"] else int(same)
        self.last = step
        self.model.cycle(cycle)
        return cycle


@pytest.mark.parametrize("name", BUILDS)
@given(tight=st.booleans(), slots=st.sampled_from((1, 2, 3, 16)), seed=st.integers(0, 9999))
@settings(max_examples=max(4, settings.default.max_examples // 10))
def test_random_steps_in_every_cycle(name, tight, slots, seed):
    build = narrow(BUILDS[name]) if tight else BUILDS[name]
    author = Author(build, slots=slots, seed=seed)
    check(build, [author.cycle() for _ in range(200)])


@pytest.mark.parametrize("name", BUILDS)
def test_a_retired_sum_stands_five_cycles_after_its_step(name):
    cycles = [
        *loads({7: 5}),
        visit(0, 11, 7, fresh=1),
        retire(0, row=1, forward=1),
    ]
    shadows = check(BUILDS[name], cycles)
    step = len(cycles) - 1
    assert shadows[step : step + 6] == [[0, 0]] * 5 + [[0, 55]]
    # One more from the walker's step, which is a register before the lane's.
    assert LANE_LATENCY == 5 + 1


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("between", range(5))
def test_visits_of_one_accumulator_as_near_as_they_like(name, between):
    """With so many visits of another accumulator in between."""
    weights = {n: n - 6 for n in range(13)}
    cycles = loads(weights)
    for n in range(20):
        cycles.append(visit(1, n - 7, n % 13, fresh=n == 0, forward=n > 0 and not between))
        for k in range(between):
            fresh, forward = n == 0 and k == 0, k > 0
            cycles.append(visit(2, 9 - n, (n + k) % 13, fresh=fresh, forward=forward))
    cycles += [retire(1, forward=not between), retire(2, 1, fresh=not between)]
    shadows = check(BUILDS[name], cycles)
    first = sum((n - 7) * weights[n % 13] for n in range(20))
    other = sum((9 - n) * weights[(n + k) % 13] for n in range(20) for k in range(between))
    assert shadows[-1] == [first, other]


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("end", [0, 1], ids=["lowest", "highest"])
def test_sums_reach_the_ends_of_the_accumulator(name, end):
    build = narrow(BUILDS[name])
    limit = limits(build.acc_bits)[end]
    # The largest products there are: address 2 makes the positive one, address 3 the negative one.
    pixel, weights = limits(build.pixel_bits)[0], limits(build.weight_bits)
    cycles = [
        *loads({2: weights[0], 3: weights[1]}),
        *make(build, limit, slot=3),
        retire(3, 0, forward=1),
        visit(3, pixel, 2 + end),  # the other way: no need to start anew behind a retire step
        retire(3, 1, forward=1),
    ]
    shadows = check(build, cycles)
    assert shadows[-1] == [limit, limit + pixel * weights[end]]


@pytest.mark.parametrize("name", BUILDS)
def test_merging_keeps_the_larger_of_both(name):
    """All pairs of numbers around zero and at the ends, in both orders."""
    build = narrow(BUILDS[name])
    low, high = limits(build.acc_bits)
    numbers = (low, low + 1, -1, 0, 1, 2, high - 1, high)
    cycles = [cycle for slot, number in enumerate(numbers) for cycle in make(build, number, slot)]
    first = len(cycles)
    for (held, _), (merged, _) in product(enumerate(numbers), repeat=2):
        # The shadow holds one when the other is merged into row 0; row 1 takes it as it is.
        cycles += [Cycle(), retire(held), retire(held, 1), retire(merged, merge=1)]
        cycles += [retire(merged, 1, merge=1), *[Cycle()] * 4]
    shadows = check(build, cycles)
    found = [shadows[at + 9] for at in range(first, len(cycles), 9)]
    assert found == [[max(held, merged), merged] for held, merged in product(numbers, repeat=2)]


@pytest.mark.parametrize("name", [name for name in BUILDS if BUILDS[name].max_pool])
def test_a_maximum_is_the_largest_product_from_0_on(name):
    pixels = (3, 9, -2, 9, 7, 12, -12, 0)
    weights = {0: 0, 1: 1, 2: -1}
    cycles = [*loads(weights), Cycle()]
    for n, pixel in enumerate(pixels):
        cycles.append(visit(5, pixel, 1, fresh=n == 0, forward=n > 0))
    cycles += [visit(5, 99, 0, forward=1), visit(6, 12, 2, fresh=1), visit(6, 4, 2, forward=1)]
    cycles += [retire(5), retire(5, 1), Cycle(), retire(6, 1)]
    shadows = check(BUILDS[name], cycles, maximum=True)
    assert shadows[-1] == [12, 0]
    assert [12, 12] in shadows


@pytest.mark.parametrize("name", BUILDS)
def test_retiring_leaves_the_other_accumulators_and_the_other_row(name):
    build = BUILDS[name]
    count = build.acc_words
    weights = {slot: slot + 1 for slot in range(count)}
    cycles = loads(weights)
    cycles += [visit(slot, 3, slot, fresh=1) for slot in range(count)]
    cycles += [Cycle(), *(retire(slot, slot % 2) for slot in reversed(range(count)))]
    shadows = check(build, cycles)
    start = len(cycles) - count + 5
    for n, slot in enumerate(reversed(range(count))):
        other = 3 * weights[slot + 1] if slot + 1 < count else 0
        wanted = [other, 3 * weights[slot]] if slot % 2 else [3 * weights[slot], other]
        assert shadows[start + n] == wanted


@pytest.mark.parametrize("name", BUILDS)
def test_converts_to_rtlil(name):
    text = rtlil.convert(Lane(BUILDS[name]))
    assert text.count("attribute \\no_rw_check 1") == 2
