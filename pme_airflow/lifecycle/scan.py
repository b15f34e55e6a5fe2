"""The scan use case: search places for the tokens of live links, and flag and revoke what is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.encodings import MASK, redact
from pme_airflow.leaks.files import OpenPlace, Source, Unread
from pme_airflow.leaks.stream_search import Hit, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.ledger.link_models import named_models
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.leak_response import LeakRequest, LeakResponse, respond
from pme_airflow.lifecycle.services import Services
from pme_airflow.secrets import AccessToken

__all__ = ["DEFAULT_REASON", "MAX_LISTED_PLACES", "ScanFinding", "ScanRequest", "ScanResult", "scan"]

DEFAULT_REASON = "found by a scan"
#: So many places of a link in one file are listed; the others are counted.
MAX_LISTED_PLACES = 100


@dataclass(frozen=True)
class ScanRequest:
    """What to scan, and what to do with what is found.

    :param places: files, folders, or URLs of object stores.
    :param open_place: lists what is to be read at a place.
    :param run_context: who scans; recorded with each flag.
    :param flag: whether to flag the links that are found, so that the next sweep revokes them.
    :param sweep: whether to flag and revoke them now.
    :param reason: why; recorded with each flag.
    :param deadline: how long a sweep may go on without a confirmation; ``None`` for no limit.
    :param on_read: called with the number of bytes of each chunk, to show progress.
    :param repositories: git repositories whose history alone is scanned.
    :param open_repository: lists what is to be read of one; needed where there are any.
    :param on_selected: called with the links that are about to be flagged; an error of this package that it raises
        keeps them from it.
    """

    places: Sequence[str]
    open_place: OpenPlace
    run_context: RunContext
    flag: bool = False
    sweep: bool = False
    reason: str = DEFAULT_REASON
    deadline: timedelta | None = None
    on_read: Callable[[int], None] | None = None
    repositories: Sequence[str] = ()
    open_repository: OpenPlace | None = None
    on_selected: Callable[[Sequence[LinkRow]], None] | None = None

    @property
    def opened(self) -> Iterator[tuple[str, OpenPlace]]:
        """The places and repositories, each with what opens it."""
        yield from ((place, self.open_place) for place in self.places)
        if self.open_repository is not None:
            yield from ((place, self.open_repository) for place in self.repositories)


@dataclass(frozen=True)
class ScanFinding:
    """A live token found at one place.

    :param path: the file or object; members of archives follow a ``!``.
    :param offset: bytes from its start.
    :param models: all models that the token opens; ``model_id`` is the first of them.
    :param more: how many places of the token in the same file are not listed; at the last one that is.
    """

    fingerprint: str
    link_id: str
    model_id: str
    audience: str
    path: str
    offset: int
    models: tuple[str, ...] = ()
    more: int = 0

    @property
    def named_models(self) -> str:
        """The models that the token opens, for a message."""
        return named_models(self.models or (self.model_id,))

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON, without the token; a path that is no Unicode is escaped."""
        found = {**asdict(self), "path": self.path.encode(errors="backslashreplace").decode()}
        left_out = {
            name for name, is_left_out in (("models", len(self.models) < 2), ("more", not self.more)) if is_left_out
        }
        return {name: value for name, value in found.items() if name not in left_out}


@dataclass(frozen=True)
class ScanResult:
    """What a scan found and could not search, and the response to it.

    :param response: what was flagged and revoked; ``None`` if nothing was found, or no flag was asked for.
    :param response_error: why nothing was flagged although it was asked for.
    """

    findings: tuple[ScanFinding, ...]
    unread: tuple[Unread, ...]
    response: LeakResponse | None = None
    response_error: PMEError | None = None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the links that were found, each once, sorted."""
        return tuple(sorted({finding.fingerprint for finding in self.findings}))

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 if links were found, 2 if a part was not searched, else 0."""
        return 1 if self.findings else 2 if self.unread else 0

    @property
    def permanent(self) -> bool:
        """Whether trying the same scan again cannot help before a person changes something."""
        errors = [error for error in (self.response_error,) if error is not None]
        response = self.response is not None and not self.response.promise_kept and not self.response.permanent
        return not response and all(unread.permanent for unread in self.unread) and all(e.permanent for e in errors)

    @property
    def problems(self) -> list[str]:
        """What was not searched, flagged or revoked although it was asked for, a sentence each."""
        response = self.response.lines() if self.response is not None else []
        errors = [f"Nothing was flagged: {self.response_error}"] if self.response_error is not None else []
        return [*map(str, self.unread), *errors, *response]

    def as_json(self) -> dict[str, Any]:
        """Return the XCom form, without tokens."""
        return {"findings": [finding.as_json() for finding in self.findings], "problems": self.problems}


def scan(services: Services, request: ScanRequest) -> ScanResult:
    """Search places for the tokens of live links; flag and revoke what is found where the request says so.

    A place that cannot be searched is in the result, and so is an error of the flag or the sweep: findings from
    other places are never lost.

    :raises PMEInputError: if there is no place.
    """
    if not request.places and not request.repositories:
        raise PMEInputError("paths: is empty. Name at least one file, folder or URL, or a repository.")
    matcher, links, unread = _live_tokens(services)
    reader = ScanReader(matcher.longest_form_bytes, request.on_read)
    hits = search(matcher, reader.chunks(_sources(request)))
    findings = tuple(_findings(hits, links, matcher))
    unsearched = (replace(part, path=_masked(part.path, matcher)) for part in reader.unread)
    result = ScanResult(findings, (*unread, *unsearched))
    if not result.fingerprints or not (request.flag or request.sweep):
        return result
    return _respond(services, request, result)


def _sources(request: ScanRequest) -> Iterator[Source | Unread]:
    for place, open_place in request.opened:
        try:
            yield from open_place(place)
        except Exception as error:  # noqa: BLE001 - a store of any kind may raise anything, with its keys in it
            yield Unread(place, f"cannot be searched ({type(error).__name__})")


def _live_tokens(services: Services) -> tuple[TokenMatcher, dict[str, LinkRow], list[Unread]]:
    """Return a matcher for every live token that the connection's keys open, of any client, and each one's link.

    Links that no key opens cannot be searched for, and are unread.
    """
    tokens: list[AccessToken] = []
    links: dict[str, LinkRow] = {}
    unread: list[Unread] = []
    for row, opened in services.live_links():
        if opened is None:
            reason = "cannot be searched for, since no key of the connection opens it. Add its key to seal_keys"
            unread.append(Unread(f"link {row.link_id} of {row.named_models}", reason, permanent=True))
            continue
        tokens.append(opened.token)
        links[row.fingerprint or ""] = row
    return TokenMatcher(tokens), links, unread


def _findings(hits: Iterable[Hit], links: Mapping[str, LinkRow], matcher: TokenMatcher) -> list[ScanFinding]:
    """Return the first places of each link in each file, with the number of the others: a log may have one a line."""
    found: list[ScanFinding] = []
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], int] = {}
    shown_paths: dict[str, str] = {}
    for hit in hits:
        key = (hit.fingerprint, hit.path)
        counts[key] += 1
        if counts[key] > MAX_LISTED_PLACES:
            continue
        last[key] = len(found)
        path = shown_paths.get(hit.path) or shown_paths.setdefault(hit.path, _masked(hit.path, matcher))
        link = links[hit.fingerprint]
        found.append(
            ScanFinding(hit.fingerprint, link.link_id, link.opens[0], link.audience, path, hit.offset, link.opens)
        )
    for key, index in last.items():
        found[index] = replace(found[index], more=max(0, counts[key] - MAX_LISTED_PLACES))
    return found


def _masked(path: str, matcher: TokenMatcher) -> str:
    """Return a path without tokens: neither the live ones, also inside words, nor what else looks like one."""
    raw = path.encode(errors="surrogatepass")
    parts: list[bytes] = []
    position = 0
    for match in matcher.find(raw):
        if match.end > position:
            parts += [raw[position : max(position, match.start)], MASK.encode()]
            position = match.end
    return redact(b"".join([*parts, raw[position:]]).decode(errors="surrogatepass"))


def _respond(services: Services, request: ScanRequest, result: ScanResult) -> ScanResult:
    """Flag and revoke what was found, and add the response to the result."""
    wanted = LeakRequest(
        tokens=result.fingerprints,
        reason=request.reason,
        sweep=request.sweep,
        deadline=request.deadline,
        on_selected=request.on_selected,
    )
    try:
        return replace(result, response=respond(services, request.run_context, wanted))
    except PMEError as error:
        return replace(result, response_error=error)
