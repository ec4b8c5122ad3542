"""Logic is compared like for like; the record is complete and current."""

import itertools
import json
from dataclasses import replace

import pytest

from fpga import logic
from fpga.devices import DEVICES
from fpga.logic import Case
from hdl.cluster import Cluster
from hdl.core import Core
from hdl.l1_lane import L1Lane
from hdl.lane import Lane

PE = Case(part="pe", structure="plain", pe="mac", bits=4, family="ice40", flow="lut")
RECORD = logic.load()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))


def fields(case):
    return case.part, case.structure, case.pe, case.bits, case.family, case.flow


def test_every_l1_part_has_its_rivals():
    listed = list(map(fields, logic.cases(logic.STRUCTURES)))
    assert len(set(listed)) == len(listed)
    for part, structure, pe, bits, family, flow in listed:
        if pe == "l1":
            assert flow == "lut"
            rival = "plain" if structure == "complement" else structure
            for how in logic.FLOWS:
                assert (part, rival, "mac", bits, family, how) in listed


def test_the_core_s_own_parts_have_whole_bytes():
    listed = list(map(fields, logic.cases(logic.STRUCTURES)))
    assert {case[3] for case in listed if case[0] in ("pe", "lane", "array")} == {4, 8, 16}
    assert {case[3] for case in listed if case[0] in ("cluster", "core")} == {8, 16}


@pytest.mark.parametrize(
    ("part", "pe", "kind"),
    [
        ("lane", "mac", Lane),
        ("lane", "l1", L1Lane),
        ("cluster", "l1", Cluster),
        ("core", "mac", Core),
    ],
)
def test_the_core_s_own_parts_are_those_of_the_core(part, pe, kind):
    case = Case(part=part, structure="core", pe=pe, bits=8, family="ecp5", flow="lut")
    assert isinstance(case.component(), kind)
    build = case.build
    assert (build.pe, build.act_bits, build.weight_bits) == (pe, 8, 8)
    assert build.acc_bits == {"mac": 26, "l1": 19}[pe]


@pytest.mark.parametrize(
    ("pe", "bits", "bare", "own"), [("mac", 8, 26, 26), ("l1", 8, 18, 19), ("l1", 16, 26, 27)]
)
def test_accumulators_in_a_lane(pe, bits, bare, own):
    case = Case(part="lane", structure="bare", pe=pe, bits=bits, family="ecp5", flow="lut")
    assert case.acc_bits == bare == case.component().acc_bits
    assert replace(case, structure="core").acc_bits == own


def test_flows_differ_in_the_multiplier_alone():
    ecp5 = {flow: replace(PE, family="ecp5", flow=flow).device.synth for flow in logic.FLOWS}
    assert ecp5["dsp"] == "synth_ecp5 -nowidelut"
    assert ecp5["lut"] == "synth_ecp5 -nowidelut -nodsp"
    assert ecp5["booth"].endswith(f"booth; {ecp5['lut']}")
    ice40 = {flow: replace(PE, flow=flow).device for flow in logic.FLOWS}
    assert ice40["lut"] == DEVICES["hx8k"]
    assert ice40["dsp"] == DEVICES["up5k"]
    assert ice40["booth"].synth.endswith(f"booth; {ice40['lut'].synth}")


@pytest.mark.usefixtures("cache")
def test_a_pe_is_counted():
    """A product costs more than a minimum; a multiplier block takes it in whole."""
    counts = [
        logic.measure(replace(PE, bits=8, pe=pe, flow=flow))
        for pe, flow in [("mac", "lut"), ("mac", "booth"), ("mac", "dsp"), ("l1", "lut")]
    ]
    assert [count["ff"] for count in counts] == [26, 26, 26, 18]
    assert [count["dsp"] for count in counts] == [0, 0, 1, 0]
    (row,) = logic.compare(counts)
    assert row["mac"] == min(counts[0]["lut"], counts[1]["lut"])
    assert row["l1"] == counts[3]["lut"] < row["mac"]
    assert row["saving"] == round(1 - row["l1"] / row["mac"], 4)
    assert row["dsp"] == 1


@pytest.mark.usefixtures("cache")
def test_gates_are_counted_without_memories():
    lane = Case(part="lane", structure="block-ram", pe="l1", bits=4, family="gates", flow="lut")
    count = logic.gates(lane)
    assert count["gates"] == sum(count[key] for key in ("and", "xor", "mux", "not"))
    # Pixel, minimum, the last sum and a shadow row.
    assert count["ff"] == 4 + 4 + 14 + 14
    product = logic.gates(replace(PE, part="pe", pe="mac", flow="booth"))
    assert product["gates"] > logic.gates(replace(PE, pe="l1"))["gates"]


def count(pe, flow, lut, structure="plain", dsp=0):
    case = replace(PE, bits=8, pe=pe, flow=flow, structure=structure)
    return {**vars(case), "lut": lut, "dsp": dsp}


@pytest.fixture
def counts():
    return [
        count("mac", "lut", 200),
        count("mac", "booth", 160),
        count("mac", "dsp", 0, dsp=1),
        count("l1", "lut", 40),
        count("l1", "lut", 30, "complement"),
    ]


def test_the_smaller_multiplier_is_the_rival(counts):
    plain, complement = logic.compare(counts)
    assert (plain["multiplier"], plain["mac"], plain["saving"]) == ("booth", 160, 0.75)
    assert (plain["mac_dsp"], plain["dsp"], plain["saving_dsp"]) == (0, 1, None)
    assert plain["target"] == complement["target"] == 0.78
    assert complement["saving"] == 0.8125
    assert logic.best([plain, complement]) == [complement]


def test_everything_is_told_and_put_together(monkeypatch):
    def measure(case, seeds=0):
        cost = {"lut": 100, "booth": 90, "dsp": 20}[case.flow] - 40 * (case.pe == "l1")
        return {**vars(case), "lut": cost, "dsp": 0, "seeds": seeds, "tools": {"t": "1"}}

    monkeypatch.setattr(logic, "measure", measure)
    monkeypatch.setattr(logic, "gates", lambda case: {"part": case.part})
    steps = []
    result = logic.measure_all(
        ["pe", "array"], [8], seeds=2, progress=lambda *step: steps.append(step)
    )
    assert {count["part"] for count in result["counts"]} == {"pe", "array"}
    assert result["gates"] == [{"part": "pe"}] * 4
    flows = [(count["pe"], count["flow"], count["seeds"]) for count in result["speeds"]]
    assert flows == [("mac", "booth", 2), ("mac", "dsp", 2), ("l1", "lut", 2)]
    assert result["tools"] == {"t": "1"}
    assert all("tools" not in count for count in result["counts"])
    for _kind, told in itertools.groupby(steps, key=lambda step: step[2].split(":")[0]):
        done, totals, _texts = zip(*told, strict=True)
        assert done == tuple(range(totals[0]))


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "logic.json"
    assert logic.load(path) is None
    result = {"taps": 576, "seeds": 3, "rows": []}
    logic.save(result, path)
    assert logic.load(path) == {"command": "openhop logic --seeds 3 --record", **result}
    assert next(iter(json.loads(path.read_text()))) == "command"


def test_the_record_agrees_with_itself():
    assert RECORD is not None
    assert logic.compare(RECORD["counts"]) == RECORD["rows"]
    counted = {tuple(item[key] for key in vars(PE)) for item in RECORD["counts"]}
    assert counted == set(map(fields_of_record, logic.cases(logic.STRUCTURES)))


def test_the_recorded_savings_reach_their_targets():
    assert RECORD is not None
    reached = [row for row in logic.best(RECORD["rows"]) if row["target"] is not None]
    assert {(row["part"], row["family"], row["bits"]) for row in reached} == set(logic.TARGETS)
    assert all(row["saving"] >= row["target"] for row in reached)


def fields_of_record(case):
    return tuple(vars(case).values())


@pytest.mark.bench
@pytest.mark.parametrize("part", ["pe", "lane"])
def test_counting_anew_gives_the_record(part):
    assert RECORD is not None
    recorded = {
        tuple(item[key] for key in vars(PE)): item
        for item in RECORD["counts"]
        if item["part"] == part
    }
    for case in logic.cases([part]):
        item = dict(recorded[fields_of_record(case)])
        found = logic.measure(case)
        assert {key: found[key] for key in item} == item
