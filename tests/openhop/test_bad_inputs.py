"""Bad inputs at the command line: one clear line, exit code 2, and nothing left behind."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from PIL import Image

from golden.segment import MapError
from openhop import output
from openhop.library import model_path, sample_pictures
from tests.openhop.networks import classifier
from tests.test_house import ROOT

PICTURE = sample_pictures("fashion")[0]
GOLDEN = ("--engine", "golden")
Refuse = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The current folder, with bad files; a verb that fails must leave it as it is."""
    monkeypatch.chdir(tmp_path)
    Path("cut.png").write_bytes(PICTURE.read_bytes()[:200])
    Path("text.png").write_text("cat, dog")
    Image.new("L", (32, 28)).save("wide.png")
    Image.new("RGBA", (28, 28)).save("alpha.png")
    Path("cut.onnx").write_bytes(model_path("fashion").read_bytes()[:5000])
    Path("empty.onnx").write_bytes(b"")
    Path("layers.csv").write_text("name,H\nconv,8\n")
    before = contents(tmp_path)
    yield tmp_path
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: files with what they hold, folders with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.png", "is a damaged or truncated picture; save it or fetch it again"),
        ("text.png", "is not a picture; give a PNG or JPEG file"),
        ("wide.png", "is 32x28 pixels, but network 'fashion' takes 28x28 (width x height); resi"),
        ("alpha.png", "has the mode RGBA, or is transparent; save it as L, 8 bit, without alpha"),
        ("none.png", "No such file or directory; give a PNG or JPEG file"),
        (".", "Is a directory; give a PNG or JPEG file"),
    ],
)
@pytest.mark.parametrize(
    "verb",
    [
        ("run", "fashion", *GOLDEN, "--json", "x.json", "--html", "x.html", "--plot", "x.png"),
        ("run", "fashion", "--wave", "x.vcd"),
        ("cycles", "fashion", "--json", "x.json"),
    ],
    ids=["golden", "rtl", "cycles"],
)
def test_a_bad_picture_after_a_good_one(refusal: Refuse, verb, name, reason):
    assert refusal(*verb, "--images", PICTURE, name).startswith(f"{name}: {reason}")


def test_a_bad_picture_for_vectors(refusal: Refuse):
    line = refusal("vectors", "fashion", "-o", "new/vectors", "--images", "cut.png")
    assert line.startswith("cut.png: is a damaged or truncated picture; ")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("cut.onnx", "is not a complete ONNX file; export it or fetch it again"),
        ("empty.onnx", "holds no network; give an ONNX file with at least one layer"),
        ("text.png", "is not a complete ONNX file; export it or fetch it again"),
        ("none.onnx", "is neither a file nor a known network; give an ONNX file or fashion, fa"),
        (".", "is neither a file nor a known network; give an ONNX file or fashion, "),
    ],
)
@pytest.mark.parametrize("verb", ["run", "check", "cycles", "vectors"])
def test_a_bad_network(refusal: Refuse, verb, model, reason):
    args = {
        "run": ("--images", PICTURE, "--json", "x.json", "--wave", "x.fst"),
        "check": ("--json", "x.json"),
        "cycles": ("--json", "x.json"),
        "vectors": ("-o", "new/vectors"),
    }
    assert refusal(verb, model, *args[verb]).startswith(f"{model}: {reason}")


@pytest.mark.parametrize("verb", [("run", *GOLDEN), ("cycles",), ("vectors", "-o", "new")])
def test_an_unknown_node(refusal: Refuse, tmp_path_factory, verb):
    """`check` says so in its table and ends with 1: tests/openhop/verbs/test_check.py."""
    path = tmp_path_factory.mktemp("odd") / "odd.onnx"
    odd = classifier()
    flatten = next(node for node in odd.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Abs"
    flatten.ClearField("attribute")
    onnx.save(odd, path)
    name, *options = verb
    line = refusal(name, path, *options)
    assert line.startswith(f"{flatten.name} (Abs): Abs is not supported; the core has convolutions")


def test_damaged_weights(refusal: Refuse, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "damaged.onnx"
    damaged = classifier()
    tensor = max(damaged.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    tensor.raw_data = tensor.raw_data[:-1]
    onnx.save(damaged, path)
    line = refusal("check", path)
    assert line.startswith("small: is not valid ONNX (")
    assert tensor.name in line
    assert line.endswith("; export it again")


@pytest.mark.parametrize("verb", ["run", "cycles", "vectors"])
def test_a_network_that_the_build_cannot_run(refusal: Refuse, verb):
    args = {
        "run": ("--json", "x.json", "--wave", "x.vcd"),
        "cycles": ("--json", "x.json"),
        "vectors": ("-o", "new"),
    }
    assert refusal(verb, "fashion", "--preset", "up5k", *args[verb]) == (
        "layer 'conv0': needs the 'scale' requantiser, build 'up5k' has shift"
    )


def test_a_network_without_pictures(refusal: Refuse):
    path = model_path("fashion-int16")
    assert refusal("run", path, *GOLDEN) == (
        "fashion_int16: has no bundled pictures; name some with --images"
    )


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("layers.csv", "layers.csv line 1: needs one column W"),
        ("none.csv", "none.csv: is neither a file nor a bundled table; give a CSV file or "),
    ],
)
def test_a_bad_table(refusal: Refuse, table, reason):
    assert refusal("cycles", table, "--json", "x.json").startswith(reason)


@pytest.mark.parametrize(
    "verb",
    [
        ("run",),
        ("check", "fashion"),
        ("cycles", "fashion"),
        ("vectors", "fashion", "-o", "new"),
        ("verilog", "-o", "new"),
        ("synth",),
    ],
    ids=lambda verb: verb[0],
)
def test_an_unknown_preset(refusal: Refuse, verb):
    assert refusal(*verb, "--preset", "huge").startswith(
        "preset 'huge' is unknown: choose one of tiny, "
    )


@pytest.mark.parametrize(
    "verb",
    [
        ("run", *GOLDEN, "--json"),
        ("run", *GOLDEN, "--html"),
        ("run", *GOLDEN, "--plot"),
        ("check", "fashion", "--json"),
        ("cycles", "fashion", "--json"),
        ("cycles", "vgg16", "--json"),
        ("vectors", "fashion", "-o", "new", "--json"),
        ("verilog", "-o", "new", "--json"),
        ("synth", "--json"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(refusal: Refuse, verb):
    assert refusal(*verb, ".") == ".: is a folder; give the name of a file"
    assert refusal(*verb, "no/x.json") == "no/x.json: its folder does not exist; make it first"


def test_a_waveform_that_cannot_be_written(refusal: Refuse):
    assert refusal("run", "--wave", "no/x.vcd").endswith("its folder does not exist; make it first")
    assert refusal("run", "--wave", "x.txt").startswith("x.txt: a waveform file must end in .vcd o")
    assert refusal("run", *GOLDEN, "--wave", "x.vcd").startswith("the golden engine has no wavefor")


@pytest.mark.parametrize("verb", [("vectors", "fashion"), ("verilog",)], ids=lambda verb: verb[0])
def test_a_folder_that_cannot_be_made(refusal: Refuse, folder, verb):
    for name in ("cut.png", "cut.png/new"):
        line = refusal(*verb, "-o", name)
        assert line == f"{folder / 'cut.png'}: is no folder; give the name of a folder"


@pytest.mark.parametrize(
    "args",
    [("check", "fashion", "--json", "x.json"), ("verilog", "-o", "new")],
    ids=["check", "verilog"],
)
def test_where_nothing_may_be_written(refusal: Refuse, monkeypatch, args):
    # Root may write everywhere, hence not by the folder's mode.
    monkeypatch.setattr(output.os, "access", lambda *_: False)
    assert refusal(*args).endswith(": cannot be written; choose another place")


def test_a_corrupt_map(refusal: Refuse, monkeypatch):
    """The core's output cannot be decoded: only a fault of the hardware does that."""

    def run_network(*_args, **_options):
        raise MapError("ends within a sparsity map", row=3, column=5)

    monkeypatch.setattr("openhop.verbs.run.run_network", run_network)
    line = refusal("run", "--json", "x.json", "--html", "x.html")
    assert "row 3" in line
    assert "ends within a sparsity map" in line


def test_the_program_itself_shows_no_traceback():
    command = [sys.executable, "-m", "openhop.cli", "run", *GOLDEN, "--images", "cut.png"]
    env = {name: value for name, value in os.environ.items() if name != "OPENHOP_TRACEBACK"}
    done = subprocess.run(
        command,
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "openhop: cut.png: is a damaged or truncated picture; save it or fetch it again\n"
    )
