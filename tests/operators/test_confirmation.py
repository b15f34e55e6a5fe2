"""Very many links at once are flagged only when a person has confirmed, and a single one is never held up."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.audit import list_links
from pme_airflow.operators import _confirmation
from pme_airflow.operators._confirmation import TooManyLinksError, at_most, confirmed, read_limit
from pme_airflow.operators.pme import PMEFlagTokensOperator
from tests.conftest import MODELS
from tests.support.tasks import FakeTask, listener

MANY = list(MODELS)
YES = {"chosen_options": ["Revoke"], "responded_by_user": {"name": "ada"}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The questions that Airflow was to store."""
    from airflow.providers.standard.operators import hitl

    found: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **fields: found.append(fields))
    return found


@pytest.fixture
def links() -> None:
    PMEHook().mint(MANY[:4], audience="intranet")
    PMEHook().mint(MANY[:2], audience="brokers")


def operator(**arguments: Any) -> PMEFlagTokensOperator:
    arguments = {"models": MANY[:4], "sweep": True, "reason": "a leak", **arguments}
    return PMEFlagTokensOperator(task_id="respond", **arguments)


def context_of(task: FakeTask) -> dict[str, Any]:
    return task.context(task_instance=SimpleNamespace(id="ti-1"))


def flagged() -> int:
    with PMEHook().database.read() as tx:
        return len([row for row in list_links(tx) if row.flagged_at is not None])


def test_more_links_than_allowed_wait_for_an_answer_and_are_then_revoked(
    links: None, task: FakeTask, world: World, asked: list[dict[str, Any]]
) -> None:
    listen = listener()
    respond = operator(confirm_over="5", on_alarm=listen)
    with pytest.raises(TaskAwaitingInput) as waiting:
        respond.execute(context_of(task))
    assert (flagged(), len(world.alive())) == (0, 6)
    (question,) = asked
    assert listen.heard == [
        [
            "6 links match (intranet: 4, brokers: 2), more than confirm_over (5). Nothing is flagged until somebody "
            "answers under Airflow's Required Actions."
        ]
    ]
    assert (question["ti_id"], question["subject"], question["options"]) == (
        "ti-1", "Revoke 6 links?", ["Revoke", "Cancel"]
    )  # fmt: skip
    assert "6 links match (intranet: 4, brokers: 2), more than confirm_over (5)." in question["body"]
    assert "Reason: a leak" in question["body"]
    result = getattr(respond, waiting.value.method_name)(context_of(task), YES)
    assert result["promise_kept"] is True
    assert world.alive() == []
    assert operator(confirm_over=5).execute(context_of(task))["promise_kept"] is True, "a retry does not ask again"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"chosen_options": ["Cancel"]}, "somebody chose Cancel"),
        ({"error": "x", "error_type": "timeout"}, r"no answer was recorded \(timeout\)"),
    ],
)
def test_without_a_yes_nothing_is_flagged(links: None, task: FakeTask, event: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException, match=message):
        operator(confirm_over=5).execute_complete(context_of(task), event)
    assert flagged() == 0


@pytest.mark.parametrize("limit", [None, "", "None", 6, "100"])
def test_as_many_as_allowed_are_revoked_at_once(
    links: None, task: FakeTask, world: World, asked: list[dict[str, Any]], limit: Any
) -> None:
    assert operator(confirm_over=limit).execute(context_of(task))["promise_kept"] is True
    assert (world.alive(), asked) == ([], [])


def test_where_airflow_cannot_ask_the_run_stops_and_says_how_to_confirm(
    links: None, task: FakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)
    with pytest.raises(AirflowFailException) as caught:
        operator(confirm_over=1).execute(context_of(task))
    assert str(caught.value) == (
        "6 links match (intranet: 4, brokers: 2), more than confirm_over (1). Nothing was flagged. If all of them are "
        "to be revoked, start the run again with confirm_over 6."
    )
    assert flagged() == 0
    assert operator(confirm_over=6).execute(context_of(task))["promise_kept"] is True


def test_a_limit_is_a_number_or_nothing(task: FakeTask) -> None:
    assert [read_limit(value) for value in (None, "", 0, " 20 ")] == [None, None, 0, 20]
    with pytest.raises(PMEInputError, match="confirm_over: expected a number"):
        read_limit("many")
    with pytest.raises(AirflowFailException, match="confirm_over: expected a number"):
        operator(confirm_over=-1).execute(context_of(task))


def test_a_question_names_the_audiences_with_the_most_links() -> None:
    check = at_most(3)
    assert check is not None
    rows: Any = [SimpleNamespace(audience=f"a{number:02d}", flagged_at=None) for number in range(25)]
    with pytest.raises(TooManyLinksError, match=r"25 links match \(a00: 1, .*, 5 more audiences\)"):
        check(rows)
    check([SimpleNamespace(audience="a", flagged_at=1)] * 9)  # type: ignore[list-item]
    confirmed(YES)
    assert _confirmation.at_most(None) is None
