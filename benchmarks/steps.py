"""Where the processor time of a link and of a revocation goes; `python -m benchmarks.steps` prints the table."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest import mock

from rich.console import Console
from rich.table import Table
from sqlalchemy.engine.default import DefaultDialect

from benchmarks.measure import RUNS, api, processor_time, services
from benchmarks.minting import DEFAULTS, LATENCY, ensure, flag_all
from pme_airflow.api.client import PMEClient
from pme_airflow.api.transport import Transport
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint_worker import _MintWorker
from pme_airflow.lifecycle.sweep import SweepRequest, _SweepWorker, sweep
from pme_airflow.sealing import Sealer

LINKS = 5000
REST = "the rest: threads, the loop, the tally, the collector"
#: The methods of each step. A step's time is without that of the steps which it calls.
STEPS: Mapping[str, list[tuple[type, str]]] = {
    "SQLite: statements and commits": [
        (DefaultDialect, "do_execute"), (DefaultDialect, "do_executemany"), (DefaultDialect, "do_commit"),
    ],
    "staging: what is due, rows, SQLAlchemy": [
        (_MintWorker, "stage"), (_SweepWorker, "stage"), (_SweepWorker, "next_jobs"),
    ],
    "recording: results, rows, SQLAlchemy": [(_MintWorker, "settle"), (_SweepWorker, "settle")],
    "sealing, or opening what is sealed": [(Sealer, "seal_all"), (Sealer, "open")],
    "the document, JSON and the verdicts": [(PMEClient, "mint"), (PMEClient, "revoke")],
    "the request: `requests`, `urllib3`, `http.client`": [(Transport, "post_json")],
}  # fmt: skip


class Stopwatch:
    """Adds up the processor time of steps, each without the steps inside it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def timing(self, step: str, method: Callable[..., object]) -> Callable[..., object]:
        """Return a method that is timed as a step."""

        def timed(*args: object, **kwargs: object) -> object:
            outer: list[float] | None = getattr(self._inside, "seconds", None)
            self._inside.seconds = inner = [0.0]
            begun = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                took = time.thread_time() - begun
                self._inside.seconds = outer
                if outer is not None:
                    outer[0] += took
                with self._lock:
                    self.seconds[step] += took - inner[0]

        return timed


@contextmanager
def steps_timed() -> Iterator[Stopwatch]:
    """Time the steps of everything that runs meanwhile."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for step, methods in STEPS.items():
            for owner, name in methods:
                stack.enter_context(mock.patch.object(owner, name, watch.timing(step, getattr(owner, name))))
        yield watch


def microseconds(work: Callable[[], object]) -> dict[str, float]:
    """Return the processor time of each step of some work in microseconds a link."""
    with steps_timed() as watch:
        seconds = processor_time(work)
    found = {step: watch.seconds[step] for step in STEPS} | {REST: seconds - watch.seconds.total(), "all": seconds}
    return {step: value / LINKS * 1e6 for step, value in found.items()}


def main() -> None:
    """Mint with the defaults and with large batches, revoke, and print the steps of each side by side."""
    logging.disable(logging.INFO)
    models = list(sample_models(LINKS))
    columns: dict[str, list[dict[str, float]]] = {"defaults": [], "batch 25, 16 at once": [], "a revocation": []}
    with api(LATENCY) as address:
        with services(address) as made:
            ensure(made, models[:400])  # what is imported and compiled once
        for _ in range(RUNS):
            with services(address, **DEFAULTS) as made:
                columns["defaults"].append(microseconds(partial(ensure, made, models)))
            with services(address, batch_size=25, max_concurrency=16) as made:
                columns["batch 25, 16 at once"].append(microseconds(partial(ensure, made, models)))
                flag_all(made)
                revoke = partial(sweep, made, RunContext("bench"), SweepRequest())
                columns["a revocation"].append(microseconds(revoke))
    table = Table("µs a link", *columns)
    for step in (*STEPS, REST, "all"):
        table.add_row(step, *(f"{statistics.median(run[step] for run in runs):.0f}" for runs in columns.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
