"""The figure of the logic: which bars there are."""

import pytest

from openhop import logic_plot, plots

ROW = {
    "part": "lane",
    "structure": "core",
    "bits": 8,
    "family": "ecp5",
    "mac": 400,
    "l1": 200,
    "saving": 0.5,
    "target": 0.714,
}


@pytest.fixture
def rows():
    return [
        ROW,
        {**ROW, "structure": "bare", "l1": 100, "saving": 0.6},
        {**ROW, "structure": "carry-mux", "l1": 50, "saving": 0.75},
        {**ROW, "part": "pe", "structure": "plain", "l1": 30, "saving": 0.8, "target": None},
        {**ROW, "family": "ice40", "saving": 0.4},
    ]


def test_the_core_s_own_structure_stands_beside_the_best(rows):
    shown = logic_plot.picked([row for row in rows if row["family"] == "ecp5"])
    assert [row["structure"] for row in shown] == ["core", "carry-mux", "plain"]
    (alone,) = logic_plot.picked([rows[-1]])
    assert alone is rows[-1]


def test_a_panel_for_each_family(rows):
    ecp5, ice40 = logic_plot.figure(rows).axes
    assert (ecp5.get_title(), ice40.get_title()) == ("ECP5", "iCE40")
    heights = [bar.get_height() for bar in ecp5.patches]
    assert heights == pytest.approx([100, 50, 100, 25, 100, 20])
    labels = [label.get_text() for label in ecp5.get_xticklabels()]
    assert labels == ["lane\ncore\n8 bit", "lane\ncarry-mux\n8 bit", "pe\nplain\n8 bit"]


def test_the_same_figure_has_the_same_bytes(rows):
    first, second = (plots.png(logic_plot.figure(rows)) for _ in range(2))
    assert first == second
