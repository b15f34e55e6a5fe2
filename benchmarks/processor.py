"""Processor time a link, a revocation and a slot, against plain loops in the same run.

A plain loop waits and computes little, so a ratio of seconds changes with the machine's speed; this one does not.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import RUNS, Figure, api, plain_mint, processor_time, services
from benchmarks.minting import DEFAULTS, LATENCY, ensure, flag_all
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.durations import Validity
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, sweep
from pme_airflow.targets.object_storage import ObjectStorageTarget
from pme_airflow.targets.pages import embed_page

LINKS = 5000
PLAIN = 40
SLOTS = 1000


def figures() -> Iterator[Figure]:
    """Ratios of a plain loop's processor time to ours, and our milliseconds a link."""
    models = list(sample_models(LINKS))
    plain, defaults, wide, revoked = [], [], [], []
    with api(LATENCY) as address:
        with services(address) as made:
            ensure(made, models[:400])  # what is imported and compiled once
        for _ in range(RUNS):
            plain.append(processor_time(partial(plain_mint, address, models[:PLAIN])) / PLAIN)
            with services(address, **DEFAULTS) as made:
                defaults.append(processor_time(partial(ensure, made, models)) / LINKS)
            with services(address, batch_size=25, max_concurrency=16) as made:
                wide.append(processor_time(partial(ensure, made, models)) / LINKS)
                flag_all(made)
                revoked.append(processor_time(partial(sweep, made, RunContext("bench"), SweepRequest())) / LINKS)
    yield Figure("processor time of a plain requests loop, a link", [1000 * seconds for seconds in plain], "", " ms")
    for name, ours, goal in (
        ("a link, defaults", defaults, "8"),
        ("a link, batch 25 and 16 at once", wide, "10"),
        ("a revocation, batch 25 and 16 at once", revoked, "12"),
    ):
        ratios = [usual / seconds for usual, seconds in zip(plain, ours, strict=True)]
        yield Figure(f"processor time of {name}", [1000 * seconds for seconds in ours], "", " ms")
        yield Figure("the same, the plain loop's against ours", ratios, goal, " times")


def publishing() -> Iterator[Figure]:
    """Processor time of publishing slots in files, against the same files written by a plain loop."""
    models = list(sample_models(SLOTS))
    ours, ratios = [], []
    logging.getLogger("pme_airflow").setLevel(logging.WARNING)  # the plain loop logs nothing either
    embed_page(link="https://my.matterport.com/show", title="", valid_until="")  # compiles the template
    with api(0.0) as address, services(address) as made:
        for index in range(RUNS):
            request = MintLinksRequest(models, "default", Validity.parse("24h"))
            items = mint_links(made, RunContext(f"bench/{index}/mint/-1"), request).items
            with tempfile.TemporaryDirectory(prefix="pme-bench-") as folder:
                publisher = Publisher(made, RunContext(f"bench/{index}/publish/-1"), _target(Path(folder) / "ours"))
                ours.append(processor_time(partial(_publish, publisher, items)) / SLOTS)
                plain = processor_time(partial(_write_plainly, made, items, Path(folder) / "plain")) / SLOTS
            ratios.append(ours[-1] / plain)
    yield Figure(
        f"processor time of publishing, a slot ({SLOTS:,} slots in files)", [1000 * s for s in ours], "", " ms"
    )
    yield Figure("the same, against the same files written by a plain loop", ratios, "at most 4", " times")


def _target(folder: Path) -> ObjectStorageTarget:
    from airflow.sdk import ObjectStoragePath

    return ObjectStorageTarget(ObjectStoragePath(f"file://{folder}"))


def _publish(publisher: Publisher, items: list[dict[str, object]]) -> None:
    result = publisher.publish(items)
    assert result.published.total == len(items)


def _write_plainly(made: Services, items: list[dict[str, object]], folder: Path) -> None:
    """Write each link and its page into a folder, as a script of one's own would."""
    for item in items:
        opened = made.open_item(item)
        of_model = folder / str(item["model_id"])
        of_model.mkdir(parents=True)
        link = {"model_id": item["model_id"], "audience": item["audience"], "link": opened.url.reveal(),
                "access_token": opened.token.reveal(), "valid_until": item["valid_until"]}  # fmt: skip
        (of_model / "link.json").write_text(json.dumps(link))
        page = embed_page(link=opened.url.reveal(), title="", valid_until=str(item["valid_until"]))
        (of_model / "embed.html").write_text(page)
