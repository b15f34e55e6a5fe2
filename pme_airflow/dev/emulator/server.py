"""Serve an emulator, or another stand-in, over HTTP on 127.0.0.1."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

import uvicorn
from starlette.types import ASGIApp

from pme_airflow.dev.emulator.app import create_app
from pme_airflow.dev.emulator.loopback import LoopbackOnly
from pme_airflow.dev.emulator.world import World

__all__ = ["serve", "serving", "serving_app"]


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="critical", date_header=False, access_log=False, proxy_headers=False)


def _listen(port: int) -> socket:
    listener = socket(AF_INET, SOCK_STREAM)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()  # from here on a client's connection waits until the server accepts it
    return listener


def serve(
    world: World, port: int, ready_file: Path | None = None, announce: Callable[[str], None] | None = None
) -> None:
    """Serve on 127.0.0.1 until interrupted.

    :param port: the port; 0 for a free one.
    :param ready_file: the file that the address is written to once the emulator listens.
    :param announce: called with the address once it listens.
    """
    listener = _listen(port)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(_config(create_app(world, base_url)))
    if announce is not None:
        announce(base_url)
    if ready_file is not None:
        ready_file.write_text(base_url)
    server.run(sockets=[listener])


@contextmanager
def serving(world: World, port: int = 0) -> Iterator[str]:
    """Serve an emulator from a thread while the block runs; yield its base address."""
    with serving_app(lambda base_url: create_app(world, base_url), port) as base_url:
        yield base_url


@contextmanager
def serving_app(make: Callable[[str], ASGIApp], port: int = 0) -> Iterator[str]:
    """Serve an ASGI app from a thread while the block runs; yield its base address.

    :param make: makes the app for a base address.
    """
    listener = _listen(port)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(_config(LoopbackOnly(make(base_url))))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield base_url
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
