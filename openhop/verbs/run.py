"""`openhop run`: pictures through a network, every bit and every cycle compared with the models."""

from pathlib import Path

from golden.params import presets
from openhop import library, views
from openhop.output import bar, require_writable, show, write_file, write_json
from openhop.running import names, run_network
from sim.network import Engine
from sim.streams import SimulationError

WAVES = (".vcd", ".fst")


def main(
    *,
    model: str,
    images: list[Path],
    build_name: str | None,
    engine: Engine,
    html: Path | None,
    plot: Path | None,
    wave: Path | None,
    json: Path | None,
) -> int:
    """Run, print and write; 0 if everything is as the models say, else 1."""
    if wave and wave.suffix not in WAVES:
        raise SimulationError(f"{wave}: a waveform file must end in {' or '.join(WAVES)}")
    if wave and engine == "golden":
        raise SimulationError("the golden engine has no waveforms: leave out --wave or --engine")
    require_writable(html, plot, wave, json)
    network = library.load(model)
    builds = presets(build_name or library.default_preset(network))
    pictures = images or library.sample_pictures(model)
    with bar(f"preparing {names(builds)}, once for all runs") as shown:
        report = run_network(
            network,
            builds,
            pictures,
            engine=engine,
            wave=wave,
            progress=lambda done: shown.show(f"running {network.name}", done, len(pictures)),
        )
    show(views.report(report))
    write_json(json, report.json())
    if html or plot:
        # Late, since matplotlib takes its time to start.
        from openhop import page, plots

        if html:
            write_file(html, page.render(report))
        if plot:
            write_file(plot, plots.png(plots.saved(report)))
    return 0 if report.passed else 1
