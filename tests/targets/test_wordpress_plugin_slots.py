"""A real WordPress with the plugin, as visitors, editors and thieves meet it. The nights are in ``test_nights.py``."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from pme_airflow.dev.playground.wordpress import Site, missing
from pme_airflow.errors import SlotError
from pme_airflow.targets.wordpress import WordPressTarget
from pme_airflow.targets.wordpress_spaces import sources_in
from tests.support.fake_wordpress import link as made_link
from tests.support.plugin_site import PluginSite, serving_plugin_site
from tests.support.scale import scaled

pytestmark = [pytest.mark.skipif(missing() is not None, reason=str(missing())), pytest.mark.timeout(scaled(300, 1800))]
MODEL = "yyHDFKzPzvN"
TOKEN = "h" * 25


def link(token: str = TOKEN, model_id: str = MODEL, **changed: Any) -> Any:
    until = datetime.now(timezone.utc) + timedelta(hours=24)
    return replace(made_link(token, model_id), valid_until=until, **changed)


@pytest.fixture(scope="module")
def running() -> Iterator[PluginSite]:
    with serving_plugin_site() as site:
        yield site


@pytest.fixture(scope="module")
def accounts(running: PluginSite) -> dict[str, Site]:
    return {role: running.site.account(role) for role in ("editor", "author", "contributor", "subscriber")}


@pytest.fixture
def plugin(running: PluginSite) -> Iterator[PluginSite]:
    """The site with the rule that everybody may see spaces, without links, and with an empty page cache."""
    yield running
    running.set_rule("everybody")
    running.site.run_php(f"<?php require '{running.site.root}/wp-load.php'; PME_Embed\\Store::erase_all();")
    shutil.rmtree(running.site.root / "wp-content" / "cache-of-tests", ignore_errors=True)


def target(site: Site, pages: dict[str, int] | None = None) -> WordPressTarget:
    session = requests.Session()
    session.auth = (site.user, site.password)
    return WordPressTarget(session, site.address, pages, mode="plugin")


def fingerprint_of(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def publish(site: Site, pages: dict[str, int], shown: Any) -> None:
    shelf = target(site, pages)
    (slot,) = shelf.slots({"model_id": shown.model_id})
    shelf.read_back(slot, shown, shelf.put(slot, shown, {}).details)


def rest(site: Site, method: str, route: str, *, anonymous: bool = False, **options: Any) -> requests.Response:
    auth = None if anonymous else (site.user, site.password)
    query = {"rest_route": f"/pme/v1/{route}", **options.pop("params", {})}
    return requests.request(method, f"{site.address}/", params=query, auth=auth, timeout=60, **options)


def browser_cookies(site: Site, user: str, password: str) -> requests.Session:
    """A browser in which somebody is signed in."""
    session = requests.Session()
    session.get(f"{site.address}/wp-login.php", timeout=60)
    session.post(f"{site.address}/wp-login.php", {"log": user, "pwd": password, "wp-submit": "x"}, timeout=60)
    assert any("logged_in" in name for name in session.cookies.keys())  # noqa: SIM118
    return session


def space(plugin: PluginSite, status: str = "publish", **fields: Any) -> tuple[int, str]:
    """A page with a space, and the address at which its link is read, as its editor gets it."""
    body = {"title": "T", "status": status, "content": f"[pme model={MODEL}]", **fields}
    page = int(plugin.site.call("POST", "pages", body)["id"])
    rendered = plugin.site.call("GET", f"pages/{page}", context="edit")["content"]["rendered"]
    (source,) = sources_in(rendered, MODEL)
    return page, source


GOOD_BODY = {"link": f"https://my.matterport.com/show?m={MODEL}&auth=Bearer+{TOKEN}", "access_token": TOKEN,
             "valid_until": "2099-01-01T00:00:00Z", "audience": "intranet", "slot": "s", "name": "n"}  # fmt: skip


def test_links_are_written_by_editors_and_by_nobody_below(plugin: PluginSite, accounts: dict[str, Site]) -> None:
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    for role in ("author", "contributor", "subscriber"):
        for method, route in (("PUT", f"links/{MODEL}"), ("DELETE", f"links/{MODEL}"), ("GET", f"links/{MODEL}"), ("GET", "links"), ("GET", "status")):  # fmt: skip
            answer = rest(accounts[role], method, route, json=GOOD_BODY)
            assert answer.status_code == 403, (role, method, route)
            assert TOKEN not in answer.text
    for method, route in (("PUT", f"links/{MODEL}"), ("DELETE", f"links/{MODEL}"), ("GET", f"links/{MODEL}"), ("GET", "links"), ("GET", "status")):  # fmt: skip
        answer = rest(plugin.site, method, route, anonymous=True, json=GOOD_BODY)
        assert answer.status_code in (401, 403)
        assert TOKEN not in answer.text
    publish(accounts["editor"], {}, link("e" * 25))
    with pytest.raises(SlotError, match="role editor or the capability manage_pme_links"):
        target(accounts["author"]).put(f"links/{MODEL}", link(), {})


def test_a_cookie_alone_changes_nothing(plugin: PluginSite) -> None:
    """A page of another site can make an administrator's browser send cookies, but has no nonce."""
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    browser = browser_cookies(plugin.site, "admin", plugin.site.login_password)
    address = f"{plugin.site.address}/?rest_route=/pme/v1/links/{MODEL}"
    for method, query in (
        ("PUT", ""),
        ("DELETE", ""),
        ("GET", "&_method=DELETE"),
        ("POST", "&_method=PUT"),
        ("GET", ""),
    ):
        for headers in ({}, {"X-WP-Nonce": "0123456789"}):
            answer = browser.request(method, address + query, json=GOOD_BODY, headers=headers, timeout=60)
            assert answer.status_code in (401, 403), (method, query)
    assert rest(plugin.site, "GET", f"links/{MODEL}").status_code == 200
    saved = browser.post(f"{plugin.site.address}/wp-admin/admin-post.php", {"action": "pme_embed_settings", "rule": "signed_in"}, timeout=60)  # fmt: skip
    assert saved.status_code == 403
    assert rest(plugin.site, "GET", "status").json()["rule"] == "everybody"


def test_the_screen_shows_spaces_and_saves_who_may_see_them(plugin: PluginSite) -> None:
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    plugin.site.page(f"[pme model={MODEL}][pme model=NoLinkYet]")
    browser = browser_cookies(plugin.site, "admin", plugin.site.login_password)
    screen = browser.get(f"{plugin.site.address}/wp-admin/tools.php?page=pme-embed", timeout=60).text
    assert MODEL in screen
    assert "No link: add the model to the placements" in screen.partition("NoLinkYet")[2]
    assert TOKEN not in screen
    nonce = screen.partition('name="_wpnonce" value="')[2].partition('"')[0]
    form = {"action": "pme_embed_settings", "_wpnonce": nonce, "rule": "capability", "capability": "edit_posts",
            "hosts": "matterport.com spaces.example <x> javascript: -"}  # fmt: skip
    saved = browser.post(f"{plugin.site.address}/wp-admin/admin-post.php", form, timeout=60)
    assert "spaces.example" in saved.text
    status = rest(plugin.site, "GET", "status").json()
    assert (status["rule"], status["hosts"]) == ("capability", ["matterport.com", "spaces.example"])
    browser.post(f"{plugin.site.address}/wp-admin/admin-post.php", {**form, "rule": "nobody"}, timeout=60)
    assert rest(plugin.site, "GET", "status").json()["rule"] == "capability"


def test_no_manager_reads_a_link_back(plugin: PluginSite) -> None:
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    for answer in (rest(plugin.site, "GET", f"links/{MODEL}"), rest(plugin.site, "GET", "links")):
        assert answer.status_code == 200
        assert TOKEN not in answer.text
        assert MODEL in answer.text


@pytest.mark.parametrize(
    "model",
    ["x' OR '1'='1", "x\" OR 1=1 -- ", "x%27%20OR%201%3D1", "x/../../wp/v2/users", "x;DROP TABLE wp_pme_links", "%00", "x\\'", "ü", "a" * 65],
)  # fmt: skip
def test_sql_in_a_model_id_reaches_no_row(plugin: PluginSite, model: str) -> None:
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    for method in ("GET", "PUT", "DELETE"):
        assert rest(plugin.site, method, f"links/{model}", json=GOOD_BODY).status_code in (400, 403, 404)
        other = rest(plugin.site, method, "links/NoSuchModel", params={"model": model}, json={**GOOD_BODY, "model": model, "valid_until": "x"})  # fmt: skip
        assert other.status_code in (200, 400, 404)
    assert rest(plugin.site, "GET", "links", params={"models": model}).json() == []
    assert [entry["model_id"] for entry in rest(plugin.site, "GET", "links").json()] == [MODEL]


def test_a_model_id_counts_its_capitals(plugin: PluginSite) -> None:
    target(plugin.site).put(f"links/{MODEL}", link(), {})
    lower = replace(link("l" * 25), model_id=MODEL.lower())
    target(plugin.site).put(f"links/{MODEL.lower()}", lower, {})
    assert len(rest(plugin.site, "GET", "links").json()) == 2
    rest(plugin.site, "DELETE", f"links/{MODEL.lower()}")
    assert [entry["model_id"] for entry in rest(plugin.site, "GET", "links").json()] == [MODEL]


@pytest.mark.parametrize(
    "address",
    ["http://my.matterport.com/show", "https://evil.example/show", "https://my.matterport.com.evil.example/", "https://evilmatterport.com/",
     "https://my.matterport.com@evil.example/", "javascript:alert(1)", "data:text/html,x", "//my.matterport.com/show", "", "https://my.matterport.com/\"><script>",
     "file:///etc/passwd", "https://169.254.169.254/latest", "https://my.matterport.com\\@evil.example/", "https://my.matterport.com/ x"],
)  # fmt: skip
def test_addresses_of_other_hosts_are_not_stored(plugin: PluginSite, address: str) -> None:
    rest(plugin.site, "DELETE", f"links/{MODEL}")
    answer = rest(plugin.site, "PUT", f"links/{MODEL}", json={**GOOD_BODY, "link": address})
    assert answer.json()["code"] == "pme_invalid_link"
    assert rest(plugin.site, "GET", f"links/{MODEL}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [None, [], "x", {}, {**GOOD_BODY, "access_token": ["x"]}, {**GOOD_BODY, "access_token": "a b"}, {**GOOD_BODY, "access_token": "x" * 3000},
     {**GOOD_BODY, "valid_until": "soon"}, {**GOOD_BODY, "valid_until": 5}, {**GOOD_BODY, "valid_until": "2020-01-01T00:00:00Z"},
     {**GOOD_BODY, "audience": {"a": 1}}, {**GOOD_BODY, "slot": "x" * 500}, {**GOOD_BODY, "link": GOOD_BODY["link"] + "&" * 5000}],
    ids=range(13),
)  # fmt: skip
def test_bodies_that_are_not_whole_are_refused_and_repeat_no_value(plugin: PluginSite, body: Any) -> None:
    answer = rest(plugin.site, "PUT", f"links/{MODEL}", json=body)
    assert answer.status_code == 400
    assert TOKEN not in answer.text


def test_markup_in_titles_and_names_stays_text(plugin: PluginSite) -> None:
    evil = "\"><script>window.stolen=1</script>[gallery]' onload=x"
    publish(plugin.site, {}, link(name=evil))
    block = json.dumps(
        {"model": MODEL, "title": evil, "height": '1px;background:url("//e")', "params": 'a=1"><script>'}
    )
    escaped = block.replace("<", "\\u003c").replace(">", "\\u003e")
    page = plugin.site.page(f"<!-- wp:pme/space {escaped} /-->")
    html = plugin.page(page)
    assert "window.stolen" not in html.replace("&lt;script&gt;window.stolen", "")
    assert "background" not in html.partition("<iframe")[2].partition(">")[0]
    assert "height:480px" in html
    browser = browser_cookies(plugin.site, "admin", plugin.site.login_password)
    screen = browser.get(f"{plugin.site.address}/wp-admin/tools.php?page=pme-embed", timeout=60).text
    assert MODEL in screen
    assert "<script>window.stolen" not in screen


def test_a_link_is_read_only_where_the_page_that_holds_it_may_be_read(
    plugin: PluginSite, accounts: dict[str, Site]
) -> None:
    publish(plugin.site, {}, link())
    page, source = space(plugin)
    assert plugin.link(source).json()["access_token"] == TOKEN
    for status in ("draft", "private", "pending", "future"):
        fields = {"date": "2099-01-01T00:00:00"} if status == "future" else {}
        _, hidden = space(plugin, status, **fields)
        assert plugin.link(hidden).status_code == 403, status
        for role in ("author", "subscriber", "contributor"):  # other accounts, who did not write it
            assert plugin.link(hidden, auth=(role, accounts[role].password)).status_code == 403, (status, role)
        assert plugin.link(hidden, auth=("editor", accounts["editor"].password)).json()["access_token"] == TOKEN
    plugin.site.call("POST", f"pages/{page}", {"content": "<p>no space any more</p>"})
    assert plugin.link(source).status_code == 403
    plugin.site.call("POST", f"pages/{page}", {"content": f"[pme model={MODEL}]"})
    assert plugin.link(source).status_code == 200
    plugin.site.call("DELETE", f"pages/{page}")
    assert plugin.link(source).status_code == 403


def test_a_page_with_a_password_shows_its_space_to_who_knows_it(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    _, source = space(plugin, password="open sesame")
    assert plugin.link(source).status_code == 403
    reader = requests.Session()
    reader.post(f"{plugin.site.address}/wp-login.php?action=postpass", {"post_password": "open sesame"}, timeout=60)
    assert reader.get(f"{plugin.site.address}{source}", timeout=60).json()["access_token"] == TOKEN


def test_addresses_that_nobody_rendered_give_nothing(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    publish(plugin.site, {}, link("o" * 25, "SxQL3iGyoDo"))
    page, source = space(plugin)
    key = source.partition("key=")[2]
    tampered = [source.replace(MODEL, "SxQL3iGyoDo"), source.replace(f"post={page}", f"post={page + 1}"), source.replace(f"post={page}", "post=0"),
                source.replace(key, ""), source.replace(key, "r" + key[1:]), source.replace(key, key[:-1]), source.replace("key=", "key[]="),
                source.replace("post=", "post[]="), f"{source}&_jsonp=f", f"{source}&_envelope=1", f"{source}&model=SxQL3iGyoDo&key=x"]  # fmt: skip
    for address in tampered:
        answer = plugin.link(address)
        assert answer.status_code in (400, 403) or '"status":403' in answer.text, address
        assert "Bearer" not in answer.text
    assert "SxQL" not in plugin.link(f"{source}&model=SxQL3iGyoDo").text


@pytest.mark.parametrize(("rule", "allowed"), [("signed_in", {"subscriber", "author"}), ("capability", {"author"})])
def test_the_rule_decides_by_the_cookie_also_on_a_cached_page(plugin: PluginSite, rule: str, allowed: set[str], accounts: dict[str, Site]) -> None:  # fmt: skip
    publish(plugin.site, {}, link())
    page, _ = space(plugin)
    plugin.set_rule(rule)
    html = plugin.page(page)
    assert "data-pme-source" in plugin.cached()
    (source,) = sources_in(html, MODEL)
    assert plugin.link(source).status_code == 401
    for role in ("subscriber", "author"):
        browser = browser_cookies(plugin.site, role, "x")
        assert browser.get(f"{plugin.site.address}/?page_id={page}", timeout=60).text == html
        answer = browser.get(f"{plugin.site.address}{source}", timeout=60)
        assert (answer.status_code == 200) is (role in allowed), role
        assert (TOKEN in answer.text) is (role in allowed)
        for headers in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            stolen = browser.get(f"{plugin.site.address}{source}", headers=headers, timeout=60)
            assert stolen.status_code == 403
            assert TOKEN not in stolen.text


def test_no_answer_may_be_kept_or_read_by_another_site(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    _, source = space(plugin)
    answers = [plugin.link(source), plugin.link(source, headers={"Origin": "https://evil.example"}), plugin.link(source + "x"),
               rest(plugin.site, "GET", "status"), rest(plugin.site, "GET", "links"), rest(plugin.site, "GET", f"links/{MODEL}")]  # fmt: skip
    for answer in answers:
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert TOKEN not in plugin.cached()
    assert not any("pme%2Fv1" in name for name in plugin.cached().split())


def test_links_end_by_themselves_and_leave_with_the_plugin(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    page, source = space(plugin)
    plugin.set_clock(datetime.now(timezone.utc) + timedelta(hours=25))
    try:
        assert plugin.link(source).json()["code"] == "pme_no_link"
        assert "pme1:" not in plugin.dump()
    finally:
        (plugin.site.root / "wp-content" / "now").unlink()
    publish(plugin.site, {}, link())
    assert "pme1:" in plugin.dump()
    plugin.site.remove_plugin()
    dump = plugin.dump()
    assert "pme1:" not in dump
    assert "manage_pme_links" not in dump
    assert "pme_links" not in dump
    assert "pme_embed" not in dump
    with pytest.raises(SlotError, match="not active on this site"):
        target(plugin.site).put(f"links/{MODEL}", link(), {})
    plugin.site.install_plugin()
    publish(plugin.site, {}, link())
    assert plugin.seen(page, MODEL).count(TOKEN) == 2


def test_changed_salts_make_links_unreadable_until_they_are_stored_again(plugin: PluginSite) -> None:
    page = plugin.site.page(f"[pme model={MODEL}]")
    publish(plugin.site, {MODEL: page}, link())
    assert TOKEN in plugin.seen(page, MODEL)
    cached = plugin.cached()
    assert cached
    config = plugin.site.root / "wp-config.php"
    former = config.read_text()
    config.write_text(former.replace("'salt one'", "'another'"))
    try:
        assert "pme_no_link" in plugin.seen(page, MODEL)
        assert rest(plugin.site, "GET", f"links/{MODEL}").json()["fingerprint"] == ""
        publish(plugin.site, {MODEL: page}, link())
        assert TOKEN in plugin.seen(page, MODEL), "a page from the cache is still known"
        assert plugin.cached() == cached
    finally:
        config.write_text(former)


def test_pages_that_were_cached_with_a_key_of_the_salts_show_their_space(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    page, source = space(plugin)
    code = f"substr(hash_hmac('sha256', '{MODEL}|{page}|c', PME_Embed\\Keys::derived('holder')), 0, 32)"
    former = plugin.site.run_php(f"<?php require '{plugin.site.root}/wp-load.php'; echo 'c' . {code};")
    address, _, key = source.partition("key=")
    assert key != former
    assert plugin.link(f"{address}key={former}").json()["access_token"] == TOKEN


#: A shortcode that shows another post's content, as plugins for reusable content do.
_NESTED = """<?php
add_shortcode('content_of', function ($attributes) { return do_shortcode(get_post((int) $attributes['post'])->post_content); });
"""


def test_a_space_that_another_posts_shortcode_shows_is_read_back_as_visitors_see_it(plugin: PluginSite) -> None:
    nested = plugin.site.root / "wp-content" / "mu-plugins" / "nested.php"
    nested.write_text(_NESTED)
    try:
        inner = plugin.site.page(f"[pme model={MODEL}]")
        page = plugin.site.page(f"[content_of post={inner}]")
        publish(plugin.site, {MODEL: page}, link())
        assert plugin.site.content(page) == f"[content_of post={inner}]"
        assert TOKEN in plugin.seen(page, MODEL)
        query = {"rest_route": f"/wp/v2/pages/{page}"}
        visitors = requests.get(f"{plugin.site.address}/", params=query, timeout=60).json()["content"]["rendered"]
        editors = plugin.site.call("GET", f"pages/{page}")["content"]["rendered"]
        (shown,), (previewed,) = sources_in(visitors, MODEL), sources_in(editors, MODEL)
        assert plugin.link(shown).json()["access_token"] == TOKEN
        assert plugin.link(previewed).status_code == 403, "an editor's preview opens for editors alone"
        plugin.site.call("POST", f"pages/{page}", {"status": "private"})
        assert plugin.link(shown).status_code == 403
    finally:
        nested.unlink()


#: Stores another model's link in a second process, at the moment at which the first one stores a key that it made.
_SECOND_WRITER = """<?php
add_filter('query', function ($query) {
    $script = WP_CONTENT_DIR . '/second-writer.php';
    if (is_file($script) && preg_match('/^INSERT .*(auth_key|pme_embed_key)/s', $query)) {
        $code = file_get_contents($script);
        unlink($script);
        exec('php -r ' . escapeshellarg($code) . ' 2>&1', $output, $status);
        file_put_contents($script . '.done', $status);
    }
    return $query;
});
"""
_SECOND_LINK = """
require '{root}/wp-load.php';
PME_Embed\\Store::put('SxQL3iGyoDo', ['link' => 'https://my.matterport.com/', 'access_token' => 'second', 'slot' => 's',
    'audience' => 'a', 'name' => '', 'valid_until' => time() + 3600]);
"""


@pytest.mark.parametrize("salts", ["none", "equal"])
def test_two_first_links_at_once_stay_readable_without_salts_in_wp_config(plugin: PluginSite, salts: str) -> None:
    root = plugin.site.root
    config, content = root / "wp-config.php", root / "wp-content"
    former = config.read_text()
    without = re.sub(r"define\('(?:SECURE_)?AUTH_(?:KEY|SALT)', '[a-z ]+'\);", "", former)
    equal = "".join(
        f"define('{name}', 'one');" for name in ("AUTH_KEY", "AUTH_SALT", "SECURE_AUTH_KEY", "SECURE_AUTH_SALT")
    )
    config.write_text(without.replace("<?php", f"<?php {equal}", 1) if salts == "equal" else without)
    (content / "mu-plugins" / "second-writer.php").write_text(_SECOND_WRITER)
    try:
        plugin.site.run_php(
            f"<?php require '{root}/wp-load.php'; $wpdb->query(\"DELETE FROM $wpdb->options WHERE option_name IN "
            "('auth_key', 'auth_salt', 'secure_auth_key', 'secure_auth_salt', 'pme_embed_key')\");"
        )
        (content / "second-writer.php").write_text(_SECOND_LINK.format(root=root))
        publish(plugin.site, {}, link())
        assert (content / "second-writer.php.done").read_text() == "0"
        stored = {record["model_id"]: record["fingerprint"] for record in rest(plugin.site, "GET", "links").json()}
        assert stored == {MODEL: fingerprint_of(TOKEN), "SxQL3iGyoDo": fingerprint_of("second")}
        assert rest(plugin.site, "GET", "status").json()["sealed"] is False
    finally:
        config.write_text(former)
        (content / "mu-plugins" / "second-writer.php").unlink()
        for left in content.glob("second-writer.php*"):
            left.unlink()


def test_a_second_audience_is_refused_and_a_second_slot_of_one_is_not(plugin: PluginSite) -> None:
    publish(plugin.site, {}, link())
    page = plugin.site.page("x")
    with pytest.raises(SlotError, match="shows the model to another audience"):
        publish(plugin.site, {MODEL: page}, link("o" * 25, audience="brokers"))
    publish(plugin.site, {MODEL: page}, link("n" * 25))
    publish(plugin.site, {MODEL: page}, link("b" * 25, audience="brokers"))


#: Reads the endpoint again and again: with the right, and in the ways of somebody who has none. Prints what came of it.
_READS = r"""<?php
require '{root}/wp-load.php';
parse_str((string) parse_url({shown}, PHP_URL_QUERY), $shown);
parse_str((string) parse_url({draft}, PHP_URL_QUERY), $draft);
$writes = $leaked = 0;
$codes = [];
add_filter('query', function ($query) use (&$writes) {{
    $writes += preg_match('/^\s*(?:SELECT|SHOW|SET)\b/i', $query) ? 0 : 1;
    return $query;
}});
$read = function (string $model, array $query) use (&$codes, &$leaked) {{
    $request = new WP_REST_Request('GET', "/pme/v1/links/$model");
    $request->set_query_params($query);
    $answer = rest_do_request($request);
    $code = $answer->get_data()['code'] ?? 'read';
    $codes[$code] = ($codes[$code] ?? 0) + 1;
    if ('read' !== $code) $leaked += substr_count(json_encode($answer->get_data()), '{token}');
}};
$ways = [
    fn($n) => ['{model}', $shown],
    fn($n) => ['{model}', $draft],
    fn($n) => ['{model}', ['key' => md5((string) $n)] + $shown],
    fn($n) => ['{model}', ['post' => (string) ($n + 1000000)] + $shown],
    fn($n) => ['M' . md5((string) $n), $shown],
    fn($n) => ['{model}', []],
    fn($n) => ['{model}', ['key' => ['x'], 'post' => "1' OR 1=1 -- $n"]],
    fn($n) => ['{model}', $shown + ['_envelope' => '1', 'model' => "x$n"]],
];
$memory = [];
for ($n = 0; $n < {count}; $n++) {{
    $read(...$ways[$n % count($ways)]($n));
    if ($n % 16 === 0) do_shortcode('[pme model="{model}" title="' . $n . '"]');
    if ($n === 799 || $n === {count} - 1) $memory[] = memory_get_usage();
}}
echo json_encode(['codes' => $codes, 'leaked' => $leaked, 'writes' => $writes, 'grown' => $memory[1] - $memory[0]]);
"""


def test_a_million_reads_write_nothing_give_nothing_away_and_take_no_memory(plugin: PluginSite) -> None:
    """Some thousands in the suite; ``make reads`` asks a million times, 2,000 of them over HTTP."""
    publish(plugin.site, {}, link())
    _, shown = space(plugin)
    _, draft = space(plugin, "draft")
    count = scaled(4_000, 998_000)
    before = plugin.dump()
    code = _READS.format(
        root=plugin.site.root, shown=json.dumps(shown), draft=json.dumps(draft), token=TOKEN, model=MODEL, count=count
    )
    result = json.loads(plugin.site.run_php(code))
    assert {plugin.link(shown).status_code for _ in range(scaled(20, 1000))} == {200}
    refused = [plugin.link(shown.replace("key=", "key=x")) for _ in range(scaled(20, 1000))]
    assert {answer.status_code for answer in refused} == {403}
    assert not any(TOKEN in answer.text for answer in refused)
    assert sum(result["codes"].values()) == count
    assert result["codes"] == {"read": count // 8, "pme_forbidden": count - count // 8}
    assert (result["leaked"], result["writes"]) == (0, 0)
    assert result["grown"] < 2_000_000, "bytes"
    changed = [
        line for line in set(before.splitlines()) ^ set(plugin.dump().splitlines()) if "Dump completed" not in line
    ]
    assert [line for line in changed if "cron" not in line and "_transient" not in line] == []
