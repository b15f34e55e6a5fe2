"""Worker processes of the refresh app that may be killed at any moment, and the time that they share with the API."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import requests
import uvicorn

from pme_airflow.refresh import MintLimits, create_refresh_app
from tests.support.clocks import SharedClock
from tests.support.rooms import services_at

__all__ = ["START", "RefreshWorker"]

START = datetime(2026, 5, 1, 9, tzinfo=timezone.utc)
_UNLIMITED = 1_000_000
#: A process that others are forked from, so that none inherits a thread or a connection of the test's.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


def _serve(api: str, ledger: str, secret: str, clock: Path, ready: Connection) -> None:
    services = services_at(api, ledger, secret, SharedClock(START, clock))
    app = create_refresh_app(
        authorize=lambda request, model_id: request.headers.get("X-User"), audience="intranet", mint="10m",
        requests_per_minute=_UNLIMITED, mint_limits=MintLimits(_UNLIMITED, _UNLIMITED, _UNLIMITED),
        services=lambda: services,
    )  # fmt: skip
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    ready.send(listener.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off")).run(sockets=[listener])


class RefreshWorker:
    """One process that serves the refresh app.

    :param where: the API's address, the ledger's, the client secret, and the file of the clock.
    """

    def __init__(self, where: tuple[str, str, str, Path]) -> None:
        ours, theirs = _SERVER.Pipe()
        self.process = _SERVER.Process(target=_serve, args=(*where, theirs), daemon=True)
        self.process.start()
        self.address = f"http://127.0.0.1:{ours.recv()}"

    def ask(self, viewer: str, model_id: str) -> requests.Response:
        return requests.get(
            f"{self.address}/token", params={"modelId": model_id}, headers={"X-User": viewer}, timeout=60
        )

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)

    def ended(self) -> int | None:
        self.process.join(30)
        return self.process.exitcode

    def __enter__(self) -> RefreshWorker:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.is_alive():
            self.kill()
        self.ended()
