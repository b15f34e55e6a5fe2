"""Writing the slots of a JSON API: the share of the bound that its latency sets, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import requests

from benchmarks.measure import Figure, api, services, timed
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.targets import HttpJsonTarget

SLOTS = 1000
LATENCY = 0.3
#: Each slot is written and read back.
REQUESTS = 2
PER_SECOND = 20


def figures() -> Iterator[Figure]:
    """Shares of the bound by how many slots are written at once, and what a limit refuses. A run of each: minutes."""
    for at_once in (4, 16):
        with api(LATENCY) as address:
            took = _publishing(address, at_once)
        bound = SLOTS * REQUESTS * LATENCY / at_once
        yield Figure(f"share of the bound, {SLOTS:,} slots on a 300 ms API, {at_once} at once", [bound / took], "0.85")
    with api(LATENCY, PER_SECOND) as address:
        took = _publishing(address, 16)
        counts = requests.get(f"{address}/counts", timeout=5).json()
    served, refused = counts["served"], counts["refused"]
    yield Figure(f"share used of {PER_SECOND} requests a second, 16 at once", [served / took / PER_SECOND], "")
    yield Figure("the same, refused", [100 * refused / (served + refused)], "under 2 %", " %")


def _publishing(address: str, at_once: int) -> float:
    """Return the seconds that publishing takes; every slot is shown at its end."""
    target = HttpJsonTarget(
        requests.Session(), address, "http:bench", method="PUT", endpoint="items/{model_id}",
        json={"tour_url": "{link}"}, headers={}, expected=[200], read_endpoint="items/{model_id}?read",
        clear_json=None, timeout=30.0, at_once=at_once,
    )  # fmt: skip
    request = MintLinksRequest(list(sample_models(SLOTS)), "default", Validity.parse("24h"))
    with api(0.0) as minting, services(minting) as made:
        items = mint_links(made, RunContext("bench/run/mint/-1"), request).items
        publisher = Publisher(made, RunContext("bench/run/publish/-1"), target)
        return timed(partial(_publish, publisher, items))


def _publish(publisher: Publisher, items: list[dict[str, object]]) -> None:
    result = publisher.publish(items)
    assert (result.published.total, result.failed.total) == (SLOTS, 0)
