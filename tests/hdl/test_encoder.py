"""The encoder against golden's segments: bytes, order, and the cycle of every word."""

from dataclasses import dataclass

import numpy as np
import pytest

from golden.params import Build, ceil_div, preset
from golden.segment import encode_sparse
from hdl.encoder import Encoder
from tests.hdl.harness import PATTERNS, expect_silence, get, put, recorder, simulate

TINY, TINY8, NULLHOP = preset("tiny"), preset("tiny8"), preset("nullhop")


@dataclass
class Traffic:
    """What an encoder takes, and what it must make of it, packet by packet."""

    chunks: list[dict]
    #: Per packet: index of its last chunk, and the words that it completes.
    packets: list[tuple[int, list[dict]]]

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
    """Simulate; compare words and, if `o` never stalls, cycles. Returns the chunks' cycles."""
    dut = Encoder(build)
    taken, given_out = [], []

    async def producer(ctx):
        ctx.set(dut.config, {"out_zero": zero_point})
        assert ctx.get(dut.idle)
        await put(ctx, dut.i, made.chunks, idle, seed=1)

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
        cycles, free = [], 0
        for last_chunk, beats in made.packets:
            start = max(taken[last_chunk][0] + build.encoder_latency, free)
            free = start + max(1, len(beats))
            cycles += range(start + 1, start + 1 + len(beats))
        assert [cycle for cycle, _ in given_out] == cycles
    return [cycle for cycle, _ in taken]


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("build", [TINY, TINY8, preset("up5k"), NULLHOP], ids=lambda b: b.name)
def test_segments(build, idle, stall):
    channels = 7 if build.lanes < 16 else 23
    made = traffic(build, channels=channels, zero_point=5, density=0.6, seed=3)
    check(build, made, 5, idle, stall)


@pytest.mark.parametrize("channels", range(1, 17))
@pytest.mark.parametrize("act_bits", [8, 16])
def test_packets_of_every_size(act_bits, channels):
    build = TINY.replace(lanes_per_cluster=8, act_bits=act_bits)
    made = traffic(build, channels=channels, columns=6, density=0.7, seed=channels)
    check(build, made, 0, "none", "none")
