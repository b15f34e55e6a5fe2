"""A web API in memory: it gives the next answer to each request, and keeps what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import requests

from pme_airflow.errors import SlotError


def answer(status: int = 200, body: Any = None, text: bytes | None = None, **headers: str) -> requests.Response:
    """An answer with a body of JSON or of text."""
    response = requests.Response()
    response.status_code = status
    response._content = text if text is not None else b"" if body is None else json.dumps(body).encode()
    response.headers.update(headers)
    return response


class Web:
    """Gives the next answer to each request, or raises it, and keeps what was sent."""

    base_url = "https://cms.example"

    def __init__(self, *answers: requests.Response | Exception) -> None:
        self._answers = list(answers)
        self.sent: list[SimpleNamespace] = []

    def request(
        self, method: str, path: str, check: Callable[[requests.Response], SlotError | None], **sent: Any
    ) -> requests.Response:
        self.sent.append(SimpleNamespace(method=method, path=path, **sent))
        response = self._answers.pop(0)
        if isinstance(response, Exception):
            raise response
        problem = check(response)
        if problem is not None:
            raise problem
        return response
