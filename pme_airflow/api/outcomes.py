"""Outcomes of requests to the PME API: exchanges, refusals, and verdicts on mints and revocations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum, auto
from typing import Any

from pme_airflow.api.messages import EmbedLink
from pme_airflow.errors import PMEError
from pme_airflow.http_dates import parse_http_date

__all__ = [
    "Exchange",
    "HttpResponse",
    "Made",
    "MintVerdict",
    "NetworkFailure",
    "NoResponse",
    "NotMade",
    "NotRevoked",
    "Refusal",
    "RefusalKind",
    "RevokeVerdict",
    "Revoked",
    "Unknown",
]

_MAX_RETRY_AFTER = 900.0
_DELAY_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?\Z", re.ASCII)


@dataclass(frozen=True)
class HttpResponse:
    """One HTTP response, as far as it was received.

    :param status: the HTTP status code.
    :param headers: the header fields; the mapping must ignore case, as that of ``requests`` does.
    :param body: the bytes that were received, content coding removed.
    :param complete: false where the connection broke, or a limit was reached, before the body's end.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True
    #: What was parsed of it, so that it is parsed once however many steps judge it.
    parsed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def date(self) -> datetime | None:
        """The server's time from the ``Date`` header, aware and in UTC; ``None`` where it is absent or unreadable."""
        return parse_http_date(self.headers.get("Date"))

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait from ``Retry-After`` (RFC 9110, 10.2.3); ``None`` where it is absent or unreadable.

        A date is compared with the response's own ``Date``, so that a wrong clock of this machine does not matter. More
        than 15 minutes is read as 15 minutes, so that no header puts off the revocation of a leaked token for longer.
        """
        text = (self.headers.get("Retry-After") or "").strip()
        if _DELAY_SECONDS.match(text):
            return min(float(text), _MAX_RETRY_AFTER)
        timestamp = parse_http_date(text)
        if timestamp is None:
            return None
        reference = self.date or datetime.now(timezone.utc)
        return min(max(0.0, (timestamp - reference).total_seconds()), _MAX_RETRY_AFTER)


class NetworkFailure(Enum):
    """Why there was no response, in words."""

    NAME = "the host's name does not resolve"
    CONNECT = "could not connect"
    CONNECT_TIMEOUT = "timed out while connecting"
    TLS = "TLS failed (is the certificate trusted here?)"
    PROXY = "the proxy failed"
    TIMEOUT = "timed out"
    BROKEN = "the connection broke"


@dataclass(frozen=True)
class NoResponse:
    """A request without a response.

    :param written: whether the request may have reached the server.
    :param reason: the cause in words, without addresses and secrets.
    :param failure: the cause as a value, where it is known.
    """

    written: bool
    reason: str
    failure: NetworkFailure | None = field(default=None, compare=False)


Exchange = HttpResponse | NoResponse


class RefusalKind(Enum):
    """What the client does about a request that was refused as a whole."""

    #: Buy a new application token and send the request again at once.
    RENEW_TOKEN = auto()
    #: Send the same request again after a pause.
    RETRY_LATER = auto()
    #: Send the request again with the other names of the mutations.
    OTHER_MUTATION_NAMES = auto()
    #: Send the request again without the optional fields that the server does not have.
    WITHOUT_FIELDS = auto()
    #: The server knows the mutation under neither pair of names: do not send the request again.
    UNKNOWN_MUTATION = auto()
    #: Send the fields of the request one by one.
    SPLIT_BATCH = auto()
    #: Do not send the request again.
    GIVE_UP = auto()


@dataclass(frozen=True)
class Refusal:
    """A request that certainly had no effect.

    :param kind: what to do about it.
    :param error: the error to raise or report if it is not sent again.
    :param retry_after: seconds the API asks to wait, or ``None`` where it does not say.
    """

    kind: RefusalKind
    error: PMEError
    retry_after: float | None = None


@dataclass(frozen=True)
class Made:
    """A link that was minted and is live.

    :param is_complete: false for a token that may not open all of the models it was requested for.
    """

    link: EmbedLink
    is_complete: bool = True


@dataclass(frozen=True)
class NotMade:
    """A mint that certainly made no token.

    :param error: why.
    :param resend: whether the same request may succeed later.
    :param retry_after: seconds the API asks to wait, or ``None`` where it does not say.
    """

    error: PMEError
    resend: bool
    retry_after: float | None = None


@dataclass(frozen=True)
class Unknown:
    """A mint after which a token may exist that nobody holds."""

    reason: str


MintVerdict = Made | NotMade | Unknown


@dataclass(frozen=True)
class Revoked:
    """A revocation that the API confirmed with ``true``."""


@dataclass(frozen=True)
class NotRevoked:
    """A revocation that the API did not confirm.

    :param reason: why, in words.
    :param sent: false where the request certainly had no effect.
    :param denied: whether the API itself refused to revoke this token, with ``false`` or an error of the 4xx kind that
        is neither temporary nor about credentials. False where it was not reached, busy or broken.
    :param retry_after: seconds the API asks to wait, or ``None`` where it does not say.
    """

    reason: str
    sent: bool = True
    retry_after: float | None = None
    denied: bool = False


RevokeVerdict = Revoked | NotRevoked
