"""Check in few requests that the plugin stores the links that were published, and that pages still show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import SlotCheck
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.wordpress_check import check_pages
from pme_airflow.targets.wordpress_plugin import PluginApi, StoredLink
from pme_airflow.targets.wordpress_rest import WordPressApi, source_of
from pme_airflow.targets.wordpress_spaces import holds_space

__all__ = ["check_plugin_slots"]


def check_plugin_slots(api: WordPressApi, plugin: PluginApi, shown: Sequence[Publication]) -> SlotCheck:
    """Check slots that the plugin shows: one request for 100 models, and one for 100 pages."""
    stored = plugin.stored_links(sorted({publication.model_id for publication in shown}))
    lost = {publication.slot for publication in shown if not _is_stored(publication, stored)}
    pages = check_pages(api, [publication for publication in shown if publication.slot not in lost], _shows_space)
    return SlotCheck(lost | set(pages.lost), pages.details)


def _is_stored(publication: Publication, stored: Mapping[str, StoredLink]) -> bool:
    """Return whether a slot's link is stored, or another slot of the site has stored one for the model."""
    found = stored.get(publication.model_id)
    if found is None or not found.fingerprint:
        return False
    return found.fingerprint == publication.details.get("fingerprint") or found.slot != publication.slot


def _shows_space(page: Mapping[str, Any], publication: Publication) -> bool:
    content = source_of(page)
    return holds_space(content, publication.model_id) and not tokens_of(content, publication.model_id)
