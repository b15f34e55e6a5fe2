"""Decide from a response, or the lack of one, whether a mint or a revocation took effect.

Each alias of a batch is judged on its own. A mint was *made*, *not made* or its result is *unknown*; only what was not
made may be sent again. Pure functions: nothing here sends a request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pme_airflow.api.dialect import SHARED_MINT
from pme_airflow.api.fields import (
    checked_application,
    checked_link,
    checked_token,
    checked_valid_until,
    showcase_of,
)
from pme_airflow.api.graph_response import MODEL_STATUSES, GraphError, GraphResponse, parse_graph_response
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.api.outcomes import (
    Exchange,
    HttpResponse,
    Made,
    MintVerdict,
    NoResponse,
    NotMade,
    NotRevoked,
    Refusal,
    RefusalKind,
    Revoked,
    RevokeVerdict,
    Unknown,
)
from pme_airflow.api.settings import DEFAULT_HOST
from pme_airflow.embed_links import SHOWCASE, link_of
from pme_airflow.errors import (
    PMECredentialsError,
    PMEModelError,
    PMENotEnabledError,
    PMEProtocolError,
    PMESharedTokenError,
    PMEUnavailableError,
    PMEUnreachableError,
)
from pme_airflow.secrets import AccessToken

__all__ = ["field_refusal_of", "judge_mint", "judge_revoke", "not_enabled_error", "refusal_of"]

_CHECK_MODEL = (
    "Check that it exists, is active and belongs to the organisation of the connection, or take it from the list."
)
_IF_ALL = " If each model is refused so, the credentials may not use Private Model Embed."

#: What OAuth and its bearer tokens call an application token that is over (RFC 6749, RFC 6750).
_TOKEN_OVER = ("invalid_grant", "invalid_token", "expired_token")

log = logging.getLogger(__name__)


def refusal_of(exchange: Exchange, fields: int) -> Refusal | None:
    """Decide whether a request was refused as a whole, so that it certainly had no effect.

    Facts: ``400 invalid_grant`` stands for an expired application token (the vendor's OAuth use-case page); the other
    rows are those of "What an answer says about a mint", read conservatively where the vendor documents nothing.

    :param exchange: the response, or the lack of one.
    :param fields: how many aliases the request held.
    :return: ``None`` where the request may have had an effect.
    """
    if isinstance(exchange, NoResponse):
        if exchange.written:
            return None
        error = PMEUnreachableError(f"The PME API was not reached: {exchange.reason}.")
        return Refusal(RefusalKind.RETRY_LATER, error)
    graph = parse_graph_response(exchange)
    if graph is not None and graph.has_value:
        return None
    status = exchange.status
    if status == 401 or (status < 500 and graph is not None and graph.oauth_error in _TOKEN_OVER):
        return Refusal(RefusalKind.RENEW_TOKEN, _token_refused_error(status))
    if status == 429 or (status == 503 and exchange.retry_after is not None):
        busy = PMEUnavailableError(f"The PME API is busy (HTTP {status}).")
        return Refusal(RefusalKind.RETRY_LATER, busy, exchange.retry_after)
    if graph is not None and graph.is_judged_by_alias:
        return None
    if status == 403:
        return Refusal(RefusalKind.GIVE_UP, not_enabled_error(is_json=graph is not None))
    if status == 415:
        return Refusal(
            RefusalKind.GIVE_UP,
            PMEProtocolError(
                "The host refused JSON (HTTP 415). Check that the API address of the connection is that of the PME API."
            ),
        )
    if graph is None or graph.data is not None or not graph.errors or status >= 500:
        return None
    return _refused_query(graph, exchange, fields)


def field_refusal_of(exchange: Exchange) -> Refusal | None:
    """Decide whether each field of a request was refused for the credentials, so that the request had no effect.

    The mutations carry the client secret: one that was reset is refused here while the application token still works.

    :return: ``None`` where a field has a value, or was refused for another reason.
    """
    if not isinstance(exchange, HttpResponse) or exchange.status >= 500:
        return None
    graph = parse_graph_response(exchange)
    if (
        graph is None
        or not graph.data
        or graph.has_value
        or not all(error.is_unauthenticated and error.is_of_alias for error in graph.errors)
    ):
        return None
    if not all(graph.errors_at(alias) for alias in graph.data):
        return None
    return Refusal(RefusalKind.RENEW_TOKEN, _token_refused_error(401))


def _refused_query(graph: GraphResponse, exchange: HttpResponse, fields: int) -> Refusal | None:
    """Decide the same for a response below 500 without data, by its errors alone."""
    if any(error.path for error in graph.errors):
        return None
    status = exchange.status
    whole_4xx = status >= 400
    if not all(e.validation or e.is_client_error or (whole_4xx and e.status is None) for e in graph.errors):
        return None
    first = graph.errors[0]
    error = _refused_query_error(first, status)
    if any(error.names_mutation and not error.is_throttling for error in graph.errors):
        return Refusal(RefusalKind.OTHER_MUTATION_NAMES, error)
    if any(error.is_throttling for error in graph.errors):
        busy = PMEUnavailableError(f"The PME API is busy ({first.summary}).")
        return Refusal(RefusalKind.RETRY_LATER, busy, exchange.retry_after)
    if any(error.is_unauthenticated for error in graph.errors):
        return Refusal(RefusalKind.RENEW_TOKEN, _token_refused_error(401))
    if any(error.status == 403 for error in graph.errors):
        return Refusal(RefusalKind.GIVE_UP, not_enabled_error())
    return Refusal(RefusalKind.SPLIT_BATCH if fields > 1 else RefusalKind.GIVE_UP, error)


def _refused_query_error(first: GraphError, status: int) -> PMEModelError | PMEProtocolError:
    kind = ", a validation error" if first.validation or status not in MODEL_STATUSES else ""
    summary = first.summary if first.status or first.code else f"HTTP {status}{kind}"
    by_response = status in MODEL_STATUSES and not (first.status or first.code or first.validation)
    if first.is_about_model or by_response:
        return PMEModelError(f"The model was refused ({summary}). {_CHECK_MODEL}")
    return PMEProtocolError(f"The PME API refused the query ({summary}).")


def _token_refused_error(status: int) -> PMECredentialsError:
    return PMECredentialsError(
        f"The PME API refused a fresh application token (HTTP {status}). Check that the client id and secret of the "
        "connection belong to this host, or reset the secret (Settings > Developer Tools) and enter it anew."
    )


def not_enabled_error(*, is_json: bool = True) -> PMENotEnabledError:
    """Make the error for credentials that are right but may not use Private Model Embed.

    :param is_json: whether the answer is JSON, as the API's are.
    """
    return PMENotEnabledError(
        "The PME API answered 403: these credentials may not use Private Model Embed. It needs an Enterprise "
        "subscription with PME enabled; ask the vendor's sales team."
        + ("" if is_json else " The answer is no JSON: a proxy or firewall on the way may have given it instead.")
    )


def judge_mint(
    exchange: Exchange, requests: Mapping[str, MintRequest], received_at: datetime, api_base_url: str = DEFAULT_HOST
) -> dict[str, MintVerdict]:
    """Return a verdict for each alias of a mint that was not refused as a whole.

    :param exchange: the response, or the lack of one.
    :param requests: the request under each alias.
    :param received_at: the best known server time in UTC; used where the response has no ``Date``.
    :param api_base_url: the base address of the API, whose host its links may name.
    """
    if isinstance(exchange, NoResponse):
        return dict.fromkeys(requests, Unknown(exchange.reason))
    graph = parse_graph_response(exchange)
    if graph is None:
        return dict.fromkeys(requests, Unknown(_unreadable(exchange)))
    reader = _LinkReader(exchange.date or received_at, api_base_url)
    verdicts = {a: _judge_alias(graph, a, request, exchange, reader) for a, request in requests.items()}
    reader.log_replaced()
    return verdicts


class _LinkReader:
    """Reads made links; what is missing or unsafe in one is replaced, since its token is live either way."""

    def __init__(self, now: datetime, api_base_url: str) -> None:
        self._now = now
        self._api_base_url = api_base_url
        self._replaced: list[str] = []
        self._last_end: tuple[object, datetime | None] = (None, None)

    def read(self, value: Mapping[str, Any], token: AccessToken, request: MintRequest) -> EmbedLink:
        url = checked_link(value.get("link"), self._api_base_url)
        if url is None and value.get("link") is not None:
            self._replaced.append(request.model_id)
        valid_until = self._valid_until(value.get("validUntil"))
        return EmbedLink(
            model_id=request.model_id,
            access_token=token,
            application=checked_application(value.get("application")),
            url=url
            or link_of(request.model_id, token, showcase_of(self._api_base_url) if request.models else SHOWCASE),
            valid_until=valid_until or self._now + request.validity.duration,
            issued_at=self._now,
            requested=request.validity,
        )

    def _valid_until(self, value: object) -> datetime | None:
        """Read ``validUntil``; once where the links of a request share it, as most do."""
        if value != self._last_end[0]:
            self._last_end = (value, checked_valid_until(value, self._now))
        return self._last_end[1]

    def log_replaced(self) -> None:
        if self._replaced:
            log.warning(
                "The API's links of %d models (%s first) are not https links of matterport.com or of the API's host. "
                "They were not used; links of the documented form were built from their tokens.",
                len(self._replaced),
                self._replaced[0],
            )


def _unreadable(response: HttpResponse) -> str:
    return f"HTTP {response.status} with a body that is {'no JSON' if response.complete else 'cut off'}"


def _judge_alias(
    graph: GraphResponse, alias: str, request: MintRequest, response: HttpResponse, reader: _LinkReader
) -> MintVerdict:
    value = graph.value(alias)
    errors = graph.errors_at(alias) if graph.errors else []
    if isinstance(value, dict) and (token := checked_token(value.get("accessToken"))) is not None:
        return Made(reader.read(value, token, request), is_complete=not request.models or not _may_lack_models(errors))
    if value is None and response.status < 500 and errors and all(e.is_client_error and e.is_of_alias for e in errors):
        return _refused_alias(errors[0], request, response.retry_after)
    if errors:
        return Unknown(f"null with {errors[0].summary}")
    return Unknown(f"HTTP {response.status} without an answer for the model")


def _may_lack_models(errors: Sequence[GraphError]) -> bool:
    """Return whether errors that came with a token for several models may mean that it does not open all of them."""
    return any(error.path is None or error.path[1:] != ("validUntil",) for error in errors)


def _refused_alias(error: GraphError, request: MintRequest, retry_after: float | None) -> NotMade:
    if error.is_throttling:
        return NotMade(PMEUnavailableError(f"{request.named_models}: busy ({error.summary})."), True, retry_after)
    if request.models and error.refused_field == SHARED_MINT:
        return NotMade(PMESharedTokenError(f"The PME API makes no tokens for several models ({error.summary})."), True)
    message = f"{request.named_models} {'were' if request.models else 'was'} refused ({error.summary}). {_CHECK_MODEL}"
    message += _IF_ALL if error.status == 403 else ""
    return NotMade(PMEModelError(message), resend=not error.is_about_model)


def judge_revoke(exchange: Exchange, aliases: Sequence[str]) -> dict[str, RevokeVerdict]:
    """Return a verdict for each alias of a revocation that was not refused as a whole; only ``true`` confirms it.

    :param exchange: the response, or the lack of one.
    :param aliases: the aliases of the request.
    """
    if isinstance(exchange, NoResponse):
        return dict.fromkeys(aliases, NotRevoked(exchange.reason, sent=exchange.written))
    graph = parse_graph_response(exchange)
    if graph is None:
        return dict.fromkeys(aliases, NotRevoked(_unreadable(exchange)))
    return {alias: _judge_revoked(graph, alias, exchange) for alias in aliases}


def _judge_revoked(graph: GraphResponse, alias: str, response: HttpResponse) -> RevokeVerdict:
    value = graph.value(alias)
    if value is True:
        return Revoked()
    errors = graph.errors_at(alias)
    if errors:
        denied = all(error.is_denial for error in errors)
        return NotRevoked(f"refused ({errors[0].summary})", retry_after=response.retry_after, denied=denied)
    if value is False:
        return NotRevoked("the API answered false", denied=True)
    return NotRevoked(f"HTTP {response.status} without an answer")
