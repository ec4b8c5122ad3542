"""The HTML report: one file with everything in it."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from openhop import page
from openhop.figures import CAUSES

#: Elements that are not closed.
VOID = {"meta", "img", "br"}


class Nesting(HTMLParser):
    """Holds the elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, _attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(report):
    return page.render(report)


def test_the_page_is_one_file(text):
    assert text.startswith("<!DOCTYPE html>")
    assert "<svg" in text
    assert "data:image/png;base64," in text
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {"www.w3.org"}  # the SVG namespace


def test_elements_are_closed(text):
    parser = Nesting()
    parser.feed(text)
    assert parser.open == []


def test_every_figure_is_there(text, report):
    for layer in report.layers:
        assert f"<td>{layer.sums.cycles:,}</td>" in text
        assert layer.name in text
    assert f"<td>{report.total.cycles:,}</td>" in text
    for cause in CAUSES:
        assert f"<th>{cause} %</th>" in text


def test_golden_is_not_said_to_be_compared(text, report):
    assert "without simulation" in text
    assert "as predicted" not in text
    rtl = page.render(dataclasses.replace(report, engine="rtl"))
    assert "was compared with the golden model" in rtl
    assert rtl.count('<td class="good">as predicted</td>') == len(report.layers) + 1


def test_what_differs_is_marked(report):
    first, *rest = report.layers
    wrong = dataclasses.replace(first, sums=dataclasses.replace(first.sums, exact=False))
    bad = dataclasses.replace(report, engine="rtl", layers=(wrong, *rest))
    assert page.render(bad).count('<td class="bad">not exact</td>') == 2  # the layer and the total


def test_names_are_escaped(report):
    odd = dataclasses.replace(report, model="<script>")
    assert "<script>" not in page.render(odd)


def test_the_same_report_gives_the_same_page(text, report):
    assert page.render(report) == text
