"""Asking whether a model-scoped token still works: the two ways there are, and what their responses say.

Neither is documented to tell a revoked token from a live one, so a way is believed only after it was tried on one of
each: see :mod:`pme_airflow.lifecycle.token_probe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from pme_airflow.api.graph_response import parse_graph_response
from pme_airflow.api.outcomes import Exchange, HttpResponse

__all__ = ["Liveness", "ProbeMethod", "distinguishing", "judge_page", "judge_query", "probe_fact", "probe_query"]

_REFUSED = frozenset({401, 403, 404, 410})


class ProbeMethod(Enum):
    """A way to ask whether a token works."""

    #: A graph query for the model's id, with the model's own token.
    QUERY = "query"
    #: The HTTP status of the link.
    PAGE = "page"


class Liveness(Enum):
    """What a response says of a token."""

    ALIVE = "alive"
    DEAD = "dead"
    #: Nothing: the server was not reached, busy or broken, or answered in no known form.
    UNKNOWN = "unknown"


def distinguishing(live: Mapping[ProbeMethod, Liveness], dead: Mapping[ProbeMethod, Liveness]) -> ProbeMethod | None:
    """Return the way that called a live token alive and a dead one dead; ``None`` where none did."""
    return next((m for m in ProbeMethod if (live[m], dead[m]) == (Liveness.ALIVE, Liveness.DEAD)), None)


def probe_fact(method: ProbeMethod | None) -> dict[str, str]:
    """Return what is remembered about the way that distinguishes tokens, as a fact by its name."""
    return {"token_probe": method.value if method is not None else "none"}


def probe_query(model_id: str) -> str:
    """Return the query that a model's own token is allowed to ask."""
    from graphql.language.print_string import print_string  # slow to import, and most tasks ask nothing

    return f"query {{ model(id: {print_string(model_id)}) {{ id }} }}"


def judge_query(exchange: Exchange) -> Liveness:
    """Judge the response to :func:`probe_query`."""
    if not isinstance(exchange, HttpResponse):
        return Liveness.UNKNOWN
    graph = parse_graph_response(exchange)
    if graph is not None and isinstance(graph.value("model"), dict):
        return Liveness.ALIVE
    if exchange.status in (401, 403) or (graph is not None and graph.oauth_error == "invalid_grant"):
        return Liveness.DEAD
    refused = graph is not None and bool(graph.errors) and all(error.status in _REFUSED for error in graph.errors)
    return Liveness.DEAD if refused and exchange.status < 500 else Liveness.UNKNOWN


def judge_page(exchange: Exchange) -> Liveness:
    """Judge the response to a request for the link itself."""
    if not isinstance(exchange, HttpResponse):
        return Liveness.UNKNOWN
    if exchange.status == 200:
        return Liveness.ALIVE
    return Liveness.DEAD if exchange.status in _REFUSED else Liveness.UNKNOWN
