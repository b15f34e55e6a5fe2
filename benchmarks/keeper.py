"""The keeper's look at a large account in which nothing is due, in a process of its own: seconds and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from benchmarks.measure import CLIENT_ID, RUNS, Figure, kilobytes, processor_time, timed
from benchmarks.years import AUDIENCE, TARGETS, fill
from pme_airflow.clock import SystemClock
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import RenewalDemand
from pme_airflow.ledger.engines import sqlite_engine
from pme_airflow.lifecycle.due_watch import RenewalWatch, renewal_slack

MODELS = 50_000
RENEW_BEFORE = timedelta(hours=12)


def figures() -> Iterator[Figure]:
    """Seconds and megabytes of the first look, which looks at every slot."""
    seconds, processor, memory = [], [], []
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as folder:
        path = Path(folder) / "ledger.db"
        database = Database(sqlite_engine(path), SystemClock(), migrate=True)
        fill(database, CLIENT_ID, SystemClock().now(), 1, MODELS)
        with database.write() as tx:
            tx.execute(text("UPDATE pme_links SET retire_at = NULL"))
        database.engine.dispose()
        for _ in range(RUNS):
            command = [sys.executable, "-m", "benchmarks.keeper", str(path)]
            measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            seconds.append(measured["seconds"])
            processor.append(measured["processor"])
            memory.append(measured["megabytes"])
    slots = MODELS * len(TARGETS)
    yield Figure(f"keeper's look at {slots:,} slots with nothing due", seconds, "at most 1 s", " s")
    yield Figure("the same, processor time of the first look", processor, "", " s")
    yield Figure("the same, memory above a process that waits", memory, "at most 60 MB", " MB")


def main() -> None:
    """Look once at the ledger in a file; print what it took."""
    database = Database(sqlite_engine(Path(sys.argv[1])), SystemClock())
    demand = RenewalDemand(CLIENT_ID, AUDIENCE, RENEW_BEFORE, renewal_slack(RENEW_BEFORE))
    watch = RenewalWatch(demand)
    database.check()
    Path("/proc/self/clear_refs").write_text("5")
    idle = kilobytes("VmRSS")
    found = []
    processor = processor_time(lambda: found.append(watch.look(database)))
    assert found[0].count == 0, f"{found[0].count} are due"
    again = RenewalWatch(demand)
    took = timed(lambda: again.look(database))
    print(json.dumps({"seconds": took, "processor": processor, "megabytes": (kilobytes("VmHWM") - idle) / 1024}))


if __name__ == "__main__":
    main()
