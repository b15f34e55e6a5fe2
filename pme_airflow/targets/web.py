"""Asking a target's web API: no redirect followed, passing trouble tried again, and its refusals in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pme_airflow.api.answers import HttpResponse
from pme_airflow.errors import SlotError

__all__ = ["WebApi", "WebRefusal"]

_TRIES = 4
_MAX_WAIT = 30.0
_PASSING = frozenset({408, 425, 429})
_SAFE = frozenset({"GET", "HEAD", "DELETE"})
_PAGES = ("<!doctype html", "<html")

Judge = Callable[[requests.Response], SlotError | None]


class WebRefusal(SlotError):
    """An answer that is no success.

    :param status: its HTTP status.
    :param code: the word the API names the error by, where it does.
    :param retry_after: seconds it asks to be left alone for.
    """

    def __init__(
        self, message: str, status: int, *, code: str = "", passing: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message, passing=passing)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class _TimedOutError(SlotError):
    """No answer in time: another try may help, but not at once."""


class _Nobody(AuthBase):
    """Sends no credentials, so that a page is read as anybody would."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        return request


class WebApi:
    """A web API under one base address.

    :param session: carries the credentials.
    :param base_url: its address.
    :param timeout: seconds to wait for an answer.
    """

    def __init__(self, session: requests.Session, base_url: str, timeout: float) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout

    def ask(
        self,
        method: str,
        path: str,
        judge: Judge,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        anonymous: bool = False,
    ) -> requests.Response:
        """Ask once; what changes nothing, or nothing more the second time, up to four times unless it takes too long.

        :param judge: what is wrong with an answer that is neither a redirect nor a passing refusal.
        :raises SlotError: in words that hold neither the address' query nor the body.
        """

        def once() -> requests.Response:
            return self._once(method, path, judge, params, headers, body, anonymous)

        if method not in _SAFE:
            return once()
        retrying = Retrying(
            retry=retry_if_exception(_may_pass_soon),
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
        judge: Judge,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        body: Any,
        anonymous: bool,
    ) -> requests.Response:
        problem: SlotError | None = None
        try:
            answer = self._session.request(
                method,
                f"{self.base_url}/{path.lstrip('/')}",
                params=params,
                headers=dict(headers or {}),
                json=body,
                timeout=self._timeout,
                allow_redirects=False,
                auth=_Nobody() if anonymous else None,
            )
            problem = _passing_or_astray(answer) or judge(answer)
        except requests.Timeout:
            problem = _TimedOutError(f"it did not answer within {self._timeout:g} s", passing=True)
        except requests.RequestException as error:
            problem = SlotError(f"it was not reached, or broke off ({type(error).__name__})", passing=True)
        if problem is not None:
            raise problem
        return answer


def _passing_or_astray(answer: requests.Response) -> SlotError | None:
    status = answer.status_code
    if 300 <= status < 400:
        return WebRefusal(f"HTTP {status}, a redirect: the link was not sent on. Name the final address", status)
    if status in _PASSING or status >= 500:
        wait = HttpResponse(status, answer.headers, b"").retry_after
        return WebRefusal(f"HTTP {status}", status, passing=True, retry_after=wait)
    if status < 300 and _is_page(answer):
        said = (
            f"HTTP {status}, but a page of HTML instead of JSON: a login page, say. Check the address and credentials"
        )
        return WebRefusal(said, status)
    return None


def _is_page(answer: requests.Response) -> bool:
    kind = answer.headers.get("Content-Type", "")
    start = answer.content[:200].decode("utf-8", "replace").lstrip().lower()
    return bool(answer.content) and ("text/html" in kind or start.startswith(_PAGES))


def _may_pass_soon(error: BaseException) -> bool:
    return isinstance(error, SlotError) and not error.permanent and not isinstance(error, _TimedOutError)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, WebRefusal) else None
    return min(asked, _MAX_WAIT) if asked is not None else wait_random_exponential(multiplier=0.2, max=2)(state)
