"""Opens sealed links as targets show them: with the model's name, and with the placement's Showcase parameters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from pme_airflow.embed_params import EmbedParams, with_params
from pme_airflow.iso_times import parse_iso
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.base import ShownLink

__all__ = ["LinkOpener", "on_one_line"]

Item = Mapping[str, Any]


class LinkOpener:
    """Opens items.

    :param open_item: opens a sealed item; a caller that keeps logs masks what it opened.
    :param params: the Showcase parameters that are appended to the links.
    :ivar names: the models' names, as far as they are known.
    """

    def __init__(self, open_item: Callable[[Item], OpenedLink], params: EmbedParams | None = None) -> None:
        self._open_item = open_item
        self._params = params or EmbedParams()
        self.names: Mapping[str, str] = {}

    def open(self, item: Item) -> ShownLink:
        """Open an item that is to be shown."""
        model_id = str(item["model_id"])
        return self._opened(item, self.names.get(model_id, ""), self._params.of(model_id))

    def open_again(self, item: Item, details: Mapping[str, Any]) -> ShownLink:
        """Open an item that is shown, with the name and the parameters that its slot's details hold."""
        return self._opened(item, str(details.get("name") or ""), str(details.get("params") or ""))

    def _opened(self, item: Item, name: str, params: str) -> ShownLink:
        opened = self._open_item(item)
        until = parse_iso(str(item["valid_until"]))
        model_id = str(item["model_id"])
        url = SecretStr(with_params(opened.url.reveal(), params))
        return ShownLink(
            str(item["link_id"]),
            model_id,
            str(item["audience"]),
            url,
            opened.token,
            until,
            on_one_line(name) or model_id,
            params,
        )


def on_one_line(name: str) -> str:
    """Return a model's name without line breaks, control characters and direction marks, cut to 120 characters."""
    plain = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(plain.split())[:120]
