"""What a page builder keeps in data of its own is named: where it hides a link, and where it shows one that was cleared."""

from __future__ import annotations

import logging

import pytest

from pme_airflow.errors import SlotError
from pme_airflow.targets.wordpress_builders import builder_advice, builder_of, still_shown
from tests.support.fake_wordpress import MODEL, FakeWordPress, link

SLOT = f"pages/1#{MODEL}"
OLD = f'<iframe src="https://my.matterport.com/show?m={MODEL}&amp;auth=Bearer+{"o" * 25}"></iframe>'
#: What each builder makes of a page with an HTML widget.
BUILT = {
    "Elementor": '<div data-elementor-type="wp-page" data-elementor-id="1" class="elementor elementor-1">{}</div>',
    "Beaver Builder": '<div class="fl-builder-content fl-builder-content-1" data-post-id="1">{}</div>',
    "Bricks": '<main id="brx-content"><section class="brxe-section">{}</section></main>',
    "Breakdance": '<section class="bde-section-1-100 bde-section">{}</section>',
    "Oxygen": '<section id="section-2-1" class=" ct-section"><div class="ct-section-inner-wrap">{}</div></section>',
    "Divi": '<div class="et_pb_section et_pb_section_0 et_section_regular">{}</div>',
    "Thrive Architect": '<div id="tve_editor" class="tve_shortcode_editor">{}</div>',
    "SiteOrigin": '<div id="pl-1" class="panel-layout"><div class="panel-grid">{}</div></div>',
}


@pytest.mark.parametrize("builder", BUILT)
@pytest.mark.parametrize("shown", [OLD, "<p>nothing of it</p>"], ids=["its own link", "no link"])
def test_a_builder_that_shows_its_own_data_is_named_with_what_to_do(builder: str, shown: str) -> None:
    site = FakeWordPress(p1=OLD)
    site.render = lambda raw: BUILT[builder].format(shown)
    target = site.target()
    result = target.put(SLOT, link(), {})
    with pytest.raises(SlotError, match=f"built with {builder}, .*\\[pme model={MODEL}\\]") as raised:
        target.read_back(SLOT, link(), result.details)
    assert raised.value.permanent


@pytest.mark.parametrize("builder", BUILT)
def test_a_builder_that_shows_the_pages_source_is_left_alone(builder: str) -> None:
    site = FakeWordPress(p1="before")
    site.render = lambda raw: BUILT[builder].format(raw)
    target = site.target()
    target.read_back(SLOT, link(), target.put(SLOT, link(), {}).details)


@pytest.mark.parametrize("builder", BUILT)
def test_a_cleared_page_whose_builder_still_shows_the_link_is_named_and_the_link_revoked_at_once(
    builder: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = FakeWordPress(p1=OLD)
    site.render = lambda raw: BUILT[builder].format(OLD)
    with caplog.at_level(logging.WARNING):
        assert site.target().take_away(SLOT, {"path": "pages/1"}).old_link_remains
    assert "o" * 25 not in site.content()
    assert f"{builder} keeps it in data of its own: take it out in {builder}" in caplog.text
    assert "o" * 25 not in caplog.text


def test_a_cleared_page_that_shows_nothing_more_is_done() -> None:
    site = FakeWordPress(p1=OLD)
    assert not site.target().take_away(SLOT, {"path": "pages/1"}).old_link_remains
    assert builder_of("<p>elementor, divi and oxygen</p>") is None
    assert builder_advice("<p></p>", MODEL) == still_shown("<p></p>", MODEL) == ""
