"""The loader and a pass's events: what may begin when."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.cycles.core import pixel_counts, word_counts
from golden.cycles.intake import row_cycles
from golden.cycles.output import OutputTiming
from golden.cycles.passes import NEVER, READY_TO_SCAN, Loader, PassRun, PassStart, Team
from golden.cycles.scan import scan_stripe, stripe_shape
from golden.descriptor import PassDescriptor
from tests.golden.scanning import entries, parts, play
from tests.layers import BUILDS, NULLHOP, TINY, Case, Loaded, cases, grouped_cases

#: 10 words of descriptor, 8 of parameters, 9 x 8 of weights.
(PLAIN,) = Case(build=TINY, shape=(12, 12, 8), channels=4).plan.descriptors


def played(case: Case, index: int = 0, start: PassStart | None = None) -> PassRun:
    """A pass of a case, by itself."""
    build = case.build
    (data,) = Loaded(case).data()
    part = data.passes[index]
    d = part.descriptor
    counts = word_counts(build, data.x, d.in_zero)[slice(*part.in_rows)]
    y = data.y[slice(*part.out_rows), :, slice(*part.channels)]
    output = OutputTiming(build, d, y)
    steps = pixel_counts(data.x, d.in_zero, build.step_pixels)[slice(*part.in_rows)]
    rows = row_cycles(build, d, steps, data.in_ranges)
    start = start or Loader(build).take(d, -1)
    return PassRun(build, d, counts, {}, rows, output, start).run()


def loader(before: PassDescriptor, *, free: int, freed: int) -> Loader:
    """A loader after a pass's loads: from when on it is free, and the last half of the lanes."""
    made = Loader(TINY)
    made.leave(
        before,
        cast(
            PassRun,
            SimpleNamespace(loads_end=free, start=SimpleNamespace(armed=0), freed=lambda _: freed),
        ),
    )
    return made


def test_the_first_pass_by_hand():
    start = Loader(TINY).take(PLAIN, -1)
    assert start == PassStart(first_word=0, armed=20, seeks=20, loaded=0)


@pytest.mark.parametrize(
    ("freed", "ended", "start"),
    [
        # The pass before ends first.
        (NEVER, 110, PassStart(first_word=100, armed=120, seeks=120, loaded=0)),
        # It goes on, but keeps its weights to the end.
        (NEVER, 200, PassStart(first_word=100, armed=203, seeks=203, loaded=0)),
        (201, 200, PassStart(first_word=100, armed=203, seeks=203, loaded=0)),
        # It has finished with them: 72 words, in the cycle that it does so, or after the last
        # parameter.
        (200, 200, PassStart(first_word=100, armed=203, seeks=273, loaded=1)),
        (150, 400, PassStart(first_word=100, armed=403, seeks=223, loaded=1)),
        (0, 400, PassStart(first_word=100, armed=403, seeks=191, loaded=1)),
    ],
)
def test_the_loader_takes_the_next_pass_while_one_runs(freed, ended, start):
    assert loader(PLAIN, free=100, freed=freed).take(PLAIN, ended) == start


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (replace(PLAIN, alone=True), PLAIN),
        (PLAIN, replace(PLAIN, alone=True)),
    ],
)
def test_weights_across_both_halves_are_not_loaded_ahead(before, after):
    start = loader(before, free=100, freed=0).take(after, 400)
    assert start == PassStart(first_word=100, armed=403, seeks=403, loaded=0)


def test_the_loader_is_free_after_the_last_load_and_when_the_pass_has_begun():
    made = Loader(TINY)
    for end, armed, free in [(100, 50, 100), (100, 150, 150)]:
        run = SimpleNamespace(loads_end=end, start=SimpleNamespace(armed=armed))
        made.leave(PLAIN, cast(PassRun, run))
        assert made.free == free


@pytest.mark.parametrize(
    ("build", "groups", "load", "words"),
    [
        (TINY, 1, 0, 30),
        (TINY, 2, 0, 60),
        (TINY, 2, 1, 60),
        (TINY, 2, 2, 14),  # the last tile
        (TINY, 2, 3, 60),  # and from the first again
        (TINY, 2, 5, 14),
        (NULLHOP, 2, 0, 240),  # 16 lanes, 4 of them in a bus word
    ],
)
def test_words_of_a_load(build, groups, load, words):
    d = replace(PLAIN, groups=groups, tiles=3, tile_weights=30, last_weights=7)
    assert Loader(build).load_cycles(d, load) == words


@given(
    build=st.sampled_from(BUILDS),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(2, 4), st.integers(1, 4)),
    more=st.integers(0, 3),
    wait=st.integers(0, 9),
    density=st.sampled_from((0.0, 0.2, 1.0)),
    data=st.data(),
)
def test_tokens_left_of_the_map_and_inside_follow_each_other(
    build, kernel, shape, more, wait, density, data
):
    """Words inside come when the cluster owns their bank, some cycles after those left of them."""
    case = Case(
        build=build,
        shape=(*shape, 5),
        kernel=kernel,
        stride=(1, data.draw(st.integers(1, kernel[1]))),
        pads=(kernel[0] - 1, kernel[1] + more, kernel[0] - 1, 0),
    )
    d = case.plan.descriptors[0]
    work = d.clusters[0]
    stripe = data.draw(st.sampled_from(range(0, d.stripes, work.stripe_step)))
    rng = np.random.default_rng(wait)
    counts = rng.integers(0, build.word_pixels, (*shape, d.col_words), endpoint=True)
    counts[rng.random(counts.shape) >= density] = 0
    scan = scan_stripe(build, d, work, stripe_shape(d, stripe), counts)
    left, inside = parts(entries(build, d, work, stripe, lambda place: [0] * counts[place]))
    begin = len(left) + wait
    arrivals = [*range(len(left)), *range(begin, begin + len(inside))]
    tokens, _ = play(left + inside, arrivals)
    assert len(tokens) == len(scan.earliest)
    run = cast(PassRun, SimpleNamespace(at=lambda *_, **__: None, _try_token=lambda _: None))
    team = SimpleNamespace(inside=begin, held=None)
    now = 0 if scan.left_tokens else begin
    for k, token in enumerate(tokens):
        team.token = k
        PassRun._next_token(run, cast(Team, team), scan, now)
        assert team.held == (token, play(left + inside, arrivals, hold=k)[0][-1])
        now = token


@given(case=cases())
def test_every_load_waits_for_its_half_and_no_longer(case):
    """Load n lies where load n - 2 did, and the one before has come in."""
    run = played(case)
    d = run.d
    assert len(run.there) == d.loads
    ready = run.start.seeks
    for load, there in enumerate(run.there):
        if load >= 2:
            ready = max(ready, run.freed(load - 1))
        assert there == ready + Loader(case.build).load_cycles(d, load) + 1
        ready = there
    assert run.loads_end == run.there[-1]


@given(case=cases() | grouped_cases())
def test_every_team_scans_all_it_has_and_frees_all_loads(case):
    run = played(case)
    assert [team.lead for team in run.teams] == list(run.d.leads)
    for team in run.teams:
        assert team.scan is None
        assert not team.waiting
        assert len(team.waits) == len(team.hungers) == len(team.scans)
        for (since, end), (hungry_since, there), scan in zip(
            team.waits, team.hungers, team.scans, strict=True
        ):
            assert since == hungry_since
            assert end > run.from_cycle
            assert there == run.there[scan.load] < end
        assert run.freed(run.d.loads) > max(end for _, end in team.waits)
        assert run.freed(run.d.loads) < NEVER
    freed = [run.freed(count) for count in range(run.d.loads + 1)]
    assert freed == sorted(freed)
    assert run.freed(run.d.loads) == max(team.done for team in run.teams)


@given(case=cases() | grouped_cases())
def test_a_pass_ends_when_its_map_has_come_and_its_outputs_have_gone(case):
    run = played(case)
    assert run.begun == run.rows_stand == run.d.in_rows
    done = max(team.done for team in run.teams)
    assert run.finish == max(run.output.last_word() + 2, run.map_taken + 1, done + 2)
    slices = {work.slice for work in run.d.clusters if work.active}
    columns = run.d.out_cols // (2 if run.d.pool else 1)
    rows = run.d.out_rows // (2 if run.d.pool else 1)
    packets = -(-run.d.team_groups * case.build.lanes_per_cluster // 16)
    assert len(run.output.written) == rows * columns * len(slices) * packets


def test_a_pass_whose_sums_stay_ends_when_the_clusters_are_done():
    """A kernel of 9 columns in two pieces; the map is there for the second."""
    case = Case(build=TINY, shape=(4, 12, 8), kernel=(1, 9), density=1.0)
    first, second = (played(case, index) for index in (0, 1))
    assert (first.d.stays, second.d.stays, second.d.continues) == (True, False, True)
    assert first.output.written == []
    assert first.finish == max(team.done for team in first.teams) + 2
    assert second.finish == second.output.last_word() + 2


def test_a_map_on_chip_is_not_taken_again():
    case = Case(build=TINY, shape=(12, 12, 8), channels=20)
    run = played(case, index=1)
    assert not run.d.load_map
    assert (run.begun, run.map_taken, run.rows_stand) == (0, 0, 12)
    assert played(case).map_taken > 0


def test_a_smaller_ring_makes_teams_wait_for_rows():
    """The same map, all of it on chip and four rows of it."""
    roomy, tight = (
        played(Case(build=TINY.replace(map_words=rows * 12 * 2), shape=(12, 12, 16)))
        for rows in (12, 4)
    )
    assert (roomy.d.ring_rows, tight.d.ring_rows) == (12, 4)
    assert tight.finish > roomy.finish
    assert tight.map_taken > roomy.map_taken


def test_weights_that_are_there_before_the_pass_spare_it_the_wait():
    """An empty map, which comes much sooner than 49 x 8 weights."""
    case = Case(build=TINY, shape=(7, 7, 8), kernel=(7, 7), channels=4, density=0.0)
    late = played(case)
    ahead = played(case, start=replace(late.start, seeks=5, loaded=1))
    assert ahead.there == [5]
    assert late.there == [late.start.armed + 49 * 8 + 1]
    assert late.finish > ahead.finish
    assert late.teams[0].waits[0][1] == late.there[0] + READY_TO_SCAN + 1
    assert ahead.teams[0].waits[0][1] == ahead.map_taken + READY_TO_SCAN + 1
