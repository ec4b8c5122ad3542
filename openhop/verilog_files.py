# amaranth: UnusedElaboratable=no
"""The core as files for other people's designs: Verilog, a FuseSoC core file, the interface."""

from dataclasses import asdict
from pathlib import Path

from golden.descriptor import CLUSTER_WORD, PASS_WORDS, SIGNED_FIELDS, Fault
from golden.params import Build
from hdl import verilog
from hdl.core import Core
from openhop.output import write_files
from openhop.templating import render
from sim.rtl import core_verilog


def write_core(folder: Path, build: Build) -> list[Path]:
    """Write the files of a core into a folder, made if need be; return them, the Verilog first."""
    # Read for its ports only: hence the note to Amaranth in the first line.
    ports = verilog.ports(Core(build))
    files = {
        f"{verilog.TOP}.v": core_verilog(build),
        f"{verilog.TOP}.core": render("fusesoc.core.j2", top=verilog.TOP, build=build),
        f"{verilog.TOP}.md": render(
            "interface.md.j2",
            top=verilog.TOP,
            build=build,
            parameters=asdict(build),
            port_table=verilog.port_table(ports),
            pass_words=[_fields(word) for word in PASS_WORDS],
            cluster_word=_fields(CLUSTER_WORD),
            faults=list(Fault),
        ),
    }
    write_files(folder, files)
    return [folder / name for name in files]


def _fields(word: tuple[tuple[str, int], ...]) -> list[dict[str, str]]:
    """Describe a word's fields: their bits, the least significant first, and how they are read."""
    rows, low = [], 0
    for name, bits in word:
        high = low + bits - 1
        rows.append(
            {
                "name": name,
                "bits": str(low) if bits == 1 else f"{high}:{low}",
                "sign": "signed" if name in SIGNED_FIELDS else "",
            }
        )
        low += bits
    return rows
