"""What outlives a killed process: virtual time, and the API with all the tokens it has issued."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from graphql import GraphQLSchema, execute, parse
from requests.structures import CaseInsensitiveDict

from pme_airflow.api.outcomes import Exchange, HttpResponse, NoResponse
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.schema import make_schema, root_value
from pme_airflow.dev.emulator.world import IssuedToken
from pme_airflow.secrets import SecretStr
from tests.support.clocks import SharedClock
from tests.support.crashes.seam import Seam

HOST = "http://127.0.0.1:1"
SECRET = "a secret of the crash tests, long enough"
START = datetime(2026, 5, 1, 2, tzinfo=timezone.utc)
#: Virtual seconds that each request takes.
LATENCY = 0.05
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class StageClock(SharedClock):
    """The time of a stage, which begins at :data:`START` and lets another process run while one sleeps."""

    def __init__(self) -> None:
        super().__init__(START)
        #: Called in place of sleeping without another process running meanwhile.
        self.on_sleep = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.on_sleep()


class Truth(World):
    """The emulator's state in a file. Every process reads what the others have added before it acts.

    :ivar denials: how often the API answers ``false`` before it revokes a token; 0 for never, -1 for always.
    """

    def __init__(self, path: Path, models: dict[str, str], clock: StageClock) -> None:
        super().__init__(Settings(client_secret=SECRET, models=models))
        self.path = path
        self.clock = clock
        self.denials = 0
        self.denied: dict[str, int] = {}
        self._read = 0
        path.touch()

    def now(self) -> datetime:
        return self.clock.now()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._catch_up(file)
            yield

    def _catch_up(self, file: Any) -> None:
        file.seek(self._read)
        for line in file.read().decode().splitlines():
            self._apply(json.loads(line))
        self._read = file.tell()

    def _apply(self, entry: dict[str, Any]) -> None:
        token = entry["token"]
        at = START + timedelta(seconds=entry["at"])
        if entry["what"] == "issued":
            end = at + timedelta(seconds=entry["seconds"])
            self.tokens[token] = IssuedToken(token, entry["model_id"], at, end)
        elif entry["what"] == "revoked":
            self.tokens[token].revoked_at = at
        else:
            self.denied[token] = self.denied.get(token, 0) + 1

    def _append(self, what: str, token: str, **more: Any) -> None:
        entry = {"what": what, "token": token, "at": self.clock.monotonic(), **more}
        with self.path.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            self._read = file.tell()
        self._apply(entry)

    def issue(self, model_id: str, seconds: int, more_models: Any = ()) -> IssuedToken:
        with self._turn():
            number = int(hashlib.sha256(f"token {len(self.tokens)}".encode()).hexdigest(), 16)
            token = "".join(_ALPHABET[number // 36**place % 36] for place in range(25))
            self._append("issued", token, model_id=model_id, seconds=seconds)
            return self.tokens[token]

    def revoke(self, token: str) -> bool:
        with self._turn():
            issued = self.tokens.get(token)
            if issued is None or not issued.alive(self.now()):
                return False
            if self.denials < 0 or self.denied.get(token, 0) < self.denials:
                self._append("denied", token)
                return False
            self._append("revoked", token)
            return True

    def refresh(self) -> None:
        """Read what other processes have added."""
        with self._turn():
            pass

    def snapshot(self) -> bytes:
        return self.path.read_bytes()

    def restore(self, content: bytes) -> None:
        """Go back to an earlier state."""
        self.path.write_bytes(content)
        self.tokens.clear()
        self.denied.clear()
        self._read = 0
        self.refresh()


@cache
def _schema() -> GraphQLSchema:
    return make_schema()


class VirtualTransport:
    """Answers requests in the process itself, from the shared truth, with the seam's boundaries around each.

    It stands where the client's HTTP transport is, so that all above it is the real client.
    """

    def __init__(self, truth: Truth, seam: Seam) -> None:
        self.host = HOST
        self._truth = truth
        self._seam = seam
        self._root = root_value(truth, "https://my.matterport.com")

    def post_form(self, path: str, form: SecretStr) -> Exchange:
        fields = {name: values[0] for name, values in parse_qs(form.reveal()).items()}
        return self._exchange(lambda: self._token(fields))

    def post_json(self, path: str, body: SecretStr, token: SecretStr) -> Exchange:
        query = json.loads(body.reveal())["query"]
        return self._exchange(lambda: self._execute(query))

    def get(self, url: SecretStr) -> Exchange:
        return self._exchange(lambda: (404, {}))

    def close(self) -> None:
        return

    def _exchange(self, answer: Any) -> Exchange:
        lost = self._seam.request("before")
        if lost is not None:
            return NoResponse(lost.written, "the test broke the connection")
        self._truth.clock.advance(LATENCY)
        status, body = answer()
        headers = CaseInsensitiveDict({"Date": format_datetime(self._truth.now(), usegmt=True)})
        lost = self._seam.request("sent")
        if lost is None:
            lost = self._seam.request("answered")
        if lost is not None:
            return NoResponse(True, "the test broke the connection")
        return HttpResponse(status, headers, json.dumps(body).encode())

    def _token(self, fields: dict[str, str]) -> tuple[int, Any]:
        if fields.get("client_secret") != SECRET:
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": "app" + "x" * 40, "token_type": "Bearer", "expires_in": 3599}

    def _execute(self, query: str) -> tuple[int, Any]:
        result: Any = execute(_schema(), parse(query), self._root)
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [{"message": e.message, "path": e.path, **(e.extensions or {})} for e in result.errors]
        return 200, body
