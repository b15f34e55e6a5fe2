"""A real WordPress with the plugin pme-embed: a theme, a builder, a page cache for a week, and all that a site holds."""

from __future__ import annotations

import html
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Browser

from pme_airflow.dev.emulator import World
from pme_airflow.dev.playground.mariadb import program
from pme_airflow.dev.playground.wordpress import Site, serving_wordpress
from pme_airflow.targets.base import ShownLink, Target
from pme_airflow.targets.wordpress import WordPressTarget
from pme_airflow.targets.wordpress_spaces import sources_in
from tests.support.block_editor import signed_in
from tests.support.fake_wordpress import link
from tests.support.places import AFTER, BEFORE, BehindProxy
from tests.support.proxy import Proxy

#: A theme that shows the content and what plugins print, and a page builder that keeps its shortcodes in post meta. The
#: plugin's clock is what a file says, since the nights are not those of this machine.
_HELPERS = r"""<?php
add_action('template_redirect', function () {
    if (!is_singular()) return;
    echo '<!doctype html><html><head>'; wp_head(); echo '</head><body>';
    while (have_posts()) { the_post(); the_content(); }
    wp_footer(); echo '</body></html>'; exit;
});
add_filter('the_content', function ($content) {
    return $content . do_shortcode((string) get_post_meta(get_the_ID(), '_builder', true));
}, 20);
add_filter('pme_embed_now', function ($now) {
    $file = WP_CONTENT_DIR . '/now';
    return is_file($file) ? (int) file_get_contents($file) : $now;
});
"""
#: Keeps what it may for a week, whoever asks: HTML, and the plugin's answers too unless they forbid it.
_CACHE = r"""<?php
(function () {
    $uri = $_SERVER['REQUEST_URI'];
    $own = strpos(rawurldecode($uri), 'pme/v1') !== false;
    if ($_SERVER['REQUEST_METHOD'] !== 'GET' || (!$own && preg_match('#wp-admin|wp-login|wp-json|rest_route|wp-content|wp-includes#', $uri))) return;
    $file = WP_CONTENT_DIR . '/cache-of-tests/' . md5($uri);
    if (is_file($file) && time() - filemtime($file) < 604800) {
        header('X-Cache: hit'); header('Content-Type: ' . file_get_contents("$file.type")); readfile($file); exit;
    }
    ob_start(function ($body) use ($file) {
        $headers = implode("\n", headers_list());
        if (http_response_code() === 200 && !defined('DONOTCACHEPAGE') && !preg_match('/no-store|private/i', $headers)) {
            if (!is_dir(dirname($file))) mkdir(dirname($file));
            preg_match('/^Content-Type: (.*)$/mi', $headers, $type);
            file_put_contents($file, $body); file_put_contents("$file.type", $type[1] ?? 'text/html');
        }
        return $body;
    });
})();
"""
_EXPORT = """<?php
{load}
require_once ABSPATH . 'wp-admin/includes/export.php';
export_wp();
"""
_META = "<?php {load} update_post_meta({post}, '_builder', '{text}');"
_RULE = """<?php
{load}
update_option('pme_embed_settings', ['rule' => '{rule}', 'capability' => '{capability}']);
"""
#: A network stores its sites' addresses without a port, and gives them pretty permalinks.
_ADDRESS = """<?php
require '{root}/wp-load.php';
switch_to_blog(2);
foreach (['home' => '{address}', 'siteurl' => '{address}', 'permalink_structure' => ''] as $name => $value) {{
    update_option($name, $value);
}}
"""


class PluginSite:
    """A site with the plugin, as its visitors and its thieves see it.

    :param blog: the site's number in its network.
    """

    def __init__(self, site: Site, blog: int = 1) -> None:
        self.site = site
        switch = f" switch_to_blog({blog});" if blog > 1 else ""
        self._load = f"require '{site.root}/wp-load.php';{switch}"

    def set_clock(self, now: datetime) -> None:
        (self.site.root / "wp-content" / "now").write_text(str(int(now.timestamp())))

    def set_rule(self, rule: str, capability: str = "edit_posts") -> None:
        """Set who may see spaces."""
        self.site.run_php(_RULE.format(load=self._load, rule=rule, capability=capability))

    def build(self, post: int, text: str) -> None:
        """Write a text into what the page builder keeps of a post."""
        self.site.run_php(_META.format(load=self._load, post=post, text=text))

    def page(self, post: int, **options: object) -> str:
        """A page's HTML, by default as anybody gets it."""
        return requests.get(f"{self.site.address}/?page_id={post}", timeout=60, **options).text

    def link(self, source: str, **options: object) -> requests.Response:
        """What a browser reads at a source of a page."""
        folder = urlsplit(self.site.address).path
        return requests.get(f"{self.site.address}{source.removeprefix(folder)}", timeout=60, **options)

    def seen(self, post: int, model_id: str) -> str:
        """What somebody sees who looks at a page: the link that its script reads, or an error."""
        (source,) = sources_in(self.page(post), model_id)
        return self.link(source).text

    def dump(self) -> str:
        """The whole database."""
        socket = self.site.run_php(f"<?php require '{self.site.root}/wp-config.php'; echo substr(DB_HOST, 10);")
        dump = program("mariadb-dump") or program("mysqldump")
        done = subprocess.run(
            [str(dump), f"--socket={socket}", "-u", "root", "--skip-extended-insert", "wordpress"], capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8", "replace")

    def cached(self) -> str:
        """All that the page cache holds."""
        folder = self.site.root / "wp-content" / "cache-of-tests"
        return "".join(file.read_text("utf-8", "replace") for file in folder.glob("*")) if folder.is_dir() else ""

    def everything(self) -> str:
        """The database, the feeds, the export, the search and the REST API for anybody, and the page cache."""
        addresses = ("/?feed=rss2", "/?feed=atom", "/?s=Spaces", "/?feed=rss2&post_type=page", "/")
        held = [requests.get(f"{self.site.address}{address}", timeout=60).text for address in addresses]
        for path in ("pages", "posts", "search&search=Spaces", "types", "media", "blocks"):
            held.append(requests.get(f"{self.site.address}/?rest_route=/wp/v2/{path}", timeout=60).text)
        export = self.site.run_php(_EXPORT.format(load=self._load))
        assert "<rss" in export
        return html.unescape("".join([*held, export, self.dump(), self.cached()]))


def link_now(token: str, model_id: str) -> ShownLink:
    """A link that lives for a day from now, by the clock of this machine."""
    return replace(link(token, model_id), valid_until=datetime.now(timezone.utc) + timedelta(hours=24))


def write_only(site: Site, model_id: str, token: str) -> None:
    """Store a link in the plugin, and touch no page."""
    session = requests.Session()
    session.auth = (site.user, site.password)
    WordPressTarget(session, site.address, mode="plugin").put(f"links/{model_id}", link_now(token, model_id), {})


@contextmanager
def serving_plugin_site() -> Iterator[PluginSite]:
    """A site with the plugin, and with a page cache in front."""
    with serving_wordpress() as site:
        site.set_up(revisions_plugin=False, pretty=False)
        (site.root / "wp-content" / "mu-plugins" / "helpers.php").write_text(_HELPERS)
        (site.root / "wp-content" / "advanced-cache.php").write_text(_CACHE)
        config = site.root / "wp-config.php"
        config.write_text(config.read_text().replace("<?php", "<?php define('WP_CACHE', true);", 1))
        site.install_plugin()
        yield PluginSite(site)


class PluginPlace(BehindProxy):
    """A classic page for the first model, a page of blocks for the second, and for each a page of a page builder.

    :param browser: looks at every page each day, and saves the page of blocks in the block editor; without one, readers
        and editors use the REST API alone.
    """

    def __init__(
        self, proxy: Proxy, site: PluginSite, models: Sequence[str], world: World, browser: Browser | None = None
    ) -> None:
        super().__init__(proxy)
        self.site, self.world = site, world
        first, second = models
        self.sources = {
            first: f"{BEFORE}[pme model={first}]{AFTER}",
            second: f'<!-- wp:paragraph -->\n<p>Before</p>\n<!-- /wp:paragraph -->\n\n<!-- wp:pme/space {{"model":"{second}"}} /-->',
        }
        self.pages = {model: site.site.page(source) for model, source in self.sources.items()}
        self.built = {model: site.site.page("<p>built</p>") for model in models}
        for model, page in self.built.items():
            site.build(page, f'[pme model="{model}" height="300"]')
        self.browser = browser
        self.editor = signed_in(browser, site.site) if browser else None
        self.days = 0

    def _keep_time(self) -> None:
        self.site.set_clock(self.world.now())

    def target(self) -> Target:
        self._keep_time()
        session = requests.Session()
        session.auth = (self.site.site.user, self.site.site.password)
        folder = urlsplit(self.site.site.address).path
        return WordPressTarget(session, f"{self.proxy.address}{folder}", self.pages, timeout=20)

    def shown(self, model_id: str) -> str:
        """What a visitor sees on the page that was cached first, and on the page of a builder."""
        self._keep_time()
        seen = {self.site.seen(page[model_id], model_id) for page in (self.pages, self.built)}
        assert len({text.partition('"valid_until"')[0] for text in seen}) == 1
        return "".join(seen)

    def everything(self) -> str:
        """The pages and their revisions. That no token of any night is in all that the site holds is checked here."""
        self._keep_time()
        held = self.site.everything()
        found = [token for token in self.world.tokens if token in held]
        assert found == [], f"{len(found)} tokens are in what the site holds"
        return "".join(self.site.site.content(page) + self.site.site.kept(page) for page in self.pages.values())

    def live_on(self) -> None:
        """Every page is saved, as an editor does every day, and looked at in a browser."""
        assert self.site.dump().count("pme1:") == len(self.pages), "the links are stored, sealed"
        classic, blocks = self.pages.values()
        self.site.site.call("POST", f"pages/{classic}", {"content": f"{self.site.site.content(classic)}<p>more</p>"})
        self.site.site.call("POST", f"pages/{classic}/autosaves", {"content": "a draft"})
        if self.editor is not None:
            assert self.editor.open(blocks) == []
            self.editor.type_and_save()
            self.days += 1
            assert self.site.site.content(blocks).count("typed") == self.days
        if self.browser is not None:
            for pages in (self.pages, self.built):
                for model, page in pages.items():
                    self._look(self.browser, page, model)

    def _look(self, browser: Browser, page: int, model: str) -> None:
        """Raise unless a visitor's browser shows a live link on a page from the cache."""
        tab = browser.new_page()
        tab.route("**/show**", lambda route: route.fulfill(body="a space", content_type="text/html"))
        answer = tab.goto(f"{self.site.site.address}/?page_id={page}")
        assert answer is not None
        assert answer.headers.get("x-cache") == "hit"
        tab.wait_for_function("document.querySelector('.pme-space iframe[src]')")
        shown = tab.evaluate("document.querySelector('.pme-space iframe').src")
        (token,) = [issued.token for issued in self.world.alive() if issued.model_id == model]
        assert shown.count(token) == 1
        tab.close()

    def check_untouched(self) -> None:
        for model, page in self.pages.items():
            assert self.site.site.content(page).startswith(self.sources[model])


class SecondSitePlace(PluginPlace):
    """The second site of a network: each day a visitor without the right is shown a notice in place of the spaces."""

    def live_on(self) -> None:
        super().live_on()
        self.site.set_rule("capability")
        for model, page in self.pages.items():
            (source,) = sources_in(self.site.page(page), model)
            answer = self.site.link(source)
            assert (answer.status_code, answer.json()["code"]) == (401, "pme_sign_in")
            assert not any(token in answer.text for token in self.world.tokens)
            if self.browser is not None:
                self._see_notice(self.browser, page)
        self.site.set_rule("everybody")

    def _see_notice(self, browser: Browser, page: int) -> None:
        tab = browser.new_page()
        tab.goto(f"{self.site.site.address}/?page_id={page}")
        tab.wait_for_selector(".pme-space [data-pme-status=denied]:not([hidden])")
        assert "This space is shown to signed-in visitors who may see it." in tab.inner_text(".pme-space")
        assert tab.evaluate("document.querySelectorAll('.pme-space iframe[src]').length") == 0
        tab.close()


@contextmanager
def serving_second_site() -> Iterator[PluginSite]:
    """The second site of a network on which the plugin is active, with a page cache in front."""
    with serving_plugin_site() as first:
        first.site.remove_plugin()
        second = first.site.network()
        first.site.install_plugin(network=True)
        config = first.site.root / "wp-config.php"
        host = urlsplit(first.site.address).netloc
        # A network finds a site by its host, which is another one on the way through the proxy of the nights.
        config.write_text(config.read_text().replace("<?php", f"<?php $_SERVER['HTTP_HOST'] = '{host}';", 1))
        first.site.run_php(_ADDRESS.format(root=first.site.root, address=second.address))
        yield PluginSite(second, 2)
