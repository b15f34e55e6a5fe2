"""Builds links of the documented form out of tokens, for tokens that come without one."""

from __future__ import annotations

from urllib.parse import quote

from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["SHOWCASE", "link_of", "show_address"]

#: Where the vendor's Showcase is.
SHOWCASE = "https://my.matterport.com/show"


def link_of(model_id: str, token: AccessToken, show: str = SHOWCASE) -> SecretStr:
    """Build the documented form of a link: ``https://my.matterport.com/show?m=<model id>&auth=Bearer+<token>``.

    :param show: the address before the query.
    """
    return SecretStr(f"{show}?m={quote(model_id, safe='')}&auth=Bearer+{quote(token.reveal(), safe='')}")


def show_address(link: SecretStr) -> str:
    """Return the address before a link's query."""
    return link.reveal().partition("?")[0]
