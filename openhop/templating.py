"""The templates of pages, testbenches and core files."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(name: str, **values: Any) -> str:
    """Fill in a template; HTML is escaped, everything else is not.

    A template sees `version`, OpenHop's own, beside the values.
    """
    environment = Environment(
        loader=PackageLoader("openhop"),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(values, version=own_version())


def own_version() -> str:
    """Version of OpenHop; 0.0.0 in a checkout that is not installed."""
    try:
        return version("openhop")
    except PackageNotFoundError:
        return "0.0.0"
