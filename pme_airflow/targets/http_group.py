"""The target for an entry or page of a JSON API that lists all spaces of an audience."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.iso_times import iso_text
from pme_airflow.ledger.publications import Publication
from pme_airflow.recipes import Recipe, Section, Step
from pme_airflow.recipes.model import BodyKind
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.addresses import checked_link
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.http_json import Braces, single_request
from pme_airflow.targets.http_requests import StepRun, path_part
from pme_airflow.targets.http_setup import check_api
from pme_airflow.targets.shown_tokens import fingerprints_in, tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["DEFAULT_EACH", "GroupRequest", "HttpGroupTarget"]

#: What the list has of each space, if ``each`` does not say it.
DEFAULT_EACH = {"model_id": "{model_id}", "name": "{name}", "link": "{link}", "valid_until": "{valid_until}"}
#: The text in ``json`` in whose place the list is sent.
_SPACES = "{spaces}"
_PLACEHOLDER = re.compile(r"\{(model_id|audience|link_id|link|access_token|valid_until|name)\}")
_GONE = (404, 410)


@dataclass(frozen=True)
class GroupRequest:
    """The request that writes a list.

    :param endpoint: a template, which may contain ``{audience}``.
    :param json: the body; a text in it that is ``{spaces}`` becomes the list, and others may contain ``{audience}``.
    :param each: what the list has of each space; a template.
    :param read_endpoint: the endpoint that readers get the list from. Without it nothing is read back.
    """

    method: str
    endpoint: str
    json: Any
    each: Any
    headers: Mapping[str, str]
    expected: Collection[int]
    read_endpoint: str | None


class HttpGroupTarget(Target):
    """Sends one request for all slots of an audience.

    :param session: a ``requests`` session that carries the connection's credentials.
    :param base_url: the connection's base address.
    :param name: the target's name in the ledger.
    :param request: the request.
    :raises PMEInputError: if the body has no place for the list.
    """

    shows_names = True

    def __init__(
        self, session: requests.Session, base_url: str, name: str, request: GroupRequest, *, timeout: float = 30.0
    ) -> None:
        if not _has_list(request.json):
            raise PMEInputError(f"has no text {_SPACES}, in whose place the list of spaces is sent", "json")
        self.name = name
        self._request = request
        self._web = WebApi(session, base_url, timeout)

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        return [f"{self._document(str(item['audience']))}{item['model_id']}"]

    def document(self, slot: str) -> str:
        return f"{slot.rpartition('#')[0]}#"

    def place(self, publication: Publication) -> str:
        """The endpoint, whatever the method: a document's name has both."""
        return self.document(publication.slot).partition(" ")[2].lstrip("/")

    def _document(self, audience: str) -> str:
        endpoint = Braces(self._request.endpoint).render({"audience": audience}, path_part)
        return f"{self._request.method} {endpoint}#"

    # ----------------------------------------------------------------- writing

    def write_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotResult | SlotError]:
        failed: dict[str, SlotError] = {}
        links: list[ShownLink] = []
        for slot in slots:
            try:
                if slot.link is not None:
                    checked_link(slot.link.url.reveal())
                    links.append(slot.link)
            except SlotError as error:
                failed[slot.slot] = slot.keeps_former(error)
                links += [slot.former] if slot.former is not None else []
        links.sort(key=lambda link: (link.name.casefold(), link.model_id))
        puts = max(_count(slot.details.get("puts")) for slot in slots) + 1
        ids = ",".join(link.link_id for link in links)
        self._run(Section.PUT, document, _audience(slots), links).send(key=f"{self.name}\n{document}\n{ids}\n{puts}")
        return {**{slot.slot: _result(slot, puts) for slot in slots if slot.changed}, **failed}

    def _run(self, section: Section, document: str, audience: str, links: Sequence[ShownLink] = ()) -> StepRun:
        request = self._request
        endpoint = document.partition(" ")[2].rstrip("#")
        write = Step(
            name="",
            method=request.method,
            endpoint=Braces(endpoint),
            headers={key: Braces(text) for key, text in request.headers.items()},
            body_kind=BodyKind.JSON,
            body=_with_list(request.json, [_filled(request.each, _values(link)) for link in links], audience),
            expected=frozenset(request.expected),
        )
        read_endpoint = request.read_endpoint
        if read_endpoint == request.endpoint:
            read_endpoint = endpoint
        sections = single_request(write, endpoint, read_endpoint, None)
        return StepRun(self._web, Recipe(Braces(document), sections), section, {"audience": audience})

    # ----------------------------------------------------------------- reading

    def read_document(self, document: str, slots: Sequence[DocumentSlot]) -> Mapping[str, SlotError]:
        if self._request.read_endpoint is None:
            return {}
        text = self._run(Section.READ, document, _audience(slots)).send().text
        problems = {slot.slot: _problem_in(text, slot.link) for slot in slots if slot.link is not None}
        return {slot: problem for slot, problem in problems.items() if problem is not None}

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Read each list once."""
        if self._request.read_endpoint is None:
            return None
        by_document: dict[str, list[Publication]] = defaultdict(list)
        for entry in shown:
            by_document[self.document(entry.slot)].append(entry)
        lost: list[str] = []
        for document, entries in by_document.items():
            try:
                text = self._run(Section.READ, document, entries[0].audience).send().text
            except WebRefusal as error:
                if error.status not in _GONE:
                    raise
                text = ""
            lost += [entry.slot for entry in entries if not _still_shows(text, entry)]
        return SlotCheck(lost)

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Read the lists of the items' audiences, without writing."""

        def read(item: Mapping[str, Any]) -> object:
            audience = str(item["audience"])
            return self._run(Section.READ, self._document(audience), audience).send()

        audiences = {str(item["audience"]): item for item in items}
        known = read if self._request.read_endpoint is not None else None
        creates = self._request.method in ("POST", "PUT")
        return list(check_api(self._web.base_url, known, list(audiences.values()), creates))

    # ----------------------------------------------------------------- one slot

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        raise SlotError("this target writes all slots of an audience together")

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        for problem in self.read_document(self.document(slot), [DocumentSlot(slot, link.model_id, link)]).values():
            raise problem


def _result(slot: DocumentSlot, puts: int) -> SlotResult:
    if slot.link is None:
        return SlotResult()
    known = {"puts": puts, "audience": slot.link.audience}  # the audience is needed when no link is left
    return SlotResult({**known, "fingerprint": fingerprint(slot.link.token)})


def _audience(slots: Sequence[DocumentSlot]) -> str:
    audiences = [slot.link.audience if slot.link is not None else slot.details.get("audience") for slot in slots]
    return next((str(audience) for audience in audiences if audience), "")


def _problem_in(text: str, link: ShownLink) -> SlotError | None:
    if link.token.reveal() not in text:
        return SlotError("the write was confirmed, but read_endpoint does not show the new link", passing=True)
    if tokens_of(text, link.model_id) - {link.token.reveal()}:
        return SlotError(
            "read_endpoint shows the new link and another link of the same model: let json replace what is there"
        )
    return None


def _still_shows(text: str, entry: Publication) -> bool:
    wanted = entry.details.get("fingerprint")
    return bool(text) and (wanted is None or wanted in fingerprints_in(text, entry.model_id))


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _values(link: ShownLink) -> dict[str, str]:
    return {
        "model_id": link.model_id,
        "audience": link.audience,
        "link_id": link.link_id,
        "link": link.url.reveal(),
        "access_token": link.token.reveal(),
        "valid_until": iso_text(link.valid_until),
        "name": link.name or link.model_id,
    }


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    if isinstance(template, str):
        return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
    if isinstance(template, Mapping):
        return {key: _filled(inner, values) for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [_filled(inner, values) for inner in template]
    return template


def _with_list(body: Any, spaces: list[Any], audience: str) -> Any:
    """Return a body with the list in its place, and the audience in the other texts."""
    if body == _SPACES:
        return spaces
    if isinstance(body, str):
        return body.replace("{audience}", audience)
    if isinstance(body, Mapping):
        return {key: _with_list(inner, spaces, audience) for key, inner in body.items()}
    if isinstance(body, list | tuple):
        return [_with_list(inner, spaces, audience) for inner in body]
    return body


def _has_list(body: Any) -> bool:
    if isinstance(body, Mapping):
        return any(_has_list(inner) for inner in body.values())
    if isinstance(body, list | tuple):
        return any(_has_list(inner) for inner in body)
    return bool(body == _SPACES)
