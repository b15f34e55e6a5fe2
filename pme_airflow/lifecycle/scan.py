"""The scan use case: search places for the tokens of live links, and flag and revoke what is found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import OpenPlace, Unread
from pme_airflow.leaks.stream_search import Hit, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.flag import Flagging
from pme_airflow.lifecycle.leak_response import Responder
from pme_airflow.lifecycle.services import Services
from pme_airflow.secrets import AccessToken

__all__ = ["DEFAULT_REASON", "ScanFinding", "ScanRequest", "ScanResult", "scan"]

log = logging.getLogger(__name__)
DEFAULT_REASON = "found by a scan"


@dataclass(frozen=True)
class ScanRequest:
    """What to scan, and what to do with what is found.

    :param places: files, folders, or URLs of object stores.
    :param open_place: lists what is to be read at a place.
    :param run_context: who scans; recorded with each flag.
    :param flag: whether to flag the links that are found, so that the next sweep revokes them.
    :param sweep: whether to flag and revoke them now.
    :param reason: why; recorded with each flag.
    :param on_read: called with the number of bytes of each chunk, to show progress.
    """

    places: Sequence[str]
    open_place: OpenPlace
    run_context: RunContext
    flag: bool = False
    sweep: bool = False
    reason: str = DEFAULT_REASON
    on_read: Callable[[int], None] | None = None


@dataclass(frozen=True)
class ScanFinding:
    """A live token found at one place.

    :param path: the file or object; members of archives follow a ``!``.
    :param offset: bytes from its start.
    """

    fingerprint: str
    link_id: str
    model_id: str
    audience: str
    path: str
    offset: int

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON, without the token."""
        return asdict(self)


@dataclass(frozen=True)
class ScanResult:
    """What a scan found, and what it could not search."""

    findings: tuple[ScanFinding, ...]
    unread: tuple[Unread, ...]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the links that were found, each once, sorted."""
        return tuple(sorted({finding.fingerprint for finding in self.findings}))

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 where links were found, 2 where a part was not searched, else 0."""
        return 1 if self.findings else 2 if self.unread else 0

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form, without tokens."""
        return {
            "findings": [finding.as_json() for finding in self.findings],
            "problems": [str(unread) for unread in self.unread],
        }


def scan(services: Services, request: ScanRequest) -> ScanResult:
    """Search places for the tokens of live links; flag and revoke what is found where the request says so.

    :raises PMEInputError: if there is no place, or nothing is at one.
    """
    if not request.places:
        raise PMEInputError("paths: is empty. Name at least one file, folder or URL.")
    matcher, links = _live_tokens(services)
    reader = ScanReader(matcher.longest_form_bytes, request.on_read)
    sources = (source for place in request.places for source in request.open_place(place))
    findings = tuple(_finding(hit, links[hit.fingerprint]) for hit in search(matcher, reader.chunks(sources)))
    result = ScanResult(findings, tuple(reader.unread))
    if result.fingerprints and (request.flag or request.sweep):
        _respond(services, request, result.fingerprints)
    return result


def _live_tokens(services: Services) -> tuple[TokenMatcher, dict[str, LinkRow]]:
    """Return a matcher for every live token that the connection's keys open, of any client; and each one's link."""
    tokens: list[AccessToken] = []
    links: dict[str, LinkRow] = {}
    unopened = 0
    for row, opened in services.live_links():
        if opened is None:
            unopened += 1
            continue
        tokens.append(opened.token)
        links[row.fingerprint or ""] = row
    if unopened:
        log.warning("%d live links cannot be searched for: no key of the connection opens them.", unopened)
    return TokenMatcher(tokens), links


def _finding(hit: Hit, link: LinkRow) -> ScanFinding:
    return ScanFinding(hit.fingerprint, link.link_id, link.model_id, link.audience, hit.path, hit.offset)


def _respond(services: Services, request: ScanRequest, fingerprints: tuple[str, ...]) -> None:
    responder = Responder(services, request.run_context)
    report = responder.flag(Flagging(fingerprints), None, request.reason)
    if request.sweep:
        responder.sweep(report)
