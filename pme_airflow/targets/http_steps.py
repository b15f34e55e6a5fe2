"""The target that shows links by a recipe: some requests for each slot, later ones with what earlier ones answered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import requests

from pme_airflow.checks import CheckResult
from pme_airflow.concurrency import read_at_once
from pme_airflow.errors import SlotError
from pme_airflow.iso_times import iso_text
from pme_airflow.ledger.publications import Publication
from pme_airflow.recipes import Recipe, Section
from pme_airflow.recipes.model import PUBLIC_VALUES, SECRET_VALUES
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.addresses import checked_link
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.http_requests import NOT_MODIFIED, StepRun, path_part
from pme_airflow.targets.http_setup import check_api
from pme_airflow.targets.shown_tokens import fingerprints_in, tokens_of
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["HttpStepsTarget", "http_target_name"]

#: One check reads at most this many entries, and takes at most this many seconds.
_MAX_READ = 50
_CHECK_SECONDS = 30.0
_GONE = (404, 410)


def http_target_name(base_url: str, place: str) -> str:
    """Return the name of the target at an endpoint or slot: the same for every connection to the same place."""
    return f"http:{base_url.rstrip('/')}/{place.lstrip('/')}"


@dataclass(frozen=True)
class _Read:
    """A slot that was read: its ``ETag``, or an empty text; ``None`` if it does not show its link."""

    entry: Publication
    etag: str | None


class HttpStepsTarget(Target):
    """Sends the requests of a recipe for each slot.

    :param session: a ``requests`` session that carries the connection's credentials.
    :param base_url: the connection's base address.
    :param name: the target's name in the ledger.
    :param recipe: one of :func:`pme_airflow.recipes.recipe_of`.
    :param former_names: names that earlier versions gave it.
    :param login: the connection's login, which templates may name.
    :param password: the connection's password, which templates may name.
    :param at_once: how many slots are written, read and cleared at the same time. They share the session's cookies.
    """

    #: What read-backs are called in messages.
    reading = "read_back"
    #: What clearing is called in messages.
    clearing = "take_away"

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        name: str,
        recipe: Recipe,
        *,
        former_names: Sequence[str] = (),
        timeout: float = 30.0,
        login: str = "",
        password: SecretStr | None = None,
        at_once: int = 1,
    ) -> None:
        self.name = name
        self.at_once = read_at_once(at_once)
        self.former_names = tuple(former_names)
        self.shows_names = any("name" in recipe.names(section) for section in Section)
        self._recipe = recipe
        self._web = WebApi(session, base_url, timeout, self.at_once)
        self._login = login
        self._password = password or SecretStr("")

    def slots(self, item: Mapping[str, Any]) -> list[str]:
        values = {key: str(item[key]) for key in ("model_id", "audience")}
        return [self._recipe.slot.render(values, path_part)]

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        checked_link(link.url.reveal())
        puts = _count(previous.get("puts"))
        run = self._run(Section.PUT, _values(link))
        run.send(key=f"{self.name}\n{slot}\n{link.link_id}\n{puts}")
        details: dict[str, Any] = {**self.recorded(link), "puts": puts + 1}
        digest = fingerprint(link.token)
        if any(digest in fingerprints_in(body, link.model_id) for body in run.bodies):
            details["fingerprint"] = digest  # by which a check recognises it
        return SlotResult(details, self._recipe.keeps_old)

    def recorded(self, link: ShownLink) -> dict[str, str]:
        """Return what clearing the slot needs to know, without the link."""
        return {name: getattr(link, name) for name in PUBLIC_VALUES}

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        if not self._recipe.steps(Section.READ):
            return
        response = self._run(Section.READ, _values(link)).send()
        if link.token.reveal() not in response.text:
            message = f"the write was confirmed, but {self.reading} does not show the new link"
            raise SlotError(message, passing=True)
        if tokens_of(response.text, link.model_id) - {link.token.reveal()}:
            raise SlotError(
                f"{self.reading} shows the new link and another link of the same model: let {self.reading} name the "
                "slot alone, or let the body replace what is there"
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        if not self._recipe.steps(Section.CLEAR):
            message = f"the slot cannot be cleared without {self.clearing}: set it, or remove the link by hand"
            raise SlotError(message)
        self._run(Section.CLEAR, self.clearing_values(slot, details)).send()
        return SlotResult({}, self._recipe.keeps_old)

    def clearing_values(self, slot: str, details: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the templates of clearing may name."""
        if "model_id" not in details:
            raise SlotError("the slot was recorded by another task, so its recipe cannot clear it: do it by hand")
        return {name: str(details.get(name, "")) for name in PUBLIC_VALUES}

    def place(self, publication: Publication) -> str:
        """The audience and the model, by which the steps find what they clear, whatever the slot is called."""
        return f"{publication.audience}/{publication.model_id}"

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck | None:
        """Read up to 50 slots, the longest unread first; the server sends only those that changed."""
        if not self._readable_later():
            return None
        until = time.monotonic() + _CHECK_SECONDS

        def read(entry: Publication) -> _Read | None:
            return None if time.monotonic() >= until else _Read(entry, self._still_shows(entry))

        entries = sorted(shown, key=lambda e: str(e.details.get("read_at", "")))[:_MAX_READ]
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="pme-check") as pool:
            done = [result for result in pool.map(read, entries) if result is not None]
        return SlotCheck(
            [result.entry.slot for result in done if result.etag is None],
            {r.entry.slot: {**r.entry.details, "etag": r.etag, "read_at": _now()} for r in done if r.etag is not None},
        )

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Read the slots of some models, without writing."""
        known = self._readable_later() and "link_id" not in self._recipe.names(Section.READ)
        section = Section.CHECK if self._recipe.steps(Section.CHECK) else Section.READ if known else None

        def read(item: Mapping[str, Any]) -> object:
            values = {key: str(item[key]) for key in ("model_id", "audience")}
            return self._run(section or Section.CHECK, values).send()

        writing = [step.method for step in self._recipe.steps(Section.PUT) if step.writes]
        creates = writing[-1] in ("POST", "PUT")
        return list(check_api(self._web.base_url, read if section else None, items, creates, self.reading))

    def _readable_later(self) -> bool:
        """Whether a slot can be read when the link is not known any more, only what the ledger stores of it."""
        return bool(self._recipe.steps(Section.READ)) and not self._recipe.names(Section.READ) & {*SECRET_VALUES}

    def _still_shows(self, entry: Publication) -> str | None:
        """Return the ``ETag`` of a slot that shows its link, or an empty text; ``None`` if it does not show it."""
        public = {"model_id": entry.model_id, "audience": entry.audience, "link_id": entry.link_id}
        known = str(entry.details.get("etag") or "")
        headers = {"If-None-Match": known} if known else {}
        try:
            response = self._run(Section.READ, public).send(last_headers=headers)
        except WebRefusal as error:
            if error.status in _GONE:
                return None
            raise
        if response.status_code == NOT_MODIFIED:
            return known
        wanted = entry.details.get("fingerprint")
        if wanted is not None and wanted not in fingerprints_in(response.text, entry.model_id):
            return None
        return response.headers.get("ETag", "")

    def _run(self, section: Section, values: Mapping[str, Any]) -> StepRun:
        connection = {"login": self._login, "password": self._password.reveal()}
        return StepRun(self._web, self._recipe, section, {**values, "connection": connection})


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _values(link: ShownLink) -> dict[str, str]:
    until = iso_text(link.valid_until)
    public = {name: getattr(link, name) for name in PUBLIC_VALUES}
    hidden = {"link": link.url.reveal(), "access_token": link.token.reveal()}
    return {**public, **hidden, "valid_until": until, "name": link.name or link.model_id}
