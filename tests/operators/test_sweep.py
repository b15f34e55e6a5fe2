"""The sweep operator succeeds only where no leaked link is left to try, and alarms what a person must look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle import sweep as sweep_use_case
from pme_airflow.operators.pme import PMERevocationSweepOperator
from tests.conftest import MODELS, SECRET
from tests.support.tasks import FakeTask, flagged_since, listener

MODEL = next(iter(MODELS))


@pytest.fixture
def item() -> dict[str, Any]:
    """The item of a live link that was flagged."""
    (made,) = PMEHook().mint([MODEL], audience="intranet").items
    PMEHook().flag(tokens=[made["fingerprint"]])
    return made


def operator(**arguments: Any) -> PMERevocationSweepOperator:
    return PMERevocationSweepOperator(task_id="sweep", **arguments)


def test_a_sweep_of_nothing_succeeds(task: FakeTask) -> None:
    result = operator().execute(task.context())
    assert (result["revoked"], result["pending"]) == ([], 0)
    assert task.xcoms == {}


def test_a_sweep_that_cannot_ask_what_is_alive_fails_the_task(task: FakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> object:
        raise LedgerUnavailableError("the ledger cannot be reached")

    monkeypatch.setattr(sweep_use_case, "flagged_alive", away)
    with pytest.raises(AirflowException, match="the ledger went away"):
        operator().execute(task.context())


def test_a_flagged_link_is_revoked_and_measured(
    item: dict[str, Any], world: World, task: FakeTask, metrics: dict[str, float]
) -> None:
    result = operator(verify=True).execute(task.context())
    assert [row["fingerprint"] for row in result["revoked"]] == [item["fingerprint"]]
    assert world.alive() == []
    assert metrics["pme.revoked"] == 1
    assert metrics["pme.flagged_pending"] == 0
    with PMEHook().database.read() as tx:
        from pme_airflow.ledger.links import by_id

        assert by_id(tx, item["link_id"]).verified == "HTTP 401"  # type: ignore[union-attr]


def test_an_irrevocable_link_fails_the_task_once_and_is_alarmed(
    item: dict[str, Any], world: World, task: FakeTask
) -> None:
    world.set_faults({"lying_false": 1.0})
    listen = listener()
    sweep = operator(max_attempts="1", on_alarm=listen)
    with pytest.raises(AirflowFailException, match=f"Irrevocable now: {item['link_id']} of model {MODEL}"):
        sweep.execute(task.context())
    assert task.xcoms["return_value"]["irrevocable"] == [item["link_id"]]
    assert sweep.execute(task.context())["irrevocable"] == []
    ((alarm,),) = listen.heard
    assert f"Link {item['link_id']} of model {MODEL} is irrevocable; it ends at" in alarm


def test_a_link_that_no_key_opens_fails_the_task_for_good(
    item: dict[str, Any], task: FakeTask, connect: Callable[..., None]
) -> None:
    connect(password="another secret of some length", extra={"seal_keys": "k" * 32})
    listen = listener()
    with pytest.raises(AirflowFailException, match=f"Not opened by the connection's keys: {item['link_id']}"):
        operator(on_alarm=listen).execute(task.context())
    assert "cannot be opened with the connection's keys" in listen.heard[0][0]


def test_a_leaked_link_that_is_alive_fails_the_task_for_a_retry(
    item: dict[str, Any], task: FakeTask, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_use_case, "_MAX_UNANSWERED", timedelta(seconds=0))
    monkeypatch.setattr("pme_airflow.api.client.ClientSettings.deadline", 0.1, raising=False)
    connect(host="http://127.0.0.1:1", extra={"timeout": 1})
    listen = listener()
    with pytest.raises(AirflowException, match="NOT revoked: 1 flagged links") as caught:
        operator(on_alarm=listen).execute(task.context())
    assert not isinstance(caught.value, AirflowFailException)
    assert task.xcoms["return_value"]["pending"] == 1
    assert "1 flagged links are NOT revoked yet; the next sweep tries again." in listen.heard[0]


def test_a_leak_of_another_client_fails_the_task_and_names_the_connection(
    item: dict[str, Any], task: FakeTask, fields: dict[str, Any], connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_A", json.dumps({"conn_type": "pme", **fields}))
    connect(login="another-client")
    listen = listener()
    with pytest.raises(AirflowException, match="client emulator-client are still live"):
        operator(on_alarm=listen).execute(task.context())
    assert "The connection team_a can revoke them" in listen.heard[0][0]
    assert PMERevocationSweepOperator(task_id="a", pme_conn_id="team_a").execute(task.context())["promise_kept"]


def test_an_exposure_over_the_limit_is_alarmed(item: dict[str, Any], task: FakeTask, metrics: dict[str, float]) -> None:
    flagged_since(timedelta(minutes=10))
    listen = listener()

    def broken(_: Any) -> None:
        raise RuntimeError

    result = operator(max_exposure="5m", on_alarm=[broken, listen]).execute(task.context())
    assert result["revoked"][0]["exposure"] > 600
    assert listen.heard == [[f"{item['fingerprint']} was exposed for 600 s, over 300 s."]]
    assert metrics["pme.exposure"] > 600_000
    assert metrics["pme.alarms"] == 1


def test_an_exposure_below_the_limit_is_no_alarm(item: dict[str, Any], task: FakeTask) -> None:
    listen = listener()
    operator(max_exposure="5m", on_alarm=listen).execute(task.context())
    assert listen.heard == []


def test_refused_credentials_fail_the_task_for_good(
    item: dict[str, Any], task: FakeTask, connect: Callable[..., None]
) -> None:
    connect(password="another secret of some length", extra={"seal_keys": [f"open:{SECRET}"]})
    with pytest.raises(AirflowFailException, match="refused the client id or secret"):
        operator().execute(task.context())
