"""Tables on the screen: every figure, every verdict, and the words around them."""

import dataclasses
import io
from collections.abc import Iterable

import pytest
from rich.console import Console, RenderableType

from compiler.onnx_import import NodeVerdict, Verdict
from openhop import views
from openhop.figures import CAUSES, HostLayer
from openhop.layer_table import Refusal
from openhop.running import Picture


def text(parts: Iterable[RenderableType], width: int = 100) -> str:
    """What is printed, without trailing blanks."""
    console = Console(width=width, file=io.StringIO())
    for part in parts:
        console.print(part)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def with_first(report, **changes):
    """Change sums of a report's first layer, and say that it is of RTL."""
    first, *rest = report.layers
    wrong = dataclasses.replace(first, sums=dataclasses.replace(first.sums, **changes))
    return dataclasses.replace(report, engine="rtl", layers=(wrong, *rest))


def test_a_report_has_every_layer_and_the_total_in_each_table(report):
    shown = text(views.report(report))
    for name in [layer.name for layer in report.layers] + ["total"]:
        assert sum(line.split()[:1] == [name] for line in shown.splitlines()) == 3
    assert f"{report.total.cycles:,}" in shown
    for cause in CAUSES:
        assert cause in shown
    assert "fashion on nullhop, 1 picture\n" in shown


def test_without_rtl_nothing_is_said_to_agree(report):
    shown = text(views.report(report))
    assert "exact" not in shown
    assert "as predicted" not in shown
    assert "Simulation" not in shown


def test_rtl_is_said_to_agree(report):
    rtl = dataclasses.replace(report, engine="rtl", sim_cycles_per_s=123456.7)
    shown = text(views.report(rtl))
    assert shown.count("exact  as predicted") == len(report.layers) + 1
    assert shown.endswith(
        "Bits: all exact\n"
        "Cycles: all as the cycle model predicts\n"
        "Simulation: 123,457 cycles per second"
    )


@pytest.mark.parametrize(
    ("what", "line", "cell"),
    [
        ("exact", "Bits: NOT exact", "not exact"),
        ("as_predicted", "Cycles: NOT as the cycle model predicts", "not as predicted"),
    ],
)
def test_a_difference_is_plain_to_see(report, what, line, cell):
    shown = text(views.report(with_first(report, **{what: False})))
    assert line in shown
    assert shown.count(cell) == 2  # the layer and the total


def test_labels(report):
    pictures = (
        Picture("a.png", "bag", "bag"),
        Picture("b.png", "bag", "coat"),
        Picture("c.png", "bag", None),
    )
    shown = text(views.report(dataclasses.replace(report, pictures=pictures)))
    assert "a.png  bag, correct   b.png  bag, wrong   c.png  bag" in shown
    assert "sum over 3 pictures" in shown
    assert "Labels: 1 of 3 correct" in shown


def test_verdicts_on_nodes():
    nodes = [
        NodeVerdict("conv0", "QLinearConv", Verdict.CORE, "conv 3x3"),
        NodeVerdict("[0]", "Abs", Verdict.UNSUPPORTED, "use Relu"),
    ]
    shown = text(views.nodes("net.onnx", "tiny", nodes))
    assert "net.onnx on tiny" in shown
    assert "conv0  QLinearConv  runs on the core  conv 3x3" in shown
    assert "[0]    Abs          unsupported       use Relu" in shown  # names are no markup
    assert shown.endswith("tiny cannot run this network: 1 of 2 nodes unsupported")
    assert text(views.nodes("net", "tiny", nodes[:1])).endswith("tiny runs this network")


def test_a_long_note_is_wrapped_and_never_cut():
    note = "needs 4608 weights per output channel; " * 4
    shown = text(views.nodes("net", "tiny", [NodeVerdict("c", "Conv", Verdict.UNSUPPORTED, note)]))
    assert shown.count("4608") == 4
    assert max(map(len, shown.splitlines())) <= 100


def test_refused_layers_are_grouped_by_reason():
    refused = [Refusal(name="a", reason="big"), Refusal(name="b", reason="odd")]
    refused.append(Refusal(name="c", reason="big"))
    assert text(views.refusals(refused)) == "Left out: a, c: big\nLeft out: b: odd"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (1_234_567, "1.23 M"),
        (123_456_789, "123.5 M"),
        (5_210_000_000, "5.21 G"),
    ],
)
def test_counts(number, written):
    assert views.count(number) == written


def test_percent_and_shapes():
    assert views.percent(0.12345) == "12.3"
    assert views.shape((7, 8, 16)) == "7x8x16"


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, "3x3"),
        ({"pool": True}, "3x3, pool"),
        ({"stride": (2, 1)}, "3x3 /2x1"),
        ({"kind": "fc"}, "fc 3x3"),
    ],
)
def test_kernels(report, changes, written):
    plain = dataclasses.replace(report.layers[0], pool=False)
    assert views.kernel(dataclasses.replace(plain, **changes)) == written


def test_layers_of_the_host_stand_apart():
    layer = HostLayer(
        name="pool",
        kind="maxpool",
        in_shape=(9, 8, 4),
        out_shape=(4, 3, 4),
        kernel=(3, 3),
        stride=(2, 2),
    )
    (shown,) = views.host([layer])
    assert [list(column.cells) for column in shown.columns] == [
        ["pool"],
        ["9x8x4"],
        ["host maxpool 3x3 /2x2"],
        ["4x3x4"],
    ]
    assert list(views.host([])) == []
