"""Requests to a target's web API: no redirects, bounded responses, retries, and errors without secrets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pme_airflow.api.bounded import bound_response
from pme_airflow.api.outcomes import HttpResponse
from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.targets.bounded_http import MAX_BODY, bound_session, read_response
from pme_airflow.targets.host_limits import host_limiter
from pme_airflow.targets.shared_session import share_session

__all__ = ["ResponseCheck", "WebApi", "WebRefusal"]

_TRIES = 4
#: The longest pause between two tries, in seconds, whatever ``Retry-After`` asks for.
_MAX_WAIT = 30.0
#: How long a request may take in all, as a multiple of the time-out for each part of a response.
_TOTAL = 2
_ENCODINGS = "gzip, deflate"
_NOT_MODIFIED = 304
_TEMPORARY = frozenset({408, 425, 429})
#: Bad gateway, service unavailable, gateway time-out.
_OUT_OF_SERVICE = frozenset({502, 503, 504})
#: A server that does not support a method will not support it at the next try.
_NOT_IMPLEMENTED = 501
_NO_CERTIFICATE_FILE = (
    "verify or cert in the connection's Extra names no file on this worker. Put the file there, or correct the path"
)
#: Methods that can be repeated after a response was lost. POST, PUT and PATCH are sent once.
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
#: Headers by which an API knows an account, such as ``X-Redmine-API-Key``.
_CREDENTIALS = re.compile(r"authorization|cookie|api-?key|token", re.IGNORECASE)
_HTML_STARTS = ("<!doctype html", "<html")

ResponseCheck = Callable[[requests.Response], SlotError | None]


class WebRefusal(SlotError):
    """A response that is not a success.

    :param status: its HTTP status.
    :param code: the API's code for the error, where it gives one.
    :param retry_after: seconds to wait before the next request, where the API gives them.
    """

    def __init__(
        self, message: str, status: int, *, code: str = "", passing: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message, passing=passing)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class _OutOfServiceError(WebRefusal, TargetUnavailableError):
    """A response that says that the site, or the server behind its gateway, is out of service."""


class _TimedOutError(TargetUnavailableError):
    """No response in time. A later try may help; an immediate one would only wait again."""


class _Anonymous(AuthBase):
    """Sends no credentials, so that a page is read as a visitor reads it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        for name in [name for name in request.headers if _CREDENTIALS.search(name)]:
            del request.headers[name]
        return request


class WebApi:
    """A web API under one base address. Safe to share between threads.

    :param session: carries the credentials.
    :param base_url: the base address.
    :param timeout: seconds to wait for a connection, and for each part of a response. The whole response must be there
        after twice that time, and may have 8 MiB.
    :param at_once: how many requests may be in flight at the host, for all targets of the process; fewer while it
        refuses some, and none while a ``Retry-After`` asks for a pause.
    """

    def __init__(self, session: requests.Session, base_url: str, timeout: float, at_once: int = 1) -> None:
        bound_session(session)
        share_session(session, at_once)
        self._session = session
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._limiter = host_limiter(self.base_url, at_once)

    def request(
        self,
        method: str,
        path: str,
        check: ResponseCheck,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        anonymous: bool = False,
        allow_html: bool = False,
    ) -> requests.Response:
        """Send a request. GET, HEAD and DELETE are sent up to 4 times while the failure is temporary.

        :param check: returns the error of a response that is neither a redirect nor a temporary failure, or ``None``.
        :param body: JSON; ``None`` for none.
        :param form: fields that are sent as a form in place of JSON.
        :param allow_html: whether a page of HTML is left to ``check``.
        :raises SlotError: with a message that contains neither the address's query nor the body.
        """

        def once() -> requests.Response:
            return self._once(method, path, check, params, headers, body, form, anonymous, allow_html)

        if method not in _REPEATABLE:
            return once()
        retrying = Retrying(
            retry=retry_if_exception(_is_temporary),
            stop=stop_after_attempt(_TRIES),
            wait=_pause,
            sleep=time.sleep,
            reraise=True,
        )
        return retrying(once)

    def _once(
        self,
        method: str,
        path: str,
        check: ResponseCheck,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        body: Any,
        form: Mapping[str, str] | None,
        anonymous: bool,
        allow_html: bool,
    ) -> requests.Response:
        problem: SlotError | None = None
        status: int | None = None
        started = self._limiter.start()
        until = time.monotonic() + _TOTAL * self._timeout
        try:
            bound_response(_TOTAL * self._timeout, MAX_BODY)
            response = self._session.request(
                method,
                f"{self.base_url}/{path.lstrip('/')}",
                params=params,
                headers={"Accept-Encoding": _ENCODINGS, **(headers or {})},
                json=body,
                data=form,
                timeout=self._timeout,
                allow_redirects=False,
                auth=_Anonymous() if anonymous else None,
                stream=True,
            )
            whole = read_response(response)
            status = response.status_code
            problem = self._failure(None, until) if not whole else _problem_of(response, allow_html) or check(response)
        except SlotError as error:
            problem = error
        except (requests.RequestException, ValueError) as error:
            problem = self._failure(error, until)
        except OSError as error:  # requests raises a plain one without a number for a missing certificate file
            problem = self._failure(error, until) if error.errno is not None else SlotError(_NO_CERTIFICATE_FILE)
        finally:
            self._limiter.ended(started, status, getattr(problem, "retry_after", None), method)
        if problem is not None:
            raise problem
        return response

    def _failure(self, error: Exception | None, until: float) -> SlotError:
        """Return the error of a response that did not arrive, or not whole."""
        if time.monotonic() >= until:
            return _TimedOutError(f"no whole response within {_TOTAL * self._timeout:g} s", passing=True)
        if isinstance(error, requests.Timeout):
            return _TimedOutError(f"no response within {self._timeout:g} s", passing=True)
        reason = "the response broke off" if error is None else type(error).__name__
        kind = SlotError if error is None else TargetUnavailableError
        return kind(f"the connection failed ({reason})", passing=True)


def _problem_of(response: requests.Response, allow_html: bool) -> SlotError | None:
    """Return the error of a redirect, a temporary failure, or a page of HTML in place of JSON."""
    status = response.status_code
    if 300 <= status < 400 and status != _NOT_MODIFIED:
        message = f"HTTP {status}, a redirect, which is not followed. Give the final address in the connection"
        return WebRefusal(message, status)
    if status in _TEMPORARY or (status >= 500 and status != _NOT_IMPLEMENTED):
        wait = HttpResponse(status, response.headers, b"").retry_after
        kind = _OutOfServiceError if status in _OUT_OF_SERVICE else WebRefusal
        return kind(f"HTTP {status}", status, passing=True, retry_after=wait)
    if status < 300 and not allow_html and _is_html(response):
        message = f"HTTP {status} with HTML in place of JSON, perhaps a login page. Check the address and credentials"
        return WebRefusal(message, status)
    return None


def _is_html(response: requests.Response) -> bool:
    content_type = response.headers.get("Content-Type", "")
    start = response.content[:200].decode("utf-8", "replace").lstrip().lower()
    return bool(response.content) and ("text/html" in content_type or start.startswith(_HTML_STARTS))


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, SlotError) and not error.permanent and not isinstance(error, _TimedOutError)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    retry_after = error.retry_after if isinstance(error, WebRefusal) else None
    if retry_after is not None:
        return min(retry_after, _MAX_WAIT)
    return wait_random_exponential(multiplier=0.2, max=2)(state)
