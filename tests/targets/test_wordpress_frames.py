"""Embeds look as before: an iframe is taken over byte for byte but for its token, and of others the looks are kept."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser

from pme_airflow.embed_params import EmbedParams, with_params
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.html_tokens import Tag, tokens
from pme_airflow.targets.wordpress_content import link_embed, placed
from pme_airflow.targets.wordpress_frames import default_frame, renewed_frame
from tests.support.chromium import needs_chromium
from tests.support.frames import FRAMES
from tests.support.links import TOKEN_A, TOKEN_B, shown_link

MODEL, VIEW = "Mi11Street4", "3k5wz1a8f0q2x7c9v6b4n1m8p"
AUTH = re.compile(r"(?:(?:&amp;|&#0?38;|&)auth=Bearer\+[a-z0-9]+)")


def link(token: str = TOKEN_A, params: str = "", model: str = MODEL) -> ShownLink:
    made = shown_link(token, model_id=model)
    return replace(made, url=SecretStr(with_params(made.url.reveal(), params)), params=params)


def put(content: str, shown: ShownLink, former: str = "") -> str:
    return placed(content, lambda old: link_embed(shown, old, former), shown.model_id)


def frame_of(shape: str, model: str = MODEL) -> str:
    return FRAMES[shape].replace("{M}", model)


def without_auth(text: str) -> str:
    return AUTH.sub("", text)


def test_shapes_are_thirty() -> None:
    assert len(FRAMES) == 30


@pytest.mark.parametrize("shape", FRAMES)
@pytest.mark.parametrize("model", [MODEL, VIEW], ids=["model", "view"])
def test_an_iframe_is_kept_byte_for_byte_but_for_its_token(shape: str, model: str) -> None:
    frame = frame_of(shape, model)
    before, after = "<p>Before</p>\n<div class='box'>", "</div>\n<p>After</p>"
    once = put(before + frame + after, link(model=model))
    assert without_auth(once) == before + f"<!-- pme:{model} -->{without_auth(frame)}<!-- /pme:{model} -->" + after
    assert once.count(TOKEN_A) == max(1, frame.count(f"m={model}"))
    assert put(once, link(model=model)) == once
    renewed = put(once, link(TOKEN_B, model=model))
    assert renewed == once.replace(TOKEN_A, TOKEN_B)


def test_the_new_token_stands_in_the_address_that_is_loaded() -> None:
    renewed = renewed_frame(frame_of("fragment"), link()) or ""
    assert f'/show/?m={MODEL}&play=1&auth=Bearer+{TOKEN_A}#tour"' in renewed
    assert f"m={MODEL}&#038;play=1&#038;lang=de&#038;auth=Bearer+{TOKEN_A}" in (
        renewed_frame(frame_of("escaped with numbers"), link()) or ""
    )


@pytest.mark.parametrize(
    "source",
    [
        f"http://my.matterport.com/show/?m={MODEL}&play=1",
        f"https://matterport.com/discover/space/{MODEL}?play=1",
        f"https://my.matterport.com/models/{MODEL}?play=1",
        f"https://my.eu.example/show/?m={MODEL}&play=1",
        f"https://my.matterport.com/show/?play=1#?m={MODEL}",
    ],
)
def test_another_address_of_the_model_becomes_the_link_with_its_parameters(source: str) -> None:
    renewed = renewed_frame(f'<iframe class="a" src="{source}" width="5"></iframe>', link()) or ""
    assert renewed == (
        f'<iframe class="a" src="https://my.matterport.com/show?m={MODEL}&amp;auth=Bearer+{TOKEN_A}&amp;play=1" '
        'width="5"></iframe>'
    )


def test_a_link_of_another_host_replaces_the_address_and_keeps_its_parameters() -> None:
    url = f"http://127.0.0.1:9/show?m={MODEL}&auth=Bearer+{TOKEN_A}"
    emulated = replace(link(), url=SecretStr(url))
    assert html.escape(f"{url}&sr=-2.94,-.45&ss=31&sp=1.2,3.4,-5.6") in (
        renewed_frame(frame_of("a place in the space"), emulated) or ""
    )


def test_the_placements_parameters_are_set_over_the_iframes_own() -> None:
    frame = frame_of("escaped parameters")
    once = renewed_frame(frame, link(params="qs=0&lang=fr")) or ""
    assert f"m={MODEL}&amp;play=1&amp;qs=0&amp;title=0&amp;auth=Bearer+{TOKEN_A}&amp;lang=fr" in once
    later = renewed_frame(once, link(TOKEN_B, params="qs=1"), former="qs=0&lang=fr") or ""
    assert f'm={MODEL}&amp;play=1&amp;qs=1&amp;title=0&amp;auth=Bearer+{TOKEN_B}"' in later
    assert renewed_frame(later, link(TOKEN_B, params="qs=1"), former="qs=1") == later


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        (f'[iframe src="https://my.matterport.com/show/?m={MODEL}&play=1" width="90%" height="600" class="t"]',
         'width="90%" height="600" class="t"'),
        (f'<embed src="https://my.matterport.com/show/?m={MODEL}&play=1" width="640" height="360">', 'width="640" height="360"'),
        (f"https://my.matterport.com/show/?m={MODEL}&play=1", 'width="100%" height="480"'),
        (f'[iframe src="https://my.matterport.com/show/?m={MODEL}&play=1" width="5\'onload=x" height="javascript:1"]',
         'width="100%" height="480"'),
        (f"<iframe srcdoc='x' src='https://my.matterport.com/show/?m={MODEL}&play=1' title='Hall 3'></iframe>", 'title="Hall 3"'),
    ],
)  # fmt: skip
def test_looks_of_what_is_no_iframe_are_kept(replaced: str, expected: str) -> None:
    made = put(replaced, link())
    assert expected in made
    assert f"auth=Bearer+{TOKEN_A}&amp;play=1" in made


def test_a_frame_that_would_show_an_old_token_elsewhere_is_made_anew() -> None:
    old = f"https://my.matterport.com/show/?m={MODEL}&auth=Bearer+{TOKEN_B}"
    frame = f'<iframe src="{old}"><a href="{old}">open</a></iframe>'
    assert renewed_frame(frame, link()) is None
    assert TOKEN_B not in put(frame, link())


@pytest.mark.parametrize("text", ["", "<p>x</p>", f'<iframe src="https://my.matterport.com/show/?m={MODEL}x"></iframe>',
                                  '<iframe src="https://video.example/"></iframe>', f'<iframe title="m={MODEL}"></iframe>'])  # fmt: skip
def test_no_iframe_of_the_model_is_none(text: str) -> None:
    assert renewed_frame(text, link()) is None


def test_a_default_frame_cannot_be_broken_out_of() -> None:
    hostile = replace(link(), name='"><script>[x]')
    assert default_frame(hostile).count("<") == 2
    replaced = f'[iframe src="https://my.matterport.com/show/?m={MODEL}&a=%22onload" title="\'><script>x</script>"]'
    assert "<script" not in default_frame(link(), replaced)


def test_a_link_is_never_left_without_its_token() -> None:
    """A link that has its token elsewhere than in ``auth`` is shown as the API returned it."""
    other = replace(
        link(), url=SecretStr(f"https://my.matterport.com/t/{TOKEN_A}?m={MODEL}"), token=AccessToken(TOKEN_A)
    )
    renewed = renewed_frame(frame_of("parameters after"), other) or ""
    assert f"https://my.matterport.com/t/{TOKEN_A}?m={MODEL}&amp;brand=0" in renewed


LOOK = """[...document.querySelectorAll('iframe')].map(f => { const r = f.getBoundingClientRect();
 const kept = [...f.attributes].filter(a => !a.value.includes('matterport')).map(a => [a.name, a.value]);
 return JSON.stringify([r.width, r.height, r.top, kept]); })"""


@needs_chromium
def test_what_was_taken_over_looks_the_same_in_a_browser(browser: Browser) -> None:
    pages = {}
    for name, shown in (("before", None), ("after", link(params=EmbedParams.parse("lang=de").of(MODEL)))):
        frames = (frame_of(shape) for shape in FRAMES if "event" not in shape)
        pages[name] = "<!doctype html><meta charset=utf-8>" + "".join(
            f"<section>{put(frame, shown) if shown else frame}</section>" for frame in frames
        )
    seen: dict[str, Any] = {}
    opened: list[str] = []
    page = browser.new_page()
    page.route("**/show**", lambda route: (opened.append(route.request.url), route.fulfill(body="a space")))
    page.route(
        "https://portal.example/*",
        lambda route: route.fulfill(body=pages[route.request.url.rpartition("/")[2]], content_type="text/html"),
    )
    for name in pages:
        page.goto(f"https://portal.example/{name}")
        seen[name] = page.evaluate(LOOK)
    page.close()
    assert seen["before"] == seen["after"]
    assert len(seen["after"]) == len(FRAMES) - 1
    shown_now = [url for url in opened if TOKEN_A in url]
    assert len(shown_now) >= 20
    assert all("lang=de" in url for url in shown_now)


@pytest.mark.parametrize("mark", ["&quot;", "&#34;", "&#x22;", "&#39;"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_quote_in_a_parameter_that_is_kept_does_not_end_the_address(mark: str, quote: str) -> None:
    source = f"https://my.eu.example/show?m={MODEL}&amp;title=a{mark} onload={mark}x"
    renewed = renewed_frame(f"<iframe src={quote}{source}{quote} width={quote}5{quote}></iframe>", link()) or ""
    (tag, _) = tokens(renewed)
    assert isinstance(tag, Tag)
    assert set(tag.attributes) == {"src", "width"}
    assert "title=a" in tag.attributes["src"]
