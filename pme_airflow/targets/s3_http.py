"""Bounds of S3's responses: ``aiobotocore`` reads them whole, whatever their size."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError, HTTPClientError

from pme_airflow.targets.bounded_http import MAX_BODY

__all__ = ["bound_filesystem"]

_OPTION = "http_session_cls"


class _BoundedSession(AIOHTTPSession):  # type: ignore[misc]
    """Reads at most 8 MiB of a response that is not streamed. A page of 1,000 files has some 0.5 MB."""

    async def send(self, request: Any) -> Any:
        if request.stream_output:
            return await super().send(request)
        request.stream_output = True
        try:
            response = await super().send(request)
            response._content = await _bounded(response.raw)
        except aiohttp.ClientError as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from None
        finally:
            request.stream_output = False
        return response


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            raise HTTPClientError(error=ValueError("the response is too long"))
    return bytes(body)


def bound_filesystem(fs: Any) -> None:
    """Let an ``S3FileSystem`` read its responses within bounds, from its next connection on."""
    if fs.config_kwargs.get(_OPTION) is None and _OPTION in inspect.signature(AioConfig.__init__).parameters:
        fs.config_kwargs[_OPTION] = _BoundedSession
        if fs._s3 is not None:
            fs.connect(refresh=True)
