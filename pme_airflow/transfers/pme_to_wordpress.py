"""Publish links to WordPress pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToWordPressOperator"]


class PMEToWordPressOperator(PMETransferOperator):
    """Show links by the site's plugin pme-embed, or replace the link's block in pages.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param pages: the number of each model's page. (templated)
    :param wordpress_conn_id: an HTTP connection: the site's address, login, and an application password.
    :param kind: ``pages``, ``posts`` or a custom type's REST base.
    :param mode: ``plugin``, ``content`` to write links into pages, or ``auto`` to use the plugin if it is active.
        ``pages`` may be left out in the mode ``plugin``. (templated)
    :param at_once: how many pages are written at the same time, from 1 to 32.
    """

    template_fields: Sequence[str] = (
        *PMETransferOperator.template_fields, "pages", "wordpress_conn_id", "kind", "mode",
    )  # fmt: skip

    def __init__(
        self,
        *,
        links: Any,
        pages: Mapping[str, int] | None = None,
        wordpress_conn_id: str = "wordpress_default",
        kind: str = "pages",
        mode: str = "auto",
        at_once: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(links=links, **kwargs)
        self.pages = pages
        self.wordpress_conn_id = wordpress_conn_id
        self.kind = kind
        self.mode = mode
        self.at_once = at_once

    def make_target(self, hook: PMEHook) -> Target:
        from pme_airflow.hooks.arguments import read_mapping
        from pme_airflow.hooks.http import http_session
        from pme_airflow.targets.wordpress import WordPressTarget

        pages = read_mapping(self.pages, "pages")
        session, base_url = http_session(self.wordpress_conn_id)
        return WordPressTarget(session, base_url, pages, kind=self.kind, mode=self.mode, at_once=self.at_once)
