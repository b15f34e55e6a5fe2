"""What all transfers share: what is published and cleared, what the task returns, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.operators import alerts
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.transfers.base import PMETransferOperator
from pme_airflow.transfers.siblings import Siblings
from tests.conftest import MODELS
from tests.support.rooms import Shelf
from tests.support.task import FakeTaskInstance, task_context
from tests.transfers.conftest import MintItems

ONE, TWO, THREE = list(MODELS)[:3]


class ToShelf(PMETransferOperator):
    """Publishes to a target in memory."""

    def __init__(self, *, shelf: Shelf, **kwargs: Any) -> None:
        super().__init__(task_id="publish", **kwargs)
        self.shelf = shelf

    def make_target(self, hook: PMEHook) -> Target:
        assert isinstance(hook, PMEHook)
        return self.shelf


class Upstream(BaseOperator):
    def execute(self, context: Any) -> None:
        return


def behind(*task_ids: str, shelf: Shelf, **arguments: Any) -> ToShelf:
    """A transfer in a DAG, with upstream tasks."""
    with DAG("dag", schedule=None):
        operator = ToShelf(shelf=shelf, audience="intranet", **arguments)
        operator.set_upstream([Upstream(task_id=task_id) for task_id in task_ids])
    return operator


class FinishCounter(Shelf):
    finished = 0

    def finish(self, shown: Any) -> None:
        self.finished += 1


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    counted: dict[str, int] = {}
    monkeypatch.setattr(alerts.Stats, "incr", lambda name, by=1: counted.update({name: counted.get(name, 0) + by}))
    return counted


def publish(shelf: Shelf, links: Any, ti: FakeTaskInstance | None = None, **arguments: Any) -> dict[str, Any]:
    operator = ToShelf(shelf=shelf, links=links, audience="intranet", **arguments)
    return operator.execute(task_context(ti, operator))


def test_it_runs_when_upstream_tasks_have_ended_and_reads_templates() -> None:
    operator = ToShelf(shelf=Shelf(), links=[])
    assert operator.trigger_rule == "all_done"
    assert set(operator.template_fields) == {"links", "models", "audience", "pme_conn_id", "link_params"}
    assert (operator.audience, operator.pme_conn_id, operator.models) == ("default", "pme_default", None)
    assert ToShelf(shelf=Shelf(), links=[], trigger_rule="all_success").trigger_rule == "all_success"


def test_links_are_published_and_the_result_holds_none(
    mint_items: MintItems, world: World, metrics: dict[str, int]
) -> None:
    shelf, ti = Shelf(), FakeTaskInstance()
    result = publish(shelf, mint_items(ONE, TWO), ti)
    assert set(shelf.shown.values()) == set(world.tokens)
    assert result["counts"] == {"published": 2, "unchanged": 0, "removed": 0, "failed": 0}
    assert result["target"] == "shelf"
    assert not any(token in json.dumps(result) for token in world.tokens)
    assert ti.pushed == {"target": "shelf"}
    assert metrics == {"pme.published": 2}


def test_nested_lists_of_mapped_tasks_are_flattened(mint_items: MintItems) -> None:
    shelf = Shelf()
    publish(shelf, [mint_items(ONE), [mint_items(TWO)], None])
    assert set(shelf.shown) == {ONE, TWO}


def test_slots_of_models_that_are_not_listed_any_more_are_cleared(mint_items: MintItems) -> None:
    shelf = Shelf()
    publish(shelf, mint_items(ONE, TWO))
    result = publish(shelf, [], models=[TWO])
    assert set(shelf.shown) == {TWO}
    assert [removed["slot"] for removed in result["removed"]] == [ONE]


def test_only_the_named_audience_is_cleared(mint_items: MintItems) -> None:
    shelf = Shelf()
    publish(shelf, mint_items(ONE, audience="broker"))
    publish(shelf, mint_items(TWO), models=[TWO])
    assert set(shelf.shown) == {ONE, TWO}


def test_without_models_only_what_the_account_no_longer_lists_is_cleared(mint_items: MintItems, world: World) -> None:
    shelf = Shelf()
    hook = PMEHook()
    hook.list_models({"query": "*"}, "intranet")
    publish(shelf, mint_items(ONE, TWO))
    del world.models[ONE]
    hook.list_models({"query": "*"}, "intranet")
    publish(shelf, mint_items(TWO, run="tuesday"), FakeTaskInstance("tuesday"))
    assert set(shelf.shown) == {TWO}


@pytest.mark.parametrize(("passing", "error"), [(False, AirflowFailException), (True, AirflowException)])
def test_failed_slot_fails_the_task_after_the_others_are_published(
    mint_items: MintItems, passing: bool, error: type[Exception], metrics: dict[str, int]
) -> None:
    shelf, ti = Shelf(), FakeTaskInstance()
    shelf.broken, shelf.passing = {ONE}, passing
    with pytest.raises(error) as failure:
        publish(shelf, mint_items(ONE, TWO), ti)
    assert type(failure.value) is error
    assert str(failure.value) == f"shelf: 1 slots were not published: {ONE} (model {ONE}): it is broken"
    assert set(shelf.shown) == {TWO}
    assert ti.pushed["return_value"]["counts"]["failed"] == 1
    assert metrics == {"pme.published": 1, "pme.publish_failures": 1}


def test_many_failed_slots_are_counted_and_twenty_are_named(mint_items: MintItems) -> None:
    models = sorted(MODELS)[:23]
    shelf = Shelf()
    shelf.broken = set(models)
    with pytest.raises(AirflowFailException) as failure:
        publish(shelf, mint_items(*models))
    text = str(failure.value)
    assert text.startswith("shelf: 23 slots were not published: ")
    assert text.endswith("; and 3 more")
    assert text.count("it is broken") == 20


def test_failed_upstream_task_fails_this_one_after_publishing(mint_items: MintItems) -> None:
    shelf, ti = Shelf(), FakeTaskInstance(states={"mint": "failed"})
    operator = behind("mint", shelf=shelf, links=mint_items(ONE))
    with pytest.raises(AirflowFailException, match="all 1 links that were minted are shown, but mint failed"):
        operator.execute(task_context(ti, operator))
    assert set(shelf.shown) == {ONE}
    assert ti.pushed["return_value"]["counts"]["published"] == 1
    assert ti.requested == [{"dag_id": "dag", "task_ids": ["mint"], "run_ids": ["monday"]}]


def test_no_link_at_all_because_upstream_failed_is_named() -> None:
    ti = FakeTaskInstance(states={"mint": "upstream_failed"})
    operator = behind("mint", shelf=Shelf(), links=None)
    with pytest.raises(AirflowFailException, match=r"There is no link to publish: mint failed\."):
        operator.execute(task_context(ti, operator))


def test_failed_upstream_clears_nothing_where_there_is_no_link(mint_items: MintItems) -> None:
    shelf = Shelf()
    publish(shelf, mint_items(ONE))
    operator = behind("mint", shelf=shelf, links=[], models=[TWO])
    with pytest.raises(AirflowFailException):
        operator.execute(task_context(FakeTaskInstance(states={"mint": "failed"}), operator))
    assert set(shelf.shown) == {ONE}


@pytest.mark.parametrize(
    ("map_index", "states", "failed"),
    [
        (-1, {"mint_0": "success", "mint_1": "failed"}, "mint"),
        (1, {"mint_0": "success", "mint_1": "failed"}, "mint"),
        (0, {"mint_0": "success", "mint_1": "failed"}, ""),
        (11, {"mint_1": "failed"}, ""),
        (1, {"mint_map_1": "failed"}, "mint"),
        (0, {"a key of another form": "failed"}, "a key of another form"),
        (0, {"mint": "failed"}, "mint"),
        (0, {"build_map_tiles": "failed"}, "build_map_tiles"),
        (-1, {"build_map_tiles": "failed", "mint": "failed"}, "build_map_tiles, mint"),
        (-1, {"mint": "skipped", "build_map_tiles": "success"}, ""),
    ],
)
def test_of_mapped_upstream_tasks_the_one_with_the_same_index_counts(
    mint_items: MintItems, map_index: int, states: dict[str, str], failed: str
) -> None:
    operator = behind("mint", "build_map_tiles", shelf=Shelf(), links=mint_items(ONE))
    context = task_context(FakeTaskInstance(map_index=map_index, states=states), operator)
    if not failed:
        operator.execute(context)
        return
    with pytest.raises(AirflowFailException, match=f"but {failed} failed"):
        operator.execute(context)


def test_retry_finishes_the_target_although_nothing_was_put(mint_items: MintItems) -> None:
    shelf, items = FinishCounter(), mint_items(ONE)
    publish(shelf, items)
    publish(shelf, items)
    assert shelf.finished == 1
    publish(shelf, items, FakeTaskInstance(try_number=2))
    assert shelf.finished == 2


def test_events_of_the_packages_assets_carry_the_counts(mint_items: MintItems) -> None:
    ours, other = Asset("pme://links/intranet"), Asset("s3://bucket/key")
    operator = ToShelf(shelf=Shelf(), links=mint_items(ONE, TWO), audience="intranet", outlets=[ours, other])
    context = task_context(None, operator)
    operator.execute(context)
    assert context["outlet_events"][ours].extra == {"published": 2, "links": 2}
    assert context["outlet_events"][other].extra is None


def test_it_runs_without_a_task_instance(mint_items: MintItems) -> None:
    shelf = Shelf()
    ToShelf(shelf=shelf, links=mint_items(ONE)).execute({})
    assert set(shelf.shown) == {ONE}


def test_links_that_are_no_items_are_refused_with_what_to_pass() -> None:
    with pytest.raises(AirflowFailException, match=r"Pass\s+mint\.output"):
        publish(Shelf(), "{{ ti.xcom_pull('mint') }}")


class Addresses(Shelf):
    """A target in memory that remembers whole links."""

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        self.puts.append(link.url.reveal())
        return super().put(slot, link, previous)


@pytest.mark.parametrize(
    ("params", "end"), [("{'play': 1}", "&play=1"), ('{"*": "play=1"}', "&play=1"), ("play=1", "&play=1"), ("None", "")]
)
def test_parameters_are_read_as_templates_render_them(mint_items: MintItems, params: str, end: str) -> None:
    shelf = Addresses()
    publish(shelf, mint_items(ONE), link_params=params)
    assert shelf.puts[0].endswith(f"{shelf.shown[ONE]}{end}")


def test_parameters_that_a_link_must_not_get_fail_the_task_by_name(mint_items: MintItems) -> None:
    shelf = Shelf()
    with pytest.raises(AirflowFailException, match=r"link_params\.auth"):
        behind(shelf=shelf, links=mint_items(ONE), link_params="auth=x").execute(task_context())
    assert shelf.shown == {}


@pytest.mark.parametrize(("map_index", "emitted"), [(-1, {"pme.slots.intranet.shelf": 1.0}), (0, {})])
def test_the_target_has_its_gauges_unless_the_transfer_is_one_of_many(
    map_index: int, emitted: dict[str, float], mint_items: MintItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, float] = {}
    monkeypatch.setattr(alerts.Stats, "gauge", lambda name, value: found.update({name: value}))
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    publish(Shelf("shelf"), mint_items(ONE), FakeTaskInstance(map_index=map_index))
    assert {name: value for name, value in found.items() if name.startswith("pme.slots.")} == emitted


# ------------------------------------------------- slots that moved


class ToPages(PMETransferOperator):
    """Publishes to a site in memory, each model on a page."""

    template_fields = (*PMETransferOperator.template_fields, "page")
    site: ClassVar[Shelf] = Shelf("site")

    def __init__(self, *, page: str, **kwargs: Any) -> None:
        super().__init__(audience="intranet", **kwargs)
        self.page = page

    def make_target(self, hook: PMEHook) -> Target:
        if self.page == "away":
            raise OSError
        site, page = self.site, self.page

        class OnPage(Shelf):
            def slots(self, item: Any) -> list[str]:
                return [f"{page}/{item['model_id']}"]

        target = OnPage(site.name)
        target.shown = site.shown
        return target


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf("site")
    monkeypatch.setattr(ToPages, "site", made)
    return made


def run_task(dag: DAG, task_id: str, ti: FakeTaskInstance | None = None, **rendered: Any) -> dict[str, Any]:
    task = dag.get_task(task_id).prepare_for_execution()
    for field, value in rendered.items():
        setattr(task, field, value)
    return task.execute(task_context(ti, task))


def test_a_slot_that_moved_is_cleared_by_the_next_run(mint_items: MintItems, site: Shelf) -> None:
    for page in ("42", "43"):
        with DAG("dag", schedule=None) as dag:
            ToPages(task_id="publish", page=page, links=mint_items(ONE, run=page), models=[ONE])
        result = run_task(dag, "publish")
    assert set(site.shown) == {f"43/{ONE}"}
    assert result["counts"] == {"published": 1, "unchanged": 0, "removed": 1, "failed": 0}


def test_two_transfers_that_show_a_model_twice_at_one_target_leave_each_others_slots_alone(
    mint_items: MintItems, site: Shelf
) -> None:
    for run in ("monday", "tuesday"):
        with DAG("dag", schedule=None) as dag:
            ToPages(task_id="pages", page="{{ '42' }}", links=mint_items(ONE, run=run))
            ToPages(task_id="posts", page="7", links=mint_items(ONE, run=run))
        run_task(dag, "pages", page="42")
        run_task(dag, "posts")
    assert set(site.shown) == {f"42/{ONE}", f"7/{ONE}"}


@pytest.mark.parametrize("other", ["away", "mapped"])
def test_slots_that_a_transfer_of_an_unknown_target_may_want_are_left_alone(
    mint_items: MintItems, site: Shelf, caplog: pytest.LogCaptureFixture, other: str
) -> None:
    for page in ("42", "43"):
        with DAG("dag", schedule=None) as dag:
            ToPages(task_id="publish", page=page, links=mint_items(ONE, run=page))
            if other == "away":
                ToPages(task_id="other", page="away", links=[])
            else:
                ToPages.partial(task_id="other", links=[]).expand(page=Upstream(task_id="pages").output)
        run_task(dag, "publish")
    assert set(site.shown) == {f"42/{ONE}", f"43/{ONE}"}
    assert "other may show links in them" in caplog.text


@pytest.mark.parametrize(("expanded", "cleared"), [("page", False), ("links", True)])
def test_instances_of_a_mapped_transfer_share_their_slots_unless_they_differ_in_their_models_alone(
    mint_items: MintItems, site: Shelf, expanded: str, cleared: bool
) -> None:
    for page in ("42", "43"):
        with DAG("dag", schedule=None) as dag:
            if expanded == "page":
                ToPages.partial(task_id="publish", links=[]).expand(page=["42", "43"])
            else:
                ToPages.partial(task_id="publish", page=page).expand(links=[[]])
        task = ToPages(task_id="publish", page=page, links=mint_items(ONE, run=page), dag=DAG("dag", schedule=None))
        object.__setattr__(task, "_dag", dag)
        task.execute(task_context(FakeTaskInstance(map_index=0), task))
    assert set(site.shown) == ({f"43/{ONE}"} if cleared else {f"42/{ONE}", f"43/{ONE}"})


@pytest.mark.parametrize(("page", "cleared"), [("{{ ti.map_index }}", False), ("43", True)])
def test_instances_in_a_mapped_group_share_their_slots_where_a_field_is_rendered(
    mint_items: MintItems, site: Shelf, page: str, cleared: bool
) -> None:
    for rendered in ("42", "43"):
        with DAG("dag", schedule=None) as dag:
            ToPages(task_id="publish", page=page if rendered == "43" else "42", links=mint_items(ONE, run=rendered))
        run_task(dag, "publish", FakeTaskInstance(map_index=3), page=rendered)
    assert set(site.shown) == ({f"43/{ONE}"} if cleared else {f"42/{ONE}", f"43/{ONE}"})


@pytest.mark.parametrize(
    ("other", "known"), [("brokers", {"intranet", "brokers"}), ("{{ params.audience }}", None), (None, None)]
)
def test_the_audiences_of_a_dag_are_those_of_its_transfers(other: str | None, known: set[str] | None) -> None:
    with DAG("dag", schedule=None):
        operator = ToShelf(shelf=Shelf(), links=[], audience="intranet")
        Upstream(task_id="mint")
        if other is None:
            ToPages.partial(task_id="mapped", links=[]).expand(page=["1", "2"])
        else:
            ToPages(task_id="other", page="1", links=[]).audience = other
    assert Siblings(operator, {}, PMETransferOperator).audiences() == known
