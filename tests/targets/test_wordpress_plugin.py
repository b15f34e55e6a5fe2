"""The plugin's REST API as the target meets it: versions, firewalls, caches, and accounts without the right."""

from __future__ import annotations

import pytest

from pme_airflow.checks import Verdict
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.targets.web import WebRefusal
from tests.support.fake_plugin import SOURCE, FakePlugin
from tests.support.fake_wordpress import MODEL, OTHER, FakeWordPress, link, response

SLOT = f"pages/1#{MODEL}"
FRAME = f'<iframe src="https://my.matterport.com/show?m={MODEL}&amp;play=1" title="Mill" height="300"></iframe>'


def with_plugin(page: str = f"[pme model={MODEL}]") -> tuple[FakeWordPress, FakePlugin]:
    site = FakeWordPress(p1=page)
    return site, FakePlugin(site)


def test_the_plugin_is_used_where_the_index_names_it() -> None:
    site, plugin = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    target.read_back(SLOT, link(), done.details)
    assert plugin.links[MODEL]["access_token"] == link().token.reveal()
    assert plugin.links[MODEL]["valid_until"] == "2026-12-01T00:00:00Z"
    assert site.content() == f"[pme model={MODEL}]"
    assert site.count("POST") == 0


def test_a_site_without_the_plugin_has_links_in_pages() -> None:
    site = FakeWordPress(p1="")
    done = site.target().put(SLOT, link(), {})
    assert link().token.reveal() in site.content()
    assert "mode" not in done.details


def test_the_content_mode_never_asks_for_the_plugin() -> None:
    site, plugin = with_plugin()
    site.target(mode="content").put(SLOT, link(), {})
    assert link().token.reveal() in site.content()
    assert plugin.links == {}
    assert not any("pme" in request.path for request in site.seen)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(PMEInputError, match="mode: is not one of auto, plugin, content"):
        FakeWordPress().target(mode="block")


@pytest.mark.parametrize(
    ("api", "version", "cure"),
    [(0, "0.0.1", r"0\.0\.1 is older .*pme-airflow wordpress-plugin > pme-embed\.zip"), (2, "9.0", r"9\.0 is newer .* upgrade pme-airflow")],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["auto", "plugin"])
def test_a_plugin_of_another_version_is_named_with_a_cure_and_nothing_is_changed(
    api: int, version: str, cure: str, mode: str
) -> None:
    site, plugin = with_plugin(FRAME)
    plugin.status.update(api=api, version=version)
    with pytest.raises(SlotError, match=cure):
        site.target(mode=mode).put(SLOT, link(), {})
    assert plugin.links == {}
    assert site.content() == FRAME


def test_a_version_that_is_none_gets_into_no_message() -> None:
    site, plugin = with_plugin()
    plugin.status.update(api=9, version=f"1.0 {link().token.reveal()}")
    with pytest.raises(SlotError, match="pme-embed of an unknown version is newer") as caught:
        site.target().put(SLOT, link(), {})
    assert link().token.reveal() not in str(caught.value)


def test_a_plugin_that_is_not_there_is_named_with_a_cure() -> None:
    site = FakeWordPress(p1=FRAME)
    site.faults.append(
        lambda asked: response(404, '{"code": "rest_no_route"}') if asked.path.startswith("/pme") else None
    )
    with pytest.raises(SlotError, match=r"not active on this site, or too old: write it with `pme-airflow wordpress"):
        site.target(mode="plugin").put(SLOT, link(), {})
    assert site.content() == FRAME


def test_a_firewall_in_front_of_the_plugin_is_named_and_no_link_goes_into_the_page() -> None:
    site, plugin = with_plugin(FRAME)
    plugin.blocked = {"*"}
    with pytest.raises(SlotError, match=r"HTTP 403 from something in front .* let /wp-json/pme/v1/ through"):
        site.target().put(SLOT, link(), {})
    assert site.content() == FRAME


def test_a_firewall_that_refuses_put_and_delete_is_met_by_post() -> None:
    site, plugin = with_plugin()
    plugin.blocked = {"PUT", "DELETE"}
    target = site.target()
    details = target.put(SLOT, link(), {}).details
    target.read_back(SLOT, link(), details)
    target.take_away(SLOT, details)
    assert plugin.writes == ["POST", "POST"]
    assert plugin.links == {}


def test_an_index_that_is_blocked_does_not_hide_the_plugin() -> None:
    site, plugin = with_plugin()
    plugin.index_blocked = True
    site.target().put(SLOT, link(), {})
    assert MODEL in plugin.links
    bare = FakeWordPress(p1="")
    bare.faults.append(lambda asked: response(403, "<html>", "text/html") if "/v2/" not in asked.path and asked.form and not asked.path.startswith("pages") else None)  # fmt: skip
    bare.target().put(SLOT, link(), {})
    assert link().token.reveal() in bare.content()


def test_a_plugin_that_was_switched_off_is_named_and_no_link_goes_into_the_page() -> None:
    site, _ = with_plugin()
    previous = site.target().put(SLOT, link(), {}).details
    site.faults.clear()
    with pytest.raises(SlotError, match="is not active any more: activate it, or set mode: content"):
        site.target().put(SLOT, link("b" * 25), previous)
    assert "Bearer" not in site.content()


def test_an_account_without_the_capability_is_named() -> None:
    site, plugin = with_plugin()
    plugin.may_manage = False
    with pytest.raises(WebRefusal, match="role editor or the capability manage_pme_links"):
        site.target().put(SLOT, link(), {})


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("rest_no_route", "not active on this site, or too old"),
        ("pme_other_audience", "Name the model in one placement"),
        ("pme_ended", "correct that clock"),
        ("pme_invalid_link", "add it under Tools > Private spaces"),
        ("something_else", r"HTTP 409 \(something_else\)$"),
    ],
)
def test_each_refusal_of_the_plugin_has_its_cure(code: str, cure: str) -> None:
    site, plugin = with_plugin()
    plugin.refuses_with = code
    with pytest.raises(WebRefusal, match=cure):
        site.target().put(SLOT, link(), {})


def test_a_cached_success_in_place_of_a_write_is_noticed_when_it_is_read_back() -> None:
    site, plugin = with_plugin()
    target = site.target()
    target.put(SLOT, link(), {})
    plugin.deaf = True
    done = target.put(SLOT, link("b" * 25), {})
    with pytest.raises(SlotError, match="holds another link than the one that was written") as caught:
        target.read_back(SLOT, link("b" * 25), done.details)
    assert not caught.value.permanent
    plugin.links.clear()
    with pytest.raises(SlotError, match="does not hold the link"):
        target.read_back(SLOT, link("b" * 25), done.details)


def test_a_cache_that_gives_visitors_an_old_link_is_noticed() -> None:
    site, plugin = with_plugin()
    target = site.target()
    plugin.visitors_see = "o" * 25
    done = target.put(SLOT, link(), {})
    with pytest.raises(SlotError, match=r"keep /wp-json/pme/v1/ out of all caches"):
        target.read_back(SLOT, link(), done.details)
    plugin.status["rule"] = "signed_in"
    site.target().read_back(SLOT, link(), done.details)


def test_a_cached_page_that_shows_visitors_a_link_is_noticed_and_tried_again() -> None:
    site, _ = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    site.render = lambda raw: f'<iframe src="https://my.matterport.com/show?m={MODEL}&auth=Bearer+{"b" * 25}"></iframe>'
    with pytest.raises(SlotError, match="visitors are still shown one: empty the page cache") as caught:
        target.read_back(SLOT, link(), done.details)
    assert not caught.value.permanent


def test_a_page_that_lost_its_space_and_a_plugin_that_lost_its_link_are_noticed_and_tried_again() -> None:
    site, plugin = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    site.pages["pages/1"].edit("")
    with pytest.raises(SlotError, match="the page does not hold the space") as page:
        target.read_back(SLOT, link(), done.details)
    plugin.links.clear()
    with pytest.raises(SlotError, match="the plugin does not hold the link") as lost:
        target.read_back(SLOT, link(), done.details)
    assert not page.value.permanent
    assert not lost.value.permanent


def test_a_page_that_shows_visitors_nothing_of_the_space_is_noticed() -> None:
    site, _ = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    site.render = lambda raw: "<p>a template without the page's text</p>"
    with pytest.raises(SlotError, match="does a page builder or its template show something else"):
        target.read_back(SLOT, link(), done.details)


def test_a_link_that_somebody_pasted_into_the_page_is_taken_away_with_the_space() -> None:
    site, plugin = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    site.pages["pages/1"].edit(f"<p>x</p>{FRAME.replace('&amp;play=1', '&amp;auth=Bearer+' + 'b' * 25)}")
    target.take_away(SLOT, done.details)
    assert plugin.links == {}
    assert "b" * 25 not in site.content()
    assert "<p>x</p>" in site.content()


def test_visitors_that_a_firewall_refuses_are_noticed() -> None:
    site, _ = with_plugin()
    target = site.target()
    done = target.put(SLOT, link(), {})
    site.faults.insert(0, lambda asked: response(403, "<html>", "text/html") if asked.anonymous and "pme/v1" in asked.path else None)  # fmt: skip
    with pytest.raises(SlotError, match="visitors of the page are refused the link: HTTP 403"):
        target.read_back(SLOT, link(), done.details)


def test_a_link_in_a_page_gives_way_to_the_block_and_revisions_with_links_are_deleted() -> None:
    site = FakeWordPress(p1=f"<!-- wp:html -->\n{FRAME}\n<!-- /wp:html -->")
    previous = site.target(mode="content").put(SLOT, link(), {}).details
    plugin = FakePlugin(site)
    target = site.target()
    new = link("b" * 25)
    done = target.put(SLOT, new, previous)
    target.read_back(SLOT, new, done.details)
    block = f'<!-- wp:pme/space {{"model":"{MODEL}","title":"Mill","height":"300","params":"play=1"}} /-->'
    assert site.content() == block
    assert plugin.links[MODEL]["access_token"] == "b" * 25
    assert not any("Bearer" in raw for raw in site.pages["pages/1"].revisions.values())
    assert done.old_link_remains is False


def test_revisions_that_nobody_can_delete_are_reported() -> None:
    site = FakeWordPress(p1="")
    site.revisions_deletable = False
    previous = site.target(mode="content").put(SLOT, link(), {}).details
    FakePlugin(site)
    assert site.target().put(SLOT, link("b" * 25), previous).old_link_remains is True


def test_back_to_links_in_pages_the_block_gives_way_and_the_plugins_link_is_erased() -> None:
    site, plugin = with_plugin(f'<p>a</p>[pme model="{MODEL}" title="Mill" height="300"]<p>b</p>')
    previous = site.target().put(SLOT, link(), {}).details
    site.target(mode="content").put(SLOT, link("b" * 25), previous)
    assert plugin.links == {}
    assert site.content().count("b" * 25) == 1
    assert "[pme" not in site.content()


def test_an_account_whose_html_is_filtered_moves_a_page_without_other_iframes_only() -> None:
    site, _ = with_plugin(FRAME)
    site.links = {"self": [], "wp:action-publish": []}
    site.target().put(SLOT, link(), {})
    assert "wp:pme/space" in site.content() or "[pme" in site.content()
    site.pages["pages/1"].raw = f"{FRAME}<iframe src='https://map.example'></iframe>"
    with pytest.raises(SlotError, match="takes iframes out"):
        site.target().put(SLOT, link(), {})


def test_a_page_whose_builder_shows_the_space_is_left_as_it_is() -> None:
    site, plugin = with_plugin("<p>text</p>")
    site.render = lambda raw: f'{raw}<iframe data-pme-source="{SOURCE.format(model=MODEL)}"></iframe>'
    target = site.target()
    done = target.put(SLOT, link(), {})
    target.read_back(SLOT, link(), done.details)
    assert site.content() == "<p>text</p>"
    assert "path" not in done.details
    target.take_away(SLOT, done.details)
    assert plugin.links == {}


def test_a_model_without_a_page_is_shown_wherever_somebody_embeds_it() -> None:
    site, plugin = with_plugin()
    target = site.target({}, mode="plugin")
    assert target.slots({"model_id": OTHER}) == [f"links/{OTHER}"]
    shown = link(model_id=OTHER)
    done = target.put(f"links/{OTHER}", shown, {})
    target.read_back(f"links/{OTHER}", shown, done.details)
    assert set(plugin.links) == {OTHER}
    target.take_away(f"links/{OTHER}", done.details)
    assert plugin.links == {}
    assert site.content() == f"[pme model={MODEL}]"


def test_the_doctor_names_the_version_and_a_key_in_the_database() -> None:
    site, plugin = with_plugin()
    assert {result.verdict for result in site.target().check([])} == {Verdict.GOOD}
    plugin.status.update(version="0.0.9", sealed=False)
    older, key = [result for result in site.target().check([]) if result.verdict is Verdict.WARNING]
    assert ("0.0.9 is older" in older.finding, "wordpress-plugin >" in older.cure, "AUTH_KEY" in key.cure) == (
        True,
    ) * 3
    plugin.status.update(version="10.0.0", sealed=True)
    (newer,) = [result for result in site.target().check([]) if result.verdict is Verdict.WARNING]
    assert ("10.0.0 is newer" in newer.finding, newer.cure) == (True, "Upgrade pme-airflow.")
    plugin.status["api"] = 7
    assert any(r.verdict is Verdict.BAD and "newer" in r.finding for r in site.target().check([]))
