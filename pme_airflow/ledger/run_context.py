"""Who acts on the ledger: a task's try, a command, a person."""

from __future__ import annotations

import getpass
import os
import re
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

__all__ = ["RunContext", "host_name", "process_is_dead", "this_process"]


#: The end of a task's name: its index where it is mapped, else -1. A command's is hexadecimal and longer.
_PART = re.compile(r"(-1|[0-9]{1,7})\Z")


@dataclass(frozen=True)
class RunContext:
    """One try of one piece of work.

    :param run: names the DAG run, task and map index (``dag/run/task/index``), the same for every try of it.
    :param uid: names this try alone; what it claims is claimed under it.
    :param process: names the process, so that others on its machine can tell when it is gone.
    """

    run: str
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: str = field(default_factory=lambda: this_process())

    def is_same_task(self, run: str) -> bool:
        """Whether a run is this one's DAG run and task, whichever part of a mapped task did it."""
        task, _, part = self.run.rpartition("/")
        other, _, others = run.rpartition("/")
        return run == self.run or (task == other and bool(_PART.match(part) and _PART.match(others)))

    @classmethod
    def of_command(cls, command: str) -> RunContext:
        """Whoever runs a command; each time it is run is a run of its own."""
        user = "unknown"
        with suppress(OSError, KeyError):
            user = getpass.getuser()
        uid = uuid.uuid4().hex
        return cls(run=f"cli/{user}@{socket.gethostname()}/{command}"[:680] + f"/{uid[:8]}", uid=uid)


@cache
def host_name() -> str:
    """Names this machine, boot and process namespace: process ids mean something only inside of all three."""
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
        space = str(os.stat("/proc/self/ns/pid").st_ino)
    return f"{socket.gethostname()[:100]}|{boot}|{space}"


def this_process() -> str:
    """Names this process for as long as its machine runs."""
    return f"{host_name()}|{os.getpid()}|{int(psutil.Process().create_time())}"


def process_is_dead(process: str) -> bool:
    """Whether a process of this machine is gone; false where that cannot be told from here."""
    host, _, rest = process.partition(f"{host_name()}|")
    if host or not rest:
        return False
    pid, _, begun = rest.partition("|")
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(begun)) > 2
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError):
        return False
