"""The cycle model of a stripe's scan against the walker, cycle by cycle.

Against the hardware that walker stands in tests/hdl/test_walker.py.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.conv import useful_ops
from golden.cycles.core import word_counts
from golden.cycles.scan import scan_stripe, stripe_shape
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build
from tests.golden.scanning import (
    Place,
    entries,
    parts,
    play,
    row_span,
    rows_out,
)
from tests.layers import TINY, Case, cases, grouped_cases


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

    left, inside = parts(entries(build, d, work, stripe, pixels, tile))
    assert scan.steps == len(rows_out(d, stripe))
    assert scan.left_words == len(left)
    at = [n for n, entry in enumerate(left, 1) if entry.token]
    assert scan.left_tokens == len(at)
    assert scan.left_gap == (len(left) - at[-1] if at else 0)
    assert scan.lead == next((n for n, e in enumerate(inside) if e.pixels or e.token), 0)
    n = scan.left_tokens
    for queue, earliest, idle_from in [
        (left, scan.earliest[:n], scan.idle_from[:n]),
        (inside, scan.earliest[n:], scan.idle_from[n:]),
    ]:
        tokens, visits = play(queue)
        assert np.cumsum(earliest).tolist() == tokens
        for k in range(len(tokens)):
            since = tokens[k - 1] if k else 0
            assert since + idle_from[k] == play(queue, hold=k)[0][-1]
        assert visits == (scan.visits if queue is inside else 0)


@given(case=cases(rows=6, cols=6) | grouped_cases(), draw=st.data())
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
        if work.active and d.clusters.index(work) in d.leads
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
        assert range(shape.low, shape.high) == row_span(d, stripe)
        assert shape.low <= shape.high <= d.in_rows
        assert shape.out_rows == len(rows_out(d, stripe))
        assert shape.top == 2 * stripe * d.stride_h - d.pad_top


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
