"""Calls of Slack's Web API: no redirects, bounded responses and pauses, and errors as types without secrets."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from pme_airflow.api.bounded import BoundedHTTPResponse, bound_response
from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.targets.bounded_http import MAX_BODY
from pme_airflow.targets.host_limits import target_clock
from pme_airflow.targets.slack_tiers import MethodTiers

__all__ = ["BoundedWebClient", "RateLimitHandler", "Refusal", "SlackApi", "SlackRefusal"]

#: How long a call may take in all, as a multiple of the client's time-out for each part of a response.
_TOTAL = 2
#: The longest ``Retry-After`` in seconds that is waited for within a task.
_MAX_WAIT = 30


#: What the SDK raises for a response that is not a JSON object with ``ok``.
_UNREADABLE = (SlackClientError, ValueError, LookupError, RecursionError, AttributeError, TypeError)


class Refusal(Enum):
    """What an error of Slack means for the message it is about."""

    #: Temporary, and not caused by the message: Slack is rate limiting or out of order.
    TEMPORARY = "temporary"
    #: The message does not exist any more.
    GONE = "gone"
    #: The message exists, but this bot cannot change it.
    LOCKED = "locked"
    #: The bot cannot reach the channel.
    NO_ACCESS = "no access"
    #: Everything else: the connection, or the message, has to be corrected.
    OTHER = "other"


_MEANINGS = {
    Refusal.TEMPORARY: "ratelimited rate_limited service_unavailable internal_error fatal_error request_timeout "
    "team_added_to_org message_limit_exceeded update_failed external_channel_migrating",
    Refusal.GONE: "message_not_found",
    Refusal.LOCKED: "cant_update_message cant_delete_message edit_window_closed block_mismatch "
    "compliance_exports_prevent_deletion",
    Refusal.NO_ACCESS: "channel_not_found not_in_channel is_archived is_inactive restricted_action",
}
_MEANING_OF = {code: refusal for refusal, codes in _MEANINGS.items() for code in codes.split()}
_ADVICE = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "check the channel's name or id, and invite the bot if the channel is private",
    "invalid_auth": "check the token of the Slack connection",
    "not_authed": "enter the token of the Slack connection",
    "token_revoked": "enter a new token in the Slack connection",
    "token_expired": "enter a new token in the Slack connection",
    "account_inactive": "enter a new token in the Slack connection",
    "missing_scope": "give the bot the scope chat:write",
    "is_archived": "the channel is archived: choose another",
    "restricted_action": "an administrator does not allow bots to post there",
    "ratelimited": "Slack limits the rate of requests",
    "msg_too_long": "the message is too long for Slack",
    "edit_window_closed": "the workspace limits how long messages can be edited",
    "cant_update_message": "another app posted the message, or the workspace does not allow edits",
    "cant_delete_message": "another app posted the message, or the workspace does not allow deletions",
}


class SlackRefusal(SlotError):
    """An error response of Slack.

    :ivar code: Slack's code; empty if the response was not one of Slack's.
    :ivar meaning: what the code means for the message.
    """

    def __init__(self, method: str, code: str, status: int) -> None:
        advice = _ADVICE.get(code, "see Slack's list of error codes" if code else "check base_url of the connection")
        self.code = code
        self.meaning = _MEANING_OF.get(code, Refusal.OTHER)
        if status == 429 or (not code and not 400 <= status < 500):
            self.meaning = Refusal.TEMPORARY
        message = f"Slack refused {method} ({code or f'HTTP {status}'}): {advice}"
        super().__init__(message, passing=self.meaning is Refusal.TEMPORARY)


class SlackApi:
    """Calls the Web API through a client of the SDK.

    :param client: a ``slack_sdk.WebClient`` that does not repeat requests after a broken connection: a message would
        be posted twice. Its responses are read within bounds, and its redirects are not followed.
    """

    def __init__(self, client: Any) -> None:
        self._client = BoundedWebClient.of(client)

    @property
    def base_url(self) -> str:
        """The API's base address."""
        return str(getattr(self._client, "base_url", ""))

    @property
    def token(self) -> str:
        """The bot's token, in clear."""
        return str(getattr(self._client, "token", "") or "")

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method of the client.

        :raises SlackRefusal: for an error response.
        :raises SlotError: if there is no response, or none that can be read.
        """
        problem: SlotError | None = None
        try:
            return getattr(self._client, method)(**arguments)
        except SlackApiError as error:
            problem = SlackRefusal(method, *_code_and_status(error))
        except (OSError, HTTPException) as error:
            problem = TargetUnavailableError(f"the connection to Slack failed ({type(error).__name__})", passing=True)
        except _UNREADABLE as error:
            problem = SlotError(f"Slack's response to {method} is unreadable ({type(error).__name__})", passing=True)
        raise problem


def _code_and_status(error: SlackApiError) -> tuple[str, int]:
    """Return Slack's error code and the HTTP status, or no code if the response was not one of Slack's."""
    response: Any = error.response
    if isinstance(response, Mapping):  # how the client represents a response that is no JSON
        return "", int(response.get("status") or 0)
    data = getattr(response, "data", None)
    code = data.get("error", "") if isinstance(data, Mapping) else ""
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{0,60}", code) else "", int(response.status_code or 0)


class RateLimitHandler(RateLimitErrorRetryHandler):
    """Waits for ``Retry-After`` where it is at most 30 seconds; a longer one ends the call."""

    def _can_retry(self, *, response: Any = None, **arguments: Any) -> bool:
        return response is not None and response.status_code == 429 and _seconds(response) <= _MAX_WAIT

    def prepare_for_next_attempt(self, *, state: Any, response: Any = None, **arguments: Any) -> None:
        state.next_attempt_requested = True
        time.sleep(_seconds(response))
        state.increment_current_attempt()


def _seconds(response: Any) -> float:
    """Return a ``Retry-After`` in seconds; 1 if there is none."""
    for name, values in response.headers.items():
        if name.lower() == "retry-after":
            text = str(values[0] if isinstance(values, list) else values).strip()
            return float(text) if re.fullmatch(r"[0-9]{1,9}", text) else _MAX_WAIT + 1.0
    return 1.0


class BoundedWebClient(WebClient):
    """A client that follows no redirect, and reads responses of at most 8 MiB within twice its time-out.

    It keeps to Slack's tiers, see :class:`~.slack_tiers.MethodTiers`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tiers = MethodTiers(target_clock())

    @classmethod
    def of(cls, client: Any) -> Any:
        """Return a bounded client with another one's settings; a client of another class is returned as it is."""
        if type(client) is not WebClient:
            return client
        bounded = cls(
            token=client.token,
            base_url=client.base_url,
            timeout=client.timeout,
            ssl=client.ssl,
            proxy=client.proxy,
            headers=dict(client.headers),
            logger=client.logger,
            retry_handlers=list(client.retry_handlers),
        )
        bounded.default_params = client.default_params
        return bounded

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        method = urlsplit(url).path.rpartition("/")[2]
        self._tiers.wait(method)
        bound_response(_TOTAL * self.timeout, MAX_BODY)
        try:
            with self._opener().open(req, timeout=self.timeout) as response:
                body = response.read(MAX_BODY + 1)
                if len(body) > MAX_BODY:
                    raise OSError("the response is too long")
                return {"status": response.code, "headers": response.headers, "body": body.decode("utf-8", "replace")}
        except HTTPError as error:
            if error.code == HTTPStatus.TOO_MANY_REQUESTS:
                self._tiers.refused(method)
            raise

    def _opener(self) -> OpenerDirector:
        proxies = [ProxyHandler({"http": self.proxy, "https": self.proxy})] if self.proxy else []
        return build_opener(_NoRedirects, _BoundedHTTPHandler, _BoundedHTTPSHandler(context=self.ssl), *proxies)


class _NoRedirects(HTTPRedirectHandler):
    """Treats a redirect as an error: the request has the bot's token in its headers."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _BoundedHTTP(HTTPConnection):
    response_class = BoundedHTTPResponse


class _BoundedHTTPS(HTTPSConnection):
    response_class = BoundedHTTPResponse


class _BoundedHTTPHandler(HTTPHandler):
    def http_open(self, req: Request) -> Any:
        return self.do_open(_BoundedHTTP, req)


class _BoundedHTTPSHandler(HTTPSHandler):
    def https_open(self, req: Request) -> Any:
        return self.do_open(_BoundedHTTPS, req, context=self._context)  # type: ignore[attr-defined]
