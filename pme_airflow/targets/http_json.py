"""A slot in a headless CMS or any other JSON API over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["HttpJsonTarget"]

#: Somebody else wrote meanwhile: another try reads anew what they did.
_PASSING = frozenset({409, 412})
_CURES = {
    401: ": check the credentials of the connection",
    403: ": the account may not write there. Give it the right to",
    404: ": there is nothing at the endpoint. Make the entry first, or check the path",
    405: ": the endpoint does not take this method. Check method",
    415: ": the endpoint takes no JSON. Check the path",
}


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
        self._web = WebApi(session, base_url, timeout)
        self._method = method.upper()
        self._endpoint = endpoint
        self._json = json
        self._headers = dict(headers)
        self._expected = frozenset(expected)
        self._read_endpoint = read_endpoint
        self._clear_json = clear_json

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        known = {key: str(item[key]) for key in ("model_id", "audience")}
        return [f"{self._method} {_filled(self._endpoint, known)}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> dict[str, Any]:
        values = _values(link)
        headers = {name: _filled(text, values) for name, text in self._headers.items()}
        headers.setdefault("Idempotency-Key", hashlib.sha256(f"{self.name}{slot}{link.link_id}".encode()).hexdigest())
        if self._read_endpoint == self._endpoint and "If-Match" not in headers:
            headers |= self._only_if_unchanged(_filled(self._endpoint, values))
        self._ask(self._method, _filled(self._endpoint, values), headers, _deep(self._json, values))
        return {"endpoint": _filled(self._endpoint, _public(link))}

    def _only_if_unchanged(self, endpoint: str) -> dict[str, str]:
        """``If-Match`` with the ``ETag`` the slot has now, where a strong one is offered (RFC 9110, 13.1.1)."""
        try:
            tag = self._ask("GET", endpoint, {}, None).headers.get("ETag", "")
        except WebRefusal:
            return {}
        return {"If-Match": tag} if tag.startswith('"') else {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self._read_endpoint is None:
            return
        answer = self._ask("GET", _filled(self._read_endpoint, _values(link)), {}, None)
        if link.token.reveal() not in answer.text:
            raise SlotError("the target confirmed, but does not show the new link when read back", passing=True)
        if tokens_of(answer.text, link.model_id) - {link.token.reveal()}:
            raise SlotError(
                "it shows the new link and another of the model beside it: let read_endpoint name the slot alone, or "
                "json replace what stands there"
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        if self._clear_json is None:
            raise SlotError("it is not known how to clear this slot: give clear_json, or take the link out by hand")
        self._ask(self._method, str(details["endpoint"]), {}, self._clear_json)

    def _ask(self, method: str, endpoint: str, headers: Mapping[str, str], body: Any) -> requests.Response:
        expected = self._expected if method == self._method else frozenset({200})
        return self._web.ask(method, endpoint, lambda answer: _judged(answer, expected), headers=headers, body=body)


def _judged(answer: requests.Response, expected: Collection[int]) -> SlotError | None:
    status = answer.status_code
    if status not in expected:
        said = f"HTTP {status} instead of {sorted(expected)}{_CURES.get(status, '')}"
        return WebRefusal(said, status, passing=status in _PASSING)
    return _said_error(answer)


def _said_error(answer: requests.Response) -> SlotError | None:
    """An error inside of an answer that calls itself a success."""
    try:
        body = answer.json()
    except ValueError:
        return None
    if isinstance(body, dict) and (body.get("errors") or body.get("error") or body.get("ok") is False):
        return WebRefusal(f"HTTP {answer.status_code} with an error inside", answer.status_code)
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
