"""Serving an emulator over HTTP on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

import uvicorn

from pme_airflow.emulator.app import create_app
from pme_airflow.emulator.world import World

__all__ = ["serve", "serving"]


def _config(world: World, base_url: str) -> uvicorn.Config:
    return uvicorn.Config(create_app(world, base_url), log_level="critical", date_header=False, access_log=False,
                          proxy_headers=False)  # fmt: skip


def _listen(port: int) -> socket:
    listener = socket(AF_INET, SOCK_STREAM)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def serve(world: World, port: int, ready_file: Path | None = None) -> None:
    """Serve on 127.0.0.1 until interrupted.

    :param port: the port; 0 takes a free one.
    :param ready_file: where the address is written once it is served.
    """
    listener = _listen(port)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(_config(world, base_url))
    if ready_file is not None:
        ready_file.write_text(base_url)
    server.run(sockets=[listener])


@contextmanager
def serving(world: World, port: int = 0) -> Iterator[str]:
    """Serve from a thread while the block runs; gives the base address."""
    listener = _listen(port)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(_config(world, base_url))
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
