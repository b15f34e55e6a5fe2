"""What an answer, or the lack of one, says about a mint or a revocation.

Each alias of a batch is judged on its own. A mint was *made*, *not made* or *maybe made*; only what was not made may be
sent again blindly. Pure functions: nothing here talks to anyone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum, auto
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pendulum
from pydantic_core import from_json

from pme_airflow.api.documents import MutationNames
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.errors import (
    PMECredentialsError,
    PMEError,
    PMEModelError,
    PMENotEnabledError,
    PMEProtocolError,
    PMEUnavailableError,
)
from pme_airflow.http_dates import parse_http_date
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = [
    "GraphAnswer",
    "HttpResponse",
    "Made",
    "MintVerdict",
    "NoResponse",
    "NotMade",
    "NotRevoked",
    "Refusal",
    "RefusalKind",
    "RevokeVerdict",
    "Revoked",
    "Unknown",
    "forbidden",
    "judge_mint",
    "judge_revoke",
    "read_graph",
    "refusal_of",
]


@dataclass(frozen=True)
class HttpResponse:
    """One HTTP answer, as far as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    complete: bool = True

    @property
    def date(self) -> datetime | None:
        """The server's clock, from the ``Date`` header."""
        return parse_http_date(self.headers.get("Date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from ``Retry-After`` as seconds or as a date read against the answer's own ``Date``."""
        text = (self.headers.get("Retry-After") or "").strip()
        if not text:
            return None
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return float(text)
        moment = parse_http_date(text)
        if moment is None:
            return None
        reference = self.date or datetime.now(timezone.utc)
        return max(0.0, (moment - reference).total_seconds())


@dataclass(frozen=True)
class NoResponse:
    """No answer came; ``written`` says whether the request may have reached the server."""

    written: bool
    reason: str


Exchange = HttpResponse | NoResponse


class RefusalKind(Enum):
    """What to do about a request that was refused whole."""

    RENEW_TOKEN = auto()
    WAIT = auto()
    OTHER_SPELLING = auto()
    FEWER = auto()
    GIVE_UP = auto()


@dataclass(frozen=True)
class Refusal:
    """A request that certainly did nothing."""

    kind: RefusalKind
    error: PMEError
    retry_after: float | None = None


@dataclass(frozen=True)
class Made:
    """A link that is live. ``assumed_until`` marks an end that was reckoned here, since the answer's was unreadable."""

    link: EmbedLink
    assumed_until: bool = False


@dataclass(frozen=True)
class NotMade:
    """Certainly no token; ``resend`` says whether asking again may help."""

    error: PMEError
    resend: bool
    retry_after: float | None = None


@dataclass(frozen=True)
class Unknown:
    """A token may exist that nobody holds."""

    reason: str


MintVerdict = Made | NotMade | Unknown


@dataclass(frozen=True)
class Revoked:
    """The API's own ``true``."""


@dataclass(frozen=True)
class NotRevoked:
    """Anything but ``true``. ``sent`` is false where the API was never asked."""

    reason: str
    sent: bool = True
    retry_after: float | None = None


RevokeVerdict = Revoked | NotRevoked


@dataclass(frozen=True)
class GraphError:
    """The parts of a graph error that are safe to read: its place, status and code, never its message."""

    path: tuple[str | int, ...] | None
    status: int | None
    code: str | None
    validation: bool
    names_field: frozenset[str]

    @property
    def refused(self) -> bool:
        """Whether it is of the 4xx kind."""
        if self.status is not None:
            return 400 <= self.status < 500
        return self.code is not None and _is_client_code(self.code)

    @property
    def busy(self) -> bool:
        """Whether it asks for patience only."""
        if self.status is not None:
            return self.status in (408, 425, 429)
        return self.code is not None and any(word in self.code.lower() for word in _BUSY_WORDS)

    @property
    def about_model(self) -> bool:
        """Whether it says that the model itself will not do, so that asking again is a waste."""
        by_code = self.code is not None and (self.code.startswith("model.") or "not" in self.code.lower())
        return by_code or self.status in _MODEL_STATUSES

    @property
    def described(self) -> str:
        """Status and code in words."""
        parts = [f"status {self.status}" if self.status else "", f"code {self.code}" if self.code else ""]
        return ", ".join(part for part in parts if part) or "no status and no code"


@dataclass(frozen=True)
class GraphAnswer:
    """A graph answer's two halves; ``data`` is ``None`` where it was null, absent or of another type."""

    data: Mapping[str, Any] | None = field(repr=False)
    errors: tuple[GraphError, ...]
    oauth_error: str | None = None

    def errors_at(self, alias: str) -> list[GraphError]:
        return [error for error in self.errors if error.path and error.path[0] == alias]


_CODE = re.compile(r"[A-Za-z]+([._-][A-Za-z]+){0,5}\Z", re.ASCII)
_VALIDATION_CODES = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "VALIDATIONERROR", "INVALIDSYNTAX"})
_MODEL_STATUSES = frozenset({403, 404, 410})
_MODEL_CURE = (
    "Check that it exists, is active and belongs to the organisation of the connection, or take it from the list."
)
_BUSY_WORDS = ("throttl", "rate", "too_many", "toomany", "too.many", "limit")


def _is_client_code(code: str) -> bool:
    lowered = code.lower()
    words = ("not_found", "not.found", "notfound", "invalid", "forbidden", "unauthorized", "unauthenticated", "bad_")
    return lowered.startswith(("request.", "model.")) or any(word in lowered for word in (*words, *_BUSY_WORDS))


def read_graph(answer: HttpResponse) -> GraphAnswer | None:
    """Read a body as a graph answer, also one that was cut off; ``None`` where it is no JSON object."""
    try:
        body = from_json(answer.body, allow_partial=not answer.complete)
    except ValueError:
        body = _read_cut(answer.body)
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    raw = body.get("errors")
    errors = tuple(_read_error(error) for error in raw) if isinstance(raw, list) else ()
    oauth = body.get("error")
    return GraphAnswer(data if isinstance(data, dict) else None, errors, oauth if isinstance(oauth, str) else None)


def _read_cut(body: bytes) -> object:
    """What a cut body holds up to the cut; a last string that is not closed is left out, so no token is half read."""
    try:
        return from_json(body, allow_partial=True)
    except ValueError:
        return None


def _read_error(raw: object) -> GraphError:
    error = raw if isinstance(raw, dict) else {}
    extensions = error.get("extensions")
    places = [error, extensions if isinstance(extensions, dict) else {}]
    path = error.get("path")
    status = next((read for place in places if (read := _read_status(place.get("httpStatus"))) is not None), None)
    code = next((c for place in places if isinstance(c := place.get("code"), str) and _CODE.match(c)), None)
    kind = next((str(place["classification"]) for place in places if "classification" in place), "")
    known = {text.upper() for text in (code or "", kind)}
    by_form = path is None and bool(error.get("locations")) and (status is None or 400 <= status < 500)
    message = str(error.get("message", ""))
    return GraphError(
        path=tuple(path) if isinstance(path, list) else None,
        status=status,
        code=code,
        validation=bool(known & _VALIDATION_CODES) or by_form,
        names_field=frozenset(name for spelling in MutationNames for name in spelling.value if name in message),
    )


def _read_status(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    return value if isinstance(value, int) and 100 <= value <= 599 else None


def refusal_of(exchange: Exchange, fields: int = 1) -> Refusal | None:
    """Whether a request was refused whole, so that it certainly did nothing; ``None`` where it may have acted.

    :param exchange: the answer, or the lack of one.
    :param fields: how many aliases the request held.
    """
    if isinstance(exchange, NoResponse):
        if exchange.written:
            return None
        return Refusal(RefusalKind.WAIT, PMEUnavailableError(f"The PME API was not reached: {exchange.reason}."))
    status = exchange.status
    graph = read_graph(exchange)
    if graph is not None and graph.data is not None and any(value is not None for value in graph.data.values()):
        return None
    if status == 401 or (status == 400 and graph is not None and graph.oauth_error == "invalid_grant"):
        return Refusal(RefusalKind.RENEW_TOKEN, _token_refused(status))
    if status == 429 or (status == 503 and exchange.retry_after is not None):
        busy = PMEUnavailableError(f"The PME API is busy (HTTP {status}).")
        return Refusal(RefusalKind.WAIT, busy, exchange.retry_after)
    if status == 403:
        return Refusal(RefusalKind.GIVE_UP, forbidden())
    if status == 415:
        error = PMEProtocolError("The host refused JSON (HTTP 415): is it the PME API?")
        return Refusal(RefusalKind.GIVE_UP, error)
    if graph is None or graph.data is not None or not graph.errors or status >= 500:
        return None
    return _refused_query(graph, status, fields)


def _refused_query(graph: GraphAnswer, status: int, fields: int) -> Refusal | None:
    whole_4xx = 400 <= status < 500
    if any(error.path for error in graph.errors):
        return None
    plain = all(error.validation or error.refused or (whole_4xx and error.status is None) for error in graph.errors)
    if not plain:
        return None
    first = graph.errors[0]
    if any(error.names_field and not error.busy for error in graph.errors):
        kind = RefusalKind.OTHER_SPELLING
    elif any(error.busy for error in graph.errors):
        return Refusal(RefusalKind.WAIT, PMEUnavailableError(f"The PME API is busy ({first.described})."))
    elif any(error.status == 401 for error in graph.errors):
        return Refusal(RefusalKind.RENEW_TOKEN, _token_refused(401))
    elif any(error.status == 403 for error in graph.errors):
        return Refusal(RefusalKind.GIVE_UP, forbidden())
    else:
        kind = RefusalKind.FEWER if fields > 1 else RefusalKind.GIVE_UP
    described = first.described if first.status or first.code else f"HTTP {status}, a validation error"
    if first.about_model:
        return Refusal(kind, PMEModelError(f"The model was refused ({described}). {_MODEL_CURE}"))
    return Refusal(kind, PMEProtocolError(f"The PME API refused the query ({described})."))


def _token_refused(status: int) -> PMECredentialsError:
    return PMECredentialsError(
        f"The PME API refused a fresh application token (HTTP {status}). Check that the client id and secret of the "
        "connection belong to this host, or reset the secret (Settings > Developer Tools) and enter it anew."
    )


def forbidden() -> PMENotEnabledError:
    """The error for credentials that are right but may not use PME."""
    return PMENotEnabledError(
        "The PME API answered 403: these credentials may not use Private Model Embed. It needs an Enterprise "
        "subscription with PME enabled; ask the vendor's sales team."
    )


def judge_mint(
    exchange: Exchange, requests: Mapping[str, MintRequest], received_at: datetime
) -> dict[str, MintVerdict]:
    """Judge each alias of a mint that was not refused whole.

    :param exchange: the answer, or the lack of one.
    :param requests: what was asked for under each alias.
    :param received_at: the server's time as far as it is known, in UTC; stands in for a missing ``Date``.
    """
    if isinstance(exchange, NoResponse):
        return dict.fromkeys(requests, Unknown(exchange.reason))
    graph = read_graph(exchange)
    if graph is None:
        return dict.fromkeys(requests, Unknown(_unread(exchange)))
    now = exchange.date or received_at
    return {alias: _judge_alias(graph, alias, request, now, exchange.status) for alias, request in requests.items()}


def _unread(answer: HttpResponse) -> str:
    return f"HTTP {answer.status} with a body that is {'no JSON' if answer.complete else 'cut off'}"


def _judge_alias(graph: GraphAnswer, alias: str, request: MintRequest, now: datetime, status: int) -> MintVerdict:
    value = (graph.data or {}).get(alias)
    if isinstance(value, dict) and isinstance(token := value.get("accessToken"), str) and token:
        return _made(value, AccessToken(token), request, now)
    errors = graph.errors_at(alias)
    if value is None and status < 500 and errors and all(error.refused for error in errors):
        return _refused_alias(errors[0], request)
    if errors:
        return Unknown(f"null with {errors[0].described}")
    return Unknown(f"HTTP {status} without an answer for the model")


def _refused_alias(error: GraphError, request: MintRequest) -> NotMade:
    if error.busy:
        return NotMade(PMEUnavailableError(f"Model {request.model_id}: busy ({error.described})."), resend=True)
    message = f"Model {request.model_id} was refused ({error.described}). {_MODEL_CURE}"
    return NotMade(PMEModelError(message), resend=not error.about_model)


def _made(value: Mapping[str, Any], token: AccessToken, request: MintRequest, now: datetime) -> Made:
    latest = now + request.validity.duration
    until = _read_moment(value.get("validUntil"))
    url = value.get("link")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        url = f"https://my.matterport.com/show?m={request.model_id}&auth=Bearer+{quote(token.reveal(), safe='')}"
    application = value.get("application")
    link = EmbedLink(
        model_id=request.model_id,
        access_token=token,
        application=application if isinstance(application, str) and application else "showcase",
        url=SecretStr(url),
        valid_until=until or latest,
    )
    return Made(link, assumed_until=until is None)


def _read_moment(value: object) -> datetime | None:
    """Read ``validUntil``: ``Z``, an offset or fractions of a second; a time without a zone is UTC."""
    return _moment_of(value) if isinstance(value, str) and value[:4].isdigit() else None


@lru_cache(maxsize=128)
def _moment_of(value: str) -> datetime | None:
    """Links of one request mostly end at the same moment, and reading it is the costliest part of an answer."""
    try:
        moment = pendulum.parse(value, tz="UTC")
    except (ValueError, OverflowError):
        return None
    if not isinstance(moment, pendulum.DateTime):
        return None
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=moment.float_timestamp)


def judge_revoke(exchange: Exchange, aliases: Sequence[str]) -> dict[str, RevokeVerdict]:
    """Judge each alias of a revocation: only the API's own ``true`` counts."""
    if isinstance(exchange, NoResponse):
        return dict.fromkeys(aliases, NotRevoked(exchange.reason, sent=exchange.written))
    graph = read_graph(exchange)
    if graph is None:
        return dict.fromkeys(aliases, NotRevoked(_unread(exchange)))
    return {alias: _judge_revoked(graph, alias, exchange) for alias in aliases}


def _judge_revoked(graph: GraphAnswer, alias: str, answer: HttpResponse) -> RevokeVerdict:
    value = (graph.data or {}).get(alias)
    if value is True:
        return Revoked()
    errors = graph.errors_at(alias)
    if errors:
        return NotRevoked(f"refused ({errors[0].described})", retry_after=answer.retry_after)
    return NotRevoked("the API answered false" if value is False else f"HTTP {answer.status} without an answer")
