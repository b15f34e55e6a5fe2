"""Where scenarios play: a ledger, files and a site that outlive a killed process, and how a state is restored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import create_engine, delete, insert, select
from sqlalchemy.engine import make_url

from pme_airflow.api import client as api_client
from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.dialect import DialectMemory
from pme_airflow.errors import PMEError, SlotError
from pme_airflow.ledger import processes
from pme_airflow.ledger.api_facts import LedgerFacts
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.tables import metadata
from pme_airflow.lifecycle import worker_loop
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.object_storage import ObjectStorageTarget
from tests.support.crashes.seam import Seam, Strike
from tests.support.crashes.truth import HOST, SECRET, StageClock, Truth, VirtualTransport
from tests.support.rooms import CLIENT

MODELS = ("ModelAAAAAA", "ModelBBBBBB", "ModelCCCCCC")
#: Exit statuses of a process that was not killed.
ALL_WELL, NOT_ALL_WELL, BROKE = 0, 1, 2
#: Seconds of real time after which a process counts as stuck.
_STUCK = 120.0


@dataclass(frozen=True)
class Setting:
    """How a scenario's process works.

    :param batch: mutations in a request.
    :param at_once: requests in flight, and slots that are written at the same time.
    :param elsewhere: whether the process is of another machine, so that nobody can find out that it is dead.
    """

    batch: int = 3
    at_once: int = 1
    elsewhere: bool = False


@dataclass(frozen=True)
class _Root:
    """A folder, as ``ObjectStoragePath`` gives it to a target."""

    path: str
    protocol: str = "file"

    def __truediv__(self, name: str) -> _Root:
        return _Root(f"{self.path}/{name}")

    def __str__(self) -> str:
        return f"file://{self.path}"


class _Pages(ObjectStorageTarget):
    """The shipped target for files."""

    def __init__(self, folder: Path, at_once: int) -> None:
        super().__init__(_Root(str(folder)))
        self.at_once = at_once


class Site(Target):
    """A web site: each of its requests has the boundaries of a request."""

    name = "site"

    def __init__(self, folder: Path, seam: Seam) -> None:
        self._folder = folder
        self._seam = seam

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        self._request(lambda: (self._folder / slot).write_text(link.token.reveal()))
        return {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        found: list[str] = []
        self._request(lambda: found.append((self._folder / slot).read_text()))
        if found != [link.token.reveal()]:
            raise SlotError("it does not show the link", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        self._request(lambda: (self._folder / slot).unlink(missing_ok=True))

    def _request(self, work: Callable[[], object]) -> None:
        lost = self._seam.request("before", "site")
        if lost is None:
            work()
            lost = self._seam.request("sent", "site") or self._seam.request("answered", "site")
        if lost is not None:
            raise SlotError("the connection broke", passing=True)


class _StagedDatabase(Database):
    """A ledger in virtual time, where other processes may run between two of its transactions."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.engine, stage.clock, migrate=True)
        self._stage = stage

    def shared_now(self, connection: Any) -> Any:
        return self._stage.clock.now()

    @contextmanager
    def write(self, run_context: Any = None) -> Iterator[Any]:
        with super().write(run_context) as tx:
            yield tx
        self._stage.seam.on_pause()


@dataclass
class Snapshot:
    """A state that can be restored."""

    monotonic: float
    truth: bytes
    tables: dict[str, list[dict[str, Any]]] | bytes = field(repr=False)
    folder: Path = Path()


class Stage:
    """One ledger, one clock, one API, and two targets.

    :param address: an empty database.
    :param folder: an empty folder.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.kind = make_url(address).get_backend_name()
        self.clock = StageClock()
        self.seam = Seam()
        self.truth = Truth(folder / "truth", dict.fromkeys(MODELS, "a space"), self.clock)
        self.pages, self.site = folder / "shown" / "pages", folder / "shown" / "site"
        self.setting = Setting()
        self.seal_keys: tuple[SecretStr, ...] = ()
        self._folder = folder
        self._snapshots = 0
        #: One for all processes, so that a child has the statements that its parent has compiled.
        self.engine = tuned(create_engine(address))
        self.seam.watch(self.engine)
        self.site.mkdir(parents=True)
        self.pages.mkdir()

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Put the seam and the virtual API in their places."""

        def virtual(*_: object) -> VirtualTransport:
            return VirtualTransport(self.truth, self.seam)

        transport = mock.patch.object(api_client, "Transport", virtual)
        quick = mock.patch.object(worker_loop, "_GATHER_SECONDS", 0.0)
        with transport, quick, self.seam.files():
            yield

    # ---------------------------------------------------------------- parts

    def services(self) -> Services:
        """Services as one process would make them."""
        database = _StagedDatabase(self)
        memory = DialectMemory(LedgerFacts(database, HOST, CLIENT))
        settings = ClientSettings(batch_size=self.setting.batch, max_concurrency=self.setting.at_once)
        client = PMEClient(CLIENT, SecretStr(SECRET), HOST, settings, self.clock, memory=memory)
        sealer = Sealer.of_connection(SecretStr(SECRET), self.seal_keys)
        return Services(client, database, sealer, self.clock)

    def targets(self) -> list[Target]:
        return [_Pages(self.pages, self.setting.at_once), Site(self.site, self.seam)]

    def close(self) -> None:
        """Close this process's connections, so that a child inherits none."""
        self.engine.dispose()

    def shown(self) -> dict[str, str]:
        """Return the token that each slot shows, the page's and its file's alike."""
        found = {f"site/{path.name}": path.read_text() for path in self.site.iterdir()}
        for path in self.pages.glob("*/link.json"):
            found[f"pages/{path.parent.name}"] = json.loads(path.read_text())["access_token"]
        return found

    # ------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        self.close()
        self._snapshots += 1
        copy = self._folder / f"snapshot{self._snapshots}"
        shutil.copytree(self.pages.parent, copy)
        return Snapshot(self.clock.monotonic(), self.truth.snapshot(), self._tables(), copy)

    def restore(self, snapshot: Snapshot) -> None:
        self.close()
        self.seam.disarm()
        self.clock.set(snapshot.monotonic)
        self.truth.restore(snapshot.truth)
        shutil.rmtree(self.pages.parent)
        shutil.copytree(snapshot.folder, self.pages.parent)
        self._put_back(snapshot.tables)

    def _tables(self) -> dict[str, list[dict[str, Any]]] | bytes:
        if self.kind == "sqlite":
            with self.engine.connect() as connection:
                connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
            self.close()
            return Path(make_url(self.address).database or "").read_bytes()
        with self.engine.connect() as connection:
            return {
                name: [dict(row) for row in connection.execute(select(table)).mappings()]
                for name, table in metadata.tables.items()
            }

    def _put_back(self, tables: dict[str, list[dict[str, Any]]] | bytes) -> None:
        if isinstance(tables, bytes):
            path = Path(make_url(self.address).database or "")
            for name in (f"{path}-wal", f"{path}-shm"):
                Path(name).unlink(missing_ok=True)
            path.write_bytes(tables)
            return
        with self.engine.begin() as connection:
            for name, table in metadata.tables.items():
                connection.execute(delete(table))
                if tables[name]:
                    connection.execute(insert(table), tables[name])

    # ------------------------------------------------------------ processes

    def fork(self, work: Callable[[Stage], bool], target: int, strike: Strike, *, statements: bool = False) -> int:
        """Start a process that works with the seam armed; return its id."""
        self.close()
        pid = os.fork()
        if pid == 0:
            status = BROKE
            try:
                status = self._in_child(work, target, strike, statements=statements)
            finally:
                os._exit(status)
        return pid

    def _in_child(self, work: Callable[[Stage], bool], target: int, strike: Strike, *, statements: bool) -> int:
        if self.setting.elsewhere:
            mock.patch.object(processes, "host_name", return_value="elsewhere|0|1").start()
        self.seam.arm(target, strike, statements=statements)
        try:
            return ALL_WELL if work(self) else NOT_ALL_WELL
        except PMEError:
            return NOT_ALL_WELL
        except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
            (self._folder / "traceback").write_text(traceback.format_exc())
            return BROKE

    def ended(self, pid: int) -> int:
        """Wait for a process; return its exit status."""
        until = time.monotonic() + _STUCK
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError("a process is stuck")
            time.sleep(0.001)

    def traceback(self) -> str:
        """Return what broke in the last process that ended by an exception of no known kind."""
        path = self._folder / "traceback"
        return path.read_text() if path.exists() else ""

    def boundaries(self, work: Callable[[Stage], bool], strike: Strike, *, statements: bool = False) -> Sequence[str]:
        """Run a scenario in a process without a strike; return the boundaries it passes."""
        listing = self._folder / "boundaries"

        def counted(stage: Stage) -> bool:
            good = work(stage)
            listing.write_text("\n".join(stage.seam.passed))
            return good

        status = self.ended(self.fork(counted, 0, strike, statements=statements))
        assert status == ALL_WELL, f"without a strike it ends with {status}: {self.traceback()}"
        return listing.read_text().splitlines()
