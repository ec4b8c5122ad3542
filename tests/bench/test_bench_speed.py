"""The recorded speed of the simulations with 128 lanes, and the same measured anew.

    python -m sim.speed --output docs/figures/sim_speed.json

writes the record.
"""

import json
from pathlib import Path

import pytest

from golden.params import preset
from sim import speed

RECORD = Path(__file__).resolve().parents[2] / "docs" / "figures" / "sim_speed.json"

#: The native harness's cycles per second, and how many times as fast as cocotb it must be: with
#: every signal in reach, as cocotb's runner compiles a design, and with the pins alone.
CYCLES_PER_S = 200_000
FACTORS = {"cocotb": 20, "cocotb_pins": 5}


@pytest.mark.bench
def test_the_record_reaches_the_targets():
    record = json.loads(RECORD.read_text())
    assert record["conditions"]["preset"] == "nullhop"
    assert record["conditions"]["lanes"] == 128
    assert record["equal"]
    assert all(record["ratio"][name] >= factor for name, factor in FACTORS.items())
    assert record["native"][1] >= CYCLES_PER_S


@pytest.mark.bench
def test_the_native_harness_is_fast_and_equal():
    """They take turns on one machine, so that their ratios hold whatever else it does."""
    found = speed.figures(preset("nullhop"), repeats=3)
    assert found["equal"]
    assert all(found["ratio"][name] >= factor for name, factor in FACTORS.items())
    assert found["cycles"] == json.loads(RECORD.read_text())["cycles"]
