"""`openhop bench`: a table of layers, its figures, and its record."""

import json

import pytest

from openhop import bench_records, library
from openhop.layer_table import COLUMNS

HEADER = ",".join(COLUMNS)
CHAIN = (
    "first,8,9,3,5,3,3,1,1,1,1,1,1,0,0.9",
    "second,8,9,5,8,3,3,1,1,1,1,1,1,1,0.5",
)
WIDE = "wide,4,4,8,5,1,1,2,2,1,1,1,1,0,0.5"
BEYOND = "far,4,4,8,5,9,9,1,1,1,1,1,1,0,0.5"


@pytest.fixture
def own(tmp_path):
    """A table of the user's."""
    path = tmp_path / "own.csv"
    path.write_text("\n".join([HEADER, *CHAIN]))
    return path


@pytest.fixture
def bundled(tmp_path, monkeypatch) -> str:
    """Name of a bundled table; it and its records stand in a folder of the test's."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "small.csv").write_text("\n".join([HEADER, *CHAIN]))
    monkeypatch.setattr(library, "HERE", tmp_path)
    monkeypatch.setattr(bench_records, "FOLDER", tmp_path / "records")
    return "small"


def test_rtl(openhop, own, tmp_path):
    out = tmp_path / "bench.json"
    result = openhop("bench", own, "--preset", "tiny", "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "own on tiny, chained, random frame, zeros of the table" in result.stdout
    assert "Bits: all exact" in result.stdout
    content = json.loads(out.read_text())
    assert (content["model"], content["preset"], content["engine"]) == ("own", "tiny", "rtl")
    assert content["bit_exact"] is True
    first, second = content["layers"]
    total = content["total"]
    for key in ("cycles", "cycles_model", "dense_ops", "cycles_systolic_ws"):
        assert total[key] == first[key] + second[key]
    assert total["cycles"] == total["cycles_model"]
    assert set(first) >= {
        *("name", "kind", "in_shape", "out_shape", "kernel", "stride", "dense_ops", "useful_ops"),
        *("input_zeros", "cycles", "cycles_model", "cycles_compute", "cycles_bus", "cycles_ideal"),
        *("utilisation", "efficiency", "stalls", "bit_exact", "cycles_systolic_os"),
    }


def test_options_reach_the_bench(openhop, own, tmp_path):
    out = tmp_path / "bench.json"
    options = ("--engine", "golden", "--zeros", "70", "--frame", "clustered", "--layers", "second")
    result = openhop("bench", own, "--preset", "tiny", *options, "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "clustered frame, zeros 70.0 %" in result.stdout
    content = json.loads(out.read_text())
    assert (content["engine"], content["frame"], content["zeros"]) == ("golden", "clustered", 0.7)
    assert content["bit_exact"] is None
    (layer,) = content["layers"]
    assert layer["name"] == "second"
    assert layer["input_zeros"] == pytest.approx(0.7, abs=0.01)


def test_a_layer_that_the_build_cannot_run_is_left_out_in_words(openhop, own, tmp_path):
    out = tmp_path / "bench.json"
    own.write_text("\n".join([HEADER, *CHAIN, WIDE]))
    result = openhop("bench", own, "--preset", "tiny", "--engine", "golden", "--json", out)
    assert (result.exit_code, result.stderr) == (1, "")
    assert "Left out: wide: pads" in result.stdout
    assert [layer["name"] for layer in json.loads(out.read_text())["refused"]] == ["wide"]


def test_a_record_is_kept_and_compared(openhop, bundled):
    command = ("bench", bundled, "--preset", "tiny", "--engine", "golden")
    assert "ecorded" not in openhop(*command).stdout
    kept = openhop(*command, "--record").stdout.replace("\n", "")
    place = bench_records.FOLDER / "bench-small-tiny.json"
    assert kept.endswith(f"Recorded in {place}")
    assert "ther than recorded" not in kept
    content = json.loads(place.read_text())
    assert openhop(*command).stdout.endswith("As recorded\n")
    assert "ecorded" not in openhop(*command, "--zeros", "50").stdout
    content["layers"][0]["cycles"] -= 1
    place.write_text(json.dumps(content))
    result = openhop(*command)
    assert result.exit_code == 0
    assert "Other than recorded:\n  first.cycles: " in result.stdout
    assert "ecorded" not in openhop(*command, "--layers", "second").stdout
    assert "first.cycles" in openhop(*command, "--record").stdout
    assert openhop(*command).stdout.endswith("As recorded\n")


def test_nullhop_stands_beside_vgg(openhop):
    """Not where layers are missing."""
    options = ("--engine", "golden", "--layers", "conv1_1", "--zeros", "69.6")
    result = openhop("bench", "vgg16", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "NullHop:" not in result.stdout


def test_the_paper_is_named_beside_a_whole_network(openhop, bundled, monkeypatch):
    from openhop import peers

    monkeypatch.setitem(peers.NULLHOP, bundled, peers.NULLHOP["vgg16"])
    result = openhop("bench", bundled, "--preset", "tiny", "--engine", "golden")
    assert "NullHop: 36,470,000 cycles, efficiency 328.8 % at 69.6 % zeros" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none.csv"], "none.csv: is neither a file nor a bundled table"),
        (["vgg16", "--preset", "huge"], "preset 'huge' is unknown"),
        (["vgg16", "--layers", "conv9"], "layer 'conv9' is unknown: choose of conv1_1, conv1_2"),
        (["vgg16", "--zeros", "101"], "Invalid value for '--zeros'"),
        (["vgg16", "--frame", "striped"], "Invalid value for '--frame'"),
        (["vgg16", "--record", "--layers", "conv1_1"], "--record: needs the whole table"),
        (["vgg16", "--json", "/none/x.json"], "/none/x.json: its folder does not exist"),
    ],
)
def test_bad_arguments_are_one_line(refusal, arguments, line):
    assert refusal("bench", *arguments).startswith(line)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name,H\n", "line 1: needs one column W"),
        (f"{HEADER}\n{CHAIN[0]},7\n", "line 2: has 16 columns, not 15"),
        (f"{HEADER}\n{CHAIN[0].replace('0.9', '1.9')}\n", "line 2, column density: must be"),
        (f"{HEADER}\n{CHAIN[0]}\n{BEYOND}\n", "line 3: layer 'far': kernel 9x9 is larger"),
        (f"{HEADER}\n", ": has no layers"),
    ],
)
def test_a_bad_table_is_one_line(refusal, own, content, line):
    own.write_text(content)
    found = refusal("bench", own, "--preset", "tiny", "--engine", "golden")
    assert found.startswith(str(own))
    assert line in found


def test_only_bundled_tables_have_records(refusal, own):
    assert "is not a bundled table" in refusal("bench", own, "--record", "--engine", "golden")
