"""The cycle model of the way out against a writer that takes packet after packet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.cycles.output import OutputTiming
from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import PICK_TO_CHUNK, Build, ceil_div
from golden.segment import encode_sparse
from tests.layers import TINY, Case, cases, grouped_cases


class WayOut:
    """Chunk by chunk: a packet is picked, made, and written, and gives its room back."""

    def __init__(self, build: Build, d: PassDescriptor, y: np.ndarray):
        self.build, self.d, self.y = build, d, y
        self.sent: dict[tuple[int, int, int], int] = {}  # by row, first group and column: bytes
        self.free = 0  # cycle in which the writer can take a packet
        self.rooms: list[int] = []  # for each packet the cycle from which its room is another's

    def send(self, now: int, work: ClusterWork, row: int, column: int) -> int:
        """Send a team's channels of an output row and column; the cycle after the last pick."""
        build, d = self.build, self.d
        shrink = 2 if d.pool else 1
        lanes = d.team_groups * build.lanes_per_cluster
        channels = self.y[row, column, work.group * build.lanes_per_cluster :][:lanes]
        segment = (row, work.group, work.first_col)
        for first in range(0, lanes, 16):
            end = min(first + 16, lanes)
            group = channels[first:end].reshape(1, 1, -1)
            # A packet of channels that do not exist is an empty sparsity map.
            size = len(encode_sparse(group, d.out_zero)[0]) if group.size else 2
            before = self.sent.get(segment, 0)
            after = self.sent[segment] = before + size
            words = after // 8 - before // 8
            if column == work.end_col // shrink - 1 and end == lanes:
                words = ceil_div(after, 8) - before // 8
            while sum(room > now for room in self.rooms) >= build.output_packets:
                now += 1
            now += (end - first) // build.drain
            made = now - 1 + PICK_TO_CHUNK + build.requant_latency + build.encoder_latency
            self.free = max(made, self.free) + max(1, words)
            self.rooms.append(self.free + 1)
        return now


def turns(d: PassDescriptor, rng: np.random.Generator) -> list[tuple[ClusterWork, int, int]]:
    """Each team's columns (work, stripe, column) in order, the teams' turns at random."""
    queues = [
        [
            (work, stripe, column)
            for stripe in range(work.first_stripe, d.stripes, work.stripe_step)
            for column in range(work.first_col, work.end_col, 2 if d.pool else 1)
        ]
        for work in (d.clusters[lead] for lead in d.leads)
    ]
    order = rng.permutation([n for n, queue in enumerate(queues) for _ in queue]).tolist()
    return [queues[team].pop(0) for team in order]


def check(
    build: Build, d: PassDescriptor, y: np.ndarray, rng: np.random.Generator, gaps: list[int]
) -> tuple[int, int]:
    """Cycles in which something was picked, and cycles of waiting for room."""
    timing, way_out = OutputTiming(build, d, y), WayOut(build, d, y)
    now = int(rng.integers(50))
    picks = waits = 0
    for work, stripe, column in turns(d, rng):
        rows = [stripe] if d.pool else range(2 * stripe, min(2 * stripe + 2, len(y)))
        length = timing.add(now, work.group, stripe, column, len(rows))
        end = now
        for row in rows:
            end = way_out.send(end, work, row, column // 2 if d.pool else column)
        assert length == end - now
        least = len(rows) * d.team_groups * build.lanes_per_cluster // build.drain
        picks, waits = picks + least, waits + length - least
        now = end + int(rng.choice(gaps))
    assert timing.last_word() == way_out.free
    return picks, waits


@given(case=cases(rows=6, cols=6) | grouped_cases(), data=st.data())
def test_equals_a_writer(case, data):
    drain = data.draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= case.build.drain * 2]))
    drain = min(drain, case.build.lanes_per_cluster)
    build = case.build.replace(drain=drain)
    d = data.draw(st.sampled_from(case.plan.descriptors))
    rng = np.random.default_rng(case.seed)
    height, width, _ = case.plan.out_shape
    y = rng.integers(1, 100, (height, width, d.out_channels)).astype(f"u{build.act_bytes}")
    y[rng.random(y.shape) >= case.density] = d.out_zero
    check(build, d, y, rng, data.draw(st.sampled_from(([0], [0, 0, 1, 7]))))


@pytest.mark.parametrize("drain", [1, 2, 4])
@pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
def test_the_drain_waits_for_room_where_it_is_faster_than_the_bus(drain, density):
    """Packets of 2 to 18 bytes, from 8, 4 or 2 chunks."""
    case = Case(build=TINY, shape=(8, 20, 1), kernel=(1, 1), channels=8)
    (d,) = case.plan.descriptors
    rng = np.random.default_rng(0)
    y = rng.integers(1, 100, (8, 20, 8)).astype(np.uint16)
    y[rng.random(y.shape) >= density] = d.out_zero
    picks, waits = check(TINY.replace(drain=drain), d, y, rng, [0])
    assert picks == 8 * 20 * (8 // drain)
    # Only 18 bytes in 2 cycles are more than the bus carries.
    assert (waits > 0) == (drain == 4 and density == 1.0)


@pytest.mark.parametrize(("value", "words"), [(0, 1), (5, 2)])
def test_one_column_by_hand(value, words):
    """Of tiny, 4 lanes of 4, 2 per cycle: a packet of 2 or of 10 bytes."""
    case = Case(build=TINY, shape=(1, 1, 1), kernel=(1, 1), channels=4)
    (d,) = case.plan.descriptors
    timing = OutputTiming(TINY, d, np.full((1, 1, 4), value, np.uint16))
    assert timing.add(100, 0, 0, 0, 1) == 2
    # The second chunk is picked in 101, stands at the requantiser in 105, at the encoder in 118,
    # and its packet at the writer in 121; a word leaves one cycle after the one that made it.
    assert timing.last_word() == 121 + words
