"""Names processes, so that a claim whose owner was killed is free at once on the owner's machine."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

__all__ = ["host_name", "process_is_dead", "this_process"]


@cache
def host_name() -> str:
    """Return the name of this machine, boot and process namespace; a process id is unique inside of all three alone."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    return f"{socket.gethostname()[:100]}|{boot}|{namespace}"


def this_process() -> str:
    """Return the name of this process, unique for as long as its machine runs."""
    return f"{host_name()}|{os.getpid()}|{int(_start(os.getpid()))}"


def process_is_dead(process: str) -> bool:
    """Return whether a process of this machine is gone; false for one of another machine."""
    host, _, rest = process.partition(f"{host_name()}|")
    if host or not rest:
        return False
    pid, _, started = rest.partition("|")
    try:
        return abs(_start(int(pid)) - int(started)) > 2
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError):
        return False


def _start(pid: int) -> float:
    """Return when a process started, in seconds since the machine did: no step of its clock changes that.

    ``psutil`` adds the time of the boot, which follows the clock.
    """
    booted = psutil.boot_time()
    return psutil.Process(pid).create_time() - booted
