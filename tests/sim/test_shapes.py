"""Kernels in pieces, grouped channels and columns in windows through the whole core."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.cuts import grouped, kernel_pieces
from compiler.plan import plan_layer
from golden.params import Build
from sim.native import NativeCore
from tests.sim.layers import Case, check_case
from tests.sim.shapes import SMALL, WIDE, grouped_layers, large_kernels, narrow_windows

SHAPES: dict[str, Callable[[Build], st.SearchStrategy[Case]]] = {
    "large kernels": large_kernels,
    "grouped channels": grouped_layers,
    "narrow windows": narrow_windows,
}
#: Layers of each kind in `make test` and in `make bench`.
SOME, MANY = settings.default.max_examples * 3 // 5, settings.default.max_examples * 5
SHARED = [HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module", params=[SMALL, WIDE], ids=lambda build: build.name)
def build(request: pytest.FixtureRequest) -> Build:
    return request.param


@pytest.fixture(scope="module")
def core(build: Build) -> Iterator[NativeCore]:
    with NativeCore(build) as opened:
        yield opened


@pytest.mark.parametrize("shapes", SHAPES)
@settings(max_examples=SOME, suppress_health_check=SHARED)
@given(data=st.data())
def test_values_and_cycles(
    core: NativeCore, build: Build, shapes: str, data: st.DataObject
) -> None:
    check_case(core, build, data.draw(SHAPES[shapes](build)))


@pytest.mark.parametrize("shapes", SHAPES)
@settings(max_examples=SOME // 6, suppress_health_check=SHARED)
@given(data=st.data())
def test_values_under_gaps(
    core: NativeCore, build: Build, shapes: str, data: st.DataObject
) -> None:
    check_case(core, build, data.draw(SHAPES[shapes](build)), gaps=0.5)


@pytest.mark.bench
@pytest.mark.parametrize("shapes", SHAPES)
@settings(max_examples=MANY, suppress_health_check=SHARED)
@given(data=st.data())
def test_many_layers(core: NativeCore, build: Build, shapes: str, data: st.DataObject) -> None:
    check_case(core, build, data.draw(SHAPES[shapes](build)))


def traits(case: Case, build: Build) -> set[str]:
    """What a layer is an example of."""
    layer = case.layer
    plan = plan_layer(layer, case.x.shape, build, dense=case.dense)
    passes = [p.descriptor for p in plan.passes]
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    by_groups = grouped(layer, build) if layer.groups > 1 else None
    starts = {min(w.first_col for w in d.clusters if w.active) for d in passes}
    held = {
        f"{len(kernel_pieces(layer, build))} pieces": True,
        "several bands": len({p.out_rows for p in plan.passes}) > 1,
        "depthwise": layer.groups > 1 and ins == outs == 1,
        "depthwise passes": any(d.depthwise for d in passes),
        "teams of several clusters": any(d.depthwise and d.team_groups > 1 for d in passes),
        "several slices": any(w.slice for d in passes for w in d.clusters),
        "groups as wide as a cluster": by_groups and outs == build.lanes_per_cluster,
        "groups wider than a cluster": by_groups and outs > build.lanes_per_cluster,
        "groups as channels of zeros": layer.groups > 1 and by_groups is None,
        "packed": any(d.pack for d in passes),
        "pads as wide as the kernel": any(
            pad >= k for pad, k in zip(layer.pads, layer.kernel * 2, strict=True)
        ),
        "windows": len(starts) > 1,
        "weights in tiles": any(d.tiles > 1 for d in passes),
        "strides": max(layer.stride) > 1,
        "pool": layer.pool,
        "dense input": case.dense,
    }
    return {name for name, true in held.items() if true}


@pytest.mark.parametrize(
    ("shapes", "often"),
    [
        (
            "large kernels",
            {
                *("2 pieces", "4 pieces", "several bands", "pads as wide as the kernel"),
                *("strides", "pool", "dense input"),
            },
        ),
        (
            "grouped channels",
            {
                *("depthwise", "several slices", "groups as wide as a cluster"),
                *("groups wider than a cluster", "groups as channels of zeros"),
                *("pads as wide as the kernel", "strides", "pool", "dense input"),
            },
        ),
        ("narrow windows", {"windows", "weights in tiles", "pool", "dense input"}),
    ],
)
def test_the_layers_are_of_every_kind(shapes: str, often: set[str]) -> None:
    check_traits(SMALL, shapes, often)


def test_the_layers_of_a_build_with_depthwise_passes_are_such() -> None:
    often = {"depthwise passes", "teams of several clusters", "groups as channels of zeros"}
    check_traits(WIDE, "grouped channels", often)


def check_traits(build: Build, shapes: str, often: set[str]) -> None:
    """As many as `test_values_and_cycles` runs; else it would show less than it says."""
    seen: Counter[str] = Counter()

    @settings(max_examples=SOME)
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        seen.update(traits(data.draw(SHAPES[shapes](build)), build))

    draw()
    assert {name for name in often if seen[name] < 2} == set(), seen
