"""An iframe that is renewed, and one that is made, down to each separator and attribute."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pme_airflow.secrets import SecretStr
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.wordpress_frames import default_frame, renewed_frame
from tests.support.links import TOKEN_A, TOKEN_B, shown_link

MODEL = "Mi11Street4"
SHOW = f"https://my.matterport.com/show?m={MODEL}"
AUTH = f"auth=Bearer+{TOKEN_A}"


def link(params: str = "", url: str = "") -> ShownLink:
    made = shown_link(model_id=MODEL)
    return replace(made, params=params, url=SecretStr(url) if url else made.url)


def renewed(source: str, shown: ShownLink | None = None, former: str = "") -> str:
    """What becomes of an address in an iframe."""
    frame = renewed_frame(f'<iframe src="{source}"></iframe>', shown or link(), former)
    assert frame is not None
    return frame.removeprefix('<iframe src="').removesuffix('"></iframe>')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'<p>a</p><iframe src="x"></iframe><iframe src="{SHOW}">b</iframe>c', f'<iframe src="{SHOW}&amp;{AUTH}">b</iframe>'),
        (f'<iframe src="{SHOW}">b', f'<iframe src="{SHOW}&amp;{AUTH}"></iframe>'),
        (f'</iframe><iframe src="{SHOW}"></p>x</iframe>y</iframe>', f'<iframe src="{SHOW}&amp;{AUTH}"></p>x</iframe>'),
        (f"<iframe src={SHOW} class=a></iframe>", f"<iframe src={SHOW}&amp;{AUTH} class=a></iframe>"),
        (f"<iframe a=1 src = ' {SHOW}\n' b=2></iframe>", f"<iframe a=1 src = ' {SHOW}&amp;{AUTH}\n' b=2></iframe>"),
        (f'<IFRAME DATA-SRC="{SHOW}" src="x"></IFRAME>', f'<IFRAME DATA-SRC="{SHOW}&amp;{AUTH}" src="x"></IFRAME>'),
        (
            f'<iframe src="{SHOW}" data-lazy="{SHOW}" title="{SHOW}"></iframe>',
            f'<iframe src="{SHOW}&amp;{AUTH}" data-lazy="{SHOW}&amp;{AUTH}" title="{SHOW}"></iframe>',
        ),
        (f'<iframe srcdoc="x" src="{SHOW}"></iframe>', None),
        (f'<embed src="{SHOW}">', None),
        ('<iframe src="https://my.matterport.com/show?m=Other000000"></iframe>', None),
        (f'<iframe src="{MODEL}"></iframe>', None),
        (f'<iframe src="{SHOW}x"></iframe>', None),
        (f'<iframe src="{SHOW}"><a href="{SHOW}&auth=Bearer+{TOKEN_B}">x</a></iframe>', None),
        ("text", None),
    ],
)  # fmt: skip
def test_the_iframe_that_shows_the_model_gets_the_token(text: str, expected: str | None) -> None:
    assert renewed_frame(text, link()) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"{SHOW}&amp;play=1", f"{SHOW}&amp;play=1&amp;{AUTH}"),
        (f"{SHOW}&play=1", f"{SHOW}&play=1&{AUTH}"),
        (f"{SHOW}&#038;play=1&amp;b=2", f"{SHOW}&#038;play=1&amp;b=2&#038;{AUTH}"),
        (f"{SHOW}&amp;auth=old&amp;play=1", f"{SHOW}&amp;{AUTH}&amp;play=1"),
        (f"{SHOW}&auth=a&b=1&auth=c", f"{SHOW}&{AUTH}&b=1&auth=c"),
        (f"{SHOW}#tour", f"{SHOW}&amp;{AUTH}#tour"),
        (f"https://my.matterport.com/show/?m={MODEL}", f"https://my.matterport.com/show/?m={MODEL}&amp;{AUTH}"),
        (f"//my.matterport.com/show/?m={MODEL}", f"//my.matterport.com/show/?m={MODEL}&amp;{AUTH}"),
        (f"https://my.matterport.com:8443/show?m={MODEL}", f"{SHOW}&amp;{AUTH}"),
        (f"http://my.matterport.com/show?m={MODEL}", f"{SHOW}&amp;{AUTH}"),
        (f"https://my.matterport.com/work?m={MODEL}", f"{SHOW}&amp;{AUTH}"),
        (f"https://my.matterport.com/models/{MODEL}", f"{SHOW}&amp;{AUTH}"),
        (f"https://my.matterport.com/show/{MODEL}?m=x", f"{SHOW}&amp;{AUTH}"),
        (f"https://c.example/?u=https%3A%2F%2Fmy.matterport.com%2Fshow%3Fm%3D{MODEL}&amp;qs=1", f"{SHOW}&amp;{AUTH}&amp;u={'https%3A%2F%2Fmy.matterport.com%2Fshow%3Fm%3D' + MODEL}&amp;qs=1"),
    ],
)  # fmt: skip
def test_an_address_of_the_links_place_stays_and_another_becomes_the_link(source: str, expected: str) -> None:
    assert renewed(source) == expected


def test_a_link_without_a_token_of_its_own_replaces_the_address() -> None:
    assert renewed(f"{SHOW}&amp;play=1", link(url=f"{SHOW}&t=1")) == f"{SHOW}&amp;t=1&amp;play=1"


@pytest.mark.parametrize(
    ("source", "params", "former", "expected"),
    [
        (f"{SHOW}&play=1&qs=0", "qs=1", "", f"{SHOW}&play=1&qs=1&{AUTH}"),
        (f"{SHOW}&amp;qs=0&amp;b=2", "qs=1&lang=de", "", f"{SHOW}&amp;qs=1&amp;b=2&amp;{AUTH}&amp;lang=de"),
        (f"{SHOW}&qs=0&b=2", "", "qs=0", f"{SHOW}&b=2&{AUTH}"),
        (f"{SHOW}&#38;qs=0", "", "qs=0", f"{SHOW}&#38;{AUTH}"),
        (f"{SHOW}&qs=1&b=2", "", "qs=0", f"{SHOW}&qs=1&b=2&{AUTH}"),
        (f"{SHOW}&qs=0&qs=0", "", "qs=0", f"{SHOW}&qs=0&{AUTH}"),
        (f"{SHOW}&qs=01&b=2", "", "qs=0", f"{SHOW}&qs=01&b=2&{AUTH}"),
        (f"{SHOW}&qs=0", "qs=0", "qs=0", f"{SHOW}&qs=0&{AUTH}"),
        (f"{SHOW}&qs=0#x", "qs=2", "", f"{SHOW}&qs=2&{AUTH}#x"),
        (f"http://x.example/show?m={MODEL}&qs=0&b=2&AUTH=z&model=q", "", "qs=0", f"{SHOW}&amp;{AUTH}&amp;b=2"),
        (f"http://x.example/show?m={MODEL}&qs=0&b=2#c=3?d=4", "qs=0", "qs=0", f"{SHOW}&amp;{AUTH}&amp;qs=0&amp;b=2"),
    ],
)  # fmt: skip
def test_the_placements_parameters_are_set_and_its_former_ones_removed(
    source: str, params: str, former: str, expected: str
) -> None:
    assert renewed(source, link(params), former) == expected


@pytest.mark.parametrize(
    ("replaced", "attributes"),
    [
        ("", 'title="Hall" width="100%" height="480"'),
        ('[iframe width="90%" height="12.5em" class="a b-c_1"]', 'title="Hall" width="90%" height="12.5em" class="a b-c_1"'),
        ('[iframe width="9;" height="123456" class="a;b"]', 'title="Hall" width="100%" height="480"'),
        (f'[iframe title="{"t" * 200}"]', f'title="{"t" * 200}" width="100%" height="480"'),
        (f'[iframe title="{"t" * 201}"]', 'title="Hall" width="100%" height="480"'),
        ('[iframe title="a\tb"]', 'title="Hall" width="100%" height="480"'),
        ("\n <object WIDTH='5' title='&lt;b&gt; [x ü'>", 'title="&lt;b&gt; &#91;x &#252;" width="5" height="480"'),
        ('<!-- wp:x {"width":"5"} width="5" -->', 'title="Hall" width="100%" height="480"'),
        ('text [iframe width="5"]', 'title="Hall" width="100%" height="480"'),
    ],
)  # fmt: skip
def test_a_new_iframe_has_the_looks_of_what_it_replaces(replaced: str, attributes: str) -> None:
    assert default_frame(link(), replaced) == (
        f'<iframe src="{SHOW}&amp;{AUTH}" {attributes} referrerpolicy="no-referrer" allowfullscreen=""></iframe>'
    )


def test_a_new_iframe_has_the_parameters_of_the_models_address_in_what_it_replaces() -> None:
    replaced = f"[matterport a='https://x.example/?m=Other000000&qs=9' b='{SHOW}&amp;qs=1']"
    assert default_frame(link(), replaced).startswith(f'<iframe src="{SHOW}&amp;{AUTH}&amp;qs=1" title=')
