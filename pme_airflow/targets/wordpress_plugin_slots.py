"""Show links by the plugin pme-embed: it stores them, and pages hold a block or a shortcode without a link."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pme_airflow
from pme_airflow.checks import CheckResult
from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.wordpress_builders import not_shown
from pme_airflow.targets.wordpress_content import cleared, holds_place
from pme_airflow.targets.wordpress_pages import Pages
from pme_airflow.targets.wordpress_plugin import PluginApi
from pme_airflow.targets.wordpress_plugin_check import check_plugin_slots
from pme_airflow.targets.wordpress_rest import WordPressApi, source_of
from pme_airflow.targets.wordpress_spaces import holds_space, sources_in, with_space

__all__ = ["PLUGIN_DETAILS", "SITE_WIDE", "PluginSlots"]

#: The slot of a model that has no page in ``pages``: links/<model>.
SITE_WIDE = "links"
#: What the details of a slot contain that is shown by the plugin.
PLUGIN_DETAILS = {"mode": "plugin"}
#: What WordPress takes out of a page if the account that saves it lacks ``unfiltered_html``.
_FILTERED = re.compile(r"<(?:iframe|script|style|form|input|object|embed|svg)\b", re.IGNORECASE)


class PluginSlots:
    """The slots of a site that has the plugin.

    :param api: the site.
    :param pages: its pages.
    :param plugin: its plugin.
    """

    def __init__(self, api: WordPressApi, pages: Pages, plugin: PluginApi) -> None:
        self._api = api
        self._pages = pages
        self._plugin = plugin

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        """Store a link, and then see to it that the page has a block or shortcode, and no link of its own.

        Of a page that held the link until now, old revisions are deleted.
        """
        _ = self._plugin.status  # refuses a plugin of another version before anything is changed
        self._plugin.store(link, slot)
        details = {**PLUGIN_DETAILS, "model_id": link.model_id, "fingerprint": fingerprint(link.token)}
        page_path = _page_of(slot)
        if not page_path:
            return SlotResult(details)
        path, page = self._pages.document(page_path, lambda text: _holds(text, link))
        former = source_of(page)
        if not _holds(former, link) and sources_in(self._pages.rendered(page_path, page), link.model_id):
            return SlotResult(details)  # a page builder or a template shows the space, and the page's own text need not
        content = self._pages.change(path, page, lambda text: with_space(text, link), is_filtered=_is_filtered)
        remains = 0
        if content != former or previous.get("mode") != PLUGIN_DETAILS["mode"]:
            remains = self._pages.delete_old_revisions(path, content)
        return SlotResult({**details, "path": path}, old_link_remains=remains > 0)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        """Raise unless the plugin stores this link, and the slot's page shows it to whom it is shown."""
        stored = self._plugin.stored(link.model_id)
        if stored is None:
            raise SlotError("the plugin does not hold the link when read back", passing=True)
        if stored.fingerprint != fingerprint(link.token):
            raise SlotError(
                "the plugin holds another link than the one that was written: does a cache or a firewall answer?",
                passing=True,
            )
        page_path = _page_of(slot)
        if page_path:
            self._read_page_back(page_path, details.get("path"), link)

    def _read_page_back(self, page_path: str, space_path: str | None, link: ShownLink) -> None:
        """Read a page back.

        :param space_path: the page or pattern with the space; ``None`` where a builder or a template shows it.
        """
        path = space_path or page_path
        page = self._api.page(path)
        content = source_of(page)
        if (space_path and not holds_space(content, link.model_id)) or tokens_of(content, link.model_id):
            raise SlotError("the page does not hold the space when read back", passing=True)
        page = page if path == page_path else self._api.page(page_path)
        public = self._pages.public_html(page_path, page)
        rendered = self._pages.rendered(page_path, page) if public is None else public
        if tokens_of(rendered, link.model_id):
            raise SlotError(
                "the page holds no link any more, but visitors are still shown one: empty the page cache, or take that "
                "one out by hand",
                passing=True,
            )
        sources = sources_in(rendered, link.model_id)
        if not sources:
            raise not_shown("the space")
        if public is not None and self._plugin.status.for_everybody:
            self._read_as_visitor(sources[0], link)

    def _read_as_visitor(self, source: str, link: ShownLink) -> None:
        token = self._plugin.token_for_visitors(source)
        if token is None or fingerprint(token) != fingerprint(link.token):
            raise SlotError(
                "visitors read another link than the one that is stored: keep /wp-json/pme/v1/ out of all caches",
                passing=True,
            )

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        """Erase the stored link. The page keeps its block or shortcode, which then shows that there is no space."""
        model_id = _model_of(slot)
        self._plugin.erase(model_id, str(details.get("fingerprint") or ""))
        path = str(details.get("path") or _page_of(slot))
        page = self._pages.read_if_there(path) if path else None
        if page is None or not tokens_of(source_of(page), model_id):
            return SlotResult()
        content = self._pages.change(path, page, lambda text: cleared(text, model_id))
        return SlotResult(old_link_remains=self._pages.delete_old_revisions(path, content) > 0)

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck:
        """Check in one request for 100 models that the plugin stores their links, and pages that were saved since."""
        return check_plugin_slots(self._api, self._plugin, shown)

    def check(self) -> Iterator[CheckResult]:
        """Check the plugin's version and its settings."""
        try:
            status = self._plugin.status
        except SlotError as error:
            yield CheckResult.of_error("plugin", error)
            return
        yield _compared(status.version, pme_airflow.__version__)
        if not status.sealed:
            finding = "wp-config.php has no unique keys and salts, so the key to the links is in the same database."
            yield CheckResult.warning(
                "plugin", finding, "Set AUTH_KEY, AUTH_SALT, SECURE_AUTH_KEY and SECURE_AUTH_SALT."
            )


def _compared(version: str, own: str) -> CheckResult:
    """Compare the plugin's version with this package's; their REST API is the same."""
    if version == own:
        return CheckResult.good("plugin", f"The plugin pme-embed {own} is active, and the account may write links.")
    if _numbers(version) > _numbers(own):
        finding = f"The plugin pme-embed {version} is newer than pme-airflow {own}."
        return CheckResult.warning("plugin", finding, "Upgrade pme-airflow.")
    finding = f"The plugin pme-embed {version} is older than pme-airflow {own}."
    cure = "Write the plugin with `pme-airflow wordpress-plugin > pme-embed.zip`, and upload it."
    return CheckResult.warning("plugin", finding, cure)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]{1,9}", version)]


def _page_of(slot: str) -> str:
    """Return the page of a slot; empty for one that is shown wherever somebody embeds it."""
    return slot.partition("#")[0] if "#" in slot else ""


def _model_of(slot: str) -> str:
    return slot.partition("#")[2] if "#" in slot else slot.partition("/")[2]


def _holds(content: str, link: ShownLink) -> bool:
    return holds_space(content, link.model_id) or holds_place(content, link.model_id)


def _is_filtered(content: str) -> bool:
    """Return whether a page holds what WordPress takes out of what an account without ``unfiltered_html`` saves."""
    return bool(_FILTERED.search(content))
