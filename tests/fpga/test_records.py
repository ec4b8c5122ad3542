"""Records are written, found and compared figure by figure; those in the tree are current."""

import copy

import pytest

from fpga import records
from fpga.builds import synthesise_build
from fpga.devices import DEVICES
from golden.params import PRESETS, preset


def figures(lut, fmax, **more):
    fmax_mhz = fmax and {"median": fmax, "min": fmax - 1, "max": fmax + 1}
    return {"fits": fmax is not None, "lut": lut, "fmax_mhz": fmax_mhz, "runs": [lut], **more}


@pytest.fixture
def result():
    return {
        "preset": "tiny",
        "device": "up5k",
        **figures(200, 50.0, tools={"yosys": "1"}),
        "blocks": [
            {"name": "lane", "instances": 8, **figures(10, 80.0)},
            {"name": "drain", "instances": 1, **figures(20, 70.0)},
        ],
    }


def test_a_record_is_read_as_it_was_written(result, tmp_path):
    assert records.load("tiny", "up5k", tmp_path) is None
    path = records.save(result, tmp_path)
    assert path == records.record_path("tiny", "up5k", tmp_path) == tmp_path / "tiny-up5k.json"
    assert records.load("tiny", "up5k", tmp_path) == result
    assert records.load_all(tmp_path) == [result]
    assert records.compare(result, records.load("tiny", "up5k", tmp_path)) == []


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
    now["runs"] = []
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
    for record in records.load_all():
        assert record["preset"] in PRESETS
        assert record["device"] in DEVICES
        assert records.record_path(record["preset"], record["device"]).is_file()


@pytest.mark.bench
def test_the_code_still_gives_the_recorded_figures():
    changes = [
        str(change)
        for record in records.load_all()
        for change in records.compare(
            record,
            synthesise_build(
                preset(record["preset"]),
                DEVICES[record["device"]],
                seeds=record["seeds"],
                blocks=bool(record["blocks"]),
            ),
        )
    ]
    assert changes == []
