"""Reading filters, orders and pages from an address."""

from __future__ import annotations

from datetime import timedelta

from starlette.datastructures import QueryParams

from pme_airflow.ledger.read_model.rules import SlotState
from pme_airflow.ledger.read_model.slots import ORDERS, SlotFilter
from pme_airflow.lifecycle.overview import TimelineRequest

__all__ = ["BadQueryError", "page_of", "slot_filter", "timeline_request"]

_LENGTHS = {"6h": timedelta(hours=6), "48h": timedelta(hours=48), "7d": timedelta(days=7)}
_MOST_PAGES = 100_000


class BadQueryError(ValueError):
    """A value in the address cannot be read."""


def slot_filter(query: QueryParams) -> SlotFilter:
    """Return the filter and the order that an address asks for.

    :raises BadQueryError: for a state or an order that does not exist.
    """
    order = query.get("order", "state")
    descending = order.startswith("-")
    order = order.removeprefix("-")
    if order not in ORDERS:
        raise BadQueryError(f"order: give one of {', '.join(ORDERS)}, with - before it for the other direction.")
    return SlotFilter(
        search=query.get("search", "").strip(),
        states=frozenset(_state(name) for name in _values(query, "state")),
        audiences=frozenset(_values(query, "audience")),
        targets=frozenset(_values(query, "target")),
        models=frozenset(_values(query, "model")),
        overdue=_is_set(query, "overdue"),
        at_risk=_is_set(query, "at_risk"),
        order=order,
        descending=descending,
    )


def page_of(query: QueryParams) -> int:
    """Return the number of the page that an address asks for.

    :raises BadQueryError: if it is no number from 1 on.
    """
    text = query.get("page", "1")
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and 0 < int(text) <= _MOST_PAGES):
        raise BadQueryError(f"page: give a number from 1 to {_MOST_PAGES}.")
    return int(text)


def timeline_request(query: QueryParams) -> TimelineRequest:
    """Return which history an address asks for.

    :raises BadQueryError: for a length that is not offered.
    """
    length = _LENGTHS.get(query.get("length", "48h"))
    if length is None:
        raise BadQueryError(f"length: give one of {', '.join(_LENGTHS)}.")
    return TimelineRequest(slot_filter(query), length, page_of(query))


def _values(query: QueryParams, name: str) -> list[str]:
    return [value for value in query.getlist(name) if value]


def _is_set(query: QueryParams, name: str) -> bool:
    return query.get(name, "") in ("1", "true", "yes")


def _state(name: str) -> SlotState:
    try:
        return SlotState(name)
    except ValueError:
        states = ", ".join(state.value for state in SlotState)
        raise BadQueryError(f"state: give one of {states}.") from None
