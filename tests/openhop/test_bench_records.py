"""Records of benches: where they stand, and what counts as a change."""

import json
from dataclasses import replace

import pytest

from golden.params import preset
from openhop import bench_records
from openhop.bench_records import FOLDER, command, compare, load, record_path, save
from openhop.benching import Bench, bench
from openhop.layer_table import COLUMNS

LAYERS = (
    "a,6,7,3,8,3,3,1,1,1,1,1,1,0,0.9",
    "b,6,7,8,8,3,3,1,1,1,1,1,1,0,0.5",
    "wide,6,7,8,8,1,1,2,2,5,5,5,5,0,0.5",
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("table") / "small.csv"
    place.write_text("\n".join([",".join(COLUMNS), *LAYERS]))
    return place


@pytest.fixture(scope="module")
def result(path) -> Bench:
    return bench(path, preset("tiny"), engine="golden")


@pytest.fixture
def record(result) -> dict:
    return json.loads(json.dumps(result.json()))


def test_names():
    assert record_path("vgg16", "nullhop", None, "random") == FOLDER / "bench-vgg16-nullhop.json"
    photo = record_path("squeezenet", "nullhop", None, "photo")
    assert photo.name == "bench-squeezenet-nullhop-photo.json"
    both = record_path("vgg19", "tiny", 0.728, "clustered")
    assert both.name == "bench-vgg19-tiny-zeros72.8-clustered.json"
    apart = record_path("vgg19", "tiny", 0.728, "random", independent=True)
    assert apart.name == "bench-vgg19-tiny-zeros72.8-independent.json"


def test_there_may_be_none(tmp_path):
    assert load(tmp_path / "none.json") is None


def test_a_record_names_its_command(result, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_records, "FOLDER", tmp_path / "records")
    path = save(result)
    assert path == tmp_path / "records" / "bench-small-tiny.json"
    content = load(path)
    assert content
    assert next(iter(content)) == "command"
    assert content["command"] == "openhop bench small --preset tiny --engine golden --record"
    assert compare(content, result) == []
    photo = replace(result, table="squeezenet", frame="photo", engine="rtl")
    assert command(photo) == "openhop bench squeezenet --preset tiny --record"
    other = replace(result, zeros=0.696, frame="clustered", engine="rtl")
    assert command(other).split(" tiny ")[1] == "--zeros 69.6 --frame clustered --record"
    apart = replace(result, independent=True, engine="rtl")
    assert command(apart) == "openhop bench small --preset tiny --independent --record"
    assert save(apart).name == "bench-small-tiny-independent.json"


def test_the_same_again_is_no_change(record, result):
    assert compare(record, result) == []


def test_how_it_was_computed_is_no_change(record, result):
    record |= {"engine": "rtl", "bit_exact": True, "sim_cycles_per_s": 1.5}
    record["layers"][0] |= {"bit_exact": True, "as_predicted": True}
    assert compare(record, result) == []


def test_a_cycle_is_a_change(record, result):
    now = result.layers[1].figures.sums.cycles
    record["layers"][1]["cycles"] = now + 1
    record["layers"][1]["stalls"]["drain"] += 1
    record["total"]["cycles"] = 2 * result.total.cycles
    changes = [str(change) for change in compare(record, result)]
    assert len(changes) == 3
    assert changes[0].startswith(f"b.cycles: {now + 1} -> {now} (")
    assert changes[1].startswith("b.stalls.drain: ")
    assert (
        changes[2] == f"total.cycles: {2 * result.total.cycles} -> {result.total.cycles} (-50.0%)"
    )


def test_a_layer_that_only_one_has_is_a_change(record, result):
    del record["layers"][0]
    record["layers"].append(record["refused"].pop() | {"cycles": 3})
    record["refused"].append({"name": "gone", "reason": "too large"})
    changes = [str(change) for change in compare(record, result)]
    assert "a: not there -> there" in changes
    assert "gone: left out -> not there" in changes
    assert any(change.startswith("wide.cycles: 3 -> ") for change in changes)
