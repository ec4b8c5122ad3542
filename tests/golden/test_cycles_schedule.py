"""The order of a team's scans: regions of stripes, tile by tile."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
from hypothesis import given

from golden.cycles.schedule import Scan, scans
from golden.descriptor import ClusterWork, PassDescriptor
from tests.golden.scanning import row_span
from tests.layers import TINY, Case, cases


def plain(rows: int = 10, **changes: int) -> PassDescriptor:
    """3x3 kernel, so many output rows, no padding: a stripe of 4 input rows each."""
    (d,) = Case(build=TINY, shape=(rows + 2, 4, 4), channels=8).plan.descriptors
    return replace(d, **changes)


def order(found: list[Scan]) -> list[tuple[int, int, int, int]]:
    return [(scan.stripe, scan.tile, scan.load, scan.freed) for scan in found]


def test_one_tile_is_stripe_after_stripe_and_frees_its_weights_at_the_end():
    work = ClusterWork(active=True, first_stripe=1, stripe_step=2)
    found = list(scans(plain(), work))
    assert order(found) == [(1, 0, 0, 0), (3, 0, 0, 1)]
    assert [(scan.floor, scan.closes) for scan in found] == [(2, True), (6, True)]


def test_two_resident_tiles_are_loaded_once_and_freed_in_the_last_region():
    found = list(scans(plain(tiles=2, region=2, resident=True), ClusterWork(active=True)))
    assert order(found) == [
        *((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 1, 0), (1, 1, 1, 0)),
        *((2, 0, 0, 0), (3, 0, 0, 0), (2, 1, 1, 0), (3, 1, 1, 0)),
        *((4, 0, 0, 1), (4, 1, 1, 2)),
    ]


def test_tiles_that_do_not_stay_are_freed_after_each_region():
    found = list(scans(plain(tiles=3, region=3, resident=False), ClusterWork(active=True)))
    assert order(found) == [
        *((0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 1)),
        *((0, 1, 1, 0), (1, 1, 1, 0), (2, 1, 1, 2)),
        *((0, 2, 2, 0), (1, 2, 2, 0), (2, 2, 2, 3)),
        *((3, 0, 3, 0), (4, 0, 3, 4), (3, 1, 4, 0), (4, 1, 4, 5), (3, 2, 5, 0), (4, 2, 5, 6)),
    ]


def test_rows_of_a_region_stay_until_the_last_tile_has_passed_them():
    found = list(scans(plain(tiles=2, region=2, resident=True), ClusterWork(active=True)))
    assert [scan.floor for scan in found] == [0, 0, 0, 2, 4, 4, 4, 6, 8, 8]
    assert [scan.closes for scan in found] == [scan.tile == 1 for scan in found]


@given(case=cases())
def test_every_stripe_meets_every_tile_once_in_order(case):
    for d in case.plan.descriptors:
        for work in d.clusters:
            if not work.active:
                continue
            found = list(scans(d, work))
            stripes = range(work.first_stripe, d.stripes, work.stripe_step)
            for stripe in stripes:
                own = [scan for scan in found if scan.stripe == stripe]
                assert [scan.tile for scan in own] == list(range(d.tiles))
                assert [scan.closes for scan in own] == [False] * (d.tiles - 1) + [True]
            assert len(found) == len(stripes) * d.tiles
            # The sums of a region's stripes are all that is open.
            done: set[int] = set()
            opened: set[int] = set()
            for scan in found:
                opened.add(scan.stripe)
                done |= {scan.stripe} if scan.closes else set()
                assert len(opened - done) <= d.region


@given(case=cases())
def test_loads_are_used_in_the_order_in_which_they_come(case):
    """A team that keeps to the halves of its memory never waits for a load that waits for it."""
    for d in case.plan.descriptors:
        assert all(
            0 <= scan.load < d.loads
            for work in d.clusters
            if work.active
            for scan in scans(d, work)
        )
        work = d.clusters[0]
        found = list(scans(d, work))
        freed = 0
        for scan in found:
            assert scan.load % d.tiles == scan.tile
            assert freed <= scan.load < freed + 2  # of two halves, one is being loaded
            freed = max(freed, scan.freed)
        if d.resident:
            assert {scan.load for scan in found} == set(range(d.tiles))
        else:
            assert [load for load, _ in groupby(scan.load for scan in found)] == list(
                range(d.loads)
            )
        assert freed == found[-1].freed == d.loads


@given(case=cases())
def test_no_row_is_given_up_that_is_still_to_be_read(case):
    for d in case.plan.descriptors:
        for work in d.clusters:
            if not work.active:
                continue
            found = list(scans(d, work))
            floors = [scan.floor for scan in found]
            assert all(a <= b for a, b in pairwise(floors))
            for n, scan in enumerate(found):
                later = min(row_span(d, other.stripe).start for other in found[n:])
                assert scan.floor == later


@pytest.mark.parametrize("tiles", [1, 3])
def test_sums_that_stay_are_not_closed(tiles):
    work = ClusterWork(active=True)
    kept, closed = (
        list(scans(plain(tiles=tiles, region=9, stays=stays), work)) for stays in (True, False)
    )
    assert [scan.closes for scan in closed] == [scan.tile == tiles - 1 for scan in closed]
    assert kept == [replace(scan, closes=False) for scan in closed]


@pytest.mark.parametrize(("first", "count"), [(0, 3), (1, 2), (4, 1), (5, 0)])
def test_a_team_beyond_the_last_stripe_has_nothing_to_scan(first, count):
    work = ClusterWork(active=True, first_stripe=first, stripe_step=2)
    assert len(list(scans(plain(), work))) == count
