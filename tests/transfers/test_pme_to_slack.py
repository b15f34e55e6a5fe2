"""The transfer to Slack: the provider's connection, a quiet client, and patience with rate limits."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.transfers.pme_to_slack import PMEToSlackOperator
from tests.conftest import MODELS
from tests.support.places import SlackPlace, slack_place
from tests.support.rooms import rename
from tests.support.task import task_context
from tests.transfers.conftest import Connect, MintItems

ONE = next(iter(MODELS))


@pytest.fixture
def place(connect: Connect) -> Iterator[SlackPlace]:
    with slack_place() as serving:
        serving.channel.messages.clear()
        connect("chat", conn_type="slack", password="xoxb-test", extra={"base_url": f"{serving.proxy.address}/api/"})
        yield serving


def run(links: Any, **arguments: Any) -> dict[str, Any]:
    operator = PMEToSlackOperator(
        task_id="publish", links=links, audience="intranet", channel="#tours", slack_conn_id="chat", **arguments
    )
    return operator.execute(task_context(None, operator))


def test_message_is_posted_over_the_connection(place: SlackPlace, mint_items: MintItems, world: World) -> None:
    assert run(mint_items(ONE))["counts"]["published"] == 1
    assert next(iter(world.tokens)) in json.dumps(place.channel.messages)


def test_rate_limit_is_waited_for(place: SlackPlace, mint_items: MintItems) -> None:
    place.channel.throttle = 1
    assert run(mint_items(ONE))["counts"]["published"] == 1


def test_client_logs_no_link_at_any_level(
    place: SlackPlace, mint_items: MintItems, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place.channel.refuse = "not_in_channel"
    with pytest.raises(Exception, match="not_in_channel"):
        run(mint_items(ONE))
    place.channel.refuse = ""
    run(mint_items(ONE))
    assert not any(token in caplog.text for token in world.tokens)


def test_channel_and_connection_are_templated() -> None:
    assert {"channel", "slack_conn_id", "links"} <= set(PMEToSlackOperator.template_fields)
    assert PMEToSlackOperator(task_id="a", links=[], channel="#a").slack_conn_id == "slack_api_default"


def test_plain_http_to_another_machine_is_refused(connect: Connect, mint_items: MintItems) -> None:
    connect("chat", conn_type="slack", password="xoxb-test", extra={"base_url": "http://slack.example/api/"})
    with pytest.raises(AirflowFailException, match="base_url in Extra: plain http"):
        run(mint_items(ONE))


def test_publications_of_an_earlier_version_are_taken_over(place: SlackPlace, mint_items: MintItems) -> None:
    items = mint_items(ONE)
    result = run(items)
    rename(PMEHook().services, result["target"], "slack:#tours")
    assert run(items)["counts"]["unchanged"] == 1
    assert len(place.channel.messages) == 1


def test_missing_provider_is_named_with_its_extra(mint_items: MintItems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pme_airflow.hooks.slack", None)
    with pytest.raises(AirflowFailException, match=r"pip install 'pme-airflow\[slack\]'"):
        run(mint_items(ONE))


def test_a_list_is_one_message_for_all_models(place: SlackPlace, mint_items: MintItems, world: World) -> None:
    models = list(MODELS)[:3]
    assert run(mint_items(*models), layout="list")["counts"]["published"] == 3
    (message,) = place.channel.messages.values()
    assert all(token in json.dumps(message) for token in world.tokens)
