"""Entries of a headless CMS, or of any other JSON API over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.targets.base import ShownLink, SlotResult, Target
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["HttpJsonTarget", "http_target_name"]

#: Statuses of a concurrent change: the next try reads the entry again.
_CONFLICTS = frozenset({409, 412})
_ADVICE = {
    401: ": check the credentials of the connection",
    403: ": the account has no right to write there. Grant it",
    404: ": nothing exists at the endpoint. Create the entry first, or correct endpoint",
    405: ": the endpoint does not accept this method. Correct method",
    415: ": the endpoint does not accept JSON. Correct endpoint",
}


def http_target_name(base_url: str, endpoint: str) -> str:
    """Return the name of the entries under an endpoint: the same for every connection that leads there."""
    return f"http:{base_url.rstrip('/')}/{endpoint.lstrip('/')}"


class HttpJsonTarget(Target):
    """Sends one request for each slot. The endpoint, headers and body are templates.

    Templates may contain ``{model_id} {audience} {link} {access_token} {valid_until} {link_id}``.

    :param session: a ``requests`` session that carries the connection's credentials.
    :param base_url: the connection's base address.
    :param name: the target's name in the ledger.
    :param former_names: names that earlier versions gave it.
    :param expected: the statuses that count as success.
    :param read_endpoint: the endpoint that readers get the link from; a template. Without it nothing is read back.
    :param clear_json: the body that clears a slot.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        name: str,
        *,
        former_names: Sequence[str] = (),
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
        self.former_names = tuple(former_names)
        self._web = WebApi(session, base_url, timeout)
        self._method = method.upper()
        self._endpoint = endpoint
        self._json = json
        self._headers = dict(headers)
        self._expected = frozenset(expected)
        self._read_endpoint = read_endpoint
        self._clear_json = clear_json

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        values = {key: str(item[key]) for key in ("model_id", "audience")}
        return [f"{self._method} {_filled(self._endpoint, values)}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        values = _values(link)
        endpoint = _filled(self._endpoint, values)
        headers = {name: _filled(text, values) for name, text in self._headers.items()}
        headers.setdefault("Idempotency-Key", self._idempotency_key(slot, link))
        if self._read_endpoint == self._endpoint and "If-Match" not in headers:
            headers |= self._only_if_unchanged(endpoint)
        self._request(self._method, endpoint, headers, _deep(self._json, values))
        return SlotResult({"endpoint": _filled(self._endpoint, _public(link))})

    def _idempotency_key(self, slot: str, link: ShownLink) -> str:
        return hashlib.sha256(f"{self.name}{slot}{link.link_id}".encode()).hexdigest()

    def _only_if_unchanged(self, endpoint: str) -> dict[str, str]:
        """Return ``If-Match`` with the entry's present ``ETag`` if that is a strong one (RFC 9110, 13.1.1)."""
        try:
            etag = self._request("GET", endpoint, {}, None).headers.get("ETag", "")
        except WebRefusal:
            return {}
        return {"If-Match": etag} if etag.startswith('"') else {}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if self._read_endpoint is None:
            return
        response = self._request("GET", _filled(self._read_endpoint, _values(link)), {}, None)
        if link.token.reveal() not in response.text:
            raise SlotError("the write was confirmed, but read_endpoint does not show the new link", passing=True)
        if tokens_of(response.text, link.model_id) - {link.token.reveal()}:
            raise SlotError(
                "read_endpoint shows the new link and another link of the same model: let read_endpoint name the slot "
                "alone, or let json replace what is there"
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> None:
        if self._clear_json is None:
            raise SlotError("the slot cannot be cleared without clear_json: set it, or remove the link by hand")
        self._request(self._method, str(details["endpoint"]), {}, self._clear_json)

    def _request(self, method: str, endpoint: str, headers: Mapping[str, str], body: Any) -> requests.Response:
        expected = self._expected if method == self._method else frozenset({200})
        return self._web.request(method, endpoint, lambda r: _problem_of(r, expected), headers=headers, body=body)


def _problem_of(response: requests.Response, expected: Collection[int]) -> SlotError | None:
    status = response.status_code
    if status not in expected:
        message = f"HTTP {status} instead of {sorted(expected)}{_ADVICE.get(status, '')}"
        return WebRefusal(message, status, passing=status in _CONFLICTS)
    return _error_in_success(response)


def _error_in_success(response: requests.Response) -> SlotError | None:
    """Return the error that the body of a successful response reports."""
    try:
        body = response.json()
    except ValueError:
        return None
    if isinstance(body, dict) and (body.get("errors") or body.get("error") or body.get("ok") is False):
        return WebRefusal(
            f"HTTP {response.status_code}, but the response's body reports an error", response.status_code
        )
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
