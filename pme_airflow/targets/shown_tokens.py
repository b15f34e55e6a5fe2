"""The tokens of a model's links in what a target shows, read back as text."""

from __future__ import annotations

import html
import json
import re
from contextlib import suppress

from pme_airflow.leaks.encodings import tokens_in

__all__ = ["tokens_of"]


def tokens_of(text: str, model_id: str) -> set[str]:
    """Return the tokens of a model's links in a page or a JSON text, however they are escaped."""
    with suppress(ValueError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    plain = html.unescape(text)
    links = re.findall(rf"[^\s\"'<>]*[?&;]m={re.escape(model_id)}(?![A-Za-z0-9])[^\s\"'<>]*", plain)
    return {token for link in links for token in tokens_in(link)}
