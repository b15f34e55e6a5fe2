"""The plugin on a network: each site has links, settings and keys of its own; and what administrators and WP-CLI are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from pme_airflow.dev.playground.wordpress import Site, missing
from pme_airflow.targets.wordpress import WordPressTarget
from pme_airflow.targets.wordpress_spaces import sources_in
from tests.support.plugin_site import PluginSite, link_now, serving_plugin_site, write_only
from tests.support.scale import scaled

pytestmark = [pytest.mark.skipif(missing() is not None, reason=str(missing())), pytest.mark.timeout(scaled(300, 1800))]
MODEL, OTHER = "yyHDFKzPzvN", "SxQL3iGyoDo"
#: What WP-CLI gives to commands: a class to add them to, and a function that prints rows.
_CLI = """<?php
eval('namespace WP_CLI\\\\Utils; function format_items($format, $items, $fields) {{ echo json_encode([$format, $fields, array_values($items)]); }}');
define('WP_CLI', true);
class WP_CLI {{
    static $commands = [];
    static function add_command($name, $class) {{ self::$commands[$name] = $class; }}
    static function line($text) {{ echo $text; }}
}}
require '{root}/wp-load.php';
foreach ((new ReflectionClass(WP_CLI::$commands['pme']))->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {{
    if (strpos((string) $method->getDocComment(), '@subcommand list') !== false) {{
        $method->invoke(new (WP_CLI::$commands['pme'])(), [], {options});
    }}
}}
"""


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[PluginSite, PluginSite]]:
    """The first and the second site of a network in folders; the plugin is active on all sites."""
    with serving_plugin_site() as first:
        first.site.remove_plugin()
        second = first.site.network()
        first.site.install_plugin(network=True)
        yield first, PluginSite(second)


def publish(site: Site, page: int, token: str) -> None:
    session = requests.Session()
    session.auth = (site.user, site.password)
    target = WordPressTarget(session, site.address, {MODEL: page})
    slot, shown = f"pages/{page}#{MODEL}", link_now(token, MODEL)
    target.read_back(slot, shown, target.put(slot, shown, {}).details)


def records(site: Site) -> list[str]:
    query = {"rest_route": "/pme/v1/links"}
    answer = requests.get(f"{site.address}/", params=query, auth=(site.user, site.password), timeout=60)
    return [entry["model_id"] for entry in answer.json()]


def source_on(plugin: PluginSite, page: int) -> str:
    """The address of a page's space, without the folder of the site."""
    (source,) = sources_in(plugin.page(page), MODEL)
    return source.removeprefix("/second")


def test_each_site_has_links_and_keys_of_its_own(network: tuple[PluginSite, PluginSite]) -> None:
    first, second = network
    pages = [plugin.site.page(f"[pme model={MODEL}]") for plugin in network]
    for plugin, page, token in zip(network, pages, ("f" * 25, "s" * 25), strict=True):
        publish(plugin.site, page, token)
    for plugin, page, token in zip(network, pages, ("f" * 25, "s" * 25), strict=True):
        source = source_on(plugin, page)
        assert plugin.link(source).json()["access_token"] == token
        assert second.link(source).text.count("f" * 25) == 0
        assert first.link(source).text.count("s" * 25) == 0
    write_only(second.site, OTHER, "o" * 25)
    assert (records(first.site), records(second.site)) == ([MODEL], [OTHER, MODEL])
    dump = first.dump()
    assert dump.count("pme1:") == 3
    assert not any(token * 25 in dump + first.cached() for token in "fso")


def test_a_visitor_of_the_second_site_reads_a_notice_by_its_own_rule(network: tuple[PluginSite, PluginSite]) -> None:
    first, _ = network
    pages = [plugin.site.page(f"[pme model={MODEL}]") for plugin in network]
    for plugin in network:
        write_only(plugin.site, MODEL, "r" * 25)
    rule = "switch_to_blog(2); update_option('pme_embed_settings', ['rule' => 'signed_in']);"
    first.site.run_php(f"<?php require '{first.site.root}/wp-load.php'; {rule}")
    answers = [plugin.link(source_on(plugin, page)) for plugin, page in zip(network, pages, strict=True)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert "r" * 25 not in answers[1].text


def test_wp_pme_list_prints_what_is_shown_where_and_what_is_missing(network: tuple[PluginSite, PluginSite]) -> None:
    first, _ = network
    page = first.site.page(f'<!-- wp:pme/space {{"title":"x","model":"{MODEL}"}} /-->')
    built = first.site.page("built")
    first.build(built, f'[pme title="x" model="{OTHER}"]')
    write_only(first.site, MODEL, "c" * 25)
    printed = first.site.run_php(_CLI.format(root=first.site.root, options="['format' => 'json']"))
    form, fields, rows = json.loads(printed)
    by_model = {row["model_id"]: row for row in rows}
    assert (form, fields[0]) == ("json", "model_id")
    assert by_model[MODEL]["state"] == "shown"
    assert str(page) in by_model[MODEL]["posts"].split(",")
    assert (by_model[OTHER]["state"], by_model[OTHER]["posts"]) == ("missing", str(built))
    assert "c" * 25 not in printed
    ids = first.site.run_php(_CLI.format(root=first.site.root, options="['format' => 'ids']"))
    assert set(ids.split()) >= {MODEL, OTHER}


def test_nothing_is_left_of_the_plugin_on_any_site(network: tuple[PluginSite, PluginSite]) -> None:
    """The last test: it deletes the plugin."""
    first, _ = network
    for plugin in network:
        write_only(plugin.site, MODEL, "u" * 25)
    assert first.dump().count("pme1:") >= 2
    first.site.remove_plugin()
    dump = first.dump()
    left = [name for name in ("pme1:", "pme_links", "manage_pme_links", "pme_embed_") if name in dump]
    assert left == []
