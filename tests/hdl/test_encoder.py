"""The encoder against golden's segments: bytes, order, and the cycle of every word."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.params import Build, ceil_div, preset
from golden.segment import encode_sparse
from hdl.encoder import Encoder
from tests.hdl.harness import PATTERNS, activity, expect_silence, get, recorder, simulate

TINY, TINY8, NULLHOP = preset("tiny"), preset("tiny8"), preset("nullhop")
#: Whole packets of 16 channels, in several chunks and in one; large builds take long to simulate.
WIDE = TINY.replace(name="wide", lanes_per_cluster=8, drain=4)
WHOLE = TINY.replace(name="whole", lanes_per_cluster=16, drain=16)


@dataclass
class Traffic:
    """What an encoder takes, and what it must make of it, packet by packet."""

    chunks: list[dict]
    #: Per packet: index of its last chunk, and the words that it completes.
    packets: list[tuple[int, list[dict]]]

    @property
    def firsts(self) -> list[int]:
        """Index of each packet's first chunk."""
        return [0, *(last + 1 for last, _ in self.packets[:-1])]

    @property
    def beats(self) -> list[dict]:
        return [beat for _, beats in self.packets for beat in beats]


def traffic(
    build: Build,
    *,
    channels: int,
    sent: int | None = None,
    columns: int = 4,
    segments: int = 2,
    density: float = 0.5,
    zero_point: int = 0,
    seed: int = 0,
) -> Traffic:
    """Random segments of every context of a build, their columns in random order.

    Of `sent` channels of a column, `channels` are real.
    """
    rng = np.random.default_rng(seed)
    contexts = 2 * build.clusters
    dtype = np.dtype(f"u{build.act_bytes}")
    sent = sent or ceil_div(channels, build.drain) * build.drain
    out = Traffic([], [])

    turns = rng.permutation(np.repeat(np.arange(contexts), columns * segments)).tolist()
    shape = contexts, segments, columns, sent
    values = rng.integers(0, 1 << build.act_bits, shape).astype(dtype)
    values[rng.random(shape) >= density] = zero_point
    done = [0] * contexts  # columns
    sizes = [0] * contexts  # bytes of the current segment

    for context in turns:
        segment, column = divmod(done[context], columns)
        done[context] += 1
        line = values[context, segment]
        data, _ = encode_sparse(line[None, :, :channels], zero_point)
        for first in range(0, sent, 16):
            group = line[column, first : min(first + 16, sent)].tolist()
            closes = column == columns - 1 and first + 16 >= sent
            for n in range(0, len(group), build.drain):
                left = max(0, channels - first - n)
                out.chunks.append(
                    {
                        "values": group[n : n + build.drain],
                        "real": (1 << min(left, build.drain)) - 1,
                        "context": context,
                        "packet_end": n + build.drain >= len(group),
                        "segment_end": closes and n + build.drain >= len(group),
                    }
                )
            real = group[: max(0, channels - first)]
            start = sizes[context]
            end = start + 2 + build.act_bytes * sum(value != zero_point for value in real)
            beats = [
                beat(data[place : place + 8], closes and place + 8 >= end, context, end)
                for place in range(start // 8 * 8, end if closes else end // 8 * 8, 8)
            ]
            out.packets.append((len(out.chunks) - 1, beats))
            sizes[context] = 0 if closes else end
    return out


def beat(data: np.ndarray, last: bool, context: int, length: int) -> dict:
    return {
        "data": int.from_bytes(data.tobytes(), "little"),
        "bytes": len(data),
        "last": int(last),
        "context": context,
        "length": length if last else 0,
    }


def check(build: Build, made: Traffic, zero_point: int, idle: str, stall: str) -> list[int]:
    """Simulate; compare words and, if `o` never stalls, cycles. Returns the chunks' cycles.

    A packet begins only when there is room for it.
    """
    dut = Encoder(build)
    taken, given_out, returns = [], [], []

    async def producer(ctx):
        ctx.set(dut.config, {"out_zero": zero_point})
        assert ctx.get(dut.idle)
        active, firsts = activity(idle, 1), set(made.firsts)
        room = build.output_packets
        waiting = deque(enumerate(made.chunks))
        returns.clear()
        cycle = 0
        while len(returns) < len(made.packets):
            opens = bool(waiting) and waiting[0][0] in firsts
            send = bool(waiting) and (room > 0 or not opens) and next(active)
            if send:
                ctx.set(dut.i.payload, waiting.popleft()[1])
            ctx.set(dut.i.valid, send)
            _, _, ready, returned = await ctx.tick().sample(dut.i.ready, dut.returned)
            assert ready
            room += returned - (send and opens)
            returns.extend([cycle] * returned)
            cycle += 1
        assert not waiting
        assert room == build.output_packets

    async def consumer(ctx):
        assert await get(ctx, dut.o, len(made.beats), stall, seed=2) == made.beats
        assert ctx.get(dut.idle)
        await expect_silence(ctx, dut.o)
        assert ctx.get(dut.idle)

    async def not_idle(ctx):
        while True:
            _, _, busy = await ctx.tick().sample(dut.o.valid & dut.idle)
            assert not busy

    monitors = [recorder(dut.i, taken), recorder(dut.o, given_out), not_idle]
    simulate(dut, producer, consumer, monitors=monitors)
    if stall == "none":
        cycles, frees, free = [], [], 0
        for last_chunk, beats in made.packets:
            start = max(taken[last_chunk][0] + build.encoder_latency, free)
            free = start + max(1, len(beats))
            frees.append(free)
            cycles += range(start + 1, start + 1 + len(beats))
        assert [cycle for cycle, _ in given_out] == cycles
        assert returns == frees  # the writer's last cycle was the one before
    return [cycle for cycle, _ in taken]


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("build", [TINY, TINY8, preset("up5k"), WIDE, WHOLE], ids=lambda b: b.name)
def test_segments(build, idle, stall):
    channels = 7 if build.lanes < 16 else 23
    columns = 4 if build.lanes < 16 else 2
    made = traffic(build, channels=channels, columns=columns, zero_point=5, density=0.6, seed=3)
    check(build, made, 5, idle, stall)


@pytest.mark.parametrize("channels", range(1, 17))
@pytest.mark.parametrize("act_bits", [8, 16])
def test_packets_of_every_size(act_bits, channels):
    build = TINY.replace(lanes_per_cluster=8, act_bits=act_bits)
    made = traffic(build, channels=channels, columns=6, density=0.7, seed=channels)
    check(build, made, 0, "none", "none")


@settings(max_examples=max(3, settings.default.max_examples // 16))
@given(data=st.data())
def test_segments_of_every_shape(data):
    build = data.draw(st.sampled_from([TINY, TINY8, preset("up5k"), WIDE, WHOLE]))
    zero_point = data.draw(st.sampled_from([0, 5, (1 << build.act_bits) - 1]))
    channels = data.draw(st.integers(1, min(40, build.lanes)))
    whole = ceil_div(channels, build.lanes_per_cluster) * build.lanes_per_cluster
    made = traffic(
        build,
        channels=channels,
        sent=data.draw(st.sampled_from([None, whole])),
        columns=data.draw(st.integers(1, 3)),
        segments=data.draw(st.integers(1, 2)),
        density=data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        zero_point=zero_point,
        seed=data.draw(st.integers(0, 1000)),
    )
    idle, stall = (data.draw(st.sampled_from(PATTERNS)) for _ in range(2))
    check(build, made, zero_point, idle, stall)


@pytest.mark.parametrize("build", [TINY, WIDE, WHOLE], ids=lambda build: build.name)
def test_packets_without_values(build):
    """Most complete no word, and take a cycle of the writer all the same."""
    made = traffic(build, channels=build.lanes_per_cluster, columns=9, density=0.0)
    assert sum(not beats for _, beats in made.packets) > len(made.packets) // 2
    check(build, made, 0, "none", "none")


@pytest.mark.parametrize("build", [TINY, TINY8, WIDE, WHOLE], ids=lambda build: build.name)
def test_as_many_packets_as_it_promises_find_room(build):
    """They come without a gap while no word can leave; none is returned, and none is lost."""
    channels = min(16, build.lanes)
    full = traffic(build, channels=channels, columns=12, segments=1, density=1.0)
    assert len(full.packets) > build.output_packets
    full.packets = full.packets[: build.output_packets]
    full.chunks = full.chunks[: full.packets[-1][0] + 1]
    dut = Encoder(build)

    async def testbench(ctx):
        for chunk in full.chunks:
            ctx.set(dut.i.payload, chunk)
            ctx.set(dut.i.valid, 1)
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            assert ready
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(20)
        assert await get(ctx, dut.o, len(full.beats)) == full.beats
        await expect_silence(ctx, dut.o)

    simulate(dut, testbench)


def test_words_leave_in_every_cycle():
    """Packets as large as can be, as fast as the drain sends them at its widest."""
    made = traffic(NULLHOP, channels=64, columns=1, density=1.0)
    cycles = check(NULLHOP, made, 0, "none", "none")
    assert len(made.beats) > 2 * len(made.chunks)
    # The writer is what limits: chunks wait for room.
    assert cycles[-1] - cycles[0] > len(made.chunks)
