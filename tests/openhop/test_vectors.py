"""Vectors: right streams, and a testbench that passes with them and fails with others."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from golden.params import preset
from openhop.library import first_input
from openhop.vectors import layer_vectors, write_vectors
from sim.native import NativeCore
from sim.streams import COUNTERS, by_context
from sim.toolchain import verilator_env
from tests.openhop.networks import two_layers

NETWORK, BUILD = two_layers(), preset("tiny")
X, SOURCE = first_input(NETWORK, [])


@pytest.fixture(scope="module")
def layers():
    return list(layer_vectors(NETWORK, BUILD, X))


@pytest.fixture(scope="module")
def folder(layers, tmp_path_factory) -> Path:
    """A folder with the vectors."""
    path = tmp_path_factory.mktemp("vectors")
    write_vectors(path, NETWORK, BUILD, layers, source=SOURCE)
    return path


def test_the_core_gives_these_words(layers):
    """What comes out of the core, sorted by context, is what the files say."""
    with NativeCore(BUILD) as core:
        for layer in layers:
            result = core.run(layer.control, layer.beats)
            assert np.array_equal(by_context(result.out), layer.out)
            assert result.counters == {name: getattr(layer.counts, name) for name in COUNTERS}


def test_maps_are_those_of_the_network(layers):
    maps = NETWORK.run(X)
    for layer, x, y in zip(layers, maps, maps[1:], strict=False):
        assert np.array_equal(layer.x, x)
        assert np.array_equal(layer.y, y)


def test_contexts_follow_each_other(layers):
    for layer in layers:
        ends = layer.context_ends
        assert len(ends) == 16
        assert ends[-1] == len(layer.out)
        for context, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            assert set(layer.out["context"][start:end].tolist()) <= {context}


def test_files(folder, layers):
    stems = ["00_first", "01_second_conv"]
    kinds = ["control.hex", "map.hex", "out.hex", "contexts.hex", "npz"]
    expected = {f"{stem}.{kind}" for stem in stems for kind in kinds}
    names = {path.name for path in folder.iterdir()}
    assert names == expected | {"testbench.v", "openhop_core.v", "Makefile"}
    words = (folder / "00_first.control.hex").read_text().split()
    assert [int(word, 16) for word in words] == layers[0].control.tolist()
    with np.load(folder / "01_second_conv.npz") as arrays:
        assert np.array_equal(arrays["y"], layers[1].y)
        assert np.array_equal(arrays["out"], layers[1].out)
        assert arrays["counters"]["cycles"] == layers[1].counts.cycles


def test_the_testbench_is_clean_verilog(folder):
    command = ["verilator_bin", "--lint-only", "--timing", "-Wno-lint", "-Wno-fatal"]
    files = ["testbench.v", "openhop_core.v"]
    done = subprocess.run(
        [*command, "--top-module", "testbench", *files],
        cwd=folder,
        env=verilator_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def replay(folder):
    """Compile the testbench; returns a function that runs it: exit code and output."""
    scripts = str(Path(sys.executable).parent)
    env = verilator_env()
    env["PATH"] = os.pathsep.join([scripts, env["PATH"]])
    # Compiled without optimisation: the run is short.
    fast = 'verilator-cli -MAKEFLAGS "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"'

    def run() -> tuple[int, str]:
        command = ["make", f"VERILATOR={fast}"]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    return run


def corrupt(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@contextlib.contextmanager
def flipped(path: Path, place: int, bits: int) -> Iterator[None]:
    """Change some bits of a file's word for a while."""
    saved = path.read_text()
    words = saved.split()
    words[place] = f"{int(words[place], 16) ^ bits:0{len(words[place])}x}"
    path.write_text("\n".join(words) + "\n")
    try:
        yield
    finally:
        path.write_text(saved)


def test_the_testbench_passes_and_fails_with_one_expected_byte_changed(replay, folder, layers):
    """One test for both, since compiling the testbench takes most of the time."""
    code, output = replay()
    assert code == 0
    assert "PASS" in output
    for layer in layers:
        assert f"{len(layer.out)} words, {layer.counts.cycles} cycles" in output
    with flipped(folder / "00_first.out.hex", 3, 1 << 8):
        code, output = replay()
    assert code != 0
    assert "1 words are wrong" in output
    assert "FAIL" in output
    assert "PASS" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "place", "bits", "reason"),
    [
        ("out", 5, 1, "1 words are wrong"),
        ("map", 4, 1 << 20, "words are wrong"),
        ("contexts", 0, 1, "a word too many"),
        ("control", 0, 1, "fault 1"),
    ],
)
def test_the_testbench_fails_with_a_corrupt_vector(replay, folder, file, place, bits, reason):
    with flipped(folder / f"01_second_conv.{file}.hex", place, bits):
        code, output = replay()
    assert code != 0
    assert "FAIL" in output
    assert reason in output
    assert "PASS" not in output


@pytest.mark.slow
def test_the_testbench_fails_if_the_cycles_differ(replay, folder, layers):
    bench, cycles = folder / "testbench.v", layers[0].counts.cycles
    corrupt(bench, f"replay({cycles})", f"replay({cycles + 1})")
    try:
        code, output = replay()
    finally:
        corrupt(bench, f"replay({cycles + 1})", f"replay({cycles})")
    assert code != 0
    assert f"took {cycles} cycles, not {cycles + 1}" in output
