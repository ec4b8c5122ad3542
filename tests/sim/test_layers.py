"""Random layers through the whole core: values, cycles and every counter equal golden's."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.memory import lay_out
from compiler.plan import plan_layer, ring_rows
from golden.network import Conv, TensorFormat
from golden.params import Build, preset
from golden.requant import Shift
from sim.native import NativeCore
from tests.sim.layers import Case, cases, check_case

BUILDS = {name: preset(name) for name in ("tiny", "tiny8", "tiny_l1")}
#: Layers per build in `make test` and in `make bench`; some over 1,000, since hypothesis repeats a
#: few.
SOME, MANY = settings.default.max_examples * 2, settings.default.max_examples * 11
SHARED = [HealthCheck.function_scoped_fixture]


def large(build: Build) -> st.SearchStrategy[Case]:
    """Layers as they are drawn for `make bench`."""
    return cases(build, edge=24, channels=40)


@pytest.fixture(scope="module")
def cores() -> Iterator[dict[str, NativeCore]]:
    opened = {name: NativeCore(build) for name, build in BUILDS.items()}
    yield opened
    for core in opened.values():
        core.close()


@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=SOME, suppress_health_check=SHARED)
@given(data=st.data())
def test_values_and_cycles(cores: dict[str, NativeCore], name: str, data: st.DataObject) -> None:
    check_case(cores[name], BUILDS[name], data.draw(cases(BUILDS[name])))


@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=SOME // 6, suppress_health_check=SHARED)
@given(data=st.data(), gaps=st.sampled_from([0.1, 0.5, 0.9]))
def test_values_under_gaps(
    cores: dict[str, NativeCore], name: str, data: st.DataObject, gaps: float
) -> None:
    """Idle inputs and a busy output, all at once, change cycles but no value."""
    check_case(cores[name], BUILDS[name], data.draw(cases(BUILDS[name])), gaps=gaps)


def plain_case(shape: tuple[int, int, int], kernel: tuple[int, int], **more: object) -> Case:
    """One output channel, nothing padded, a map of zeros; `more` goes to the layer."""
    form = TensorFormat(8, False, 1.0)
    layer = Conv(
        name="plain",
        weights=np.random.default_rng(0).integers(-9, 10, (1, shape[2], *kernel)),
        bias=np.array([3]),
        in_format=form,
        out_format=form,
        requant=Shift(0),
        **more,  # pyright: ignore[reportArgumentType]
    )
    return Case(layer, np.zeros(shape, np.uint8), dense=False)


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (3, 1), (5, 2)])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5])
def test_a_row_is_free_when_the_intake_hears_of_it_from_every_team(
    cores: dict[str, NativeCore], kernel: tuple[int, int], density: float
) -> None:
    """Two teams leave a stripe a cycle or two apart, and the banks do not hold the whole map."""
    build, shape = BUILDS["tiny"], (9, 37, 17 if kernel[0] < 5 else 9)
    case = plain_case(shape, kernel)
    rng = np.random.default_rng(0)
    case.x[rng.random(shape) < density] = 7
    assert ring_rows(shape, build) < shape[0]
    plan = check_case(cores["tiny"], build, case)
    assert {work.team for p in plan.passes for work in p.descriptor.clusters} == {0, 1}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("rows", [3, 5])
@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_a_layer_takes_its_whole_map_also_rows_that_no_output_needs(
    cores: dict[str, NativeCore], rows: int, dense: bool, gaps: float
) -> None:
    """The pool drops the last row, and everything is given out before it has come."""
    case = plain_case((rows, 60, 33), (1, 1), pool=True)
    case = Case(case.layer, case.x, dense)
    for _ in range(2):  # what is left over would meet the next layer
        check_case(cores["tiny8"], BUILDS["tiny8"], case, gaps=gaps)


@pytest.mark.bench
@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=MANY, suppress_health_check=SHARED)
@given(data=st.data())
def test_a_thousand_layers(cores: dict[str, NativeCore], name: str, data: st.DataObject) -> None:
    check_case(cores[name], BUILDS[name], data.draw(large(BUILDS[name])))


def traits(case: Case, build: Build) -> set[str]:
    """What a layer is an example of."""
    layer, shape = case.layer, case.x.shape
    plan = plan_layer(layer, shape, build, dense=case.dense)
    (height, width), pads = layer.kernel, layer.pads
    nonzero = np.mean(case.x != layer.in_format.zero_point)
    density = "0 %" if nonzero == 0 else "above 97 %" if nonzero > 0.97 else "between"
    held = {
        "rectangular": height != width,
        "strides": max(layer.stride) > 1,
        "weights in tiles": any(p.descriptor.tiles > 1 for p in plan.passes),
        "weights loaded again": not all(p.descriptor.resident for p in plan.passes),
        "asymmetric pads": pads[:2] != pads[2:],
        "pool": layer.pool,
        "relu": layer.relu,
        "dense input": case.dense,
        "several passes": len(plan.passes) > 1,
        "several input blocks": len(lay_out([plan]).places[0].blocks) > 1,
        "several column ranges": any(len(p.column_ranges) > 1 for p in plan.passes),
        "rows come in turns": ring_rows(shape, build) < shape[0],
        "a zero point": layer.in_format.zero_point != 0,
        "a signed map": layer.in_format.signed,
    }
    return {name for name, true in held.items() if true} | {
        f"{height} rows",
        f"{width} columns",
        f"density {density}",
        type(layer.requant).__name__,
        f"{layer.in_format.bits} bit",
    }


@pytest.mark.parametrize("name", BUILDS)
def test_the_layers_are_of_every_kind_and_mostly_different(name: str) -> None:
    """The very layers of `test_values_and_cycles`; else it would show less than it says."""
    build = BUILDS[name]
    seen: Counter[str] = Counter()
    different = set()

    @settings(max_examples=SOME)
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        case = data.draw(cases(build))
        seen.update(traits(case, build))
        different.add((repr(case), case.x.tobytes(), case.layer.weights.tobytes()))

    draw()
    assert len(different) >= settings.default.max_examples * 3 // 2
    edges = {f"{k} {what}" for k in range(1, build.k_max + 1) for what in ("rows", "columns")}
    bits = {"8 bit", "16 bit"} if build.act_bits == 16 else {"8 bit"}
    often = {
        *(
            "strides",
            "weights in tiles",
            "rectangular",
            "asymmetric pads",
            "pool",
            "relu",
            "dense input",
            "Scale",
            "Shift",
        ),
        *("several passes", "several input blocks", "several column ranges", "rows come in turns"),
        *("density 0 %", "density between", *bits),
        *(["a zero point"] if build.pe == "mac" else ["a signed map"]),
    }
    assert {name for name in often if seen[name] < SOME // 20} == set()
    assert (edges | {"density above 97 %", "weights loaded again"}) - set(seen) == set()
