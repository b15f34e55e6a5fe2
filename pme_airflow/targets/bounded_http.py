"""Bounds of a target's responses: their time in all, and their size in memory once decompressed."""

from __future__ import annotations

import requests

from pme_airflow.api.bounded import read_body
from pme_airflow.api.bounded_session import bound_session
from pme_airflow.errors import SlotError

__all__ = ["MAX_BODY", "ResponseTooLongError", "bound_session", "read_response"]

#: The longest body in bytes: some 100 revisions of a page of 80 kB.
MAX_BODY = 8 * 1024 * 1024
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class ResponseTooLongError(SlotError):
    """A body is longer than :data:`MAX_BODY`. Asking for a part of it may help."""


def read_response(response: requests.Response) -> bool:
    """Read the body of a streamed response, so that ``content``, ``text`` and ``json()`` give it.

    :return: whether it is whole; false where the connection broke, or took too long.
    :raises ResponseTooLongError: if it is longer than :data:`MAX_BODY`.
    :raises SlotError: if it is encoded in a way that was not asked for.
    """
    if isinstance(response._content, bytes) or response.raw is None:
        return True  # it has been read already
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        response.close()
        raise SlotError("the response has a Content-Encoding that was not asked for. Check the address")
    body, whole = read_body(response.raw, MAX_BODY)
    response.close()
    if not whole and len(body) == MAX_BODY:
        raise ResponseTooLongError(f"the response is longer than {MAX_BODY // 1024 // 1024} MiB. Check the address")
    response._content = body
    response._content_consumed = True  # type: ignore[attr-defined]
    response.encoding = response.encoding or "utf-8"  # guessing the encoding of a large body takes seconds
    return whole
