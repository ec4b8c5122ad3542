"""Templates: what is escaped, what is refused, and the version that they see."""

from importlib.metadata import PackageNotFoundError, version

import jinja2
import pytest

from openhop import templating


@pytest.fixture
def templates(monkeypatch):
    """Replace the folder of templates by some texts."""

    def install(**texts: str) -> None:
        named = {name.replace("_", "."): text for name, text in texts.items()}
        monkeypatch.setattr(templating, "PackageLoader", lambda _: jinja2.DictLoader(named))

    return install


def test_only_html_is_escaped(templates):
    templates(a_html_j2="{{ x }}", a_v_j2="{{ x }}")
    assert templating.render("a.html.j2", x="a<b") == "a&lt;b"
    assert templating.render("a.v.j2", x="a<b") == "a<b"


def test_a_value_that_is_missing_is_an_error(templates):
    templates(a_v_j2="{{ lanes }}")
    with pytest.raises(jinja2.UndefinedError, match="'lanes' is undefined"):
        templating.render("a.v.j2")


def test_lines_of_statements_leave_no_trace(templates):
    templates(a_v_j2="a\n  {% for x in xs %}\n{{ x }}\n  {% endfor %}\nb\n")
    assert templating.render("a.v.j2", xs=[1, 2]) == "a\n1\n2\nb\n"


def test_templates_see_the_version(templates):
    templates(a_v_j2="{{ version }}")
    assert templating.render("a.v.j2") == version("openhop")


def test_without_an_installation_the_version_is_zero(monkeypatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(templating, "version", missing)
    assert templating.own_version() == "0.0.0"
