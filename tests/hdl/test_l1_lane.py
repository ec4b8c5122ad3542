"""The lane of an L1 build with the cluster's sum of pixels, against Python integers, each cycle."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import LANE_LATENCY, Build
from hdl.l1_lane import L1Lane, WindowSum
from hdl.lane import Lane, lane_step
from tests.hdl.harness import plain, simulate
from tests.hdl.hostile import hostile_memories
from tests.hdl.netlist import cell_counts
from tests.hdl.test_lane import Cycle, limits, retire, visit
from tests.layers import TINY_L1

BUILDS = {
    build.name: build
    for build in (
        TINY_L1,
        TINY_L1.replace(name="narrow", acc_bits=24, k_max=1, acc_words=4),
        TINY_L1.replace(name="wide", act_bits=16, weight_bits=16, acc_bits=40),
    )
}


class Pair(wiring.Component):
    """A lane and the sum of pixels of its cluster, with the lane's members and `signed_in`."""

    def __init__(self, build: Build):
        self.lane, self.shared = L1Lane(build), WindowSum(build)
        members: dict[str, Any] = {
            name: member
            for name, member in self.lane.signature.members.items()
            if name != "operand"
        }
        super().__init__(members | {"signed_in": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane, m.submodules.shared = self.lane, self.shared
        for name, member in self.signature.members.items():
            if name == "signed_in":
                continue
            inner, outer = getattr(self.lane, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        m.d.comb += [
            self.lane.operand.eq(self.shared.operand),
            self.shared.signed_in.eq(self.signed_in),
            self.shared.step.eq(self.step),
            self.shared.forward.eq(self.forward),
        ]
        return m


def minimum(x: int, w: int) -> int:
    """What a tap adds: the smaller magnitude, where both have the same sign."""
    return min(abs(x), abs(w)) if (x < 0) == (w < 0) else 0


def code(w: int, width: int) -> int:
    """A weight as the lane's memory holds it."""
    return w if w >= 0 else (1 << width - 1) | -w - 1


@dataclass
class Model:
    """What lane and sum of pixels promise, in Python integers; `shadows` are those of each cycle.

    A sum is (twice the minima, pixels).
    """

    build: Build
    weights: dict[int, int] = field(default_factory=dict)
    sums: dict[int, tuple[int, int]] = field(default_factory=dict)
    shadows: list[list[int]] = field(default_factory=lambda: [[0, 0]])
    moves: list[dict[str, int]] = field(default_factory=lambda: [{}, {}, {}, {}])

    def start(self, step: dict[str, int]) -> tuple[int, int]:
        """Where the sums of a step start."""
        return (0, 0) if step.get("fresh") else self.sums[step["slot"]]

    def after(self, step: dict[str, int]) -> tuple[int, int]:
        """The sums after a visit."""
        minima, pixels = self.start(step)
        x = step["pixel"]
        return minima + 2 * minimum(x, self.weights[step["address"]]), pixels + abs(x)

    def cycle(self, cycle: Cycle) -> None:
        step = cycle.step
        move: dict[str, int] = {}
        if step.get("visit"):
            self.sums[step["slot"]] = self.after(step)
        elif step.get("retire"):
            minima, pixels = self.start(step)
            move = {**step, "sum": minima - pixels}
        shadow = [*self.shadows[-1]]
        self.moves.append(move)
        if due := self.moves.pop(0):
            row = due["row"]
            merges = due["merge"] and row == 0
            shadow[row] = max(due["sum"], shadow[row]) if merges else due["sum"]
        if cycle.weight:
            self.weights[cycle.weight[0]] = cycle.weight[1]
        self.shadows.append(shadow)


def check(build: Build, cycles: list[Cycle], *, signed: bool) -> list[list[int]]:
    """Compare the shadow registers in every cycle; return them."""
    cycles = [*cycles, *[Cycle()] * 6]
    model = Model(build)
    seen: list[Any] = []
    with hostile_memories():
        dut = Pair(build)

        async def drive(ctx):
            ctx.set(dut.signed_in, signed)
            for cycle in cycles:
                ctx.set(dut.step, cycle.step)
                ctx.set(dut.forward, cycle.forward)
                ctx.set(dut.weight_en, cycle.weight is not None)
                address, weight = cycle.weight or (cycle.step.get("address", 0), 1)
                ctx.set(dut.weight_address, address)
                ctx.set(dut.weight_data, code(weight, build.act_bits))
                _, _, shadow = await ctx.tick().sample(dut.shadow)
                seen.append(plain(shadow))

        simulate(dut, drive)
    for cycle in cycles:
        model.cycle(cycle)
    assert seen == model.shadows[:-1]
    return seen


def ends(build: Build, *, signed: bool) -> tuple[int, int]:
    """Smallest and largest pixel; weights lie between them too."""
    if signed:
        return limits(build.act_bits)
    return 0, (1 << build.pixel_bits - 1) - 1  # with 16 bits, only half of the numbers


class Author:
    """Makes up steps that keep the rules: what was written is read, and no sum wraps."""

    def __init__(self, build: Build, *, slots: int, signed: bool, seed: int):
        self.build = build
        self.random = random.Random(seed)
        self.model = Model(build)
        self.ends = ends(build, signed=signed)
        self.slots = self.random.sample(range(build.acc_words), min(slots, build.acc_words))
        self.last: dict[str, int] = {}  # the step before

    def number(self) -> int:
        """Mostly any number, often one from the ends of the range or near zero."""
        low, high = self.ends
        near = [n for n in (low, high, 0, 1, -1) if low <= n <= high]
        return self.random.choice((*near, *[self.random.randint(low, high)] * 5))

    def fits(self, sums: tuple[int, int]) -> bool:
        low, high = limits(self.build.acc_bits)
        return low <= sums[0] <= high and sums[1] <= high and low <= sums[0] - sums[1]

    def cycle(self) -> Cycle:
        chance, model = self.random.random, self.model
        cycle = Cycle()
        if not model.weights or chance() < 0.1:
            last = self.build.weight_words - 1
            address = self.random.choice((0, last, self.random.randint(0, last)))
            cycle.weight = (address, self.number())
        step = cycle.step = {
            "slot": self.random.choice(self.slots),
            "pixel": self.number(),
            "row": self.random.getrandbits(1),
            "merge": self.random.getrandbits(1),
            "fresh": self.random.getrandbits(1),  # noise as long as this is no step
            "address": self.random.choice([*model.weights, 0]),
        }
        kind = self.random.choice(("visit",) * 6 + ("retire",) * 2 + ("idle",))
        # A weight is not read before it is there, nor in the cycle in which it is written.
        blind = step["address"] not in model.weights or (
            cycle.weight is not None and cycle.weight[0] == step["address"]
        )
        if kind != "idle" and not (kind == "visit" and blind):
            step[kind] = 1
            step["fresh"] = int(step["slot"] not in model.sums or chance() < 0.1)
            if kind == "visit" and not self.fits(model.after(step)):
                step |= {"fresh": 1, "pixel": 0}
        same = bool(self.last.get("visit")) and self.last["slot"] == step["slot"]
        # Where the accumulator starts from 0, nobody asks whether it is forwarded.
        cycle.forward = self.random.getrandbits(1) if step["fresh"] else int(same)
        self.last = step
        model.cycle(cycle)
        return cycle


@pytest.mark.parametrize("name", BUILDS)
@given(slots=st.sampled_from((1, 2, 3, 16)), signed=st.booleans(), seed=st.integers(0, 9999))
@settings(max_examples=max(6, settings.default.max_examples // 8))
def test_random_steps_in_every_cycle(name, slots, signed, seed):
    build = BUILDS[name]
    author = Author(build, slots=slots, signed=signed, seed=seed)
    check(build, [author.cycle() for _ in range(200)], signed=signed)


@pytest.mark.parametrize("name", BUILDS)
def test_a_retired_sum_stands_as_soon_as_a_multiplying_lane_s(name):
    cycles = [
        *[Cycle(weight=(7, 5))],
        visit(0, 11, 7, fresh=1),
        retire(0, row=1, forward=1),
    ]
    shadows = check(BUILDS[name], cycles, signed=False)
    step = len(cycles) - 1
    assert shadows[step : step + 6] == [[0, 0]] * 5 + [[0, 2 * 5 - 11]]
    assert LANE_LATENCY == 5 + 1


@pytest.mark.parametrize("signed", [False, True])
def test_every_edge_pixel_with_every_edge_weight(signed):
    """-|x - w| but for -|w|, the bias's share: exact also for the most negative of both."""
    low, high = ends(TINY_L1, signed=signed)
    numbers = sorted({low, low + 1, -2, -1, 0, 1, 2, high - 1, high} & set(range(low, high + 1)))
    cycles = [Cycle(weight=(n, w)) for n, w in enumerate(numbers)]
    wanted = []
    for x in numbers:
        for n, w in enumerate(numbers):
            cycles += [visit(1, x, n, fresh=1), retire(1, forward=1)]
            wanted.append(abs(w) - abs(x - w))
    shadows = check(TINY_L1, cycles, signed=signed)
    first = len(numbers) + 1 + 5
    assert [row for row, _ in shadows[first::2]][: len(wanted)] == wanted


@pytest.mark.parametrize("name", BUILDS)
def test_merging_compares_what_is_left_after_the_pixels_were_taken_off(name):
    """The first sum of minima is the larger one, but so are its pixels."""
    cycles = [
        *[Cycle(weight=(n, w)) for n, w in enumerate((100, 20))],
        visit(0, 100, 0, fresh=1),
        visit(0, 99, 1, forward=1),  # 2 (100 + 20) - 199 = 41
        visit(1, 21, 0, fresh=1),
        visit(1, 20, 1, forward=1),  # 2 (21 + 20) - 41 = 41
        visit(1, 1, 1, forward=1),  # 42
        retire(0, 0, fresh=0),
        retire(1, 0, merge=1),
        Cycle(),
        retire(0, 0, merge=1),
    ]
    shadows = check(BUILDS[name], cycles, signed=False)
    assert [shadow[0] for shadow in shadows][-4:] == [42, 42, 42, 42]
    assert 41 in [shadow[0] for shadow in shadows]


@pytest.mark.parametrize("name", BUILDS)
def test_a_window_without_a_visit_has_no_pixels(name):
    cycles = [
        Cycle(weight=(0, 1)),
        visit(2, 9, 0, fresh=1),
        retire(2, 0, forward=1),
        retire(2, 1),
        retire(2, 0, fresh=1),  # starts anew: neither minima nor pixels are left
        retire(3, 1, fresh=1),
    ]
    shadows = check(BUILDS[name], cycles, signed=False)
    assert shadows[-4:-1] == [[2 - 9, 2 - 9], [0, 2 - 9], [0, 0]]


@pytest.mark.parametrize("signed", [False, True])
def test_sums_reach_the_ends_of_the_accumulator(signed):
    """Minima twice the largest half sum, then pixels that no weight shares anything with."""
    build = BUILDS["wide"].replace(acc_bits=24)
    low, high = limits(build.acc_bits)
    most = ends(build, signed=signed)[1]
    cycles = [Cycle(weight=(0, most)), Cycle(weight=(1, 0))]
    for slot, address, total in ((1, 0, high // 2), (2, 1, -low)):
        pixels = [*[most] * (total // most), total % most]
        cycles += [
            visit(slot, x, address, fresh=n == 0, forward=n > 0) for n, x in enumerate(pixels)
        ]
    cycles += [retire(1, 0), retire(2, 1)]
    assert check(build, cycles, signed=signed)[-1] == [high // 2, low]


def test_the_lane_looks_like_a_multiplying_one():
    """Every member is the other's, but for what comes from the sum of pixels."""
    mine = dict(L1Lane(TINY_L1).signature.members.items())
    operand = mine.pop("operand")
    assert operand.flow is In
    assert isinstance(operand.shape, data.StructLayout)
    others = dict(Lane(TINY_L1).signature.members.items())
    assert {name: others[name] for name in mine} == mine
    assert lane_step(TINY_L1)["pixel"].shape.width == 9


@pytest.mark.parametrize("name", BUILDS)
def test_no_multiplier_in_a_lane(name):
    """Yosys's coarse cells: comparators, adders, selects; a multiplying lane has its `$mul`."""
    for component in (L1Lane(BUILDS[name]), WindowSum(BUILDS[name])):
        counts = cell_counts(component)
        assert not [kind for kind in counts if "mul" in kind or "macc" in kind], counts
        assert counts["$add"] + counts["$sub"] + counts["$alu"] > 0
    mac = Lane(BUILDS[name].replace(pe="mac"))
    assert cell_counts(mac)["$mul"] == 1


@pytest.mark.parametrize("name", BUILDS)
def test_converts_to_rtlil(name):
    text = rtlil.convert(Pair(BUILDS[name]))
    assert text.count("attribute \\no_rw_check 1") == 3
