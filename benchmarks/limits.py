"""PendingMint from an API that refuses more than so many requests a second: what is used of them, and what refused."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from benchmarks.measure import RUNS, Figure, api, services, timed
from benchmarks.minting import DEFAULTS, LATENCY, ensure
from pme_airflow.dev.emulator.samples import sample_models

PER_SECOND = 20
REQUESTS = 1000
SETTINGS: dict[str, dict[str, object]] = {
    "as the connection says": {"requests_per_second": float(PER_SECOND)},
    "unannounced": {**DEFAULTS},
}


def figures() -> Iterator[Figure]:
    """Shares used and refused: where the connection names the ceiling, and where it is found."""
    models = list(sample_models(REQUESTS * 10))
    for settings_name, settings in SETTINGS.items():
        used, refused = [], []
        for _ in range(RUNS):
            with api(LATENCY, PER_SECOND) as address, services(address, **settings) as made:
                took = timed(lambda made=made: ensure(made, models))  # type: ignore[misc]
                counts = requests.get(f"{address}/counts", timeout=5).json()
                used.append(counts["served"] / took / PER_SECOND)
                refused.append(100 * counts["refused"] / (counts["served"] + counts["refused"]))
        yield Figure(f"share used of {PER_SECOND} requests a second, {settings_name}", used, "0.9")
        yield Figure(f"the same, refused ({REQUESTS} requests)", refused, "under 2 %", " %")
