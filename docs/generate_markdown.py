"""Markdown of tables and docstrings, for the generated pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any


def docstring(found: Any) -> tuple[str, dict[str, str]]:
    """Return the text of a docstring, and what it says of each parameter."""
    text = inspect.cleandoc(found.__doc__ or "")
    body, *fields = re.split(r"^:(?=param|return|raises)", text, flags=re.MULTILINE)
    described = {}
    for field in fields:
        match = re.match(r"param (\w+): (.*)", field, re.DOTALL)
        if match:
            described[match[1]] = clean(match[2])
    return clean(body), described


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell if cell else ' ' for cell in row)} |" for row in rows]
    return [*lines, ""]


def clean(text: str) -> str:
    """Return a docstring's text as Markdown, in paragraphs without line breaks that mean nothing."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text.replace("``", "`"))
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    escaped = re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], "\n\n".join(paragraphs))
    return escaped.replace("|", "\\|")
