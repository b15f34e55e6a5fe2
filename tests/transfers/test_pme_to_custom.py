"""A target class of a user's own, named by its import path."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.transfers.pme_to_custom import PMEToCustomTargetOperator
from tests.conftest import MODELS
from tests.support.rooms import Shelf
from tests.support.task import task_context
from tests.transfers.conftest import MintItems

ONE = next(iter(MODELS))
NOT_A_CLASS = Shelf()


@task
def options_of_today() -> dict[str, str]:
    return {"name": "today"}


class RememberedShelf(Shelf):
    """A target in memory that the test finds again."""

    made: list[RememberedShelf] = []  # noqa: RUF012

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.made.append(self)


def to_custom(target_class: str, **arguments: Any) -> PMEToCustomTargetOperator:
    return PMEToCustomTargetOperator(task_id="publish", target_class=target_class, audience="intranet", **arguments)


def test_class_is_imported_and_made_with_its_options(mint_items: MintItems) -> None:
    operator = to_custom(f"{__name__}.RememberedShelf", links=mint_items(ONE), options={"name": "mine"})
    assert operator.execute(task_context(None, operator))["target"] == "mine"
    assert set(RememberedShelf.made[-1].shown) == {ONE}


def test_options_are_templated_and_may_be_left_out() -> None:
    operator = to_custom("a.B", links=[])
    assert operator.options is None
    assert {"options", "links"} <= set(operator.template_fields)


@pytest.mark.parametrize("options", ["{{ params.options }}", "{{ params.options | tojson }}"])
def test_options_may_be_a_whole_template(mint_items: MintItems, options: str) -> None:
    operator = to_custom(f"{__name__}.RememberedShelf", links=mint_items(ONE), options=options)
    operator.render_template_fields({"params": {"options": {"name": "theirs"}}})
    assert operator.execute(task_context(None, operator))["target"] == "theirs"


def test_options_may_be_the_result_of_another_task() -> None:
    with DAG("tours", schedule=None):
        operator = to_custom(f"{__name__}.RememberedShelf", links=[], options=options_of_today())
    assert operator.upstream_task_ids == {"options_of_today"}


def test_options_that_are_no_mapping_are_named() -> None:
    operator = to_custom(f"{__name__}.RememberedShelf", links=[], options="shelf")
    with pytest.raises(AirflowFailException, match="options: expected a mapping"):
        operator.execute(task_context(None, operator))


@pytest.mark.parametrize(
    "target_class", ["no.such.module.Class", f"{__name__}.Missing", "Shelf", "", "json.JSONDecoder", "a..b",
                     f"{__name__}.NOT_A_CLASS"]
)  # fmt: skip
def test_what_is_no_target_class_is_named(target_class: str) -> None:
    operator = to_custom(target_class, links=[])
    with pytest.raises(AirflowFailException, match="is no subclass of Target"):
        operator.execute(task_context(None, operator))
