"""The requantiser against golden: every rounding and width, its stream, its two banks."""

import numpy as np
import pytest
from amaranth.back import rtlil

from golden.descriptor import REQUANT_SCALE, REQUANT_SHIFT, ROUND_FLOOR, ROUND_HALF_EVEN
from golden.formats import Rounding
from golden.params import PRESETS, Build, preset
from golden.requant import Scale, Shift
from hdl.requant import BIAS_LATENCY, Requantiser, RequantLane, ShiftPath
from hdl.scale import ScalePath
from tests.hdl.harness import PATTERNS, activity, expect_silence, get, recorder, simulate

TINY = preset("tiny")
WIDE = {"out_zero": 0, "clamp_low": -(1 << 15), "clamp_high": (1 << 15) - 1}
SCALE = {"requant": REQUANT_SCALE, **WIDE}
EVERY_WIDTH = range(24, 49)
SOME_WIDTHS = (24, 25, 32, 33, 40, 47, 48)

Case = tuple[dict, np.ndarray, np.ndarray]


def shifted(shift: int, rounding: int) -> dict:
    return {"requant": REQUANT_SHIFT, "shift": shift, "rounding": rounding, **WIDE}


def golden(config: dict, sums: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Values, as numbers; `scales` are float32 and go with the sums."""
    if config["requant"] == REQUANT_SCALE:
        rule = Scale(scales)
    else:
        rule = Shift(config["shift"], Rounding(config["rounding"]))
    return rule.apply(sums, config["out_zero"], config["clamp_low"], config["clamp_high"])


def check_lane(build: Build, cases: list[Case]) -> None:
    """Run sums through a lane, configuration by configuration, one per cycle."""
    dut = RequantLane(build)
    latency = build.requant_latency - BIAS_LATENCY

    async def testbench(ctx):
        for config, sums, scales in cases:
            ctx.set(dut.config, config)
            bits = scales.view(np.uint32).tolist()
            values = []
            for cycle in range(len(sums) + latency):
                if cycle >= latency:
                    values.append(ctx.get(dut.value))
                if cycle < len(sums):
                    ctx.set(dut.sum, sums[cycle].item())
                late = cycle - ScalePath.SCALE_LATE
                if "scale" in build.requant and 0 <= late < len(sums):
                    ctx.set(dut.scale, bits[late])
                await ctx.tick()
            wanted = golden(config, sums, scales) & (1 << build.act_bits) - 1
            (wrong,) = np.nonzero(values != wanted)
            assert wrong.size == 0, [
                (config, sums[n], scales[n], values[n], wanted[n]) for n in wrong[:3]
            ]

    simulate(dut, testbench)


def unit(sums: np.ndarray) -> np.ndarray:
    return np.ones(len(sums), np.float32)


def random_sums(rng: np.random.Generator, acc_bits: int, count: int) -> np.ndarray:
    """Sums of every magnitude, both signs, the limits among them."""
    magnitude = rng.integers(0, 1 << 62, count) >> rng.integers(63 - acc_bits, 62, count)
    sums = np.where(rng.random(count) < 0.5, magnitude, -magnitude)
    sums[:4] = [0, -1, -(1 << acc_bits - 1), (1 << acc_bits - 1) - 1]
    return sums


def float_corners(acc_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums around the ties of their rounding to float32, and scales that make these matter.

    A significand just at a tie rounds to one that the scale makes a tie again.
    """
    sums, scales = [0], [1.0]
    for place in {place for place in (1, 2, 5, acc_bits - 25) if 0 < place <= acc_bits - 25}:
        for odd in (1, 3, 5, 0x5555, 0x5557, 0x7FFD, 0x7FFF):
            significand = odd << 24 - odd.bit_length()
            for tie in (-1, 1):
                for around in (-1, 0, 1):
                    half = (significand << place) + tie * (1 << place - 1) + around
                    sums += [half, -half]
                    scales += [odd / (significand << place + 1)] * 2
        full = ((1 << 24) - 1 << place) + (1 << place - 1)  # rounds to a power of two
        sums += [full, full - 1, -full]
        scales += [3 / (1 << place + 25)] * 3
    return np.array(sums), np.array(scales, np.float32)


def near_ties(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and scales whose exact product lies so close to a tie that float32 takes it for one."""
    sums, scales = [], []
    while len(sums) < count:
        value = int(rng.integers(1, 1 << int(rng.integers(1, 24))))
        odd = 2 * int(rng.integers(0, 1 << 14)) + 1
        place = 24 + value.bit_length() - odd.bit_length()
        factor = (odd << place) // value
        while factor >= 1 << 24:
            place -= 1
            factor = (odd << place) // value
        factor += int(rng.integers(2))
        sums.append(value if rng.random() < 0.5 else -value)
        scales.append(factor * 2.0 ** (-place - 1))
    return np.array(sums), np.array(scales).astype(np.float32)


@pytest.mark.parametrize("acc_bits", EVERY_WIDTH)
def test_scale_in_every_width(acc_bits):
    rng = np.random.default_rng(acc_bits)
    sums = random_sums(rng, acc_bits, 100)
    size = 2.0 ** rng.uniform(-4, 18, len(sums)) / np.maximum(np.abs(sums), 1)
    halves = np.float32(2) ** -rng.integers(0, acc_bits, len(sums)).astype(np.float32)
    cases = [
        (SCALE, *float_corners(acc_bits)),
        (SCALE, sums, size.astype(np.float32)),
        (SCALE, sums, halves),
    ]
    check_lane(TINY.replace(acc_bits=acc_bits), cases)


@pytest.mark.parametrize("requant", [("shift", "scale"), ("shift",)], ids=["with_scale", "alone"])
@pytest.mark.parametrize("acc_bits", SOME_WIDTHS)
def test_every_shift(acc_bits, requant):
    rng = np.random.default_rng(acc_bits)
    cases = []
    for shift in range(acc_bits):
        room = 1 << min(acc_bits - shift - 1, 17)
        quotients = np.array([-room, -2, -1, 0, 1, room - 1, rng.integers(-room, room)])
        quotients = np.clip(quotients, -room, room - 1)
        fractions = np.array([0, 1, (1 << shift) // 2 - 1, (1 << shift) // 2, (1 << shift) - 1])
        sums = ((quotients << shift)[:, None] + fractions % (1 << shift)).ravel()
        cases.append((shifted(shift, shift % 2), sums, unit(sums)))
    # The other rounding of a few shifts, and sums of any size.
    sums = random_sums(rng, acc_bits, 20)
    cases += [
        (shifted(shift, rounding), sums, unit(sums))
        for shift in (0, 1, 2, 11, acc_bits - 1, acc_bits, 63)
        for rounding in (ROUND_FLOOR, ROUND_HALF_EVEN)
    ]
    check_lane(TINY.replace(acc_bits=acc_bits, requant=requant), cases)


@pytest.mark.parametrize("requant", [("shift", "scale"), ("shift",)], ids=["with_scale", "alone"])
@pytest.mark.parametrize("rounding", [ROUND_FLOOR, ROUND_HALF_EVEN], ids=["floor", "half_even"])
def test_small_sums_exhaustively(rounding, requant):
    sums = np.arange(-70, 71)
    cases = [(shifted(shift, rounding), sums, unit(sums)) for shift in range(8)]
    check_lane(TINY.replace(requant=requant), cases)


def test_the_product_is_rounded_twice():
    rng = np.random.default_rng(1)
    sums, scales = near_ties(rng, 1500)
    once = np.rint(sums * scales.astype(np.float64))  # exact: 24 x 24 bits
    assert np.count_nonzero(golden(SCALE, sums, scales) != once) > 100
    check_lane(TINY, [(SCALE, sums, scales)])


def test_scales_of_every_size():
    """From the smallest normal number to the largest; products from zero to infinity."""
    rng = np.random.default_rng(2)
    sums = random_sums(rng, 48, 800)
    scales = rng.integers(1 << 23, 255 << 23, len(sums)).astype(np.uint32).view(np.float32)
    powers = np.float32(2) ** rng.integers(-126, 128, len(sums)).astype(np.float32)
    edges = np.array([2.0**-126, np.finfo(np.float32).max], np.float32)
    few = np.array([0, 1, -1, -(1 << 47), (1 << 47) - 1])
    cases = [(SCALE, sums, scales), (SCALE, sums, powers)]
    cases += [(SCALE, few, np.full(len(few), edge)) for edge in edges]
    check_lane(TINY.replace(acc_bits=48), cases)


@pytest.mark.parametrize("build", [TINY, preset("tiny8"), preset("up5k")], ids=lambda b: b.name)
def test_zero_points_and_limits(build):
    rng = np.random.default_rng(3)
    most = (1 << build.act_bits) - 1
    signed = {"clamp_low": -(most + 1) // 2, "clamp_high": most // 2}
    unsigned = {"clamp_low": 0, "clamp_high": most}
    cases = []
    fields = {"clamp_low": -(1 << 16), "clamp_high": (1 << 16) - 1}  # all that they can say
    for limits in (signed, unsigned, fields, {"clamp_low": 3, "clamp_high": 9}):
        for out_zero in (limits["clamp_low"], limits["clamp_high"], 7):
            config = limits | {"out_zero": out_zero, "shift": 3, "rounding": ROUND_HALF_EVEN}
            sums = random_sums(rng, build.acc_bits, 150)
            near = (
                rng.uniform(1.2 * fields["clamp_low"], 1.2 * fields["clamp_high"], 150) - out_zero
            )
            scales = np.abs(near / np.where(sums == 0, 1, sums)).astype(np.float32)
            kinds = (REQUANT_SHIFT, REQUANT_SCALE)[: len(build.requant)]
            cases += [(config | {"requant": kind}, sums, scales) for kind in kinds]
    check_lane(build, cases)


def chunks(build: Build, biases: np.ndarray, count: int, seed: int) -> list[dict]:
    """Sums that with their biases are mostly small, or as far out as both have room for."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << build.acc_bits - 1), (1 << build.acc_bits - 1) - 1
    channels = build.drain * rng.integers(build.lanes // build.drain, size=count)
    of_chunks = biases[channels[:, None] + np.arange(build.drain)]
    totals = rng.integers(-(1 << 20), 1 << 20, of_chunks.shape)
    totals = np.where(rng.random(totals.shape) < 0.2, rng.choice([low, high], totals.shape), totals)
    sums = np.clip(totals - of_chunks, low, high)
    assert (low <= sums + of_chunks).all()
    assert (sums + of_chunks <= high).all()
    return [
        {
            "sums": line,
            "real": int(rng.integers(1 << build.drain)),
            "channel": channel,
            "context": int(rng.integers(16)),
            "packet_end": int(rng.integers(2)),
            "segment_end": int(rng.integers(2)),
        }
        for line, channel in zip(sums.tolist(), channels.tolist(), strict=True)
    ]


async def put_chunks(ctx, dut: Requantiser, items: list[dict], idle: str, seed: int) -> None:
    """Send chunks; the channel of each stands in the cycle before it, and no longer."""
    active = activity(idle, seed)
    turns: list[dict | None] = []
    for item in items:
        while not next(active):
            turns.append(None)
        turns.append(item)
    for now, coming in zip([None, *turns], [*turns, None], strict=True):
        ctx.set(dut.i.valid, now is not None)
        if now:
            ctx.set(dut.i.payload, {k: v for k, v in now.items() if k != "channel"})
        ctx.set(dut.channel, coming["channel"] if coming else 255)
        await ctx.tick()
    ctx.set(dut.i.valid, 0)


def some_biases(build: Build, rng: np.random.Generator) -> np.ndarray:
    """One of each channel, both limits among them."""
    low, high = -(1 << build.acc_bits - 1), (1 << build.acc_bits - 1) - 1
    biases = rng.integers(low, high, build.lanes, endpoint=True)
    biases[:2] = low, high
    return rng.permutation(biases)


def check_stream(build: Build, requant: int, idle: str, bank: int = 0) -> None:
    """Compare values and cycles; meanwhile the parameters of the bank not in use are written over.

    They are written in any order, of every channel both.
    """
    dut = Requantiser(build)
    rng = np.random.default_rng(4)
    biases = some_biases(build, rng)
    scales = rng.uniform(2**-14, 2**-13, build.lanes).astype(np.float32)
    most = (1 << build.act_bits) - 1
    config = {"clamp_low": 0, "clamp_high": most, "out_zero": 37, "shift": 12, "requant": requant}
    config["rounding"] = ROUND_HALF_EVEN
    items = chunks(build, biases, 120, seed=5)
    wanted = []
    for item in items:
        of_chunk = slice(item["channel"], item["channel"] + build.drain)
        sums = np.array(item["sums"]) + biases[of_chunk]
        values = golden(config, sums, scales[of_chunk]).tolist()
        wanted.append({"values": values} | {k: item[k] for k in item if k != "sums"})
        del wanted[-1]["channel"]
    taken, left = [], []

    async def producer(ctx):
        ctx.set(dut.config, config)
        ctx.set(dut.bank, bank)
        await write(ctx, bank, biases, scales)
        await put_chunks(ctx, dut, items, idle, seed=6)

    async def write(ctx, bank: int, biases: np.ndarray, scales: np.ndarray):
        ctx.set(dut.parameter_bank, bank)
        words = biases.view(np.uint64).tolist(), scales.view(np.uint32).tolist()
        for n in rng.permutation(2 * build.lanes).tolist():
            kind, channel = divmod(n, build.lanes)
            ctx.set(dut.bias_en, kind == 0)
            ctx.set(dut.scale_en, kind == 1)
            ctx.set(dut.parameter_channel, channel)
            ctx.set(dut.parameter, words[kind][channel])
            await ctx.tick()
        ctx.set(dut.bias_en, 0)
        ctx.set(dut.scale_en, 0)

    async def meddler(ctx):
        """Write other parameters, of the pass that comes next, again and again."""
        await ctx.tick().until(dut.i.valid)
        while True:
            await write(ctx, 1 - bank, some_biases(build, rng), np.full_like(scales, 3))

    async def consumer(ctx):
        assert await get(ctx, dut.o, len(wanted)) == wanted
        await expect_silence(ctx, dut.o)

    monitors = [recorder(dut.i, taken), recorder(dut.o, left), meddler]
    simulate(dut, producer, consumer, monitors=monitors)
    entered = [cycle for cycle, _ in taken]
    assert [cycle for cycle, _ in left] == [cycle + build.requant_latency for cycle in entered]
    if idle == "none":
        assert entered == list(range(entered[0], entered[0] + len(items)))


@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("requant", [REQUANT_SHIFT, REQUANT_SCALE], ids=["shift", "scale"])
@pytest.mark.parametrize("name", ["tiny", "tiny8"])
def test_stream(name, requant, idle):
    check_stream(preset(name), requant, idle)


@pytest.mark.parametrize("bank", [0, 1])
@pytest.mark.parametrize("requant", [REQUANT_SHIFT, REQUANT_SCALE], ids=["shift", "scale"])
@pytest.mark.parametrize("acc_bits", SOME_WIDTHS)
def test_biases_of_every_width_in_either_bank(acc_bits, requant, bank):
    """With shifts, in a build without scales."""
    kinds = ("shift", "scale") if requant == REQUANT_SCALE else ("shift",)
    check_stream(TINY.replace(acc_bits=acc_bits, requant=kinds), requant, "none", bank)


@pytest.mark.parametrize("idle", PATTERNS)
def test_stream_without_scales(idle):
    check_stream(preset("up5k"), REQUANT_SHIFT, idle)


@pytest.mark.parametrize(
    "build",
    [
        preset("nullhop"),
        preset("tiny8").replace(lanes_per_cluster=16, drain=4),
        TINY.replace(clusters=1, lanes_per_cluster=2, drain=2),
    ],
    ids=["nullhop", "drain_4", "two_lanes"],
)
def test_stream_of_other_builds(build):
    check_stream(build, REQUANT_SCALE, "random")
    check_stream(build, REQUANT_SCALE, "none")


@pytest.mark.parametrize("build", PRESETS.values(), ids=lambda build: build.name)
def test_converts(build):
    assert rtlil.convert(Requantiser(build))
    assert rtlil.convert(RequantLane(build))
    assert rtlil.convert(ShiftPath(build))
    assert rtlil.convert(ScalePath(build))
