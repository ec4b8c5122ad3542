"""The itinerary against golden's order of scans; `test_fetcher` holds it to the cycle."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.itinerary import ALL_LOADS, NO_ROW, Itinerary
from tests.golden.scanning import words_in
from tests.hdl.harness import activity, plain, simulate
from tests.hdl.stripes import Share, shares, tiled
from tests.layers import BUILDS, cluster_config, pass_config

#: Cycles from `arm` to `ready`, where everything is there and no row is to be sought.
AT_ONCE = 3


def start_of(share: Share, index: int) -> dict[str, int]:
    """What a scan begins with."""
    d, work, scan = share.d, share.work, share.scans[index]
    rows, words = share.rows(scan), words_in(d, work, scan.tile)
    tag = share.tag(scan, share.words(scan)[0])
    slot = rows.start % d.ring_rows
    bank = rows.start * d.col_words + work.first_bank + words[0]
    return {
        "rows": len(rows),
        "kernel_row": (rows.start - scan.shape.top) % 16,
        "slot": slot,
        "base": slot * d.row_pitch,
        "bank": bank % share.build.clusters,
        "first_word": words[0],
        "final_word": words[-1],
        "two": tag["rows2"],
        "half": (share.half + scan.load) % 2,
        "opens": tag["opens"],
        "closes": tag["closes"],
        "slots": tag["slots"],
    }


def follow(share: Share, late: str, seed: int) -> list[int]:
    """Take every scan when it is ready; return the cycles that each was waited for."""
    dut = Itinerary(share.build)
    waits: list[int] = []

    async def bench(ctx):
        slow = activity(late, seed)
        d, rows, loaded = share.d, 0, 0

        async def tick(**pins: int):
            nonlocal rows, loaded
            for name in ("arm", "take", "finished"):
                ctx.set(getattr(dut, name), pins.get(name, 0))
            await ctx.tick()
            if next(slow):
                rows, loaded = min(rows + 1, d.in_rows), min(loaded + 1, d.loads)
            ctx.set(dut.rows_done, rows)
            ctx.set(dut.loaded, ALL_LOADS if loaded == d.loads else loaded)

        ctx.set(dut.config, pass_config(d))
        ctx.set(dut.work, cluster_config(share.work))
        ctx.set(dut.half, share.half)
        if late == "none":
            rows, loaded = d.in_rows, d.loads
        await tick()
        await tick(arm=1)
        assert ctx.get(dut.aiming)
        freed = 0
        for index, scan in enumerate(share.scans):
            waited = 1
            while not ctx.get(dut.ready):
                assert ctx.get(dut.aiming) or not ctx.get(dut.over)
                assert waited < 5000
                await tick()
                waited += 1
            waits.append(waited)
            assert not ctx.get(dut.hungry)
            assert rows >= share.rows(scan).stop
            assert plain(ctx.get(dut.next)) == start_of(share, index)
            assert ctx.get(dut.row_floor) == scan.floor
            assert ctx.get(dut.released) == freed
            await tick(take=1)
            for _ in range(4):
                await tick()
                assert ctx.get(dut.row_floor) == scan.floor
            assert ctx.get(dut.released) == freed
            await tick(finished=1)
            await tick()  # what is needed now is known a cycle later
            freed = scan.freed or freed
        assert ctx.get(dut.over)
        assert not ctx.get(dut.ready)
        assert (ctx.get(dut.row_floor), ctx.get(dut.released)) == (NO_ROW, freed)
        ctx.set(dut.idle, 1)
        await tick()
        assert ctx.get(dut.released) == ALL_LOADS

    simulate(dut, bench, max_cycles=50_000)
    return waits


@pytest.mark.parametrize("late", ["none", "random", "long"])
@given(work=shares(), seed=st.integers(0, 99))
@settings(max_examples=max(3, settings.default.max_examples // 16))
def test_scans_come_in_order(work: list[Share], seed: int, late: str):
    for share in work:
        follow(share, late, seed)


@pytest.mark.parametrize("tiles", [2, 3])
@pytest.mark.parametrize("index", range(len(BUILDS)), ids=[build.name for build in BUILDS])
def test_tiles_of_regions_come_in_order(index: int, tiles: int):
    follow(tiled(BUILDS[index], tiles), "random", seed=1)


def test_a_scan_is_ready_three_cycles_after_the_pass_began():
    share: Any = tiled(BUILDS[0], 2)
    assert share.rows(share.scans[0]).start == 0
    assert follow(share, "none", seed=0)[0] == AT_ONCE
