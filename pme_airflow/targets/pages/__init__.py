"""The HTML pages of targets, rendered from templates that escape every value."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

__all__ = ["render", "source"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pme_airflow.targets", "pages"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source(name: str) -> str:
    """Return the text of one of the package's scripts."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return one of the package's templates, filled in."""
    return _environment().get_template(template).render(**values)
