"""What visitors are shown is determined from a page's HTML, also where a plugin rewrites it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from pme_airflow.targets.wordpress_content import link_embed
from pme_airflow.targets.wordpress_output import Output, output_of
from tests.support.fake_wordpress import MODEL, OTHER, link

NEW, OLD = "n" * 25, "o" * 25
SHOWN, STALE = link_embed(link(NEW)), link_embed(link(OLD))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("rendered", "output"),
    [
        (SHOWN, Output.SHOWN),
        (SHOWN.replace(" src=", " loading=lazy data-src="), Output.SHOWN),
        (f"{SHOWN}<noscript>{SHOWN}</noscript>", Output.SHOWN),
        (SHOWN.replace("&amp;", "&#038;"), Output.SHOWN),
        (f"{SHOWN}{link_embed(link(OLD, OTHER))}", Output.SHOWN),
        (f"{SHOWN}{STALE}", Output.OTHER_TOO),
        (f"<script type='text/template'>{encoded(SHOWN)}</script>", Output.REWRITTEN),
        (f'<div data-iframe="{quote(encoded(SHOWN), safe="")}"></div>', Output.REWRITTEN),
        (f'<div data-x="{encoded(quote(SHOWN))}"></div>', Output.REWRITTEN),
        (f"<script>var x = {json.dumps(SHOWN)}</script>", Output.SHOWN),
        (f'<div data-x="{quote(quote(NEW[:12]) + "%6E" + NEW[13:])}"></div>', Output.HIDDEN),
        (f'<div data-x="auth={NEW[:12]}%6E{NEW[13:]}"></div>', Output.REWRITTEN),
        (f'<a class="facade" data-space="{MODEL}"><img></a>', Output.REWRITTEN),
        (f"<!-- pme:{MODEL} --><div class='placeholder'></div><!-- /pme:{MODEL} -->", Output.REWRITTEN),
        (f'<p data-x="{"A" * 201} {encoded(SHOWN)}"></p>', Output.REWRITTEN),
        (STALE, Output.STALE),
        (f"<script type='text/template'>{encoded(STALE)}</script> {MODEL}", Output.STALE),
        (html.escape(STALE), Output.STALE),
        ("", Output.HIDDEN),
        ("<p>Nothing of it</p>", Output.HIDDEN),
        (encoded("x" * 200) + "=" * 3, Output.HIDDEN),
        (link_embed(link(OLD, OTHER)), Output.HIDDEN),
    ],
)
def test_output_is_told(rendered: str, output: Output) -> None:
    assert output_of(rendered, link(NEW)) is output
