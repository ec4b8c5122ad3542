"""The command line: the verbs and their options, and where every error becomes one line.

Exit codes: 0 if all is well, 1 if the answer is no (bits or cycles differ, a node is unsupported),
2 after an error.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from openhop.errors import describe, wants_traceback

ERROR = 2


class Engine(StrEnum):
    """What computes."""

    RTL = "rtl"
    GOLDEN = "golden"


class Frame(StrEnum):
    """How the zeros of a bench lie."""

    RANDOM = "random"
    CLUSTERED = "clustered"


class Verbs(TyperGroup):
    """The verbs, behind the boundary that turns errors into one line and exit code 2."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a verb and leave with its exit code."""
        try:
            code = super().main(*args, standalone_mode=False, **extra) or 0
        except Exception as error:
            if wants_traceback():
                raise
            sys.stderr.write(f"openhop: {describe(error)}\n")
            code = ERROR
        if standalone_mode:
            sys.exit(code)
        return code


class TakesImages(TyperCommand):
    """A verb whose `--images` takes every argument up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before its second and further arguments."""
        option, spread, listing = "--images", [], False
        for arg in args:
            if listing and not arg.startswith("-"):
                spread += [arg] if spread[-1] == option else [option, arg]
            else:
                spread.append(arg)
                listing = arg == option
        return super().parse_args(ctx, spread)


app = typer.Typer(
    name="openhop",
    cls=Verbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="An ONNX file, or a bundled or fetched network.")
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", metavar="F...", help="Pictures; those bundled with the network."),
]
Preset = Annotated[str, typer.Option("--preset", metavar="P", help="The build of the core.")]
Presets = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="P",
        help="The build of the core, P+Q for two side by side; as the layers need it if absent.",
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")
]


@app.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """OpenHop: an open sparse-CNN accelerator, its models, its simulation and its Verilog."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(cls=TakesImages)
def run(
    model: Model = "fashion",
    images: Images = None,
    preset: Presets = None,
    engine: Annotated[
        Engine, typer.Option(help="Simulated RTL, or the golden and the cycle model alone.")
    ] = Engine.RTL,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with figures.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Write the README's figure, PNG.")
    ] = None,
    wave: Annotated[
        Path | None, typer.Option("--wave", metavar="FILE", help="Write waveforms: .vcd or .fst.")
    ] = None,
    json: Json = None,
) -> int:
    """Run pictures through a network and compare every bit and cycle with the models."""
    from openhop.verbs import run as verb

    return verb.main(
        model=model,
        images=images or [],
        build_name=preset,
        engine=engine.value,
        html=html,
        plot=plot,
        wave=wave,
        json=json,
    )


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A public network: squeezenet.")],
    json: Json = None,
) -> int:
    """Fetch a public trained network with pip and build it into an ONNX file of the cache."""
    from openhop.verbs import fetch as verb

    return verb.main(name=name, json=json)


@app.command()
def check(model: Model, preset: Presets = None, json: Json = None) -> int:
    """Say for every node of a network whether the core runs it, and what to change if not."""
    from openhop.verbs import check as verb

    return verb.main(model=model, build_name=preset, json=json)


@app.command(cls=TakesImages)
def cycles(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|TABLE.csv", help="A network or a table of layers.")
    ],
    images: Images = None,
    preset: Presets = None,
    json: Json = None,
) -> int:
    """Predict the cycles of a network or a table of layers, without simulation."""
    from openhop.verbs import cycles as verb

    return verb.main(model=model, images=images or [], build_name=preset, json=json)


@app.command()
def bench(
    table: Annotated[
        str,
        typer.Argument(
            metavar="NAME|TABLE.csv", help="A table of layers, or a network with its picture."
        ),
    ],
    preset: Preset = "nullhop",
    engine: Annotated[
        Engine, typer.Option(help="Simulated RTL, or the golden and the cycle model alone.")
    ] = Engine.RTL,
    zeros: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="Zeros in every map; the table's if absent."
        ),
    ] = None,
    frame: Annotated[Frame, typer.Option(help="Zeros without structure, or in clusters.")] = (
        Frame.RANDOM
    ),
    independent: Annotated[
        bool, typer.Option("--independent", help="Zeros of each layer's own, even in a chain.")
    ] = False,
    layers: Annotated[
        str, typer.Option(metavar="A,B", help="Layers to run; all of the table if absent.")
    ] = "",
    json: Json = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the figures as those to compare with.")
    ] = False,
) -> int:
    """Run the layers of a table or a network beside ideal and dense machines."""
    from openhop.verbs import bench as verb

    return verb.main(
        table=table,
        build_name=preset,
        engine=engine.value,
        zeros=zeros,
        frame=frame.value,
        independent=independent,
        layers=layers,
        json=json,
        record=record,
    )


@app.command()
def density(
    preset: Annotated[
        str, typer.Option("--preset", metavar="P+Q", help="Builds whose cycles are compared.")
    ] = "nullhop8+nullhop_l1",
    engine: Annotated[
        Engine, typer.Option(help="Simulated RTL, or the golden and the cycle model alone.")
    ] = Engine.RTL,
    json: Json = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the figures as those to compare with.")
    ] = False,
) -> int:
    """Run a layer with 0 to 100 % zeros on lanes that multiply and on those of an L1 build."""
    from openhop.verbs import density as verb

    return verb.main(build_names=preset, engine=engine.value, json=json, record=record)


@app.command(cls=TakesImages)
def vectors(
    model: Model,
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")
    ],
    images: Images = None,
    preset: Presets = None,
    json: Json = None,
) -> int:
    """Write the golden model's vectors of a picture and a Verilog testbench that replays them."""
    from openhop.verbs import vectors as verb

    return verb.main(model=model, folder=folder, images=images or [], build_name=preset, json=json)


@app.command()
def verilog(
    preset: Preset = "nullhop",
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")
    ] = Path(),
    json: Json = None,
) -> int:
    """Write the core's Verilog, a FuseSoC core file, and its ports and registers."""
    from openhop.verbs import verilog as verb

    return verb.main(build_name=preset, folder=folder, json=json)


@app.command()
def synth(
    preset: Preset = "nullhop",
    device: Annotated[
        str | None, typer.Option(metavar="D", help="The part; the preset's own if absent.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Placements, each with another seed.")
    ] = 3,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Measure each kind of block alone, too.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the result in fpga/records, for `make bench`.")
    ] = False,
    json: Json = None,
) -> int:
    """Synthesise, place and route the core out of context: area and clock frequency."""
    from openhop.verbs import synth as verb

    return verb.main(
        build_name=preset,
        device_name=device,
        seeds=seeds,
        blocks=blocks,
        record=record,
        json=json,
    )


@app.command()
def logic(
    part: Annotated[
        str, typer.Option(metavar="A,B", help="Parts to count: pe, lane, array, cluster, core.")
    ] = "",
    bits: Annotated[str, typer.Option(metavar="N,M", help="Widths: 4, 8, 16.")] = "",
    seeds: Annotated[
        int, typer.Option(metavar="N", min=0, help="Placements for the frequency; 0 for none.")
    ] = 3,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Show the recorded figures; count nothing.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Write a figure as PNG.")
    ] = None,
    json: Json = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the figures as those to compare with.")
    ] = False,
) -> int:
    """Count the logic of lanes with multipliers and without, from one PE to the core."""
    from openhop.verbs import logic as verb

    return verb.main(
        parts=part,
        bits=bits,
        seeds=seeds,
        recorded=recorded,
        plot=plot,
        json=json,
        record=record,
    )


def main() -> None:
    """Entry point of the `openhop` program."""
    app()


if __name__ == "__main__":
    main()
