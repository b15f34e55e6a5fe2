"""The templates of published pages: every value is escaped, and no page gives its address to another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from jinja2 import UndefinedError

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.targets.pages import embed_page, gallery_page, render, source

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


@pytest.mark.parametrize("field", ["title", "valid_until", "sdk_key"])
def test_every_value_of_an_embed_page_is_escaped(field: str) -> None:
    page = Elements(embed_page(**{**EMBED, "sdk_url": "/sdk.js", field: HOSTILE}))
    assert [script.get("src") for script in page.all("script")] == ["../pme-embed.js"]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "http://my.matterport.com/", HOSTILE, ""])
def test_link_of_another_scheme_is_on_no_page(link: str) -> None:
    with pytest.raises(SlotError, match="not an https address") as failure:
        embed_page(**{**EMBED, "link": link})
    assert failure.value.permanent
    assert not link or link not in str(failure.value)


@pytest.mark.parametrize(
    "sdk_url",
    ["javascript:alert(1)", "data:text/javascript,alert(1)", "http://cdn.example/sdk.js", "//cdn.example/sdk.js",
     "/\\cdn.example/sdk.js", "\\\\cdn.example/sdk.js", "https://a:b@cdn.example/sdk.js", HOSTILE, "blob:x", "/sdk js"],
)  # fmt: skip
def test_sdk_at_an_unsafe_address_is_on_no_page(sdk_url: str) -> None:
    with pytest.raises(PMEInputError, match="sdk_url"):
        embed_page(**{**EMBED, "sdk_url": sdk_url})


@pytest.mark.parametrize(
    ("sdk_url", "origin"),
    [("/sdk/index.esm.js?v=1.2", "'self'"), ("sdk.js", "'self'"), ("../sdk.js", "'self'"), ("https://cdn.example/sdk.js", "https:"),
     ("http://127.0.0.1:8000/sdk.js", "http://127.0.0.1:8000")],
)  # fmt: skip
def test_sdk_may_be_a_path_or_https_or_on_this_machine(sdk_url: str, origin: str) -> None:
    page = Elements(embed_page(**{**EMBED, "sdk_url": sdk_url}))
    assert page.all("iframe")[0]["data-pme-sdk"] == sdk_url
    assert origin in policy(page)["script-src"]


def policy(page: Elements) -> dict[str, list[str]]:
    """The content security policy of a page, by directive."""
    (text,) = [str(meta["content"]) for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    return {name: values for name, *values in (directive.split() for directive in text.split(";"))}


@pytest.mark.parametrize(
    ("link", "hosts", "frames"),
    [
        (EMBED["link"], "matterport.com", ["https://my.matterport.com", "https://*.matterport.com"]),
        ("https://spaces.example/a", "spaces.example", ["https://spaces.example", "https://*.matterport.com"]),
        ("http://127.0.0.1:9/a", "127.0.0.1:9", ["http://127.0.0.1:9", "https://*.matterport.com"]),
        ("https://matterport.com.evil.example/a", "matterport.com.evil.example",
         ["https://matterport.com.evil.example", "https://*.matterport.com"]),
    ],
)  # fmt: skip
def test_embed_page_allows_the_host_of_its_link_alone(link: str, hosts: str, frames: list[str]) -> None:
    page = Elements(embed_page(**{**EMBED, "link": link}))
    assert page.all("iframe")[0]["data-pme-hosts"] == hosts
    assert policy(page) == {
        "default-src": ["'none'"], "base-uri": ["'none'"], "form-action": ["'none'"], "object-src": ["'none'"],
        "style-src": ["'unsafe-inline'"], "script-src": ["'self'"], "connect-src": ["'self'"], "frame-src": frames,
    }  # fmt: skip


def test_gallery_loads_nothing() -> None:
    page = Elements(gallery_page([GALLERY_PAGE]))
    assert policy(page)["default-src"] == ["'none'"]
    assert "script-src" not in policy(page)


@pytest.mark.parametrize("model_id", ["javascript:alert(1)//", "https://evil.example", "a b", "?x#y"])
def test_gallery_links_to_its_own_folders_whatever_a_model_is_called(model_id: str) -> None:
    (link,) = Elements(gallery_page([{**GALLERY_PAGE, "model_id": model_id}])).all("a")
    address = urljoin("https://tours.example/out/index.html", str(link["href"]))
    assert address.startswith("https://tours.example/out/")


@pytest.mark.parametrize("field", GALLERY_PAGE)
def test_every_value_of_a_gallery_is_escaped(field: str) -> None:
    page = Elements(gallery_page([{**GALLERY_PAGE, field: HOSTILE}]))
    assert page.all("script") == []


def test_embed_page_shows_the_link_and_sends_no_referrer() -> None:
    page = Elements(embed_page(**EMBED))
    (iframe,) = page.all("iframe")
    assert (iframe["src"], iframe["title"], iframe["referrerpolicy"]) == (EMBED["link"], "Hall", "no-referrer")
    assert iframe["data-pme-source"] == "link.json"
    assert "data-pme-sdk" not in iframe
    metas = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
    assert metas["referrer"] == "no-referrer"
    assert metas["robots"] == "noindex, nofollow"
    assert metas["pme-valid-until"] == EMBED["valid_until"]


def test_embed_page_names_the_sdk_where_there_is_one() -> None:
    (iframe,) = Elements(embed_page(**{**EMBED, "sdk_url": "/sdk.js", "sdk_key": "k"})).all("iframe")
    assert (iframe["data-pme-sdk"], iframe["data-pme-sdk-key"]) == ("/sdk.js", "k")


@pytest.mark.parametrize("template", ["index.html.j2", "showroom.html.j2"])
def test_other_pages_send_no_referrer_either(template: str) -> None:
    text = render(template, pages=[GALLERY_PAGE], shown={"Gallery": "/gallery/"})
    assert {"name": "referrer", "content": "no-referrer"} in Elements(text).all("meta")


@pytest.mark.parametrize("template", ["embed.html.j2", "index.html.j2", "showroom.html.j2"])
def test_pages_hold_no_inline_script(template: str) -> None:
    """A content security policy of the place may forbid inline scripts."""
    values = {**EMBED, "hosts": "", "policy": "", "pages": [GALLERY_PAGE], "shown": {"Gallery": "/gallery/"}}
    text = render(template, **values)
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=", text) == []


@pytest.mark.parametrize("template", ["embed.html.j2", "index.html.j2", "showroom.html.j2"])
def test_pages_have_no_blank_lines(template: str) -> None:
    values = {**EMBED, "hosts": "", "policy": "", "pages": [GALLERY_PAGE], "shown": {"Gallery": "/gallery/"}}
    text = render(template, **values)
    assert re.findall(r"\n[ \t]*\n", text) == []


def test_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("embed.html.j2", link=EMBED["link"])


def test_script_is_the_packages_own() -> None:
    assert "export function keepOpen" in source("pme-embed.js")
