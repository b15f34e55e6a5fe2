"""An audience's links are retired at targets that nothing publishes to any more, and never on a missing outcome."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger import publications
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.operators.pme import PMERetireTargetsOperator
from tests.conftest import MODELS
from tests.support.tasks import FakeTask

ONE, TWO = list(MODELS)[:2]


@pytest.fixture
def shown() -> list[dict[str, Any]]:
    """Two links: one shown at a target that is published to and at a former one, one of another DAG at the latter."""
    items = PMEHook().mint([ONE, TWO], audience="intranet").items
    for dag, target, slot, item in (
        ("nightly", "site", ONE, items[0]),
        ("nightly", "former", ONE, items[0]),
        ("other", "former", TWO, items[1]),
    ):
        with PMEHook().database.write(RunContext.of_task(dag, "monday", "publish")) as tx:
            publications.publish(tx, target, [Shown(slot, item["link_id"], {})], claimed=False)
    return items


def retired(task: FakeTask, outcomes: Any, publishers: Any = ("nightly",)) -> list[dict[str, str]]:
    operator = PMERetireTargetsOperator(task_id="retire", outcomes=outcomes, audience="intranet", publishers=publishers)
    return operator.execute(task.context())


@pytest.mark.parametrize(
    "outcomes",
    [[{"target": "site"}], ["site"], [[{"target": "site"}, {"target": "site"}]], [["site"], "site"], {"target": "site"},
     "[{'target': 'site'}]", '{"target": "site"}', ["{'target': 'site'}"]],
    ids=["outcome", "name", "mapped", "mixed", "single", "rendered list", "rendered single", "rendered entry"],
)  # fmt: skip
def test_what_no_transfer_publishes_to_is_retired(task: FakeTask, shown: list[dict[str, Any]], outcomes: Any) -> None:
    assert retired(task, outcomes) == [{"target": "former", "slot": ONE, "link_id": shown[0]["link_id"]}]
    with PMEHook().database.read() as tx:
        assert [found.slot for found in publications.shown_at(tx, "former")] == [TWO]
        assert len(publications.shown_at(tx, "site")) == 1
    assert retired(task, outcomes) == []


def test_targets_that_are_published_to_are_left_alone(task: FakeTask, shown: list[dict[str, Any]]) -> None:
    assert retired(task, ["site", {"target": "former"}], ["nightly", "other"]) == []


@pytest.mark.parametrize(
    "outcomes",
    [[], [None], ["site", None], ["site", []], [[]], None, "None", "", ["None"], ["site", ""], [{"counts": 1}], [5],
     "site", "[site", ["LazyXComSequence([2 items])"], ["[site"]],
)  # fmt: skip
def test_a_missing_outcome_fails_and_retires_nothing(
    task: FakeTask, shown: list[dict[str, Any]], outcomes: list[Any]
) -> None:
    with pytest.raises(AirflowFailException, match="outcomes: one is missing"):
        retired(task, outcomes)
    with PMEHook().database.read() as tx:
        assert len(publications.shown_at(tx, "former")) == 2


def test_publishers_are_read_as_templates_render_them(task: FakeTask, shown: list[dict[str, Any]]) -> None:
    assert [slot["slot"] for slot in retired(task, ["site"], "['nightly', 'other']")] == [ONE, TWO]
