"""Identify where targets show links, to find two targets that would write the same slots."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from pme_airflow.recipes import slot_source

__all__ = ["location_of"]

#: The options that name a location, by kind, each with what the transfer uses if it is left out.
_NAMING: Mapping[str, Mapping[str, Any]] = {
    "object_storage": {"conn_id": "", "path": ""},
    "slack": {"slack_conn_id": "slack_api_default", "channel": ""},
    "wordpress": {"wordpress_conn_id": "wordpress_default", "type": "pages"},
    "http": {"http_conn_id": "http_default", "endpoint": ""},
    "custom": {"class": "", "options": None},
}


def location_of(kind: str, options: Mapping[str, Any]) -> str:
    """Return a text that is the same for two targets that show links in the same place."""
    named = {name: options.get(name) or default for name, default in _NAMING[kind].items()}
    if kind == "object_storage":
        named["path"] = _folder(str(named["path"]))
    elif kind == "http":
        named["endpoint"] = (slot_source(options) if "steps" in options else str(named["endpoint"])).strip("/")
    elif kind == "slack":
        named["channel"] = str(named["channel"]).lstrip("#").lower()
    return f"{kind} {json.dumps(named, sort_keys=True, default=str)}"


def _folder(path: str) -> str:
    scheme, separator, rest = path.rpartition("://")
    folder = posixpath.normpath(rest or "/")
    return folder if scheme in ("", "file") else f"{scheme}{separator}{folder}"
