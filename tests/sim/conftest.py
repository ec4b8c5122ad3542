"""The stand-in's Verilog and streams for it."""

import numpy as np
import pytest

from hdl import verilog
from sim.streams import MAP_BEATS
from tests.sim.standin import TOP, Standin


@pytest.fixture(scope="session")
def standin_verilog() -> str:
    return verilog.convert(Standin(), TOP)


@pytest.fixture
def beats() -> np.ndarray:
    """Some map beats with segments of different lengths."""
    rng = np.random.default_rng(1)
    beats = np.zeros(200, MAP_BEATS)
    beats["data"] = rng.integers(0, 1 << 64, len(beats), dtype=np.uint64)
    beats["bytes"] = 8
    beats["last"][[2, 3, 8, *range(30, 190, 20), -1]] = 1
    ends = beats["last"] == 1
    beats["bytes"][ends] = rng.integers(1, 9, ends.sum())
    return beats
