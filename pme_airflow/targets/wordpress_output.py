"""Determine from a page's HTML what visitors are shown of a link."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from enum import Enum, auto
from urllib.parse import unquote

from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.shown_tokens import tokens_of

__all__ = ["Output", "output_of"]

_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


class Output(Enum):
    """What a page shows of a link."""

    #: Only the link.
    SHOWN = auto()
    #: The link, and another one of the model.
    OTHER_TOO = auto()
    #: The link in a form that a script unpacks, or only traces of it: an optimizer or a consent plugin rewrote it.
    REWRITTEN = auto()
    #: Only another link of the model.
    STALE = auto()
    #: Neither the link nor another one of its model.
    HIDDEN = auto()


def output_of(rendered: str, link: ShownLink) -> Output:
    """Return what a page's HTML shows of a link."""
    token = link.token.reveal()
    others = tokens_of(rendered, link.model_id) - {token}
    if token in html.unescape(rendered):
        return Output.OTHER_TOO if others else Output.SHOWN
    if others:
        return Output.STALE
    readings = list(_readings(rendered))
    if any(token in reading for reading in readings):
        return Output.REWRITTEN
    if any(tokens_of(reading, link.model_id) for reading in readings):
        return Output.STALE
    return Output.REWRITTEN if any(link.model_id in reading for reading in readings) else Output.HIDDEN


def _readings(rendered: str) -> Iterator[str]:
    """Yield HTML as it is, without the escapes of addresses, and what it holds as base64."""
    plain = unquote(html.unescape(rendered))
    yield rendered
    yield plain
    for match in _BASE64.finditer(plain):
        try:
            decoded = base64.b64decode(f"{match[0]}===")  # more padding than needed is ignored
        except ValueError:
            continue
        yield unquote(decoded.decode("utf-8", "replace"))
