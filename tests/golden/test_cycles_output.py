"""The cycle model of the way out against a writer that takes packet after packet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.cycles.output import OutputTiming
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build, ceil_div
from golden.segment import encode_sparse
from tests.layers import TINY, Case, cases


def way_out(
    build: Build, d: PassDescriptor, y: np.ndarray, jobs: list[tuple[int, ClusterWork, int, int]]
) -> int:
    """Cycle of the last word; a job is the cycle of its first pick, and what column it is."""
    shrink = 2 if d.pool else 1
    lanes = d.groups * build.lanes_per_cluster
    sent: dict[tuple[int, int], int] = {}  # bytes of each segment so far: by row, first column
    free = 0
    for first_pick, work, row, column in jobs:
        segment = (row, work.first_col)
        for first in range(0, lanes, 16):
            end = min(first + 16, lanes)
            group = y[row, column, first:end].reshape(1, 1, -1)
            # A packet of channels that do not exist is an empty sparsity map.
            size = len(encode_sparse(group, d.out_zero)[0]) if group.size else 2
            before = sent.get(segment, 0)
            after = sent[segment] = before + size
            words = after // 8 - before // 8
            if column == work.end_col // shrink - 1 and end == lanes:
                words = ceil_div(after, 8) - before // 8
            taken = first_pick + end // build.drain - 1 + 1 + build.requant_latency
            free = max(taken + build.encoder_latency, free) + max(1, words)
    return free


@given(case=cases(rows=6, cols=6), data=st.data())
def test_equals_a_writer(case, data):
    build, index = case.build, data.draw(st.integers(0, len(case.plan.passes) - 1))
    pass_plan = case.plan.passes[index]
    d = pass_plan.descriptor
    rng = np.random.default_rng(case.seed)
    height, width, _ = case.plan.out_shape
    y = rng.integers(1, 100, (height, width, d.out_channels)).astype(f"u{build.act_bytes}")
    y[rng.random(y.shape) >= case.density] = d.out_zero

    # Each team's columns in order, the teams' turns at random.
    shrink = 2 if d.pool else 1
    queues = [
        [
            (work, stripe, column)
            for stripe in range(work.first_stripe, d.stripes, work.stripe_step)
            for column in range(work.first_col, work.end_col, shrink)
        ]
        for work in d.clusters
        if work.active and work.group == 0
    ]
    turns = rng.permutation([n for n, queue in enumerate(queues) for _ in queue]).tolist()
    timing = OutputTiming(build, d, y)
    now = data.draw(st.integers(0, 50))
    jobs = []
    for team in turns:
        work, stripe, column = queues[team].pop(0)
        rows = [stripe] if d.pool else range(2 * stripe, min(2 * stripe + 2, height))
        length = d.groups * build.lanes_per_cluster // build.drain
        assert timing.add(now, stripe, column, len(rows)) == len(rows) * length
        for row in rows:
            jobs.append((now, work, row, column // shrink))
            now += length
        now += data.draw(st.sampled_from((0, 0, 1, 7)))
    assert timing.last_word() == way_out(build, d, y, jobs)


@pytest.mark.parametrize(("value", "words"), [(0, 1), (5, 2)])
def test_one_column_by_hand(value, words):
    """Of tiny, 4 lanes of 4, 2 per cycle: a packet of 2 or of 10 bytes."""
    case = Case(build=TINY, shape=(1, 1, 1), kernel=(1, 1), channels=4)
    (d,) = case.plan.descriptors
    timing = OutputTiming(TINY, d, np.full((1, 1, 4), value, np.uint16))
    assert timing.add(100, 0, 0, 1) == 2
    # The second chunk is picked in 101, stands at the requantiser in 102, at the encoder in 113,
    # and its packet at the writer in 116; a word leaves one cycle after the one that made it.
    assert timing.last_word() == 116 + words
