"""`openhop vectors`: which files there are; tests/openhop/test_vectors.py replays them."""

import json

import onnx

from tests.openhop.networks import adder_classifier


def test_files_and_json(openhop, model, pictures, tmp_path):
    folder, out = tmp_path / "new" / "vectors", tmp_path / "vectors.json"
    args = ("-o", folder, "--images", *pictures, "--preset", "tiny", "--json", out)
    result = openhop("vectors", model, *args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"make -C {folder}" in result.stdout.replace("\n", "")
    content = json.loads(out.read_text())
    assert set(content) == {"model", "preset", "input", "files", "layers"}
    assert (content["model"], content["preset"]) == ("small", "tiny")
    assert content["input"] == "first.png"
    assert {path.name for path in folder.iterdir()} == set(content["files"])
    assert [layer["stem"] for layer in content["layers"]] == ["00_conv0", "01_gemm4"]
    for layer in content["layers"]:
        assert set(layer) == {
            *("name", "stem", "control_words", "map_words", "out_words", "cycles"),
        }
        words = (folder / f"{layer['stem']}.map.hex").read_text().split()
        assert len(words) == layer["map_words"]


def test_without_a_picture_the_input_is_random(openhop, model, tmp_path):
    result = openhop("vectors", model, "-o", tmp_path, "--preset", "tiny")
    assert result.exit_code == 0
    assert "small on tiny, random" in result.stdout
    assert "Input: random." in (tmp_path / "testbench.v").read_text()


def test_a_second_time_gives_the_same_files(openhop, model, tmp_path):
    def contents() -> dict[str, bytes]:
        assert openhop("vectors", model, "-o", tmp_path, "--preset", "tiny").exit_code == 0
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert contents() == contents()


def test_a_network_for_two_builds_is_refused(refusal, tmp_path):
    model = tmp_path / "sums.onnx"
    onnx.save(adder_classifier(mixed=True), model)
    message = refusal("vectors", model, "-o", tmp_path / "out")
    assert message.startswith("sums: has layers for two builds, and a testbench replays one core")
