"""Which models a token opens, on each database: found by any of them, by those of no other token, and purged with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.ledger import audience_models, audit, claims, due, exposed, flags, links, mint_answers, mint_requests
from pme_airflow.ledger import link_models as models_of_links
from pme_airflow.ledger import publications as shown
from pme_airflow.ledger.audience_models import Listing
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.due import RenewalDemand
from pme_airflow.ledger.link_models import SHARED, named_models
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.mint_answers import MintAnswer
from pme_airflow.ledger.mint_requests import PendingMint
from pme_airflow.ledger.selections import Selection
from pme_airflow.sealing import fingerprint
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, DEMAND, change, ledger_at, ledger_in_memory, made, mint, task, token

MODELS = tuple(f"Model{number:06d}" for number in range(6))
DAY = timedelta(days=1)


def mint_shared(database: Database, models: tuple[str, ...]) -> LinkRow:
    """Mint a token of several models, whatever others they have; return its row."""
    secret = token()
    with database.write(task(f"run {secret.reveal()}")) as tx:
        pending = PendingMint(SHARED, f"lnk_{secret.reveal()}", models)
        mint_requests.record(tx, DEMAND, [pending], tx.now(), "a test")
        claims.take(tx, [DEMAND.claim_key(model_id) for model_id in models])
        answer = MintAnswer(pending, made(secret, tx.now() + DAY), "pme-sealed:v2:k:text", fingerprint(secret))
        (settled,) = mint_answers.settle(tx, DEMAND, [answer], tx.now())
    assert settled.usable
    return settled.row


@pytest.fixture
def server(ledger_address: str) -> Database:
    database = ledger_at(ledger_address)
    database.prepare()
    return database


def test_a_token_is_found_by_each_of_its_models_and_no_other(server: Database) -> None:
    first, second = mint_shared(server, MODELS[:3]), mint_shared(server, MODELS[2:5])
    single = mint(server, model_id=MODELS[0])
    with server.read() as tx:
        newest = links.newest_live_of(tx, CLIENT, AUDIENCE, MODELS)
        assert {model_id: row.link_id for model_id, row in newest.items()} == {
            MODELS[0]: single.link_id, MODELS[1]: first.link_id, MODELS[2]: second.link_id,
            MODELS[3]: second.link_id, MODELS[4]: second.link_id,
        }  # fmt: skip
        assert [row.link_id for row in exposed.links_matching(tx, models=[MODELS[1]])] == [first.link_id]
        assert {row.opens for row in audit.list_links(tx, models=[MODELS[2]])} == {MODELS[:3], MODELS[2:5]}
        listing = Listing(CLIENT, AUDIENCE, "*")
        assert audience_models.known_models(tx, listing, tx.now()) == list(MODELS[:5])
        assert due.renewals_due(tx, RenewalDemand(CLIENT, AUDIENCE, DAY / 2, timedelta(0))).count == 5
        late = RenewalDemand(CLIENT, AUDIENCE, DAY + timedelta(hours=1), timedelta(0))
        assert due.renewals_due(tx, late).count == 10
    with server.write(task("flag")) as tx:
        flagged = flags.flag(tx, "leaked", models=[MODELS[3]])
        assert [row.opens for row in flagged.links] == [MODELS[2:5]]
        assert tx.scalar(links.select(links.links.c.link_id).where(*Selection(
            CLIENT, models=frozenset([MODELS[1]])).where(links.links))) == first.link_id  # fmt: skip


def test_a_token_is_retired_when_no_slot_shows_it_for_any_model(server: Database) -> None:
    old = mint_shared(server, MODELS[:2])
    new = mint_shared(server, MODELS[:2])
    with server.write(task("publish")) as tx:
        for row, of in ((old, MODELS[0]), (old, MODELS[1]), (new, MODELS[0])):
            assert not shown.publish(tx, "site", [shown.Shown(of, row.link_id, {}, model_id=of)], claimed=False)
        assert links.by_ids(tx, [old.link_id])[old.link_id].retire_at is None
        last = shown.Shown(MODELS[1], new.link_id, {}, model_id=MODELS[1])
        assert not shown.publish(tx, "site", [last], claimed=False)
        assert links.by_ids(tx, [old.link_id])[old.link_id].retire_at is not None
        assert set(shown.shown_in(tx, "site", MODELS).values()) == {
            shown.SlotLink(new.link_id, MODELS[0]), shown.SlotLink(new.link_id, MODELS[1]),
        }  # fmt: skip


def test_a_purge_deletes_the_models_of_a_token_with_it() -> None:
    clock = FakeClock()
    database = ledger_in_memory(clock)
    gone, kept = mint_shared(database, MODELS[:2]), mint_shared(database, MODELS[:2])
    change(database, gone.link_id, state="expired", sealed=None)
    clock.advance(5 * 86400)
    assert audit.purge(database, clock.now() - DAY) == 1
    with database.read() as tx:
        assert models_of_links.models_of(tx, [gone.link_id, kept.link_id]) == {kept.link_id: MODELS[:2]}
    database.engine.dispose()


def test_models_are_named_in_a_sentence() -> None:
    assert named_models(["a"]) == "model a"
    assert named_models(["a", "b"]) == "models a and b"
    assert named_models(["a", "b", "c"]) == "models a, b and c"
