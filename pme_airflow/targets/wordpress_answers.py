"""Read what a WordPress site answers: JSON, also with what plugins print around it, and the code of an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import requests

from pme_airflow.leaks.encodings import redact

__all__ = ["code_of", "json_of"]

_CODE = re.compile(r"[A-Za-z0-9_-]{1,60}")
#: Where JSON may start in a response that plugins print notices into, and how many such places are tried.
_JSON_START = re.compile(r"[\[{](?=\s*[\"{\[\]}])")
_MAX_STARTS = 50


def json_of(answer: requests.Response) -> Any:
    """Return a response's JSON, also with a byte order mark or a plugin's notices around it; else ``None``."""
    text = answer.content.decode("utf-8-sig", "replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    found: Any = None
    longest, position = 0, 0
    for _ in range(_MAX_STARTS):
        start = _JSON_START.search(text, position)
        if start is None:
            break
        try:
            value, end = json.JSONDecoder().raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.end()
            continue
        if end - start.start() >= longest:  # notices come first
            found, longest = value, end - start.start()
        position = end
    return found


def code_of(answer: requests.Response) -> str:
    """Return the code of a WordPress error; empty if the response is not from WordPress."""
    found = json_of(answer)
    code = found.get("code") if isinstance(found, Mapping) else None
    if not isinstance(code, str):
        return ""
    return redact(code) if _CODE.fullmatch(code) else ""
