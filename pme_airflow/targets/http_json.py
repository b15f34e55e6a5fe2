"""A slot in a headless CMS or any other JSON API over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import requests

from pme_airflow.rotation.publish import PMESlotError, ShownLink, Target

__all__ = ["HttpJsonTarget"]

_PASSING = frozenset({408, 409, 412, 425, 429})


class HttpJsonTarget(Target):
    """One request a slot; the endpoint, headers and body are templates over the link.

    Templates know ``{model_id} {audience} {link} {access_token} {valid_until} {link_id}``.

    :param session: a ``requests`` session that carries the connection's credentials.
    :param base_url: the connection's base address.
    :param name: names the target in the ledger.
    :param read_endpoint: where a reader would find the link; a template. Without it the answer alone is looked at.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        name: str,
        *,
        method: str,
        endpoint: str,
        json: Any,
        headers: Mapping[str, str],
        expected: Collection[int],
        read_endpoint: str | None,
        clear_json: Any,
        timeout: float,
    ) -> None:
        self.name = name
        self._session = session
        self._base = base_url.rstrip("/")
        self._method = method.upper()
        self._endpoint = endpoint
        self._json = json
        self._headers = dict(headers)
        self._expected = frozenset(expected)
        self._read_endpoint = read_endpoint
        self._clear_json = clear_json
        self._timeout = timeout

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        known = {key: str(item[key]) for key in ("model_id", "audience")}
        return [f"{self._method} {_filled(self._endpoint, known)}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        values = _values(link)
        headers = {name: _filled(text, values) for name, text in self._headers.items()}
        headers.setdefault("Idempotency-Key", hashlib.sha256(f"{self.name}{slot}{link.link_id}".encode()).hexdigest())
        if self._read_endpoint is not None and "If-Match" not in headers:
            headers |= self._only_if_unchanged(_filled(self._read_endpoint, values))
        self._ask(self._method, _filled(self._endpoint, values), headers, _deep(self._json, values))
        return {"endpoint": _filled(self._endpoint, _public(link))}

    def _only_if_unchanged(self, endpoint: str) -> dict[str, str]:
        """``If-Match`` with the ``ETag`` the slot has now, where it is offered (RFC 9110, 13.1.1)."""
        try:
            held = self._ask("GET", endpoint, {}, None)
        except PMESlotError:
            return {}
        return {"If-Match": held.headers["ETag"]} if "ETag" in held.headers else {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self._read_endpoint is None:
            return
        answer = self._ask("GET", _filled(self._read_endpoint, _values(link)), {}, None)
        if link.token.reveal() not in answer.text:
            raise PMESlotError("the target confirmed, but does not show the new link when read back", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        if self._clear_json is None:
            raise PMESlotError("it is not known how to clear this slot: give clear_json, or take the link out by hand")
        self._ask(self._method, str(details["endpoint"]), {}, self._clear_json)

    def _ask(self, method: str, endpoint: str, headers: Mapping[str, str], body: Any) -> requests.Response:
        problem: PMESlotError | None = None
        answer: requests.Response | None = None
        try:
            answer = self._session.request(
                method,
                f"{self._base}/{endpoint.lstrip('/')}",
                headers=dict(headers),
                json=body,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            problem = PMESlotError(f"the target was not reached ({type(error).__name__})", passing=True)
        if answer is not None:
            problem = self._judged(method, answer)
        if problem is not None or answer is None:
            raise problem or PMESlotError("the target gave no answer", passing=True)
        return answer

    def _judged(self, method: str, answer: requests.Response) -> PMESlotError | None:
        status = answer.status_code
        if 300 <= status < 400:
            return PMESlotError(f"HTTP {status}, a redirect: the link was not sent on. Name the final address")
        expected = self._expected if method == self._method else frozenset({200})
        if status not in expected:
            passing = status >= 500 or status in _PASSING
            return PMESlotError(f"HTTP {status} instead of {sorted(expected)}", passing=passing)
        if answer.content and "html" in answer.headers.get("Content-Type", ""):
            return PMESlotError(f"HTTP {status}, but a page of HTML instead of JSON: a login page, say")
        return _said_error(answer)


def _said_error(answer: requests.Response) -> PMESlotError | None:
    """An error inside of an answer that calls itself a success."""
    try:
        body = answer.json()
    except ValueError:
        return None
    if isinstance(body, dict) and (body.get("errors") or body.get("error")) and not body.get("data"):
        return PMESlotError(f"HTTP {answer.status_code} with an error inside")
    return None


def _public(link: ShownLink) -> dict[str, str]:
    return {"model_id": link.model_id, "audience": link.audience, "link_id": link.link_id}


def _values(link: ShownLink) -> dict[str, str]:
    until = link.valid_until.isoformat().replace("+00:00", "Z")
    hidden = {"link": link.url.reveal(), "access_token": link.token.reveal()}
    return {**_public(link), **hidden, "valid_until": until}


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _deep(value: Any, values: Mapping[str, str]) -> Any:
    return _walk(value, lambda text: _filled(text, values))


def _walk(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {key: _walk(inner, fill) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(inner, fill) for inner in value]
    return value
