"""The cycle model of a stripe's scan against the walker, cycle by cycle.

Against the hardware that walker stands in tests/hdl/test_walker.py.
"""

from itertools import count

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.conv import useful_ops
from golden.cycles.core import word_counts
from golden.cycles.scan import left_columns, scan_stripe, stripe_shape
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build
from tests.golden.scanning import (
    Entry,
    Place,
    SlowWalker,
    Visit,
    entries,
    rows_in,
    rows_out,
    scan_words,
)
from tests.layers import TINY, Case, cases


def inside(found: list[Entry]) -> list[Entry]:
    """What comes from the first word inside the map on."""
    first = next(n for n, entry in enumerate(found) if entry.word.place is not None)
    return found[first:]


def play(queue: list[Entry], hold: int | None = None) -> tuple[list[int], int]:
    """Cycles of the tokens, a word arriving per cycle, and steps that are visits.

    Token `hold` is never let through; its cycle is the first in which it is due and no step made.
    """
    walker, tokens, visits, at = SlowWalker(), [], 0, 0
    for now in count():
        head = queue[at] if at < min(now + 1, len(queue)) else None
        cycle = walker.cycle(head, gate=len(tokens) != hold)
        visits += isinstance(cycle.step, Visit)
        at += cycle.pop
        if cycle.token or (cycle.due and len(tokens) == hold and cycle.step is None):
            tokens.append(now)
        if len(tokens) == (sum(bool(entry.token) for entry in queue) if hold is None else hold + 1):
            return tokens, visits
    raise AssertionError


def check(
    build: Build,
    d: PassDescriptor,
    work: ClusterWork,
    stripe: int,
    counts: np.ndarray,
    tile: int = 0,
) -> None:
    shape = stripe_shape(d, stripe)
    scan = scan_stripe(build, d, work, shape, counts, tile)

    def pixels(place: Place) -> list[int]:
        return list(range(counts[place]))

    queue = inside(entries(build, d, work, stripe, pixels, tile))
    tokens, visits = play(queue)
    assert np.cumsum(scan.earliest).tolist() == tokens
    assert scan.visits == visits
    assert scan.steps == len(rows_out(d, stripe))
    for k in range(len(tokens)):
        since = tokens[k - 1] if k else 0
        assert since + scan.idle_from[k] == play(queue, hold=k)[0][-1]


@given(case=cases(rows=6, cols=6), draw=st.data())
@settings(max_examples=settings.default.max_examples * 2)
def test_equals_the_walker(case, draw):
    d = draw.draw(st.sampled_from(case.plan.descriptors))
    work = draw.draw(st.sampled_from([work for work in d.clusters if work.active]))
    stripe = draw.draw(st.sampled_from(range(work.first_stripe, d.stripes, work.stripe_step)))
    rng = np.random.default_rng(case.seed)
    shape = (d.in_rows, d.in_cols, d.col_words)
    counts = rng.integers(0, case.build.word_pixels, shape, endpoint=True)
    counts[rng.random(shape) >= case.density] = 0
    check(case.build, d, work, stripe, counts, draw.draw(st.integers(0, d.tiles - 1)))


@given(case=cases(rows=6, cols=6))
def test_tiles_share_out_the_visits(case):
    """Every non-zero pixel in one tile, and as many visits as there are useful operations."""
    d = case.plan.descriptors[0]
    counts = word_counts(case.build, case.x, d.in_zero)
    visits = sum(
        scan_stripe(case.build, d, work, stripe_shape(d, stripe), counts, tile).visits
        for work in d.clusters
        if work.active and work.group == 0
        for stripe in range(work.first_stripe, d.stripes, work.stripe_step)
        for tile in range(d.tiles)
    )
    nonzero = case.x != d.in_zero
    outputs = (d.out_rows, d.out_cols)
    assert visits == useful_ops(nonzero, case.kernel, case.stride, case.pads, outputs)


@given(case=cases())
def test_rows_and_columns_of_stripes(case):
    d = case.plan.descriptors[0]
    for stripe in range(d.stripes):
        shape = stripe_shape(d, stripe)
        rows = rows_in(d, stripe)
        assert (shape.low, shape.high) == (rows[0], rows[-1] + 1)
        assert shape.out_rows == len(rows_out(d, stripe))
        assert shape.top == 2 * stripe * d.stride_h - d.pad_top
    for work in d.clusters:
        if work.active:
            words = scan_words(case.build, d, work, 0)
            assert left_columns(d, work) == sum(word.x < 0 for word in words)


def test_a_small_stripe_by_hand():
    """1x1 kernel, one row, three words of one column each: 2, 0 and 1 pixels."""
    case = Case(build=TINY, shape=(1, 3, 4), kernel=(1, 1), channels=8)
    (d,) = case.plan.descriptors
    work = ClusterWork(active=True, first_col=0, end_col=3)
    scan = scan_stripe(TINY, d, work, stripe_shape(d, 0), np.array([[[2], [0], [1]]]))
    # Of the kernel's 2 rows one does not exist: an empty word fills each column. Pixels in cycles 0
    # and 1; the token then waits for that word in cycle 2. The second column has nothing but the
    # two words; the third a pixel one cycle after its token's turn.
    assert scan.earliest == [2, 2, 2]
    assert scan.visits == 3
    assert scan.steps == 1
