"""Transfers of a DAG at one site: what each leaves to the others, and what is cleared although one is not known."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.targets.base import Target
from tests.conftest import MODELS
from tests.support.rooms import Shelf
from tests.support.task import FakeTaskInstance, task_context
from tests.transfers.conftest import MintItems
from tests.transfers.test_models import ToPages, run_task

ONE, TWO, THREE = list(MODELS)[:3]
PAGES = {ONE: "1", TWO: "2", THREE: "3"}


class Find(BaseOperator):
    def execute(self, context: Any) -> None:
        return


class ToNowhere(ToPages):
    """Its target cannot be made."""

    def make_target(self, hook: PMEHook) -> Target:
        raise PMEInputError("the connection old_site is not defined")


def nowhere(**arguments: Any) -> None:
    ToNowhere(task_id="other", site=Shelf("gone"), pages=PAGES, links=[], **arguments)


def of_a_task(**arguments: Any) -> None:
    """Instances that another task gives."""
    ToPages.partial(task_id="other", pages=PAGES, links=[], **arguments).expand(site=Find(task_id="sites").output)


def run_instances(mint_items: MintItems, run: str, given: list[dict[str, Any]], **shared: Any) -> None:
    """Run each instance of a mapped transfer, with links of its models."""
    for index, arguments in enumerate(given):
        with DAG("dag", schedule=None) as dag:
            ToPages.partial(task_id="pages", **shared).expand_kwargs(given)
        task = dag.get_task("pages").unmap(arguments)
        task.links = mint_items(*arguments["models"], run=f"{run}-{index}")
        task.execute(task_context(FakeTaskInstance(map_index=index), task))


@pytest.mark.parametrize("other", [nowhere, of_a_task])
@pytest.mark.parametrize(
    ("arguments", "cleared"),
    [
        ({"audience": "broker"}, True),
        ({"audience": "intranet", "models": [TWO]}, True),
        ({"audience": "intranet", "models": [THREE, ONE]}, False),
        ({"audience": "intranet"}, False),
        ({"audience": "{{ params.audience }}", "models": [TWO]}, True),
        ({"audience": "{{ params.audience }}"}, False),
        ({"audience": "intranet", "models": "{{ params.models }}"}, False),
        ({"audience": "intranet", "models": {"query": "*"}}, False),
        ({"audience": "intranet", "models": ["no model id"]}, False),
    ],
)
def test_a_transfer_whose_target_is_not_known_keeps_no_more_than_it_could_show(
    mint_items: MintItems, caplog: pytest.LogCaptureFixture, other: Any, arguments: dict[str, Any], cleared: bool
) -> None:
    site = Shelf("site")
    for models in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            links = mint_items(*models, run=str(len(models)))
            ToPages(task_id="pages", site=site, pages=PAGES, links=links, models=models)
            other(**arguments)
        run_task(dag, "pages")
    assert set(site.shown) == ({"2"} if cleared else {"1", "2"})
    told = f"site: the slot 1 is left as it is, and others may be, since other may show links in them: its target is not known here. Clear one with `pme-airflow retire --model {ONE} --target site`."  # fmt: skip
    assert (told in caplog.text) is not cleared


def test_instances_with_a_target_each_clear_what_their_own_no_longer_lists(mint_items: MintItems) -> None:
    sites = [Shelf("first"), Shelf("second")]
    for run, dropped in enumerate(([ONE, TWO], [TWO])):
        given = [
            {"site": site, "links": [], "models": models}
            for site, models in zip(sites, (dropped, [THREE]), strict=True)
        ]
        run_instances(mint_items, str(run), given, pages=PAGES)
    assert [set(site.shown) for site in sites] == [{"2"}, {"3"}]


def test_instances_of_one_site_keep_each_others_slots(mint_items: MintItems) -> None:
    site = Shelf("site")
    for run, models in enumerate(([ONE, TWO], [TWO])):
        given = [{"pages": {**PAGES, THREE: "up"}, "models": models}, {"pages": {THREE: "down"}, "models": [THREE]}]
        run_instances(mint_items, str(run), given, site=site, links=[])
    assert set(site.shown) == {"2", "down"}


@pytest.mark.parametrize(
    ("states", "cleared"),
    [
        ({"find_0": "success", "find_1": "success"}, True),
        ({"find_0": "success", "find_1": "removed"}, True),
        ({"find_0": "success", "find_1": "failed"}, False),
        ({"find_0": "success", "find_1": "skipped"}, False),
        ({"find_0": "success", "find_1": "upstream_failed"}, False),
        ({"find": None}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("form", ["output", "template"])
def test_models_of_a_task_that_has_not_succeeded_clear_nothing(
    mint_items: MintItems, states: dict[str, Any], form: str, cleared: bool
) -> None:
    site = Shelf("site")
    for found in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            find = Find(task_id="find")
            models = find.output if form == "output" else "{{ ti.xcom_pull(task_ids='find') }}"
            task = ToPages(
                task_id="pages", site=site, pages=PAGES, links=mint_items(*found, run=str(len(found))), models=models
            )
            task.set_upstream(find)
        ti = FakeTaskInstance(states={"find": "success"} if len(found) == 2 else states)
        if "failed" in str(ti.states):
            with pytest.raises(AirflowFailException, match="find failed"):
                run_task(dag, "pages", ti, models=found)
        else:
            run_task(dag, "pages", ti, models=found)
    assert set(site.shown) == ({"2"} if cleared else {"1", "2"})


def test_literal_models_are_all_there_though_a_task_failed(mint_items: MintItems) -> None:
    site = Shelf("site")
    for models in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            links = mint_items(*models, run=str(len(models)))
            ToPages(task_id="pages", site=site, pages=PAGES, links=links, models=models).set_upstream(
                Find(task_id="mint")
            )
        if len(models) == 2:
            run_task(dag, "pages")
        else:
            with pytest.raises(AirflowFailException, match="mint failed"):
                run_task(dag, "pages", FakeTaskInstance(states={"mint": "failed"}))
    assert set(site.shown) == {"2"}


@pytest.mark.parametrize(("state", "kept"), [("success", False), ("failed", True), (None, True)])
def test_a_sibling_whose_models_are_not_all_there_may_want_any_at_its_target(
    mint_items: MintItems, monkeypatch: pytest.MonkeyPatch, state: str | None, kept: bool
) -> None:
    site = Shelf("site")
    for models in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            links = mint_items(*models, run=str(len(models)))
            ToPages(task_id="pages", site=site, pages=PAGES, links=links, models=models)
            other = ToPages(task_id="posts", site=site, pages=PAGES, links=[], models=Find(task_id="find").output)
        monkeypatch.setattr(type(other.models), "resolve", lambda *_: [])
        run_task(dag, "pages", FakeTaskInstance(states={"find": state}))
    assert set(site.shown) == ({"1", "2"} if kept else {"2"})
