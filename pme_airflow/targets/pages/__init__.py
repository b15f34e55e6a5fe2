"""The HTML pages of targets, rendered from templates that escape every value, with addresses that are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pme_airflow.addresses import HttpUrl, parse_http_url
from pme_airflow.embed_params import with_params
from pme_airflow.targets.addresses import checked_link, checked_sdk_url

__all__ = ["embed_page", "gallery_page", "render", "source"]

_VENDOR = "matterport.com"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pme_airflow.targets", "pages"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
    )


def source(name: str) -> str:
    """Return the text of one of the package's scripts."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return one of the package's templates, filled in."""
    return _environment().get_template(template).render(**values)


def embed_page(*, link: str, title: str, valid_until: str, sdk_url: str = "", sdk_key: str = "") -> str:
    """Return the page that shows a link.

    :param sdk_key: your SDK key, which the vendor's SDK expects in the iframe's address.

    :raises SlotError: for a link that is not an https address.
    :raises PMEInputError: for an ``sdk_url`` that is neither a path nor an https address.
    """
    url = checked_link(link)
    host = _VENDOR if f".{url.host}".endswith(f".{_VENDOR}") else url.netloc
    return render(
        "embed.html.j2",
        link=with_params(link, f"applicationKey={quote(sdk_key, safe='')}") if sdk_key else link,
        hosts=host,
        policy=_policy(url, checked_sdk_url(sdk_url)),
        title=title,
        valid_until=valid_until,
        sdk_url=sdk_url,
        sdk_key=sdk_key,
    )


def gallery_page(pages: Sequence[Mapping[str, str]]) -> str:
    """Return the page that lists the embed pages, each by its model, name, audience and time of publication."""
    return render("index.html.j2", pages=pages)


def _policy(link: HttpUrl, sdk_url: str) -> str:
    """Return the content security policy of an embed page. The vendor's SDK loads scripts from other hosts."""
    frame = f"{link.scheme}://{link.netloc}"
    sdk = parse_http_url(sdk_url)
    local = f" {sdk.scheme}://{sdk.netloc}" if sdk is not None else ""
    more = f" https: {frame}{local}" if sdk_url else ""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; object-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'self'{more}; connect-src 'self'{more}; frame-src {frame} https://*.{_VENDOR}"
    )
