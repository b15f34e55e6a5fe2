"""The target for a headless CMS, or any other JSON API over HTTP, that takes one request for each slot."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import requests

from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.recipes import Recipe, Section, Step
from pme_airflow.recipes.answers import Keep
from pme_airflow.recipes.model import PUBLIC_VALUES, BodyKind, texts_in
from pme_airflow.recipes.sandbox import as_text
from pme_airflow.recipes.templates import Escape, Reference, Scope, Template, Text
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.http_requests import path_part
from pme_airflow.targets.http_steps import HttpStepsTarget, http_target_name

__all__ = ["Braces", "HttpJsonTarget", "http_target_name", "single_request"]

_PLACEHOLDER = re.compile(r"\{(model_id|audience|link_id|link|access_token|valid_until)\}")

#: What is known of a slot without its link.
_OF_SLOT = PUBLIC_VALUES[:2]
#: Headers that a request without a body does not have.
_OF_WRITES = frozenset({"content-type", "if-match", "idempotency-key"})


class HttpJsonTarget(HttpStepsTarget):
    """Sends one request for each slot. The endpoint, headers and body are templates.

    Templates may contain ``{model_id} {audience} {link} {access_token} {valid_until} {link_id}``.

    :param session: a ``requests`` session that carries the connection's credentials.
    :param base_url: the connection's base address.
    :param name: the target's name in the ledger.
    :param former_names: names that earlier versions gave it.
    :param expected: the statuses that count as success.
    :param read_endpoint: the endpoint that readers get the link from; a template. Without it nothing is read back.
    :param clear_json: the body that clears a slot; a template with ``{model_id}`` and ``{audience}``.
    :param at_once: how many slots are written, read and cleared at the same time.
    """

    reading = "read_endpoint"
    clearing = "clear_json"

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
        at_once: int = 4,
    ) -> None:
        write = Step(
            name="",
            method=method.upper(),
            endpoint=Braces(endpoint),
            headers={key: Braces(text) for key, text in headers.items()},
            body_kind=BodyKind.JSON,
            body=_with_texts(json),
            expected=frozenset(expected),
        )
        recipe = Recipe(
            Braces(f"{write.method} {endpoint}"), single_request(write, endpoint, read_endpoint, clear_json)
        )
        super().__init__(session, base_url, name, recipe, former_names=former_names, timeout=timeout, at_once=at_once)
        self._endpoint = write.endpoint
        texts = texts_in(_with_texts(clear_json))
        self._clearing_names = {reference.name for text in texts for reference in text.references}

    def recorded(self, link: ShownLink) -> dict[str, str]:
        public = {name: getattr(link, name) for name in PUBLIC_VALUES}
        return {
            "endpoint": self._endpoint.render(public, path_part), "model_id": link.model_id, "audience": link.audience,
        }  # fmt: skip

    def clearing_values(self, slot: str, details: Mapping[str, Any]) -> dict[str, Any]:
        known = {name: str(details[name]) for name in _OF_SLOT if name in details}
        if not self._clearing_names <= set(known):
            raise SlotError(
                "clear_json cannot be filled in for a slot that an earlier version recorded: clear it by hand, or "
                "publish it once more"
            )
        return {**known, "endpoint": _endpoint_of(slot, details)}

    def place(self, publication: Publication) -> str:
        """The endpoint, whatever the method: a slot's name has both."""
        return _endpoint_of(publication.slot, publication.details).lstrip("/")


def _endpoint_of(slot: str, details: Mapping[str, Any]) -> str:
    return str(details.get("endpoint") or slot.partition(" ")[2])


class Braces(Text):
    """A text with placeholders such as ``{model_id}``; other braces stay as they are."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.references = tuple(Reference(name) for name in _PLACEHOLDER.findall(source))

    def render(self, scope: Scope, escape: Escape = as_text) -> str:
        return _PLACEHOLDER.sub(lambda m: escape(scope[m[1]]) if m[1] in scope else m[0], self.source)


class _HeaderOfSlot(Braces):
    """A header that needs no link; it is left out where what it names is not known."""

    def render(self, scope: Scope, escape: Escape = as_text) -> str:
        known = all(reference.name in scope for reference in self.references)
        return super().render(scope, escape) if known else ""


class _RecordedEndpoint(Text):
    """The endpoint that a link was written to."""

    def render(self, scope: Scope, escape: Escape = as_text) -> str:
        return str(scope["endpoint"])


def single_request(
    write: Step, endpoint: str, read_endpoint: str | None, clear_json: Any
) -> dict[Section, tuple[Step, ...]]:
    """Return the steps of a single request: reading the entry before, if it is the one that is read back.

    Reading and clearing have the headers of the write that need no link.
    """
    headers = _headers_of_slot(write)
    reading = {name: text for name, text in headers.items() if name.lower() not in _OF_WRITES}
    sections: dict[Section, tuple[Step, ...]] = {Section.PUT: (write,)}
    if read_endpoint is not None:
        read = Step("", "GET", Braces(read_endpoint), reading, expected=frozenset({200}))
        sections[Section.READ] = (read,)
        if read_endpoint == endpoint and "if-match" not in map(str.lower, write.headers):
            sections[Section.PUT] = _only_if_unchanged(write, reading)
    if clear_json is not None:
        body = _with_texts(clear_json)
        clear = Step("", write.method, _RecordedEndpoint(), headers, BodyKind.JSON, body, write.expected)
        sections[Section.CLEAR] = (clear,)
    return sections


def _headers_of_slot(write: Step) -> dict[str, Text]:
    """Return the headers of a write that a request without the link can have."""
    texts = {name: text for name, text in write.headers.items() if isinstance(text, Braces)}
    return {
        name: _HeaderOfSlot(text.source)
        for name, text in texts.items()
        if all(reference.name in _OF_SLOT for reference in text.references)
    }


def _only_if_unchanged(write: Step, reading: Mapping[str, Text]) -> tuple[Step, Step]:
    """Return a step with the one before it that reads the entry's ``ETag``, which the write sends back.

    An entry that cannot be read is written all the same: it may not exist yet.
    """
    etag = Keep(("etag",), header="ETag", default="")
    before = Step("before", "GET", write.endpoint, reading, expected=frozenset({200}), keep=(etag,), optional=True)
    headers = {**write.headers, "If-Match": Template("{{ before.etag | strong_etag }}")}
    return before, replace(write, headers=headers)


def _with_texts(value: Any) -> Any:
    if isinstance(value, str):
        return Braces(value)
    if isinstance(value, Mapping):
        return {key: _with_texts(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(inner) for inner in value]
    return value
