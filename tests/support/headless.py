"""A running headless CMS: its REST API, as somebody with a token or as anybody; and the database it is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from sqlalchemy.engine import make_url

_START_SECONDS = 120


@dataclass
class Headless:
    """A CMS' address, and the token that may write."""

    address: str
    token: str = ""

    def call(self, method: str, path: str, body: Any = None, *, anonymous: bool = False) -> Any:
        """Call the REST API."""
        headers = {} if anonymous or not self.token else {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, f"{self.address}/{path}", json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def database_environment(address: str, folder: str) -> dict[str, str]:
    """A PostgreSQL database as Node's programs connect to it."""
    url = make_url(address)
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "DB_HOST": str(url.query.get("host") or url.host),
        "DB_PORT": str(url.port or 5432), "DB_DATABASE": str(url.database), "DB_USER": str(url.username),
        "DB_PASSWORD": str(url.password or ""),
    }  # fmt: skip


def until_ready(ask: Callable[[], Any]) -> Any:
    """What a question is answered once the CMS is up."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            return ask()
        except (requests.RequestException, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
