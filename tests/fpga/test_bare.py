"""Bare PEs, lanes and arrays compute what they are counted for."""

import random
import re

import pytest

from fpga import bare
from fpga.bare import BareArray, BareLane, BarePE, ClearedRam
from tests.hdl.harness import simulate

TAPS, WORDS = 9, 12


def term(pe, x, w):
    return x * w if pe == "mac" else min(x, w)


@pytest.mark.parametrize(
    ("pe", "bits", "acc_bits"),
    [("mac", 4, 17), ("mac", 8, 26), ("mac", 16, 42), ("l1", 4, 14), ("l1", 8, 18), ("l1", 16, 26)],
)
def test_accumulators_are_as_narrow_as_can_be(pe, bits, acc_bits):
    assert bare.pe_reach(pe, bits, 576).bit_length() == acc_bits
    assert bare.pe_reach(pe, bits, 576) >= 1 << acc_bits - 1


@pytest.mark.parametrize(
    ("pe", "bits", "reach"),
    [
        ("mac", 4, 576 * 15 * 8),
        ("mac", 8, 576 * 255 * 128),
        ("mac", 16, 576 * 2**15 * 2**15),
        ("l1", 8, 576 * 255),
    ],
)
def test_a_lane_s_sums(pe, bits, reach):
    assert bare.lane_reach(pe, bits, 576) == reach
    lane = BareLane(pe, bits, 576, weight_words=576)
    assert lane.acc_bits == reach.bit_length() + (pe == "mac")


@pytest.mark.parametrize(
    ("pe", "bits", "complement"),
    [
        ("mac", 4, False),
        *(("l1", bits, complement) for bits in (4, 8) for complement in (False, True)),
    ],
)
def test_a_pe_sums_up(pe, bits, complement):
    dut = BarePE(pe, bits, TAPS, complement=complement)
    largest = (1 << bits) - 1
    rng = random.Random(bits)

    async def bench(ctx):
        total = 0
        for n in range(200):
            x, w = (rng.choice([0, largest, rng.randint(0, largest)]) for _ in range(2))
            en, clear = rng.random() < 0.8, n % TAPS == 0
            ctx.set(dut.pixel, x)
            ctx.set(dut.weight, largest - w if complement else w)
            ctx.set(dut.en, en)
            ctx.set(dut.clear, clear)
            await ctx.tick()
            total = 0 if clear else total + en * term(pe, x, w)
            assert ctx.get(dut.sum) == total

    simulate(dut, bench)


@pytest.mark.parametrize("make", [BarePE, lambda *args: BareLane(*args, weight_words=8)])
def test_there_are_two_pes(make):
    with pytest.raises(ValueError, match=re.escape("pe must be 'mac' or 'l1', not 'div'")):
        make("div", 8, TAPS)


def test_only_the_l1_pe_takes_complements():
    with pytest.raises(ValueError, match="complement must go with pe='l1'"):
        BarePE("mac", 8, TAPS, complement=True)


def test_a_cleared_read_gives_0():
    dut = ClearedRam(8, 4)

    async def bench(ctx):
        ctx.set(dut.w_en, 1)
        for at in range(4):
            ctx.set(dut.w_addr, at)
            ctx.set(dut.w_data, 10 + at)
            await ctx.tick()
        ctx.set(dut.w_en, 0)
        for at, clear in [(2, 0), (3, 1), (0, 0)]:
            ctx.set(dut.r_addr, at)
            ctx.set(dut.r_clear, clear)
            await ctx.tick()
            assert ctx.get(dut.r_data) == (0 if clear else 10 + at)

    simulate(dut, bench)


def program(rng, pe, bits, slots, rows):
    """Random steps: visits of accumulators, often the same again, and sums taken off.

    Yields for each step its fields, and for a sum that is taken its row and value as a function of
    the weights.
    """
    sums, before, steps = {}, None, []
    for _ in range(150):
        slot = before if before is not None and rng.random() < 0.5 else rng.randrange(slots)
        if slot in sums and rng.random() < 0.2:
            row = rng.randrange(rows)
            steps.append(
                {"slot": slot, "take": 1 << row, "forward": before == slot, "sum": sums[slot]}
            )
            before = None
            continue
        fresh = slot not in sums or len(sums[slot]) == TAPS
        # A multiplying lane's pixels have their zero point subtracted.
        lowest = 1 - (1 << bits) if pe == "mac" else 0
        pair = rng.randint(lowest, (1 << bits) - 1), rng.randrange(WORDS)
        sums[slot] = [*([] if fresh else sums[slot]), pair]
        steps.append(
            {
                "slot": slot,
                "pixel": pair[0],
                "address": pair[1],
                "visit": 1,
                "fresh": fresh,
                "forward": before == slot and not fresh,
            }
        )
        before = slot
    return steps


def weights_of(rng, pe, bits, lanes):
    half = 1 << bits - 1
    span = (-half, half - 1) if pe == "mac" else (0, 2 * half - 1)
    return [[rng.randint(*span) for _ in range(WORDS)] for _ in range(lanes)]


def finished(pe, pairs, weights, bits):
    value = sum(term(pe, x, weights[address]) for x, address in pairs)
    return value % (1 << bits)


@pytest.mark.parametrize("carry_mux", [False, True])
@pytest.mark.parametrize("pe", ["mac", "l1"])
def test_an_array_sums_up_in_every_lane(pe, carry_mux):
    lanes, rows, bits = 3, 2, 4
    dut = BareArray(pe, bits, TAPS, lanes=lanes, weight_words=WORDS, rows=rows, carry_mux=carry_mux)
    rng = random.Random(5)
    weights = weights_of(rng, pe, bits, lanes)

    async def bench(ctx):
        for lane, values in enumerate(weights):
            ctx.set(dut.weight_en, 1 << lane)
            for address, value in enumerate(values):
                ctx.set(dut.weight_address, address)
                ctx.set(dut.weight_data, value % (1 << bits))
                await ctx.tick()
        ctx.set(dut.weight_en, 0)
        idle = dict.fromkeys(("address", "pixel", "slot", "visit", "fresh", "forward", "take"), 0)
        for step in program(rng, pe, bits, 5, rows):
            pairs = step.pop("sum", None)
            ctx.set(dut.step, {**idle, **step})
            await ctx.tick()
            if pairs is None:
                continue
            ctx.set(dut.step, idle)
            await ctx.tick().repeat(3)
            for values in weights:
                acc_bits = dut.heads[0].shape().width
                row = step["take"].bit_length() - 1
                assert ctx.get(dut.heads[row]) == finished(pe, pairs, values, acc_bits)
                ctx.set(dut.shift, step["take"])
                await ctx.tick()
                ctx.set(dut.shift, 0)

    simulate(dut, bench)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("pe", ["mac", "l1"])
def test_a_lane_with_its_own_accumulators(pe, rows):
    """Steps without a break; each signal comes as late as its name says."""
    bits = 4
    dut = BareLane(pe, bits, TAPS, weight_words=WORDS, acc_words=8, rows=rows)
    rng = random.Random(6)
    (weights,) = weights_of(rng, pe, bits, 1)
    steps = program(rng, pe, bits, 8, rows)

    async def bench(ctx):
        ctx.set(dut.weight_en, 1)
        for address, value in enumerate(weights):
            ctx.set(dut.weight_address, address)
            ctx.set(dut.weight_data, value % (1 << bits))
            await ctx.tick()
        ctx.set(dut.weight_en, 0)
        for cycle in range(len(steps) + 3):
            now, before, earlier, latest = (
                steps[cycle - late] if 0 <= cycle - late < len(steps) else {} for late in range(4)
            )
            ctx.set(dut.address, now.get("address", 0))
            ctx.set(dut.pixel, now.get("pixel", 0))
            ctx.set(dut.slot_1, before.get("slot", 0))
            ctx.set(dut.fresh_1, before.get("fresh", 0))
            for name in ("slot", "visit", "forward", "take"):
                ctx.set(getattr(dut, f"{name}_2"), earlier.get(name, 0))
            if "sum" in latest:
                value = ctx.get(dut.shadow[latest["take"].bit_length() - 1])
                assert value == finished(pe, latest["sum"], weights, dut.acc_bits)
            await ctx.tick()

    simulate(dut, bench)


#: Yosys proves that both adders give the same for every operand.
