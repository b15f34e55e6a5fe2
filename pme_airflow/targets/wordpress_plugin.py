"""The REST API of the plugin pme-embed: whether it is there, its version, and the links that it stores."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_answers import code_of, json_of
from pme_airflow.targets.wordpress_rest import WordPressApi

__all__ = ["PLUGIN_API", "PluginApi", "PluginStatus", "StoredLink"]

#: The version of the plugin's REST API that this package speaks.
PLUGIN_API = 1
_NAMESPACE = "pme/v1"
_PER_REQUEST = 100
_UPDATE = "write it with `pme-airflow wordpress-plugin > pme-embed.zip`, and upload it under Plugins > Add New"
_VERSION = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){0,3}")
#: Statuses with which a web server or a firewall refuses a method.
_METHOD_REFUSED = frozenset({403, 405, 501})
_BLOCKED = (
    "from something in front of WordPress (a firewall, a security plugin or the web server): let /wp-json/pme/v1/ "
    "through, with GET, PUT and DELETE"
)


@dataclass(frozen=True)
class PluginStatus:
    """The plugin of a site.

    :param version: the plugin's version.
    :param for_everybody: whether every visitor may see spaces.
    :param sealed: whether the key to the stored links is kept outside of the database.
    """

    version: str
    for_everybody: bool
    sealed: bool


@dataclass(frozen=True)
class StoredLink:
    """What the plugin stores for a model; the fingerprint is empty where it cannot be opened any more."""

    fingerprint: str
    slot: str


class PluginApi:
    """The plugin of one site.

    :param api: the site.
    """

    def __init__(self, api: WordPressApi) -> None:
        self._api = api

    @cached_property
    def is_active(self) -> bool:
        """Whether the site's REST index names the plugin. Where the index is blocked, the plugin itself is asked."""
        try:
            index = self._api.call("GET", "", "", _problem, _fresh({"_fields": "namespaces"}))
        except WebRefusal as error:
            if not error.permanent:
                raise
            return self._answers()
        namespaces = index.get("namespaces") if isinstance(index, Mapping) else None
        return isinstance(namespaces, list) and _NAMESPACE in namespaces

    def _answers(self) -> bool:
        try:
            self._call("GET", "status")
        except WebRefusal as error:
            if not error.permanent:
                raise
            return bool(error.code) and error.code.startswith("pme_")
        return True

    @cached_property
    def status(self) -> PluginStatus:
        """The plugin's version and settings.

        :raises SlotError: if its API is not the one that this package speaks.
        """
        found = self._call("GET", "status")
        api = found.get("api") if isinstance(found, Mapping) else None
        if not isinstance(api, int):
            raise SlotError(f"/wp-json/pme/v1/status did not answer as the plugin does: HTTP 200 {_BLOCKED}")
        version = _version_of(found)
        if api < PLUGIN_API:
            raise SlotError(f"the plugin pme-embed {version} is older than this pme-airflow: {_UPDATE}")
        if api > PLUGIN_API:
            raise SlotError(f"the plugin pme-embed {version} is newer than this pme-airflow: upgrade pme-airflow")
        return PluginStatus(version, found.get("rule") == "everybody", bool(found.get("sealed")))

    def store(self, link: ShownLink, slot: str) -> None:
        """Store a link in place of the model's former one. Whether it was stored is known once it is read back."""
        body = {
            "link": link.url.reveal(), "access_token": link.token.reveal(), "audience": link.audience, "slot": slot,
            "name": link.name, "valid_until": link.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        self._write("PUT", f"links/{link.model_id}", {}, body)

    def stored(self, model_id: str) -> StoredLink | None:
        """Return what is stored for a model."""
        try:
            found = self._call("GET", f"links/{model_id}")
        except WebRefusal as error:
            if error.code == "pme_no_link":
                return None
            raise
        if not isinstance(found, Mapping) or found.get("model_id") != model_id:
            raise SlotError("the plugin did not answer with the model's record: does a cache answer?", passing=True)
        return _stored(found)

    def stored_links(self, model_ids: Sequence[str]) -> dict[str, StoredLink]:
        """Return what is stored for models, in one request for 100."""
        found: dict[str, StoredLink] = {}
        for start in range(0, len(model_ids), _PER_REQUEST):
            named = ",".join(model_ids[start : start + _PER_REQUEST])
            entries = self._call("GET", "links", {"models": named})
            if not isinstance(entries, list):
                raise SlotError("the plugin did not answer with a list of links: does a cache answer?", passing=True)
            found |= {str(entry.get("model_id")): _stored(entry) for entry in entries if isinstance(entry, Mapping)}
        return found

    def erase(self, model_id: str, fingerprint: str) -> None:
        """Erase a model's link if it still is the one with this fingerprint."""
        try:
            self._write("DELETE", f"links/{model_id}", {"fingerprint": fingerprint} if fingerprint else {})
        except WebRefusal as error:
            if error.code != "rest_no_route":  # without the plugin nothing is stored
                raise

    def token_for_visitors(self, source: str) -> AccessToken | None:
        """Return the token that a visitor's browser reads at an address of a page; ``None`` if there is none.

        :raises SlotError: if visitors are refused.
        """
        answer = self._api.for_visitors(source, _visitor_problem)
        found = json_of(answer)
        token = found.get("access_token") if isinstance(found, Mapping) else None
        return AccessToken(token) if isinstance(token, str) and token else None

    def _write(self, method: str, path: str, query: Mapping[str, Any], body: Any = None) -> None:
        """Send a request that changes something, as a POST where a firewall refuses its method."""
        try:
            self._call(method, path, query, body)
        except WebRefusal as error:
            if error.code or error.status not in _METHOD_REFUSED:
                raise
            self._call("POST", path, {"_method": method, **query}, body)

    def _call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        return self._api.call(method, _NAMESPACE, path, _problem, _fresh(query or {}), body)


def _fresh(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query that no cache has an answer for."""
    return {**query, "_": str(time.time_ns())}


def _version_of(status: Mapping[str, Any]) -> str:
    """Return the plugin's version. A text that is none is left out, since it gets into messages."""
    version = status.get("version")
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else "of an unknown version"


def _stored(record: Mapping[str, Any]) -> StoredLink:
    return StoredLink(str(record.get("fingerprint") or ""), str(record.get("slot") or ""))


def _problem(answer: requests.Response) -> SlotError | None:
    if answer.status_code < 300:
        return None
    code = code_of(answer)
    return WebRefusal(_message(answer, code), answer.status_code, code=code)


def _message(answer: requests.Response, code: str) -> str:
    status = answer.status_code
    if not code:
        return f"HTTP {status} {_BLOCKED}"
    if code == "rest_no_route":
        return f"the plugin pme-embed is not active on this site, or too old: {_UPDATE}, and activate it"
    if code == "pme_may_not_manage":
        return (
            f"HTTP {status} ({code}): the account may not write links. Give it the role editor or the capability "
            "manage_pme_links, and check its application password"
        )
    if code == "pme_other_audience":
        return (
            f"HTTP {status} ({code}): the plugin shows the model to another audience, and a site has one link a model. "
            "Name the model in one placement for this site"
        )
    if code == "pme_ended":
        return f"HTTP {status} ({code}): the link has ended by the clock of the site's server: correct that clock"
    if code == "pme_invalid_link":
        return (
            f"HTTP {status} ({code}): the plugin does not show links of this host: add it under Tools > Private spaces"
        )
    return f"HTTP {status} ({code})"


def _visitor_problem(answer: requests.Response) -> SlotError | None:
    status = answer.status_code
    if status < 400:
        return None
    code = code_of(answer)
    if code == "pme_no_link":
        return WebRefusal("visitors are shown no link although one is stored", status, code=code, passing=True)
    reason = f"({code})" if code else _BLOCKED
    return WebRefusal(f"visitors of the page are refused the link: HTTP {status} {reason}", status, code=code)
