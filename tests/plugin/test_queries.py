from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.datastructures import QueryParams

from pme_airflow.ledger.read_model.rules import SlotState
from pme_airflow.ledger.read_model.slots import SlotFilter
from pme_airflow.plugin.queries import BadQueryError, page_of, slot_filter, timeline_request
from tests.plugin.conftest import Login


def test_an_address_says_what_is_shown() -> None:
    query = QueryParams(
        "search=hall&state=dark&state=due&audience=a&target=t&model=m&overdue=1&at_risk=1&order=-model&page=3"
    )
    assert slot_filter(query) == SlotFilter(
        "hall", frozenset({SlotState.DARK, SlotState.DUE}), frozenset("a"), frozenset("t"), frozenset("m"),
        overdue=True, at_risk=True, order="model", descending=True,
    )  # fmt: skip
    assert page_of(query) == 3
    assert timeline_request(QueryParams("length=7d")).length == timedelta(days=7)
    assert slot_filter(QueryParams("")) == SlotFilter()


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=-1", "page=1e9", "page=99999999999", "order=token", "state=lost", "length=1y"]
)
def test_a_value_that_cannot_be_read_is_a_sentence(login: Login, query: str) -> None:
    response = login("viewer").get(f"/api/timeline?{query}")
    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"{query.partition('=')[0]}: give ")


def test_a_query_names_no_connection(login: Login) -> None:
    answer = login("viewer").get("/api/slots?conn_id=another").json()
    assert answer["problems"] == []
    with pytest.raises(BadQueryError):
        page_of(QueryParams("page=٣"))
