"""Which registers get copies, who reads them, and that nothing else is touched."""

import copy

import pytest

from fpga.copies import copy_registers

CLOCK, DATA, ENABLE = 2, 3, 4
SHARED, OWN, LOGIC, WORD, ANSWER = range(10, 15)


def flip_flop(q: int, data: int = DATA) -> dict:
    return {
        "type": "TRELLIS_FF",
        "parameters": {"REGSET": "SET"},
        "attributes": {},
        "port_directions": {"CLK": "input", "CE": "input", "DI": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "CE": [ENABLE], "DI": [data], "Q": [q]},
    }


def lut(z: int, *inputs: int | str) -> dict:
    ports = dict(zip("ABCD", inputs, strict=False))
    return {
        "type": "LUT4",
        "parameters": {},
        "attributes": {},
        "port_directions": {**dict.fromkeys(ports, "input"), "Z": "output"},
        "connections": {**{port: [bit] for port, bit in ports.items()}, "Z": [z]},
    }


def ports_of(design: dict) -> dict[tuple[str, str], list]:
    cells = design["modules"]["top"]["cells"]
    return {
        (name, port): bits
        for name, cell in cells.items()
        for port, bits in cell["connections"].items()
    }


@pytest.fixture
def design() -> dict:
    """Two clusters and what is outside them read one register, a cluster alone another.

    A third is behind a block RAM.
    """
    cells = {
        "dut.control.word": flip_flop(SHARED),
        "dut.control.other": flip_flop(OWN),
        "dut.control.logic": lut(LOGIC, SHARED, DATA),
        "dut.cluster_0.a": lut(20, SHARED, OWN, SHARED),
        "dut.cluster_0.lane_1.b": flip_flop(21, SHARED),
        "dut.cluster_1.a": lut(22, SHARED, LOGIC, "1"),
        "dut.cluster_2.a": lut(23, LOGIC),
        "dut.drain.a": lut(24, SHARED, LOGIC),
        "dut.banks.ram": {
            "type": "DP16KD",
            "parameters": {},
            "attributes": {},
            "port_directions": {"ADA0": "input", "DOB0": "output"},
            "connections": {"ADA0": [OWN], "DOB0": [WORD]},
        },
        "dut.banks.answer": flip_flop(ANSWER, WORD),
        "dut.cluster_0.mux": lut(25, ANSWER),
        "dut.cluster_1.mux": lut(26, ANSWER),
    }
    return {"modules": {"top": {"cells": cells}}}


def test_each_cluster_reads_its_own_copy(design):
    before = ports_of(copy.deepcopy(design))
    assert copy_registers(design) == 2
    cells, after = design["modules"]["top"]["cells"], ports_of(design)
    original = cells["dut.control.word"]
    made = {
        name: cell
        for name, cell in cells.items()
        if (name, "Q") not in before and "Q" in cell["connections"]
    }
    q = {name[: len("cluster_0.")]: cell["connections"]["Q"][0] for name, cell in made.items()}
    assert q.keys() == {"cluster_0.", "cluster_1."}
    assert not set(q.values()) & {bit for bits in before.values() for bit in bits}
    assert len(set(q.values())) == 2
    for cell in made.values():
        connections = {**cell["connections"], "Q": [SHARED]}
        assert {**cell, "connections": connections} == original
    moved = {
        ("dut.cluster_0.a", "A"): q["cluster_0."],
        ("dut.cluster_0.a", "C"): q["cluster_0."],
        ("dut.cluster_0.lane_1.b", "DI"): q["cluster_0."],
        ("dut.cluster_1.a", "A"): q["cluster_1."],
    }
    assert {key: after[key] for key in before} == {
        key: [moved[key]] if key in moved else bits for key, bits in before.items()
    }


def test_copies_are_the_same_every_time(design):
    other = copy.deepcopy(design)
    copy_registers(design)
    copy_registers(other)
    assert list(design["modules"]["top"]["cells"].items()) == list(
        other["modules"]["top"]["cells"].items()
    )


def test_what_one_cluster_reads_stays(design):
    copy_registers(design)
    assert design["modules"]["top"]["cells"]["dut.cluster_0.a"]["connections"]["B"] == [OWN]
    again = copy.deepcopy(design)
    assert copy_registers(again) == 0
    assert again == design
