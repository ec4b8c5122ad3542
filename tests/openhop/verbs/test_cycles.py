"""`openhop cycles`: a network or a table of layers by the models alone."""

import json

from openhop.layer_table import COLUMNS
from openhop.library import sample_pictures

HEADER = ",".join(COLUMNS)
GOOD = "good,8,9,3,5,3,3,1,1,1,1,1,1,0,0.5"
WIDE = "wide,4,4,8,5,1,1,2,2,1,1,1,1,0,0.5"


def test_a_network(openhop, tmp_path):
    out = tmp_path / "cycles.json"
    picture = sample_pictures("fashion")[0]
    result = openhop("cycles", "fashion", "--images", picture, "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(out.read_text())
    assert (content["engine"], content["images"]) == ("golden", 1)
    assert content["total"]["cycles"] == sum(layer["cycles"] for layer in content["layers"])


def test_the_models_say_what_run_says(openhop, model, pictures, tmp_path):
    contents = []
    for verb in (("cycles", model), ("run", model, "--engine", "golden")):
        out = tmp_path / f"{verb[0]}.json"
        openhop(*verb, "--images", *pictures, "--preset", "tiny", "--json", out)
        contents.append(json.loads(out.read_text()))
    assert contents[0] == contents[1]


def test_a_table(openhop, tmp_path):
    table, out = tmp_path / "own.csv", tmp_path / "cycles.json"
    table.write_text(f"{HEADER}\n{GOOD}\n")
    result = openhop("cycles", table, "--preset", "tiny", "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(out.read_text())
    assert set(content) == {"model", "preset", "layers", "refused", "total"}
    assert (content["model"], content["preset"], content["refused"]) == ("own", "tiny", [])
    (layer,) = content["layers"]
    assert layer["name"] == "good"
    assert {key: layer[key] for key in content["total"]} == content["total"]


def test_a_layer_that_the_build_cannot_run_is_left_out_in_words(openhop, tmp_path):
    table, out = tmp_path / "own.csv", tmp_path / "cycles.json"
    table.write_text(f"{HEADER}\n{WIDE}\n{GOOD}\n")
    result = openhop("cycles", table, "--preset", "tiny", "--json", out)
    assert (result.exit_code, result.stderr) == (1, "")
    assert "Left out: wide: pads (1, 1, 1, 1) must be smaller" in result.stdout
    content = json.loads(out.read_text())
    assert [layer["name"] for layer in content["layers"]] == ["good"]
    assert [layer["name"] for layer in content["refused"]] == ["wide"]


def test_a_table_of_which_nothing_runs_is_an_error(refusal, tmp_path):
    table = tmp_path / "own.csv"
    table.write_text(f"{HEADER}\n{WIDE}\n")
    line = refusal("cycles", table, "--preset", "tiny", "--json", tmp_path / "cycles.json")
    assert line.startswith("layer 'wide': pads (1, 1, 1, 1) must be smaller")
    assert list(tmp_path.iterdir()) == [table]
