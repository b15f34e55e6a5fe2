"""The templates of published pages: every value is escaped, and no page gives its address to another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from pme_airflow.targets.pages import render, source

HOSTILE = "\"><script>alert(1)</script>'"
EMBED = {"link": "https://my.matterport.com/show?m=a&auth=Bearer+t", "title": "Hall", "valid_until": "2026-11-27T02:00Z",
         "sdk_url": "", "sdk_key": ""}  # fmt: skip
GALLERY_PAGE = {"model_id": "Model000000", "name": "Hall", "audience": "intranet", "published_at": "2026-11-26"}


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("field", EMBED)
def test_every_value_of_an_embed_page_is_escaped(field: str) -> None:
    page = Elements(render("embed.html.j2", **{**EMBED, "sdk_url": "/sdk.js", field: HOSTILE}))
    assert [script.get("src") for script in page.all("script")] == ["../pme-embed.js"]


@pytest.mark.parametrize("field", GALLERY_PAGE)
def test_every_value_of_a_gallery_is_escaped(field: str) -> None:
    page = Elements(render("index.html.j2", pages=[{**GALLERY_PAGE, field: HOSTILE}]))
    assert page.all("script") == []


def test_embed_page_shows_the_link_and_sends_no_referrer() -> None:
    page = Elements(render("embed.html.j2", **EMBED))
    (iframe,) = page.all("iframe")
    assert (iframe["src"], iframe["title"], iframe["referrerpolicy"]) == (EMBED["link"], "Hall", "no-referrer")
    assert iframe["data-pme-source"] == "link.json"
    assert "data-pme-sdk" not in iframe
    metas = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
    assert metas["referrer"] == "no-referrer"
    assert metas["robots"] == "noindex, nofollow"
    assert metas["pme-valid-until"] == EMBED["valid_until"]


def test_embed_page_names_the_sdk_where_there_is_one() -> None:
    (iframe,) = Elements(render("embed.html.j2", **{**EMBED, "sdk_url": "/sdk.js", "sdk_key": "k"})).all("iframe")
    assert (iframe["data-pme-sdk"], iframe["data-pme-sdk-key"]) == ("/sdk.js", "k")


@pytest.mark.parametrize("template", ["index.html.j2", "showroom.html.j2"])
def test_other_pages_send_no_referrer_either(template: str) -> None:
    text = render(template, pages=[GALLERY_PAGE], shown={"Gallery": "/gallery/"})
    assert {"name": "referrer", "content": "no-referrer"} in Elements(text).all("meta")


@pytest.mark.parametrize("template", ["embed.html.j2", "index.html.j2", "showroom.html.j2"])
def test_pages_hold_no_inline_script(template: str) -> None:
    """A content security policy of the place may forbid inline scripts."""
    text = render(template, **EMBED, pages=[GALLERY_PAGE], shown={"Gallery": "/gallery/"})
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=", text) == []


def test_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("embed.html.j2", link=EMBED["link"])


def test_script_is_the_packages_own() -> None:
    assert "export function keepOpen" in source("pme-embed.js")
