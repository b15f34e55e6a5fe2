"""A transfer's ``models``: in every form that the mint takes, and shared out among the transfers of a DAG."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.hooks.pme import PMEHook
from pme_airflow.lifecycle.xcom_payload import reference_to_models
from pme_airflow.targets.base import Target
from pme_airflow.transfers.base import PMETransferOperator
from tests.conftest import MODELS
from tests.support.rooms import Shelf
from tests.support.task import FakeTaskInstance, task_context
from tests.transfers.conftest import MintItems

ONE, TWO, THREE = list(MODELS)[:3]
ALL = list(MODELS)[:6]


class ToPages(PMETransferOperator):
    """Shows each model on its page of a site; all have the site's name."""

    template_fields = (*PMETransferOperator.template_fields, "pages")

    def __init__(self, *, pages: dict[str, str], site: Shelf, audience: str = "intranet", **kwargs: Any) -> None:
        super().__init__(audience=audience, **kwargs)
        self.pages = pages
        self.site = site

    def make_target(self, hook: PMEHook) -> Target:
        pages, site = self.pages, self.site

        class Site(Shelf):
            def slots(self, item: Any) -> list[str]:
                return [pages[item["model_id"]]] if item["model_id"] in pages else []

        target = Site(site.name)
        target.shown = site.shown
        return target


def run_task(dag: DAG, task_id: str, ti: FakeTaskInstance | None = None, **rendered: Any) -> dict[str, Any]:
    task = dag.get_task(task_id).prepare_for_execution()
    for field, value in rendered.items():
        setattr(task, field, value)
    return task.execute(task_context(ti, task))


def publish(site: Shelf, links: Any, models: Any, pages: Any = None) -> dict[str, Any]:
    with DAG("dag", schedule=None) as dag:
        ToPages(
            task_id="publish", site=site, pages=pages or {model: model for model in ALL}, links=links, models=models
        )
    return run_task(dag, "publish")


@pytest.mark.parametrize(
    "models",
    [
        [f"https://my.matterport.com/show/?m={TWO}", f" {THREE} "],
        f"['{TWO}', '{THREE}']",
        f"{TWO},{THREE}",
        {TWO: None, THREE: None}.keys(),
        [[TWO], [THREE]],
    ],
)
def test_models_are_read_as_the_mint_reads_them(mint_items: MintItems, models: Any) -> None:
    site = Shelf("site")
    publish(site, mint_items(ONE, TWO, THREE), None)
    result = publish(site, [], models)
    assert set(site.shown) == {TWO, THREE}
    assert [removed["slot"] for removed in result["removed"]] == [ONE]


def test_batches_that_are_references_are_read_from_the_ledger(mint_items: MintItems) -> None:
    site, database = Shelf("site"), PMEHook().database
    publish(site, mint_items(ONE, TWO, THREE), None)
    publish(site, [], [reference_to_models(database, [TWO]), reference_to_models(database, [THREE])])
    assert set(site.shown) == {TWO, THREE}


@pytest.mark.parametrize("models", [{"query": "*"}, "{'query': '*'}", None])
def test_a_query_clears_only_what_the_account_stops_listing(mint_items: MintItems, models: Any) -> None:
    site = Shelf("site")
    publish(site, mint_items(ONE, TWO), models)
    publish(site, [], models)
    assert set(site.shown) == {ONE, TWO}


@pytest.mark.parametrize("models", [[], (), "[]"])
def test_an_empty_list_clears_all(mint_items: MintItems, models: Any) -> None:
    site = Shelf("site")
    publish(site, mint_items(ONE, TWO), None)
    publish(site, [], models)
    assert not site.shown


@pytest.mark.parametrize("models", ["", "None", "no model", ["no model"], {"models": [ONE]}, 7])
def test_what_names_no_model_is_refused_before_anything_is_published(mint_items: MintItems, models: Any) -> None:
    site = Shelf("site")
    with pytest.raises(AirflowFailException, match="models"):
        publish(site, mint_items(ONE), models)
    assert not site.shown


def test_transfers_that_share_a_sites_models_out_clear_none_of_each_other(mint_items: MintItems) -> None:
    site = Shelf("site")
    for run in ("monday", "tuesday"):
        with DAG("dag", schedule=None) as dag:
            for name, model in (("pages", ONE), ("posts", TWO)):
                links = mint_items(model, run=run)
                ToPages(task_id=name, site=site, pages={model: f"{name}/1"}, links=links, models=[model])
        run_task(dag, "pages")
        run_task(dag, "posts")
        assert set(site.shown) == {"pages/1", "posts/1"}


def test_a_model_that_no_transfer_lists_is_cleared_although_both_have_a_page_for_it(mint_items: MintItems) -> None:
    site, both = Shelf("site"), {ONE: "1", TWO: "2"}
    for models in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            for name in ("pages", "posts"):
                pages = {model: f"{name}/{page}" for model, page in both.items()}
                links = mint_items(*models, run=str(len(models)))
                ToPages(task_id=name, site=site, pages=pages, links=links, models=models)
        run_task(dag, "pages")
        run_task(dag, "posts")
    assert set(site.shown) == {"pages/2", "posts/2"}


def test_another_audience_at_the_site_wants_no_slot_of_this_one(mint_items: MintItems) -> None:
    site = Shelf("site")
    for models in ([ONE, TWO], [TWO]):
        with DAG("dag", schedule=None) as dag:
            pages = {ONE: "1", TWO: "2"}
            links = mint_items(*models, run=str(len(models)))
            ToPages(task_id="pages", site=site, pages=pages, links=links, models=models)
            ToPages(task_id="others", site=site, pages=pages, links=[], audience="broker")
        run_task(dag, "pages")
    assert set(site.shown) == {"2"}


def test_more_than_half_of_a_transfers_own_models_are_not_cleared_at_once(mint_items: MintItems) -> None:
    site, rest = Shelf("site"), list(MODELS)[6:12]
    with DAG("dag", schedule=None) as dag:
        for name, models in (("pages", ALL), ("posts", rest)):
            pages = {model: f"{name}/{model}" for model in models}
            ToPages(task_id=name, site=site, pages=pages, links=mint_items(*models), models=models)
    run_task(dag, "pages")
    run_task(dag, "posts")
    with pytest.raises(AirflowFailException, match=r"5 of 6 models of audience intranet would be cleared at once"):
        run_task(dag, "pages", models=ALL[:1])
    assert len(site.shown) == 12


@pytest.mark.parametrize("form", ["expand", "group"])
def test_instances_that_share_the_models_out_clear_none_of_each_other(mint_items: MintItems, form: str) -> None:
    site = Shelf("site")
    pages = {ONE: "1", TWO: "2"}
    for index, model in enumerate((ONE, TWO)):
        with DAG("dag", schedule=None) as dag:
            if form == "expand":
                ToPages.partial(task_id="publish", site=site, pages=pages).expand_kwargs([{"links": [], "models": []}])
            else:
                ToPages(task_id="publish", site=site, pages=pages, links=[], models="{{ models }}")
        own = DAG("dag", schedule=None)
        task = ToPages(
            task_id="publish", site=site, pages=pages, links=mint_items(model, run=str(index)), models=[model], dag=own
        )
        object.__setattr__(task, "_dag", dag)
        task.execute(task_context(FakeTaskInstance(map_index=index), task))
    assert set(site.shown) == {"1", "2"}


def test_instances_that_get_all_models_clear_the_others(mint_items: MintItems) -> None:
    site, pages = Shelf("site"), {ONE: "1", TWO: "2"}
    for run, models in (("monday", [ONE, TWO]), ("tuesday", [TWO])):
        with DAG("dag", schedule=None) as dag:
            ToPages(task_id="publish", site=site, pages=pages, links=mint_items(*models, run=run), models=models)
        run_task(dag, "publish", FakeTaskInstance(map_index=0))
    assert set(site.shown) == {"2"}
