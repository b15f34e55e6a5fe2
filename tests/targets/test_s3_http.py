"""Responses of S3 are read within bounds; those that are streamed are left to their reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import HTTPClientError

from pme_airflow.targets import s3_http
from pme_airflow.targets.s3_http import bound_filesystem


class Body:
    """A response of so many bytes, which come in chunks; counts what was read of it."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.taken = 0
        self.closed = False
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        while self.left:
            chunk = min(self.left, 1000)
            self.left -= chunk
            self.taken += chunk
            yield b"x" * chunk

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size", [0, 1, 1000, 4999, 5000])
def test_a_response_within_the_bound_is_read_whole(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(s3_http, "MAX_BODY", 5000)
    body: Any = Body(size)
    assert asyncio.run(s3_http._bounded(body)) == b"x" * size
    assert not body.closed


@pytest.mark.parametrize("size", [5001, 10**12])
def test_a_longer_response_is_cut_off(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(s3_http, "MAX_BODY", 5000)
    body: Any = Body(size)
    with pytest.raises(HTTPClientError):
        asyncio.run(s3_http._bounded(body))
    assert body.closed
    assert body.taken <= 6000


class FileSystem(SimpleNamespace):
    """A file system that counts its connections."""

    connected = 0

    def connect(self, *, refresh: bool) -> None:
        assert refresh
        self.connected += 1


def test_a_file_system_is_bounded_once_and_connects_anew_only_if_it_is_connected() -> None:
    fresh, used = FileSystem(config_kwargs={}, _s3=None), FileSystem(config_kwargs={}, _s3=object())
    for fs in (fresh, used, fresh, used):
        bound_filesystem(fs)
    assert (fresh.connected, used.connected) == (0, 1)
    assert fresh.config_kwargs["http_session_cls"] is used.config_kwargs["http_session_cls"] is s3_http._BoundedSession


def test_a_session_class_of_the_connections_own_is_kept() -> None:
    fs = FileSystem(config_kwargs={"http_session_cls": object}, _s3=object())
    bound_filesystem(fs)
    assert (fs.config_kwargs["http_session_cls"], fs.connected) == (object, 0)
