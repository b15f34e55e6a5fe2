"""A ledger of a million rows: what is due, ensuring a link, finding a fingerprint."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.measure import CLIENT_ID, Figure, timed
from pme_airflow.api.clock import SystemClock
from pme_airflow.api.validity import Validity
from pme_airflow.ledger import minting, revoking
from pme_airflow.ledger.actor import Actor
from pme_airflow.ledger.database import Database, sqlite_engine
from pme_airflow.ledger.lookup import by_fingerprint
from pme_airflow.ledger.minting import Demand
from pme_airflow.ledger.tables import links

ROWS = 1_000_000
LIVE = 20_000
TRIES = 50


def _row(index: int, now: Any) -> dict[str, Any]:
    live = index >= ROWS - LIVE
    age = timedelta(seconds=0 if live else (ROWS - index) * 2 + 90_000)
    due = live and index % 1000 == 0
    return {
        "link_id": f"lnk_{index:032x}", "client_id": CLIENT_ID, "model_id": f"M{index % LIVE:010d}", "audience": "a",
        "state": "live" if live else "revoked", "run": f"dag/run{index // LIVE}/mint/-1",
        "run_uid": f"{index // LIVE:032x}", "application": "showcase", "fingerprint": f"sha256:{index:064x}",
        "sealed": "pme-sealed:v1:x:y" if live else None,
        "valid_for": 86400, "requested_at": now - age, "minted_at": now - age,
        "valid_until": now - age + timedelta(days=1), "retire_at": now - timedelta(minutes=1) if due else None,
        "revoke_attempts": 0, "irrevocable": False,
    }  # fmt: skip


def figures() -> Iterator[Figure]:
    """Milliseconds of each question to a ledger of a million rows on SQLite."""
    clock = SystemClock()
    now = clock.now()
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as home:
        database = Database(sqlite_engine(Path(home) / "ledger.db"), clock, migrate=True)
        for start in range(0, ROWS, 20_000):
            with database.write() as connection:
                connection.execute(insert(links), [_row(index, now) for index in range(start, start + 20_000)])
        numbers = iter(range(1, TRIES + 1))
        actor = Actor("bench/run/mint/-1")
        demand = Demand(CLIENT_ID, "a", Validity.parse("24h"), timedelta(hours=12))

        def due() -> None:
            with database.write() as connection:
                revoking.take_due(database, connection, CLIENT_ID, actor, 80)

        def ensure() -> None:
            with database.read() as connection:
                model = f"M{next(numbers):010d}"
                assert minting.look(connection, demand, [model], now, lambda _: True)

        def find() -> None:
            with database.read() as connection:
                assert by_fingerprint(connection, f"sha256:{ROWS - 7:064x}") is not None

        for name, work in (("what is due", due), ("ensuring a link", ensure), ("finding a fingerprint", find)):
            yield Figure(f"a ledger of {ROWS:,} rows: {name}", _milliseconds(work), "under 5 ms", " ms")


def _milliseconds(work: Callable[[], None]) -> list[float]:
    samples = []
    for _ in range(TRIES):
        samples.append(timed(work) * 1000)
        time.sleep(0)
    return samples
