"""A killed process is known to be dead on its own machine, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pme_airflow.ledger.processes import host_name, process_is_dead, this_process


def test_this_process_lives() -> None:
    assert not process_is_dead(this_process())
    assert this_process().startswith(f"{host_name()}|")


def test_a_process_that_was_killed_is_dead() -> None:
    code = "from pme_airflow.ledger.processes import this_process; print(this_process(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert not process_is_dead(name)
    child.kill()
    child.communicate()
    assert process_is_dead(name)


def test_another_process_under_the_same_id_is_not_the_one_that_was_killed() -> None:
    host, pid, started = this_process().rsplit("|", 2)
    assert process_is_dead(f"{host}|{pid}|{int(started) - 3}")
    assert process_is_dead(f"{host}|{pid}|{int(started) + 3}")
    assert not process_is_dead(f"{host}|{pid}|{int(started) - 1}")


def test_a_step_of_the_clock_makes_no_living_process_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives the time of the boot by the clock as it is now; psutil adds it to what a process began after."""
    name = this_process()
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 600)
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", booted + 600, raising=False)
    assert psutil.boot_time() == booted + 600
    assert not process_is_dead(name)
    assert this_process() == name


def test_nothing_is_known_of_another_machines_processes_or_of_a_name_that_is_none() -> None:
    _, pid, started = this_process().rsplit("|", 2)
    assert not process_is_dead(f"elsewhere|boot|1|{pid}|{int(started) - 100}")
    assert not process_is_dead(f"x{host_name()}|999999|1")
    assert not process_is_dead("")
    assert not process_is_dead(f"{host_name()}|no number|1")
    assert not process_is_dead(f"{host_name()}|")


def test_a_machine_is_named_by_its_host_boot_and_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 150)
    host, boot, namespace = host_name.__wrapped__().split("|")
    assert (host, len(boot)) == ("h" * 100, 13)
    assert namespace.isdigit()


def test_a_machine_without_a_boot_id_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise OSError

    monkeypatch.setattr("socket.gethostname", lambda: "h")
    monkeypatch.setattr(Path, "read_text", missing)
    assert host_name.__wrapped__() == "h||"


def test_a_process_that_may_not_be_looked_at_is_not_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int) -> object:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "Process", denied)
    assert not process_is_dead(f"{host_name()}|1|1")
