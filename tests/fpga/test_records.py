"""Records are written, found and compared figure by figure; those in the tree are current."""

import copy

import pytest

from fpga import records
from fpga.builds import blocks_of, synthesise_build
from fpga.devices import DEVICES, RESOURCES
from fpga.reports import spread
from fpga.synth import synthesise
from golden.params import PRESETS, preset
from hdl.core import Core
from hdl.lane import Lane

RECORDS = records.load_all()


def name_of(record):
    return f"{record['preset']}-{record['device']}"


def figures(lut, fmax, **more):
    speeds = [fmax, fmax + 1, fmax - 1] if fmax else []
    return {
        "fits": fmax is not None,
        "lut": lut,
        "fmax_mhz": spread(speeds),
        "runs": [{"seed": seed, "fmax_mhz": mhz} for seed, mhz in enumerate(speeds, start=1)],
        **more,
    }


@pytest.fixture
def result():
    return {
        "preset": "tiny",
        "device": "up5k",
        **figures(200, 50.0, seeds=3, tools={"yosys": "1"}),
        "blocks": [
            {"name": "lane", "instances": 8, **figures(10, 80.0)},
            {"name": "drain", "instances": 1, **figures(20, 70.0)},
        ],
    }


def test_a_record_is_read_as_it_was_written(result, tmp_path):
    assert records.load("tiny", "up5k", tmp_path) is None
    path = records.save(result, tmp_path)
    assert path == records.record_path("tiny", "up5k", tmp_path) == tmp_path / "tiny-up5k.json"
    record = records.load("tiny", "up5k", tmp_path)
    assert {key: record[key] for key in result} == result
    assert records.load_all(tmp_path) == [record]
    assert records.compare(record, result) == []


def test_a_record_names_the_command_that_made_it(result, tmp_path):
    records.save(result, tmp_path)
    record = records.load("tiny", "up5k", tmp_path)
    assert list(record) == ["command", *result]
    asked = "openhop synth --preset tiny --device up5k --seeds 3"
    assert record["command"] == f"{asked} --blocks --record"
    assert records.command({**result, "blocks": []}) == f"{asked} --record"


def test_every_figure_that_moved_is_named(result):
    now = copy.deepcopy(result)
    now["lut"] = 250
    now["tools"]["yosys"] = "2"
    now["blocks"][1]["fmax_mhz"]["median"] = 63.0
    assert list(map(str, records.compare(result, now))) == [
        "core.lut: 200 -> 250 (+25.0%)",
        "core.tools.yosys: 1 -> 2",
        "drain.fmax_mhz.median: 70.0 -> 63.0 (-10.0%)",
    ]


def test_what_is_not_a_figure_may_differ(result):
    now = copy.deepcopy(result)
    now["reason"] = "none"
    assert records.compare(result, now) == []


def test_fewer_seeds_are_compared_with_the_same_seeds(result):
    now = {**result, **figures(200, 50.0, seeds=1), "blocks": []}
    now["runs"], now["fmax_mhz"] = now["runs"][:1], spread([50.0])
    assert records.compare(result, now) == []
    assert records.compare(now, result | {"blocks": []}) == []
    now["fmax_mhz"] = spread([40.0])
    changed = [change.where for change in records.compare(result, now)]
    assert changed == [f"core.fmax_mhz.{key}" for key in ("median", "min", "max")]


def test_a_seed_without_placement_alone_does_not_fit(result):
    result["runs"][0]["fmax_mhz"] = None
    now = {**result, **figures(200, None, seeds=1), "blocks": []}
    assert records.compare(result, now) == []


def test_no_longer_fitting_is_a_change(result):
    now = {**result, **figures(200, None)}
    assert list(map(str, records.compare(result, now))) == [
        "core.fits: True -> False",
        "core.fmax_mhz: {'median': 50.0, 'min': 49.0, 'max': 51.0} -> None",
    ]


def test_blocks_come_and_go(result):
    now = copy.deepcopy(result)
    now["blocks"][0]["name"] = "row"
    changes = records.compare(result, now)
    assert [change.where for change in changes] == ["lane", "row"]
    assert changes[0].now is None
    assert changes[1].recorded is None


def test_the_core_alone_is_compared_with_the_core(result):
    assert records.compare(result, {**result, "blocks": []}) == []


def test_every_record_is_of_a_preset_and_a_device():
    assert RECORDS
    for record in RECORDS:
        assert record["preset"] in PRESETS
        assert record["device"] in DEVICES
        assert records.record_path(record["preset"], record["device"]).is_file()
        assert record["command"] == records.command(record)


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_a_record_agrees_with_the_table_of_parts(record):
    part = DEVICES[record["device"]]
    measured = {key: record[key] + record["wrapper"][key] for key in RESOURCES}
    assert record["fits"] == (record["reason"] is None) == (record["fmax_mhz"] is not None)
    if record["fits"]:
        assert all(measured[key] <= getattr(part, key) for key in RESOURCES)
    # A speed grade changes no block's area: that of its die has them.
    kinds = blocks_of(preset(record["preset"])) if part.name == part.die else []
    assert [block["name"] for block in record["blocks"]] == [kind.name for kind in kinds]


@pytest.mark.parametrize(("name", "part"), [("tiny", "lfe5u-25f"), ("tiny", "up5k")])
def test_the_smallest_core_has_the_recorded_area(name, part):
    record = records.load(name, part)
    core = synthesise(Core(preset(name)), DEVICES[part], seeds=0)
    area = (*RESOURCES, "wrapper", "sites", "options", "tools")
    assert {key: core[key] for key in area} == {key: record[key] for key in area}


@pytest.mark.parametrize(("name", "part"), [("tiny", "lfe5u-25f"), ("tiny", "up5k")])
def test_a_lane_of_the_smallest_core_gives_the_recorded_figures(name, part):
    (record,) = (block for block in records.load(name, part)["blocks"] if block["name"] == "lane")
    lane = synthesise(Lane(preset(name)), DEVICES[part], seeds=1)
    area = (*RESOURCES, "wrapper", "sites", "options")
    assert {key: lane[key] for key in area} == {key: record[key] for key in area}
    assert lane["runs"][0] == record["runs"][0]


@pytest.mark.bench
@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_the_code_still_gives_the_recorded_figures(record):
    result = synthesise_build(
        preset(record["preset"]),
        DEVICES[record["device"]],
        seeds=record["seeds"],
        blocks=bool(record["blocks"]),
    )
    assert list(map(str, records.compare(record, result))) == []
