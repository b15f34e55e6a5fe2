"""An API that does nothing but wait and answer, so that what is measured is ours and not an emulator's own work.

It knows the two mutations by their text alone; the emulator proves that the same requests are right. Under ``/items/``
it is a JSON API that keeps what it is sent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections import deque
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

_FIELD = re.compile(r"(?:(\w+)\s*:\s*)?(create|delete)PrivateModel\w+\(([^)]*)\)")
_MODEL = re.compile(r'modelId: "(\w+)"')


class QuickApi:
    """An ASGI app.

    :param latency: seconds each request takes.
    :param per_second: requests a second above which it answers 429; 0 for any.
    """

    def __init__(self, latency: float, per_second: float = 0.0) -> None:
        self._latency = latency
        self._per_second = per_second
        self._recent: deque[float] = deque()
        self._numbers = itertools.count()
        self._items: dict[str, Any] = {}
        self.served = self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = self._answer(scope["method"], scope["path"], body)
        if scope["path"] != "/counts":
            await asyncio.sleep(self._latency)
        raw = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"date", formatdate(usegmt=True).encode()),
                   (b"content-length", str(len(raw)).encode())]  # fmt: skip
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": raw})

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/counts":
            return 200, {"served": self.served, "refused": self.refused}
        if path == "/api/oauth/token":
            return 200, {"access_token": "x" * 40, "token_type": "Bearer", "expires_in": 3599}
        if self._too_many():
            self.refused += 1
            return 429, {"errors": []}
        self.served += 1
        if path.startswith("/items/"):
            if method != "GET":
                self._items[path] = json.loads(body)
            return 200, self._items.get(path, {})
        query = json.loads(body)["query"]
        return 200, {"data": {alias or name: value for alias, name, value in map(self._field, _FIELD.finditer(query))}}

    def _too_many(self) -> bool:
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if self._per_second and len(self._recent) >= self._per_second:
            return True
        self._recent.append(now)
        return False

    def _field(self, match: re.Match[str]) -> tuple[str, str, Any]:
        if match[2] == "delete":
            return match[1] or "", "deletePrivateModelEmbedToken", True
        model = _MODEL.search(match[3])
        token = f"{next(self._numbers):025d}"
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
        link = f"https://my.matterport.com/show?m={model[1] if model else ''}&auth=Bearer+{token}"
        value = {"accessToken": token, "application": "showcase", "link": link, "validUntil": until}
        return match[1] or "", "createPrivateModelEmbedLink", value


def main() -> None:
    """Serve on a free port: ``quick_api READY_FILE LATENCY [PER_SECOND]``."""
    ready, latency = Path(sys.argv[1]), float(sys.argv[2])
    per_second = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    config = uvicorn.Config(QuickApi(latency, per_second), port=0, log_level="critical", date_header=False,
                            access_log=False)  # fmt: skip
    listener = config.bind_socket()
    ready.write_text(f"http://127.0.0.1:{listener.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
