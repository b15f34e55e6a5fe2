"""The target for a headless CMS, or any other JSON API over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from urllib.parse import quote

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.addresses import checked_link
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.http_setup import check_api
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["HttpJsonTarget", "http_target_name"]

#: Statuses of a concurrent change: the next try reads the entry again.
_CONFLICTS = frozenset({409, 412})
#: Fields of a link that the ledger does not store, so an address that contains one cannot be built for a later check.
_SECRET_FIELDS = ("{link}", "{access_token}", "{valid_until}")
#: One check reads at most this many entries, and takes at most this many seconds.
_MAX_READ = 50
_CHECK_SECONDS = 30.0
#: A whole field that may be a token.
_WORD = re.compile(r"[A-Za-z0-9._~-]{8,512}")
_MAX_WORDS = 20_000
_ADVICE = {
    401: ": check the credentials of the connection",
    403: ": the account has no right to write there. Grant it",
    404: ": nothing exists at the endpoint. Create the entry first, or correct endpoint",
    405: ": the endpoint does not accept this method. Correct method",
    415: ": the endpoint does not accept JSON. Correct endpoint",
}


def http_target_name(base_url: str, endpoint: str) -> str:
    """Return the name of the target at an endpoint: the same for every connection to the same place."""
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
        return [f"{self._method} {_path(self._endpoint, values)}"]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        checked_link(link.url.reveal())
        values = _values(link)
        endpoint = _path(self._endpoint, values)
        headers = {name: _filled(text, values) for name, text in self._headers.items()}
        puts = _count(previous.get("puts"))
        headers.setdefault("Idempotency-Key", self._idempotency_key(slot, link, puts))
        if self._read_endpoint == self._endpoint and "If-Match" not in headers:
            headers |= self._only_if_unchanged(endpoint)
        body = _deep(self._json, values)
        self._request(self._method, endpoint, headers, body)
        details: dict[str, Any] = {"endpoint": _path(self._endpoint, _public(link)), "puts": puts + 1}
        digest = fingerprint(link.token)
        if digest in _fingerprints_in(json.dumps(body), link.model_id):
            details["fingerprint"] = digest  # by which a check recognises it
        return SlotResult(details)

    def _idempotency_key(self, slot: str, link: ShownLink, puts: int) -> str:
        """Return a key that every attempt of one put shares, and that differs when the link is put again later."""
        return hashlib.sha256(f"{self.name}\n{slot}\n{link.link_id}\n{puts}".encode()).hexdigest()

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
        response = self._request("GET", _path(self._read_endpoint, _values(link)), {}, None)
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
        endpoint = str(details.get("endpoint") or slot.partition(" ")[2])
        self._request(self._method, endpoint, {}, self._clear_json)

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Read up to 50 entries, the longest unread first; the server sends only those that changed."""
        if self._read_endpoint is None or any(name in self._read_endpoint for name in _SECRET_FIELDS):
            return None
        lost: list[str] = []
        details: dict[str, dict[str, Any]] = {}
        until = time.monotonic() + _CHECK_SECONDS
        for entry in sorted(shown, key=lambda e: str(e.details.get("read_at", "")))[:_MAX_READ]:
            if time.monotonic() >= until:
                break
            etag = self._still_shows(self._read_endpoint, entry)
            if etag is None:
                lost.append(entry.slot)
            else:
                details[entry.slot] = {**entry.details, "etag": etag, "read_at": _now()}
        return SlotCheck(lost, details)

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Read the entries of some models."""
        template = self._read_endpoint
        known = template is not None and not any(name in template for name in (*_SECRET_FIELDS, "{link_id}"))

        def read(item: Mapping[str, Any]) -> object:
            values = {key: str(item[key]) for key in ("model_id", "audience")}
            return self._web.request("GET", _path(str(template), values), _problem_of_read)

        creates = self._method in ("POST", "PUT")
        return list(check_api(self._web.base_url, read if known else None, items, creates))

    def _still_shows(self, read_endpoint: str, entry: Publication) -> str | None:
        """Return the ``ETag`` of an entry that shows its link, or an empty text; ``None`` if it does not show it."""
        public = {"model_id": entry.model_id, "audience": entry.audience, "link_id": entry.link_id}
        known = str(entry.details.get("etag") or "")
        headers = {"If-None-Match": known} if known else {}
        try:
            response = self._web.request("GET", _path(read_endpoint, public), _problem_of_read, headers=headers)
        except WebRefusal as error:
            if error.status in (404, 410):
                return None
            raise
        if response.status_code == 304:
            return known
        wanted = entry.details.get("fingerprint")
        if wanted is not None and wanted not in _fingerprints_in(response.text, entry.model_id):
            return None
        return response.headers.get("ETag", "")

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
    except (ValueError, RecursionError):
        return None
    if isinstance(body, dict) and (body.get("errors") or body.get("error") or body.get("ok") is False):
        return WebRefusal(
            f"HTTP {response.status_code}, but the response's body reports an error", response.status_code
        )
    return None


def _problem_of_read(response: requests.Response) -> SlotError | None:
    return None if response.status_code == 304 else _problem_of(response, frozenset({200}))


def _fingerprints_in(text: str, model_id: str) -> set[str]:
    """Return the fingerprints of a model's tokens in a text, and of the words that may be a token by themselves."""
    words = {match[0] for match in islice(_WORD.finditer(text), _MAX_WORDS)}
    return {fingerprint(AccessToken(token)) for token in tokens_of(text, model_id) | words}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _public(link: ShownLink) -> dict[str, str]:
    return {"model_id": link.model_id, "audience": link.audience, "link_id": link.link_id}


def _values(link: ShownLink) -> dict[str, str]:
    until = link.valid_until.isoformat().replace("+00:00", "Z")
    hidden = {"link": link.url.reveal(), "access_token": link.token.reveal()}
    return {**_public(link), **hidden, "valid_until": until}


def _path(template: str, values: Mapping[str, str]) -> str:
    """Fill in an endpoint; a value stays one part of the path or the query, whatever is in it."""
    return _filled(template, {name: quote(value, safe="") for name, value in values.items()})


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
