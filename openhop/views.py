"""Figures as tables on the screen."""

from collections.abc import Iterator, Sequence

from rich.columns import Columns
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from compiler.onnx_import import NodeVerdict, Verdict
from openhop.figures import CAUSES, HostLayer, LayerFigures, Sums, total
from openhop.layer_table import Refusal
from openhop.output import table
from openhop.running import WIDE_CHANNELS, Picture, Report

VERDICT_STYLES = {
    Verdict.CORE: "green",
    Verdict.FOLDED: "",
    Verdict.HOST: "yellow",
    Verdict.UNSUPPORTED: "bold red",
}


def report(result: Report) -> Iterator[RenderableType]:
    """Everything about a run, from the labels to the speed of the simulation."""
    yield Columns(map(_picture, result.pictures), padding=(0, 3))
    pictures = len(result.pictures)
    over = "1 picture" if pictures == 1 else f"sum over {pictures} pictures"
    title = f"{result.model} on {result.preset}, {over}"
    yield from layers(title, result.layers, checked=result.engine == "rtl")
    yield from host(result.host)
    yield from summary(result)


def layers(title: str, figures: Sequence[LayerFigures], *, checked: bool) -> Iterator[Table]:
    """Tables of operations, cycles and causes; `checked`: it was RTL, compared with the models."""
    work = table(
        title, "layer", "input", "kernel", "output", "zeros %", "dense op.", "useful op.", left=4
    )
    verdicts = ("bits", "counters") if checked else ()
    cycles = table("Cycles", "layer", "cycles", "compute", "ideal", "util. %", "eff. %", *verdicts)
    causes = table("Cluster-cycles in %", "layer", *CAUSES)

    def add(name: str, shape: Sequence[str], sums: Sums, style: str = "") -> None:
        work.add_row(name, *shape, *_work(sums), style=style)
        cycles.add_row(name, *_cycles(sums), *(_verdicts(sums) if checked else ()), style=style)
        causes.add_row(name, *map(percent, sums.stall_shares), style=style)

    for layer in figures:
        add(layer.name, (shape(layer.in_shape), kernel(layer), shape(layer.out_shape)), layer.sums)
    for part in (work, cycles, causes):
        part.add_section()
    add("total", ("", "", ""), total(layer.sums for layer in figures), "bold")
    yield from (work, cycles, causes)


def host(layers: Sequence[HostLayer]) -> Iterator[Table]:
    """Return a table of the layers that the host computes, if there are any."""
    if not layers:
        return
    result = table(
        "On the host, between layers of the core; not in the figures",
        *("layer", "input", "kind", "output"),
        left=4,
    )
    for layer in layers:
        result.add_row(
            layer.name, shape(layer.in_shape), f"host {kernel(layer)}", shape(layer.out_shape)
        )
    yield result


def refusals(refused: Sequence[Refusal]) -> Iterator[Text]:
    """Layers that were left out, by reason."""
    for reason in dict.fromkeys(refusal.reason for refusal in refused):
        names = ", ".join(refusal.name for refusal in refused if refusal.reason == reason)
        yield Text(f"Left out: {names}: {reason}", "yellow")


def nodes(model: str, build: str, verdicts: Sequence[NodeVerdict]) -> Iterator[RenderableType]:
    """Verdicts on the nodes of a network, and what follows from them."""
    result = table(f"{model} on {build}", "node", "type", "verdict", "note", left=4)
    result.columns[-1].no_wrap = False
    for node in verdicts:
        verdict = Text(node.verdict, VERDICT_STYLES[node.verdict])
        result.add_row(Text(node.name), Text(node.op), verdict, Text(node.note))
    yield result
    count = sum(node.verdict is Verdict.UNSUPPORTED for node in verdicts)
    if count:
        yield f"{build} cannot run this network: {count} of {len(verdicts)} nodes unsupported"
    else:
        yield f"{build} runs this network"


def summary(result: Report) -> Iterator[str]:
    """Say in lines what a run comes to."""
    pictures, sums = len(result.pictures), result.total
    if result.correct is not None:
        yield f"Labels: {result.correct} of {pictures} correct"
    if result.wide:
        wide = total(layer.sums for layer in result.wide)
        yield (
            f"Utilisation of the 3x3 layers with {WIDE_CHANNELS} or more input channels: "
            f"{percent(wide.utilisation)} %"
        )
    yield (
        f"Cycles per picture: {sums.cycles / pictures:,.0f}; without skipping zeros at least "
        f"{sums.cycles_dense / pictures:,.0f}"
    )
    if result.engine == "rtl":
        yield f"Bits: {'all exact' if sums.exact else 'NOT exact'}"
        yield f"Cycles: {'all' if sums.as_predicted else 'NOT'} as the cycle model predicts"
    if result.sim_cycles_per_s:
        yield f"Simulation: {result.sim_cycles_per_s:,.0f} cycles per second"


def percent(share: float) -> str:
    """Write a share as a percentage with one digit behind the point."""
    return f"{100 * share:.1f}"


def count(number: int) -> str:
    """Write a number with four significant digits and a unit."""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= factor:
            value = number / factor
            return f"{value:.{2 if value < 100 else 1}f} {unit}"
    return str(number)


def shape(sizes: tuple[int, int, int]) -> str:
    """Write a map's sizes."""
    return "x".join(map(str, sizes))


def kernel(layer: LayerFigures | HostLayer) -> str:
    """Write kind, kernel, stride and pool of a layer."""
    text = "x".join(map(str, layer.kernel))
    if layer.kind != "conv":
        text = f"{layer.kind} {text}"
    if layer.stride != (1, 1):
        text += f" /{layer.stride[0]}x{layer.stride[1]}"
    return f"{text}, pool" if isinstance(layer, LayerFigures) and layer.pool else text


def _picture(picture: Picture) -> Text:
    text = Text(f"{picture.file}  ")
    if picture.correct is None:
        return text.append(picture.label, "bold")
    if picture.correct:
        return text.append(f"{picture.label}, correct", "green")
    return text.append(f"{picture.label}, wrong", "red")


def _work(sums: Sums) -> tuple[str, ...]:
    return percent(sums.input_zeros), count(sums.dense_ops), count(sums.useful_ops)


def _cycles(sums: Sums) -> tuple[str, ...]:
    return (
        f"{sums.cycles:,}",
        f"{sums.cycles_compute:,}",
        f"{sums.cycles_ideal:,.0f}",
        percent(sums.utilisation),
        percent(sums.efficiency),
    )


def _verdicts(sums: Sums) -> tuple[Text, ...]:
    return tuple(
        Text(word, "green") if good else Text(f"not {word}", "bold red")
        for good, word in ((sums.exact, "exact"), (sums.as_predicted, "as predicted"))
    )
