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


FIRST, SECOND = 30, 31


@pytest.fixture
def chain() -> dict:
    """A register that another follows; lanes read the second, and one of them the first."""
    cells = {
        "dut.cluster_0.first": flip_flop(FIRST, LOGIC),
        "dut.cluster_0.second": flip_flop(SECOND, FIRST),
        "dut.cluster_0.logic": lut(LOGIC, SECOND),
        "dut.cluster_0.lane_1.early": lut(40, FIRST),
        **{f"dut.cluster_0.lane_{n}.late": lut(50 + n, SECOND) for n in range(0, 24, 4)},
    }
    return {"modules": {"top": {"cells": cells}}}


def test_lanes_side_by_side_share_copies_of_what_follows_a_register(chain):
    """The first register, behind logic, is not copied; copies of the second follow it."""
    assert copy_registers(chain) == 3
    cells = chain["modules"]["top"]["cells"]
    reads = {name: cell["connections"].get("A", [None])[0] for name, cell in cells.items()}
    groups = [{reads[f"dut.cluster_0.lane_{n}.late"] for n in (m, m + 4)} for m in (0, 8, 16)]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups, {SECOND})) == 4
    assert reads["dut.cluster_0.logic"] == SECOND
    assert reads["dut.cluster_0.lane_1.early"] == FIRST
    copies = [cell for name, cell in cells.items() if ".copy_of_" in name]
    assert {cell["connections"]["DI"][0] for cell in copies} == {FIRST}


def test_copies_of_lanes_form_chains(chain):
    """With another register before it, the first is copied too, and copies read copies."""
    cells = chain["modules"]["top"]["cells"]
    cells["dut.cluster_0.zeroth"] = flip_flop(LOGIC, DATA)
    del cells["dut.cluster_0.logic"]
    assert copy_registers(chain) == 6
    driver = {
        cell["connections"]["Q"][0]: name
        for name, cell in cells.items()
        if "Q" in cell["connections"]
    }
    for first in (0, 8, 16):
        place = f"cluster_0.lane_{first}."
        second = driver[cells[f"dut.{place}late"]["connections"]["A"][0]]
        assert second.startswith(place)
        assert driver[cells[second]["connections"]["DI"][0]].startswith(place)


def test_an_original_that_nobody_reads_any_more_is_gone(chain):
    cells = chain["modules"]["top"]["cells"]
    cells["dut.cluster_0.logic"] = lut(LOGIC, FIRST)
    kept = copy.deepcopy(chain)
    kept["modules"]["top"]["ports"] = {"out": {"direction": "output", "bits": [SECOND]}}
    assert copy_registers(chain) == copy_registers(kept) == 3
    assert "dut.cluster_0.second" not in cells
    assert kept["modules"]["top"]["cells"].keys() - cells.keys() == {"dut.cluster_0.second"}


def ram(word: int, address: int, site: str) -> dict:
    return {
        "type": "DP16KD",
        "parameters": {},
        "attributes": {"BEL": site} if site else {},
        "port_directions": {"ADB0": "input", "DOB0": "output"},
        "connections": {"ADB0": [address], "DOB0": [word]},
    }


def test_block_rams_in_rows_have_copies_for_each(chain):
    """Of the LUT that makes their address, and of the register that chooses among their words."""
    cells = chain["modules"]["top"]["cells"]
    cells.clear()
    address, chosen = 70, 71
    cells["dut.request"] = flip_flop(72)
    cells["dut.address"] = lut(address, 72)
    cells["dut.chosen"] = flip_flop(chosen)
    for n, site in enumerate(("X1/Y22/EBR0", "X9/Y22/EBR1", "X1/Y46/EBR0")):
        cells[f"dut.bank_{n}"] = ram(80 + n, address, site)
        cells[f"dut.word_{n}"] = lut(90 + n, 80 + n, chosen)
    cells["dut.bank_3"] = ram(83, address, "")  # has no site
    cells["dut.cluster_0.lane_0.weights"] = ram(84, address, "X1/Y70/EBR0")  # the cluster's own
    assert copy_registers(chain) == 4
    by_output = {
        cell["connections"][port][0]: name
        for name, cell in cells.items()
        for port in ("Q", "Z")
        if port in cell["connections"]
    }

    def read(name: str, port: str) -> str:
        return by_output[cells[name]["connections"][port][0]]

    for n, row in enumerate(("Y22", "Y22", "Y46")):
        assert read(f"dut.bank_{n}", "ADB0") == f"{row}.copy_of_dut.address"
        assert read(f"dut.word_{n}", "B") == f"{row}.copy_of_dut.chosen"
    assert read("dut.bank_3", "ADB0") == "dut.address"
    assert read("dut.cluster_0.lane_0.weights", "ADB0") == "dut.address"
    assert "dut.chosen" not in cells


def test_two_lanes_share_a_copy_of_what_many_of_their_cells_read(chain):
    """What they read of the register before is read by the copies then, and copied as usual."""
    cells = chain["modules"]["top"]["cells"]
    enabled = 62
    cells["dut.cluster_0.enable"] = lut(enabled, SECOND)
    for n in range(24):
        for k in range(16):
            cells[f"dut.cluster_0.lane_{n}.bit_{k}"] = lut(100 + 16 * n + k, enabled)
    copy_registers(chain)
    places = [name.partition(".copy_of_")[0] for name in cells if name.endswith("enable")]
    assert places == sorted(f"cluster_0.lane_{n}" for n in range(0, 24, 2))
    for n in range(24):
        read = {cells[f"dut.cluster_0.lane_{n}.bit_{k}"]["connections"]["A"][0] for k in range(16)}
        own = cells[f"cluster_0.lane_{n // 2 * 2}.copy_of_dut.cluster_0.enable"]
        assert read == set(own["connections"]["Z"])
    registers = [name.partition(".copy_of_")[0] for name in cells if name.endswith("second")]
    assert registers == ["dut.cluster_0.second", *sorted(f"cluster_0.lane_{n}" for n in (0, 8, 16))]


def test_registers_behind_logic_are_copied_for_many_readers_alone(chain):
    cells = chain["modules"]["top"]["cells"]
    for n in range(24):
        for k in range(16):
            cells[f"dut.cluster_0.lane_{n}.bit_{k}"] = lut(100 + 16 * n + k, FIRST)
    copy_registers(chain)
    places = [name.partition(".copy_of_")[0] for name in cells if name.endswith(".first")]
    assert places == [
        "dut.cluster_0.first",
        *sorted(f"cluster_0.lane_{n}" for n in range(0, 24, 2)),
    ]
    logic = [name.partition(".copy_of_")[0] for name in cells if name.endswith(".logic")]
    assert logic == ["dut.cluster_0.logic", *sorted(f"cluster_0.lane_{n}" for n in (0, 8, 16))]


def test_few_groups_share_the_original(chain):
    cells = chain["modules"]["top"]["cells"]
    for n in (16, 20):
        del cells[f"dut.cluster_0.lane_{n}.late"]
    assert copy_registers(chain) == 0


def test_what_enables_copies_is_copied_too(design):
    cells = design["modules"]["top"]["cells"]
    cells["dut.control.word"]["connections"]["CE"] = [31]
    cells["dut.control.resting"] = flip_flop(31)
    assert copy_registers(design) == 4
    by_output = {
        cell["connections"]["Q"][0]: name
        for name, cell in cells.items()
        if "Q" in cell["connections"]
    }
    for cluster in ("cluster_0", "cluster_1"):
        (enable,) = cells[f"{cluster}.copy_of_dut.control.word"]["connections"]["CE"]
        assert by_output[enable] == f"{cluster}.copy_of_dut.control.resting"


def test_luts_of_registers_follow_their_lanes(chain):
    """Two of them, one behind the other, and the register before: all with a copy a group."""
    cells = chain["modules"]["top"]["cells"]
    decoded, joined = 60, 61
    cells["dut.cluster_0.decoded"] = lut(decoded, SECOND, FIRST)
    cells["dut.cluster_0.joined"] = lut(joined, decoded, FIRST)
    for n in range(0, 24, 4):
        cells[f"dut.cluster_0.lane_{n}.late"]["connections"]["A"] = [joined]
    assert copy_registers(chain) == 9
    by_output = {
        cell["connections"][port][0]: name
        for name, cell in cells.items()
        for port in ("Q", "Z")
        if port in cell["connections"]
    }
    for first in (0, 8, 16):
        at = cells[f"dut.cluster_0.lane_{first}.late"]["connections"]["A"][0]
        for name in ("joined", "decoded", "second"):
            assert by_output[at] == f"cluster_0.lane_{first}.copy_of_dut.cluster_0.{name}"
            connections = cells[by_output[at]]["connections"]
            at = connections.get("A", connections.get("DI"))[0]
        assert at == FIRST
