"""`openhop verilog`: the core's Verilog, a FuseSoC core file, its ports and descriptor words."""

from pathlib import Path

from rich.text import Text

from golden.params import preset
from hdl.verilog import TOP
from openhop.output import bar, require_folder, require_writable, show, write_json
from openhop.verilog_files import write_core


def main(*, build_name: str, folder: Path, json: Path | None) -> int:
    """Write the files and print their names; 0."""
    require_writable(json)
    require_folder(folder)
    build = preset(build_name)
    with bar(f"writing {build.name}"):
        files = write_core(folder, build)
    show(Text(str(path)) for path in files)
    content = {"preset": build.name, "top": TOP, "files": [str(path) for path in files]}
    write_json(json, content)
    return 0
