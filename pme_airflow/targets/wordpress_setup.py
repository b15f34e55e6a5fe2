"""Checking a WordPress site without writing: the account, its right to edit pages, iframes, and revisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.targets.web import WebRefusal
from pme_airflow.targets.wordpress_rest import WordPressApi, filters_iframes, lists_rights, source_of

__all__ = ["check_site"]

#: How many pages are read; a site with more is judged by these.
_MAX_PAGES = 20
_MAX_NAMED = 5
_GIVE_RIGHT = (
    "Give it the right unfiltered_html: an editor or administrator has it; on a multisite only its network's "
    "administrator."
)
_INSTALL = "Install the plugin pme-embed, which also lets them be deleted, or turn revisions off."


@dataclass(frozen=True)
class _Read:
    """What was read of a site's pages.

    :param problems: a result for each page that cannot be edited.
    :param denied: whether the account itself was refused.
    """

    pages: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: list[CheckResult] = field(default_factory=list)
    denied: CheckResult | None = None


def check_site(api: WordPressApi, paths: Sequence[str], *, holds_links: bool = True) -> Iterator[CheckResult]:
    """Check the account and the pages, without changing any.

    :param paths: the pages, such as ``pages/42``.
    :param holds_links: whether links are written into the pages, so that iframes and revisions matter.
    """
    read = _read(api, paths[:_MAX_PAGES])
    if read.denied is not None:
        yield read.denied
        return
    yield CheckResult.good("account", f"{api.base_url} accepts the account.")
    yield from read.problems[:_MAX_NAMED]
    if len(read.problems) > _MAX_NAMED:
        more = len(read.problems) - _MAX_NAMED
        yield CheckResult.bad("pages", f"{more} more pages cannot be edited.", "Correct pages in the same way.")
    if read.pages:
        yield CheckResult.good("pages", f"The account may edit {len(read.pages)} of {len(paths)} pages that were read.")
    if read.pages and holds_links:
        yield _check_iframes(read.pages.values())
        yield from _check_revisions(api, read.pages)


def _read(api: WordPressApi, paths: Sequence[str]) -> _Read:
    read = _Read()
    for path in paths:
        try:
            page = api.page(path)
            source_of(page)
        except SlotError as error:
            if _concerns_account(error):
                return _Read(denied=CheckResult.of_error("account", error, _account_cure(error)))
            read.problems.append(_problem_of(path, error))
            continue
        if page.get("status") == "trash":
            cure = "Restore the page, or name another in pages."
            read.problems.append(CheckResult.bad("pages", f"{path} is in the trash.", cure))
            continue
        read.pages[path] = page
    return read


def _concerns_account(error: SlotError) -> bool:
    """Return whether other pages would fail in the same way: no answer, none of WordPress, or credentials refused."""
    return not isinstance(error, WebRefusal) or error.status == 401 or not error.code


def _account_cure(error: SlotError) -> str:
    """Return what to do about credentials that WordPress knows and refuses, or a site that does not answer."""
    if isinstance(error, WebRefusal) and error.status == 401 and not error.code.startswith("rest_"):
        return "Enter the account's login and a new application password (Users > Profile) in the connection."
    return "" if error.permanent else "Check that the host of the connection is right, and that it is running."


def _problem_of(path: str, error: SlotError) -> CheckResult:
    result = CheckResult.of_error("pages", error)
    return CheckResult.bad("pages", f"{path}: {result.finding}", result.cure)


def _check_iframes(pages: Iterator[Mapping[str, Any]] | Any) -> CheckResult:
    known = list(pages)
    if any(filters_iframes(page) for page in known):
        return CheckResult.bad("iframes", "WordPress takes iframes out of what this account writes.", _GIVE_RIGHT)
    if not any(lists_rights(page) for page in known):
        return CheckResult.warning(
            "iframes",
            "WordPress does not list what the account may do, so whether it keeps iframes is not known.",
            "Save a page that has an iframe with this account, and look whether it is still there.",
        )
    return CheckResult.good("iframes", "WordPress keeps iframes in what this account writes.")


def _check_revisions(api: WordPressApi, pages: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Check by the first revision that is found whether this account may delete revisions."""
    for path in pages:
        try:
            for revision in islice(api.revisions(path), 1):
                yield _judged(api.may_delete(path, revision))
                return
        except SlotError as error:
            yield CheckResult.of_error("revisions", error)
            return
    yield CheckResult.good("revisions", "No revision of these pages holds an old link now.")


def _judged(deletable: bool) -> CheckResult:
    if deletable:
        return CheckResult.good("revisions", "The account may delete revisions, which hold old links.")
    finding = (
        "The account may not delete revisions: each keeps an old link, which is therefore revoked without a grace "
        "period."
    )
    return CheckResult.warning("revisions", finding, _INSTALL)
