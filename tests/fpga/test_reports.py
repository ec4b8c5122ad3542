"""The parsers, on reports small enough to check by eye."""

import pytest

from fpga import reports


def test_cells_are_those_of_the_only_module():
    stat = {"modules": {"\\top": {"num_cells_by_type": {"LUT4": 2, "TRELLIS_FF": 3}}}}
    assert reports.cell_counts(stat) == {"LUT4": 2, "TRELLIS_FF": 3}


def test_shared_bits_count_once_and_constants_never():
    wires = {"a": {"bits": [2, 3, "0"]}, "b": {"bits": [3, 4, "x"]}, "c": {"bits": [5]}}
    assert reports.driven_bits({"modules": {"top": {"netnames": wires}}}, ("a", "b")) == 3


def test_only_used_sites_are_reported_and_a_shortage_is_put_in_words():
    report = {
        "utilization": {
            "LC": {"used": 7, "available": 6},
            "RAM": {"used": 2, "available": 2},
            "DSP": {"used": 1, "available": 0},
            "PLL": {"used": 0, "available": 1},
        }
    }
    sites = reports.used_sites(report)
    assert sites == {"LC": [7, 6], "RAM": [2, 2], "DSP": [1, 0]}
    assert reports.shortage(sites) == "LC: 7 of 6, DSP: 1 of 0"
    assert reports.shortage({"RAM": [2, 2]}) is None


def step(kind, delay, start, end):
    return {
        "type": kind,
        "delay": delay,
        "from": {"cell": start, "port": "Q"},
        "to": {"cell": end, "port": "D"},
    }


def test_the_critical_path_is_the_one_between_registers():
    path = [
        step("clk-to-q", 0.5, "a", "a"),
        step("routing", 1.25, "a", "b"),
        step("logic", 0.25, "b", "b"),
        step("routing", 2.0, "b", "c"),
        step("setup", 0.125, "c", "c"),
    ]
    report = {
        "critical_paths": [
            {"from": "<async>", "to": "posedge clk", "path": [step("source", 9.0, "x", "y")]},
            {"from": "posedge clk", "to": "posedge clk", "path": path},
            {"from": "posedge clk", "to": "<async>", "path": [step("source", 9.0, "x", "y")]},
        ]
    }
    assert reports.critical_path(report) == {
        "start": "a.Q",
        "end": "c.D",
        "logic_ns": 0.88,
        "wire_ns": 3.25,
    }


@pytest.mark.parametrize("achieved", [[81.06355, 120.0], [120.0, 81.06355]])
def test_the_slowest_clock_counts(achieved):
    clocks = {f"clk{n}": {"achieved": mhz} for n, mhz in enumerate(achieved)}
    assert reports.max_frequency({"fmax": clocks}) == 81.06


def test_a_spread_leaves_out_what_was_not_placed():
    assert reports.spread([3.0, None, 1.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert reports.spread([None, None]) is None
    assert reports.spread([]) is None
