"""Random layers through the whole core: values, cycles and every counter equal golden's."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golden.params import preset
from sim.native import NativeCore
from tests.sim.layers import cases, check_case

BUILDS = {name: preset(name) for name in ("tiny", "tiny8")}


@pytest.fixture(scope="module")
def cores() -> Iterator[dict[str, NativeCore]]:
    opened = {name: NativeCore(build) for name, build in BUILDS.items()}
    yield opened
    for core in opened.values():
        core.close()


@pytest.mark.parametrize("name", BUILDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_and_cycles(cores: dict[str, NativeCore], name: str, data: st.DataObject) -> None:
    check_case(cores[name], BUILDS[name], data.draw(cases(BUILDS[name])))


@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), gaps=st.sampled_from([0.1, 0.5, 0.9]))
def test_values_under_gaps(
    cores: dict[str, NativeCore], name: str, data: st.DataObject, gaps: float
) -> None:
    """Idle inputs and a busy output, all at once, change cycles but no value."""
    check_case(cores[name], BUILDS[name], data.draw(cases(BUILDS[name])), gaps=gaps)


@pytest.mark.bench
@pytest.mark.parametrize("name", BUILDS)
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_thousand_layers(cores: dict[str, NativeCore], name: str, data: st.DataObject) -> None:
    check_case(cores[name], BUILDS[name], data.draw(cases(BUILDS[name], edge=24, channels=40)))
