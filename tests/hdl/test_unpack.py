"""The intake's byte buffer and expander, each by itself."""

import random

import numpy as np
import pytest
from amaranth.back import rtlil

from golden.params import preset
from hdl.unpack import Expander, Unpacker
from tests.hdl.harness import PATTERNS, activity, plain, put, simulate

BUILDS = {
    build.name: build
    for build in (
        preset("tiny"),
        preset("tiny8"),
        preset("nullhop"),
        preset("tiny").replace(name="wide", word_pixels=16),
    )
}


def segment_beats(segment: bytes, lengths: list[int]) -> list[dict[str, int]]:
    """Bus words of a segment, of such lengths in turn."""
    beats, at = [], 0
    while at < len(segment):
        piece = segment[at : at + lengths[len(beats) % len(lengths)]]
        at += len(piece)
        word = int.from_bytes(piece, "little")
        beats.append({"data": word, "bytes": len(piece), "last": at == len(segment)})
    return beats


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("name", BUILDS)
def test_pieces_of_any_length_come_out_whole(name, idle, stall):
    build = BUILDS[name]
    size = build.act_bytes
    generator = random.Random(f"{name} {idle} {stall}")
    segments = [generator.randbytes(size * generator.randint(1, 90)) for _ in range(4)]
    beats = [
        beat
        for segment, lengths in zip(segments, ([8], [8], [2, 8, 6], [4]), strict=True)
        for beat in segment_beats(segment, lengths)
    ]
    dut = Unpacker(build)

    async def producer(ctx):
        await put(ctx, dut.i, beats, idle, seed=1)

    async def consumer(ctx):
        active = activity(stall, 2)
        ctx.set(dut.accept, 1)
        for segment in segments:
            given = b""
            while len(given) < len(segment):
                most = min(build.step_pixels, (len(segment) - len(given)) // size)
                need = generator.randint(0, most)
                ctx.set(dut.need, need)
                while not (ctx.get(dut.complete) and next(active)):
                    await ctx.tick()
                piece = ctx.get(dut.peek).to_bytes(build.step_pixels * size, "little")
                given += piece[: need * size]
                ctx.set(dut.take, 1)
                await ctx.tick()
                ctx.set(dut.take, 0)
            assert given == segment
            assert ctx.get(dut.empty)
            assert ctx.get(dut.ended)
            assert not ctx.get(dut.torn)
            assert not ctx.get(dut.i.ready)
            ctx.set(dut.reopen, 1)
            await ctx.tick()
            ctx.set(dut.reopen, 0)
            assert not ctx.get(dut.ended)

    simulate(dut, producer, consumer)


def test_a_bus_word_is_there_one_cycle_later_and_leaves_room_for_one_more():
    dut = Unpacker(preset("tiny"))

    async def bench(ctx):
        ctx.set(dut.i.payload, {"data": 0x4444333322221111, "bytes": 8, "last": 0})
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.need, 4)
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.accept, 1)
        assert ctx.get(dut.i.ready)
        assert not ctx.get(dut.complete)
        await ctx.tick()
        assert ctx.get(dut.complete)
        assert ctx.get(dut.peek) == 0x4444333322221111
        await ctx.tick()
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.take, 1)
        assert not ctx.get(dut.i.ready)
        await ctx.tick()
        assert ctx.get(dut.i.ready)
        assert ctx.get(dut.complete)

    simulate(dut, bench)


@pytest.mark.parametrize(("name", "length"), [("tiny", 3), ("tiny", 0), ("tiny8", 0), ("tiny8", 9)])
def test_a_bus_word_of_impossible_length_tears_the_segment(name, length):
    dut = Unpacker(preset(name))

    async def bench(ctx):
        ctx.set(dut.accept, 1)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, {"data": 0, "bytes": 4, "last": 0})
        await ctx.tick()
        assert not ctx.get(dut.ended)
        ctx.set(dut.i.payload, {"data": 0, "bytes": length, "last": 0})
        await ctx.tick()
        assert ctx.get(dut.ended)
        assert ctx.get(dut.torn)
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.need, 4 // preset(name).act_bytes)
        assert ctx.get(dut.complete)
        ctx.set(dut.take, 1)
        await ctx.tick()
        ctx.set(dut.take, 0)
        assert ctx.get(dut.empty)

    simulate(dut, bench)


@pytest.mark.parametrize("name", BUILDS)
def test_values_go_to_the_pixels_of_their_mask(name):
    build = BUILDS[name]
    pixels = build.step_pixels
    dut = Expander(build)
    rng = np.random.default_rng(1)
    masks = [0, (1 << pixels) - 1, *rng.integers(0, 1 << pixels, 100).tolist()]

    async def bench(ctx):
        for mask in masks:
            values = rng.integers(0, 1 << build.act_bits, pixels).tolist()
            zero = values[0]
            packed = sum(v << i * build.act_bits for i, v in enumerate(values))
            ctx.set(dut.next_mask, mask)
            assert ctx.get(dut.count) == mask.bit_count()
            ctx.set(dut.load, 1)
            await ctx.tick()
            # Not loaded, so without consequence.
            ctx.set(dut.load, 0)
            ctx.set(dut.next_mask, ~mask)
            await ctx.tick()
            ctx.set(dut.packed, packed)
            ctx.set(dut.zero, zero)
            for dense in (0, 1):
                ctx.set(dut.dense, dense)
                word = plain(ctx.get(dut.piece))
                queue = iter(values)
                wanted = {i: next(queue) for i in range(pixels) if mask >> i & 1}
                if dense:
                    wanted = {i: v for i, v in wanted.items() if v != zero}
                assert word["mask"] == sum(1 << i for i in wanted)
                assert {i: word["values"][i] for i in wanted} == wanted

    simulate(dut, bench)


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("block", [Unpacker, Expander])
def test_converts_to_rtlil(block, name):
    assert "module" in rtlil.convert(block(BUILDS[name]))
