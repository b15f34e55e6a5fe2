"""The hook mints, opens, publishes, flags and sweeps over one connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerError, PMEInputError, PMESealError
from pme_airflow.hooks import pme
from pme_airflow.hooks.pme import PMEHook, run_context_of
from pme_airflow.ledger.audit import list_links
from pme_airflow.ledger.links import LinkRow
from pme_airflow.lifecycle.xcom_payload import reference_to_models
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment
from tests.support.tasks import FakeTask

MANY = list(MODELS)
Connect = Callable[..., PMEHook]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> Connect:
    """Makes the hook of a connection with some fields changed."""

    def made(**changed: Any) -> PMEHook:
        fields = {"login": world.settings.client_id, "password": SECRET, "host": address, **changed}
        pme_in_environment(monkeypatch, tmp_path / "home", **fields)
        return PMEHook()

    return made


@pytest.fixture
def hook(connect: Connect) -> PMEHook:
    return connect()


def rows(hook: PMEHook) -> list[LinkRow]:
    with hook.database.read() as tx:
        return list(list_links(tx))


# ---------------------------------------------------------------- connection


def test_the_test_button_proves_credentials_pme_and_ledger(hook: PMEHook, tmp_path: Path) -> None:
    good, message = hook.test_connection()
    assert good, message
    assert "accepts the credentials for Private Model Embed" in message
    assert not list(tmp_path.rglob("pme_ledger.db")), "a test makes no ledger"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"password": "another secret of some length"}, "refused the client id or secret"),
        ({"password": f"{SECRET}\n"}, "Client secret: ends with a newline"),
        ({"password": ""}, "Client secret: is empty"),
        ({"login": ""}, "Client ID: is empty"),
        ({"host": "http://api.example.test"}, "API address: plain http"),
        ({"extra": {"batch_size": "x"}}, "Batch size"),
        ({"extra": {"seal_keys": "short"}}, "seal_keys"),
        ({"extra": {"ledger_conn_id": "nowhere"}}, "ledger_conn_id: The connection nowhere is not defined"),
        ({"conn_type": "http"}, "is of type http"),
    ],
)
def test_the_test_button_names_what_is_wrong(connect: Connect, changed: dict[str, Any], named: str) -> None:
    good, message = connect(**changed).test_connection()
    assert not good
    assert named in message
    assert SECRET not in message


def test_a_ledger_that_is_not_good_is_told_apart_from_the_credentials(connect: Connect, tmp_path: Path) -> None:
    hook = connect()
    hook.mint(MANY[:1])
    with hook.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE pme_version SET version_num = '9999'")
    good, message = connect().test_connection()
    assert not good
    assert message.startswith("The credentials are good, but the ledger is not: ")


def test_secrets_of_the_connection_are_masked(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(pme, "mask_secret", masked.append)
    _ = connect(extra={"seal_keys": ["k" * 16, "open:an-earlier-secret"]}).settings
    assert masked == [SECRET, "k" * 16, "an-earlier-secret"]


def test_a_missing_connection_is_an_input_error() -> None:
    with pytest.raises(PMEInputError, match="AIRFLOW_CONN_NOWHERE"):
        _ = PMEHook("nowhere").settings


def test_the_client_is_what_get_conn_returns(hook: PMEHook) -> None:
    assert hook.get_conn() is hook.services.client


def test_a_rate_limit_is_shared_through_the_ledger(connect: Connect, world: World) -> None:
    hook = connect(extra={"requests_per_second": 1000})
    hook.mint(MANY[:1])
    with hook.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pme_paces").scalar() == 1
    assert connect()._shared_rate_limit() is None


# ---------------------------------------------------------------- minting


def test_links_are_minted_for_an_audience_and_a_validity(hook: PMEHook, world: World) -> None:
    outcome = hook.mint(MANY[:2], valid_for="2h", audience="broker")
    assert [(row.model_id, row.audience, row.valid_for) for row in reversed(rows(hook))] == [
        (MANY[0], "broker", 7200),
        (MANY[1], "broker", 7200),
    ]
    assert outcome.minted == 2


@pytest.mark.parametrize("renew_before", [None, ""])
def test_without_a_margin_all_are_renewed(hook: PMEHook, renew_before: Any) -> None:
    hook.mint(MANY[:1])
    assert hook.mint(MANY[:1], renew_before=renew_before).minted == 1


def test_with_a_margin_what_has_enough_left_is_reused(hook: PMEHook) -> None:
    hook.mint(MANY[:1])
    outcome = hook.mint(MANY[:1], renew_before=timedelta(hours=12))
    assert (outcome.minted, outcome.reused) == (0, 1)


def test_models_are_listed_by_id_reference_and_query(hook: PMEHook, world: World) -> None:
    hook.database.prepare()
    assert hook.list_models(MANY[:3]) == MANY[:3]
    reference = reference_to_models(hook.database, MANY[:3])
    assert hook.list_models(reference) == MANY[:3]
    assert hook.list_models(str(reference)) == MANY[:3]
    assert set(hook.list_models({"query": "*"})) == set(MODELS)
    assert {item["model_id"] for item in hook.mint(reference).items} == set(MANY[:3])


def test_a_bad_audience_is_refused(hook: PMEHook, world: World) -> None:
    for call in (lambda: hook.mint(MANY[:1], audience="a b"), lambda: hook.list_models({"query": "*"}, "a b")):
        with pytest.raises(PMEInputError, match="audience"):
            call()
    assert world.counts == {}


# ---------------------------------------------------------------- items


def test_an_item_opens_and_is_masked_in_logs(hook: PMEHook, world: World, caplog: pytest.LogCaptureFixture) -> None:
    (item,) = hook.mint(MANY[:1]).items
    (issued,) = world.alive()
    url = hook.open(item)
    assert url.endswith(f"m={MANY[0]}&auth=Bearer+{issued.token}")
    opened = hook.open_link(item)
    assert (opened.url.reveal(), opened.token.reveal()) == (url, issued.token)
    logging.getLogger("a.task").warning("showing %s", url)
    assert issued.token not in caplog.text


def test_an_item_that_was_changed_does_not_open(hook: PMEHook) -> None:
    one, two = hook.mint(MANY[:2]).items
    for changed in ({**one, "link": two["link"]}, {**one, "model_id": MANY[1]}, {"link": one["link"]}):
        with pytest.raises(PMESealError):
            hook.open(changed)


def test_items_of_mapped_tasks_are_flattened(hook: PMEHook) -> None:
    one, two = hook.mint(MANY[:2]).items
    assert list(hook.items([[one], [two]])) == [one, two]
    assert list(hook.items(one)) == [one]
    assert list(hook.items(None)) == []
    again = hook.mint(MANY[:2])
    assert list(hook.items(again)) == again.items
    with pytest.raises(PMEInputError, match="mint"):
        list(hook.items("{{ mint }}"))


# ---------------------------------------------------------------- publications


def test_a_recorded_publication_retires_the_link_shown_before(hook: PMEHook) -> None:
    (first,) = hook.mint(MANY[:1]).items
    (second,) = hook.mint(MANY[:1]).items
    hook.record_publication(first, "intranet", "page", {"id": 5})
    hook.record_publication(second, "intranet", "page")
    retired = {row.link_id: row.retire_at is not None for row in rows(hook)}
    assert retired == {first["link_id"]: True, second["link_id"]: False}


def test_a_slot_does_not_go_back_to_an_earlier_link(hook: PMEHook) -> None:
    (first,) = hook.mint(MANY[:1]).items
    (second,) = hook.mint(MANY[:1]).items
    hook.record_publication(second, "intranet", "page")
    with pytest.raises(LedgerError, match="intranet, page: not recorded"):
        hook.record_publication(first, "intranet", "page")


# ---------------------------------------------------------------- leaks


def test_leaked_links_are_flagged_and_swept(hook: PMEHook, world: World) -> None:
    one, two, three = hook.mint(MANY[:3]).items
    tokens = {issued.model_id: issued.token for issued in world.alive()}
    response = hook.flag(tokens=tokens[MANY[0]], reason="in a ticket")
    assert [link.row.link_id for link in response.links] == [one["link_id"]]
    assert hook.flag(link_ids=[two["link_id"]]).links[0].row.model_id == MANY[1]
    result = hook.sweep(flagged_only=True, deadline=timedelta(seconds=30))
    assert {row.link_id for row in result.revoked} == {one["link_id"], two["link_id"]}
    assert [issued.model_id for issued in world.alive()] == [MANY[2]]
    assert next(row for row in rows(hook) if row.link_id == one["link_id"]).flag_reason == "in a ticket"
    assert three["link_id"] not in {row.link_id for row in result.revoked}


def test_a_flag_of_nothing_and_of_mixed_criteria_is_refused(hook: PMEHook) -> None:
    hook.mint(MANY[:1])
    with pytest.raises(PMEInputError):
        hook.flag()
    with pytest.raises(PMEInputError, match="within"):
        hook.flag(models=MANY[:1], audiences=["default"])
    assert len(hook.flag(models=MANY[:1], audiences=["default"], within=True).links) == 1


def test_a_part_that_cannot_be_read_is_an_error_after_the_rest_is_flagged(hook: PMEHook) -> None:
    (item,) = hook.mint(MANY[:1]).items
    with pytest.raises(PMEInputError, match="token"):
        hook.flag(tokens=iter([item["fingerprint"], "no token at all"]))
    assert rows(hook)[0].flagged_at is not None


def test_a_sweep_passes_on_how_it_is_to_be_done(hook: PMEHook, world: World) -> None:
    (item,) = hook.mint(MANY[:1]).items
    hook.flag(tokens=[item["fingerprint"]])
    world.set_faults({"lying_false": 1.0})
    assert hook.sweep(1).irrevocable.total == 1
    world.set_faults({})
    with hook.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE pme_links SET next_attempt_at = NULL")
    assert [row.link_id for row in hook.sweep(verify=True).revoked] == [item["link_id"]]
    assert rows(hook)[0].verified == "HTTP 401"


# ---------------------------------------------------------------- run contexts


def test_the_run_context_of_a_task_names_it() -> None:
    task = FakeTask("mint", "scheduled__1", 3)
    for context in ({"ti": task}, {"task_instance": task}):
        assert run_context_of(context).run == "dag/scheduled__1/mint/3"


def test_outside_of_a_task_each_call_is_a_run_of_its_own() -> None:
    first, second = run_context_of(), run_context_of({})
    assert first.run.startswith("cli/")
    assert "/python/" in first.run
    assert first.run != second.run
