"""Counters of layers and of chains of them: what they must be whatever the hardware does.

Against the hardware they stand in tests/hdl/test_core.py and tests/sim/test_layers.py.
"""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.conv import useful_ops
from golden.cycles.causes import Counts
from golden.cycles.core import LayerData, chain_counts, layer_counts, word_counts
from tests.layers import BUILDS, TINY, Case, Loaded, cases

CAUSES = ("busy", "decode", "weights", "drain", "imbalance", "bus")


def counted(case: Case) -> Counts:
    (data,) = Loaded(case).data()
    return layer_counts(case.build, data.passes, data.x, data.y, data.in_ranges)


@given(case=cases(), zero=st.integers(-3, 3))
def test_pixels_of_a_word(case, zero):
    x = np.random.default_rng(case.seed).integers(-3, 4, case.shape)
    found = word_counts(case.build, x, zero)
    pixels = case.build.word_pixels
    assert found.shape == (*case.shape[:2], -(-case.shape[2] // pixels))
    for place in np.ndindex(found.shape):
        first = place[2] * pixels
        assert found[place] == sum(v != zero for v in x[place[:2]][first : first + pixels])


def test_one_pixel_by_hand():
    """1x1 of one channel to four lanes of one cluster; the output is zero."""
    case = Case(build=TINY, shape=(1, 1, 1), kernel=(1, 1), channels=4, density=1.0, relu=True)
    layer = replace(case.layer, weights=np.full((4, 1, 1, 1), -1), bias=np.zeros(4, np.int64))
    x = np.full((1, 1, 1), 5, np.int16)
    y = np.zeros((1, 1, 4), np.int16)
    assert (layer.run(x.astype(layer.in_format.ints.dtype)) == y).all()
    found = layer_counts(TINY, case.plan.pass_data, x, y, [[(0, 1)]])
    # The control stream is 10 words of descriptor, 8 parameters; `arm` in cycle 20, one weight in
    # 21, there from 22 on. The intake starts in 25; the row takes 5 cycles: one to begin, one to
    # take its word, sparsity map, pixel, one to find it complete. It stands in 30; in 31 the scan
    # begins, and is read in 33; head of the queue in 37, visited in 38, its token taken in 38 and
    # done in 39. The sums stand in 45, are picked in 46 and 47; the packet is at the writer in 64,
    # its word leaves in 65, the pass ends in 67.
    assert asdict(found) == {
        "cycles": 68,
        "compute": 68 - 21 - 11,  # the control stream, and 21 to 31
        "useful": 4,
        "busy": 1,
        "decode": 6,  # 32 to 37
        "weights": 2 * (21 + 1),
        "bus": 2 * 10,
        "imbalance": 8,  # the other cluster, while the first one is not done: 32 to 39
        "drain": 1 + 2 * 28,  # the token's step, and 40 to 67
    }


@given(case=cases())
def test_a_layer_by_itself(case):
    found = counted(case)
    assert sum(getattr(found, cause) for cause in CAUSES) == found.cycles * case.build.clusters
    assert min(asdict(found).values()) >= 0
    assert found.compute <= found.cycles
    descriptors = case.plan.descriptors
    d = descriptors[0]
    nonzero = case.x != case.layer.in_format.zero_point
    ops = useful_ops(nonzero, case.kernel, case.stride, case.pads, (d.out_rows, d.out_cols))
    assert found.useful == ops * case.channels
    assert found.busy == ops * sum(d.groups for d in descriptors)


@given(case=cases())
def test_a_layer_by_itself_is_a_chain_of_one(case):
    assert Loaded(case).counts() == [counted(case)]


def chains(build_index: int) -> st.SearchStrategy[list[Case]]:
    return st.lists(cases((BUILDS[build_index],), rows=7, cols=6), min_size=2, max_size=4)


@pytest.mark.parametrize("index", range(len(BUILDS)), ids=[build.name for build in BUILDS])
@settings(max_examples=settings.default.max_examples // 5)
@given(data=st.data())
def test_a_chain_does_the_work_of_its_layers(index, data):
    found = data.draw(chains(index))
    build = BUILDS[index]
    by_themselves = [counted(case) for case in found]
    together = list(chain_counts(build, Loaded(*found).data()))
    assert together[0] == by_themselves[0]
    for one, chained in zip(by_themselves, together, strict=True):
        assert (chained.useful, chained.busy) == (one.useful, one.busy)
        assert sum(getattr(chained, c) for c in CAUSES) == chained.cycles * build.clusters
        assert min(asdict(chained).values()) >= 0
    # What comes later changes nothing.
    assert list(chain_counts(build, Loaded(*found[:-1]).data())) == together[:-1]


@given(case=cases(), copies=st.integers(1, 3))
def test_the_passes_of_a_layer_add_up_to_it(case, copies):
    """A layer of several passes, and each pass a layer of its own, in the same order."""
    whole = Loaded(*[case] * copies).data()
    parts = []
    for data in whole:
        for part in data.passes:
            own = replace(part.descriptor, first=True, last=True)
            parts.append(replace(data, passes=[replace(part, descriptor=own)]))
    by_parts = list(chain_counts(case.build, parts))
    for found in chain_counts(case.build, whole):
        total = Counts()
        for _ in case.plan.passes:
            total += by_parts.pop(0)
        assert total == found
    assert by_parts == []


def one_after_the_other(case: Case, **changes: object) -> tuple[Counts, Counts]:
    """A layer by itself, and after itself; `changes` go to its descriptors."""
    (data,) = Loaded(case).data()
    passes = [
        replace(part, descriptor=replace(part.descriptor, **changes))  # pyright: ignore[reportArgumentType]
        for part in data.passes
    ]
    changed = LayerData(passes=passes, x=data.x, y=data.y, in_ranges=data.in_ranges)
    first, second = chain_counts(case.build, [changed, changed])
    return first, second


def test_descriptor_parameters_and_weights_come_while_the_layer_before_computes():
    """10 words, 2 x 2 x 4 parameters, 2 x 9 x 8 weights; `arm` still takes its three cycles."""
    case = Case(build=TINY, shape=(12, 12, 8), channels=8)
    first, second = one_after_the_other(case)
    assert first.weights > 2 * (9 + 16)
    assert second.weights == 2 * 3
    assert second.cycles < first.cycles - (9 + 16 - 3)


def test_weights_that_lie_alone_come_when_the_layer_before_has_ended():
    case = Case(build=TINY, shape=(12, 12, 8), channels=8)
    ahead = one_after_the_other(case)[1]
    alone = one_after_the_other(case, alone=True)[1]
    # In every cycle of the load both clusters wait for it.
    assert alone.weights == ahead.weights + 2 * (2 * 9 * 8)
    assert alone.busy == ahead.busy


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_an_empty_map_costs_no_visit(build):
    found = counted(Case(build=build, density=0.0))
    assert (found.useful, found.busy) == (0, 0)
    assert found.decode > 0
