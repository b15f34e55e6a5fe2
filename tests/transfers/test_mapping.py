"""What is known of a mapped transfer's instances before they run."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from pme_airflow.transfers.base import PMETransferOperator
from pme_airflow.transfers.mapping import expanded_arguments, instances, is_mapped
from tests.support.rooms import Shelf
from tests.transfers.test_models import ToPages

A, B = Shelf("a"), Shelf("b")


class Given(BaseOperator):
    def execute(self, context: Any) -> None:
        return


def mapped(**expanded: Any) -> Any:
    return ToPages.partial(task_id="pages", links=[]).expand(**expanded)


def mapped_by_kwargs(given: Any) -> Any:
    return ToPages.partial(task_id="pages", links=[]).expand_kwargs(given)


def test_instances_are_in_the_order_of_their_map_indexes() -> None:
    with DAG("dag", schedule=None):
        task = mapped(site=[A, B], pages=[{"x": "1"}, {"x": "2"}, {"x": "3"}])
    found = instances(task)
    assert found is not None
    assert [(each["site"], each["pages"]["x"]) for each in found] == [(s, n) for s in (A, B) for n in "123"]
    lengths = {"site": 2, "pages": 3}
    for index, each in enumerate(found):
        for name, values in (("site", [A, B]), ("pages", [{"x": "1"}, {"x": "2"}, {"x": "3"}])):
            assert each[name] == task.expand_input._expand_mapped_field(name, values, index, lengths)


def test_keywords_of_instances_are_known_where_they_are_literal() -> None:
    with DAG("dag", schedule=None):
        task = mapped_by_kwargs([{"site": A, "models": ["x"]}, {"site": B}])
    assert instances(task) == [{"site": A, "models": ["x"]}, {"site": B}]
    assert expanded_arguments(task) == {"site", "models"}


@pytest.mark.parametrize(
    ("form", "names"), [("all", {"site"}), ("one", {"site", "pages"}), ("kwargs", None), ("in_kwargs", None)]
)
def test_instances_that_another_task_gives_are_not_known(form: str, names: set[str] | None) -> None:
    with DAG("dag", schedule=None):
        output = Given(task_id="given").output
        task = {
            "all": lambda: mapped(site=output),
            "one": lambda: mapped(site=[A, B], pages=output),
            "kwargs": lambda: mapped_by_kwargs(output),
            "in_kwargs": lambda: mapped_by_kwargs([{"site": A, "models": output}, {"site": B}]),
        }[form]()
    assert instances(task) is None
    assert expanded_arguments(task) == names


def test_only_mapped_operators_of_the_class_are_mapped_transfers() -> None:
    with DAG("dag", schedule=None):
        assert is_mapped(mapped(site=[A]), PMETransferOperator)
        assert not is_mapped(Given.partial(task_id="other").expand(doc=["a"]), PMETransferOperator)
        assert not is_mapped(ToPages(task_id="plain", site=A, pages={}, links=[]), PMETransferOperator)
