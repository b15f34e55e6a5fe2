"""Every worker keeps what it claimed while requests are in flight, and gives back what it will not send."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from pme_airflow.ledger import claims, keys, mint_runs, publications, sweep_queue
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import claims as claims_table
from pme_airflow.ledger.tables import links, runs
from pme_airflow.lifecycle import clearing, document_worker, slot_worker, sweep
from pme_airflow.lifecycle.document_listener import DocumentListener
from pme_airflow.lifecycle.document_slots import DocumentPlan, NewSlot
from pme_airflow.lifecycle.link_opener import LinkOpener
from pme_airflow.lifecycle.mint_jobs import MintJob
from pme_airflow.lifecycle.mint_result import MintTally
from pme_airflow.lifecycle.mint_worker import _MintWorker
from pme_airflow.lifecycle.publish_result import PublishResult
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.shared_places import Clearing
from pme_airflow.lifecycle.worker_loop import Worker
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.board import Board
from tests.support.rooms import Shelf, demand, mint, publish, rows

RUN = RunContext.of_task("dag", "monday", "work")
ONE, TWO = SHARED_MODELS[:2]
SOON, LATER = timedelta(seconds=5), timedelta(seconds=40)
MakeWorker = Callable[[Services], Any]


def slots(services: Services) -> Worker[Any, Any, Any]:
    return slot_worker.SlotWriter(
        services, RUN, "shelf", 1, lambda *_: pytest.fail("written"), lambda _: timedelta(0), DocumentListener()
    )


def documents(services: Services) -> Worker[Any, Any, Any]:
    opener = LinkOpener(lambda item: services.open_item(dict(item)))
    return document_worker.DocumentWriter(services, RUN, Board(), opener, DocumentListener())


def cleared(services: Services) -> Worker[Any, Any, Any]:
    how = Clearing("not wanted", timedelta(0))
    return clearing._SlotClearer(services, RUN, Shelf(), [], how, PublishResult("shelf"))


def minted(services: Services) -> Worker[Any, Any, Any]:
    with services.database.write(RUN) as tx:
        mint_run = mint_runs.begin(tx)
    return _MintWorker(services, RUN, demand(), mint_run, [], MintTally([]), 1)


@pytest.mark.parametrize("make", [slots, documents, cleared, minted])
def test_a_claim_is_extended_while_its_worker_waits(shared_services: Services, make: MakeWorker) -> None:
    services, worker = shared_services, make(shared_services)
    with services.database.write(RUN) as tx:
        claims.take(tx, ["a key"])
        tx.execute(update(claims_table).values(expires_at=tx.now() + SOON))
        tx.execute(update(runs).values(seen_at=tx.now() - LATER))
    worker.keep_alive()
    with services.database.read() as tx:
        assert tx.scalar(select(claims_table.c.expires_at)) > tx.now() + LATER
        assert all(seen > tx.now() - SOON for seen in tx.scalars(select(runs.c.seen_at)))


def test_links_that_a_sweep_took_are_kept_from_others_while_it_waits(shared_services: Services) -> None:
    services = shared_services
    worker = sweep._SweepWorker(services, RUN, sweep.SweepRequest())
    taken = taken_by_sweep(services)
    with services.database.write(RUN) as tx:
        tx.execute(update(links).values(sweep_until=tx.now() + SOON))
    worker.keep_alive()
    with services.database.read() as tx:
        assert tx.scalar(select(links.c.sweep_until).where(links.c.link_id == taken[0].link_id)) > tx.now() + LATER


def taken_by_sweep(services: Services) -> list[Any]:
    mint(services, "run", [ONE])
    with services.database.write(RUN) as tx:
        tx.execute(update(links).values(flagged_at=tx.now()))
        return [due.row for due in sweep_queue.take_due(tx, services.client.client_id, 1)]


def free(services: Services, *wanted: str) -> bool:
    """Whether another run may claim all of some keys."""
    with services.database.write(RunContext("other")) as tx:
        found = claims.take(tx, wanted)
        claims.release_all(tx)
    return found == set(wanted)


def test_slots_that_are_not_written_are_released(shared_services: Services) -> None:
    services = shared_services
    wanted = [keys.slot_claim("shelf", slot) for slot in (ONE, TWO)]
    with services.database.write(RUN) as tx:
        claims.take(tx, wanted)
    jobs = [slot_worker._Claimed(slot_worker._Job(slot, deque()), None) for slot in (ONE, TWO)]
    slots(services).cancel(jobs)
    assert free(services, *wanted)


def test_slots_that_are_not_cleared_are_released(shared_services: Services) -> None:
    services = shared_services
    publish(services, "monday", Shelf(), mint(services, "monday", [ONE]).items)
    with services.database.write(RUN) as tx:
        shown = publications.shown_at(tx, "shelf")
        claims.take(tx, [keys.slot_claim("shelf", ONE)])
    cleared(services).cancel(shown)
    assert free(services, keys.slot_claim("shelf", ONE))


def test_documents_that_are_not_written_are_released_with_their_slots(shared_services: Services) -> None:
    services = shared_services
    publish(services, "monday", Board(), mint(services, "monday", [TWO]).items)
    (item,) = mint(services, "monday", [ONE]).items
    with services.database.write(RUN) as tx:
        (gone,) = publications.shown_at(tx, "board")
        wanted = [keys.document_claim("board", "intranet/"),
                  *(keys.slot_claim("board", f"intranet/{model_id}") for model_id in (ONE, TWO))]  # fmt: skip
        claims.take(tx, wanted)
    plan = DocumentPlan("intranet/", {f"intranet/{ONE}": NewSlot(item, None)}, {}, {gone.slot: gone})
    documents(services).cancel([document_worker._Claimed(document_worker._Job("intranet/"), plan)])
    assert free(services, *wanted)


def test_links_that_are_not_revoked_are_left_to_other_sweeps(shared_services: Services) -> None:
    services = shared_services
    taken = taken_by_sweep(services)
    staged = [sweep._Opened(row, services.open_row(row)) for row in taken]
    sweep._SweepWorker(services, RUN, sweep.SweepRequest()).cancel(staged)
    with services.database.write(RunContext("other")) as tx:
        found = sweep_queue.take_due(tx, services.client.client_id, 9)
    assert [due.row.link_id for due in found] == [row.link_id for row in taken]


def test_a_mint_that_is_not_sent_made_nothing_and_its_model_fails_for_this_run(shared_services: Services) -> None:
    services = shared_services
    tally = MintTally([ONE])
    with services.database.write(RUN) as tx:
        mint_run = mint_runs.begin(tx)
    worker = _MintWorker(services, RUN, demand(), mint_run, [], tally, 1)
    worker.cancel(worker.stage([MintJob((ONE,))]))
    (row,) = rows(services)
    (failure,) = tally.result(services.database, "intranet").failures
    assert row.state.value == "failed"
    assert (failure.model_id, failure.permanent) == (ONE, False)
    assert failure.reason == "The run ended before it could send the request."


def test_the_end_of_a_mint_run_releases_all_that_it_claimed(shared_services: Services) -> None:
    services = shared_services
    mint(services, "monday", [ONE])
    with services.database.read() as tx:
        assert tx.scalars(select(claims_table.c.claim_key)).all() == []
        assert all(ended is not None for ended in tx.scalars(select(runs.c.finished_at)))
