"""A real WordPress, where Debian's packages are installed: PHP's built-in server and a MariaDB, made anew each time."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from pme_airflow.dev.playground.home import PlaygroundError, stop
from pme_airflow.dev.playground.live import free_port
from pme_airflow.dev.playground.mariadb import program, serving_mariadb
from pme_airflow.shipped_files import shipped
from pme_airflow.targets.wordpress_zip import plugin_zip

__all__ = ["Site", "missing", "serving_wordpress"]

_PACKAGE = Path("/usr/share/wordpress")
_LOGIN_PASSWORD = "a-test's-password"  # noqa: S105 - of a site on this machine's loopback, gone when it stops
_MISSING = "needs Debian's wordpress, php-cli, php-mysql and mariadb-server"
_TOURS = """<?php
add_action('init', fn() => register_post_type('tours', ['public' => true, 'show_in_rest' => true,
    'supports' => ['title', 'editor', 'revisions', 'author']]));
"""
_PERMALINKS = """<?php
require '{root}/wp-load.php';
global $wp_rewrite;
$wp_rewrite->set_permalink_structure('{structure}');
$wp_rewrite->flush_rules(true);
"""
_ACCOUNT = """<?php
require '{root}/wp-load.php';
$fields = ['user_login' => '{role}', 'user_pass' => 'x', 'role' => '{role}', 'user_email' => '{role}@e.test'];
$id = wp_insert_user($fields);
echo WP_Application_Passwords::create_new_application_password($id, ['name' => 'pme'])[0];
"""
_NETWORK = """<?php
require '{root}/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
foreach ($wpdb->tables('ms_global') as $table => $prefixed) $wpdb->$table = $prefixed;
require_once ABSPATH . 'wp-admin/includes/network.php';
install_network();
populate_network(1, parse_url(home_url(), PHP_URL_HOST) . ':' . parse_url(home_url(), PHP_URL_PORT), 'a@example.test',
    'Spaces', '/', false);
"""
_NETWORK_CONFIG = (
    "define('MULTISITE', true); define('SUBDOMAIN_INSTALL', false); define('DOMAIN_CURRENT_SITE', '{host}'); "
    "define('PATH_CURRENT_SITE', '/'); define('SITE_ID_CURRENT_SITE', 1); define('BLOG_ID_CURRENT_SITE', 1);"
)
_SECOND_SITE = """<?php
require '{root}/wp-load.php';
$id = wp_insert_site(['domain' => DOMAIN_CURRENT_SITE, 'path' => '/second/', 'network_id' => 1, 'user_id' => 1,
    'title' => 'Second']);
if (is_wp_error($id)) {{ fwrite(STDERR, $id->get_error_message()); exit(1); }}
$wpdb->update($wpdb->blogs, ['domain' => DOMAIN_CURRENT_SITE], ['blog_id' => $id]);  // the colon was taken out
clean_blog_cache($id);
"""
#: Drops a second site's folder from a file's path, as a web server's rewrite rules do for a multisite in folders, and
#: gives a folder's address to the folder's own script: without it /wp-admin/ is sent to itself, or to the theme.
_ROUTER = """<?php
$asked = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$path = preg_replace('#^/second(?=/)#', '', $asked);
$own = $asked === $path;
if (substr($path, -1) === '/' && is_file(__DIR__ . $path . 'index.php')) $path .= 'index.php';
if ($path !== '/' && is_file(__DIR__ . $path) && substr($path, -4) !== '.php') {
    if ($own) return false;
    $types = ['js' => 'text/javascript', 'css' => 'text/css'];
    header('Content-Type: ' . ($types[pathinfo($path, PATHINFO_EXTENSION)] ?? mime_content_type(__DIR__ . $path)));
    readfile(__DIR__ . $path);
    return true;
}
$script = __DIR__ . (substr($path, -4) === '.php' && is_file(__DIR__ . $path) ? $path : '/index.php');
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = substr($script, strlen(__DIR__));
$_SERVER['SCRIPT_FILENAME'] = $script;
chdir(dirname($script));
require $script;
"""
_HISTORIES = ("revisions", "autosaves")
_CONFIG = """<?php
define('DB_NAME', 'wordpress'); define('DB_USER', 'root'); define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:{socket}'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_ENVIRONMENT_TYPE', 'local'); define('WP_HOME', '{address}'); define('WP_SITEURL', '{address}');
define('WP_CONTENT_DIR', '{root}/wp-content'); define('DISABLE_WP_CRON', true); define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTOMATIC_UPDATER_DISABLED', true); define('AUTH_KEY', 'key one'); define('SECURE_AUTH_KEY', 'key two');
define('AUTH_SALT', 'salt one'); define('SECURE_AUTH_SALT', 'salt two');
$table_prefix = 'wp_';
if (!defined('ABSPATH')) {{ define('ABSPATH', '{root}/'); }}
require_once ABSPATH . 'wp-settings.php';
"""
#: Lets revisions be deleted, as the plugin pme-embed does, without the rest of it.
_REVISIONS = """<?php
require '{file}';
PME_Embed\\Revisions::register();
"""
_ACTIVATE = """<?php
require '{root}/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
$problem = {call};
if (is_wp_error($problem)) {{ fwrite(STDERR, $problem->get_error_message()); exit(1); }}
"""
_PLUGIN = "pme-embed/pme-embed.php"
_PASSWORD = """<?php
require '{root}/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/user.php';
[$password] = WP_Application_Passwords::create_new_application_password(1, ['name' => uniqid('pme ')]);
echo $password;
"""


def missing() -> str | None:
    """Return why WordPress cannot run here; ``None`` where it can."""
    whole = _PACKAGE.is_dir() and shutil.which("php") and program("mariadbd")
    return None if whole else _MISSING


@dataclass
class Site:
    """A running site: its address, and its administrator's name, application password and password to log in with."""

    address: str
    user: str
    password: str
    root: Path = _PACKAGE
    login_password: str = _LOGIN_PASSWORD

    def set_up(self, *, revisions_plugin: bool, pretty: bool) -> None:
        """Set whether the site has pretty permalinks and the plugin that allows revisions to be deleted."""
        plugins = self.root / "wp-content" / "mu-plugins"
        shutil.rmtree(plugins, ignore_errors=True)
        plugins.mkdir()
        (plugins / "tours.php").write_text(_TOURS)
        if revisions_plugin:
            file = shipped("extras/wordpress/pme-embed/includes/class-revisions.php")
            (plugins / "pme-revisions.php").write_text(_REVISIONS.format(file=file))
        self.run_php(_PERMALINKS.format(root=self.root, structure="/%postname%/" if pretty else ""))

    def install_plugin(self, *, network: bool = False) -> None:
        """Unpack the plugin pme-embed as WordPress does, and activate it.

        :param network: whether it is activated for all sites of a network.
        """
        (self.root / "wp-content" / "mu-plugins" / "pme-revisions.php").unlink(missing_ok=True)  # the plugin has it too
        with zipfile.ZipFile(io.BytesIO(plugin_zip())) as archive:
            archive.extractall(self.root / "wp-content" / "plugins")  # noqa: S202 - this package's own file
        call = f"activate_plugin('{_PLUGIN}', '', {str(network).lower()})"
        self.run_php(_ACTIVATE.format(root=self.root, call=call))

    def remove_plugin(self) -> None:
        """Deactivate the plugin and delete it, as an administrator does."""
        call = f"deactivate_plugins('{_PLUGIN}') ?? uninstall_plugin('{_PLUGIN}')"
        self.run_php(_ACTIVATE.format(root=self.root, call=call))
        shutil.rmtree(self.root / "wp-content" / "plugins" / "pme-embed")

    def account(self, role: str) -> Site:
        """Return the site as a new account of a role sees it."""
        return replace(self, user=role, password=self.run_php(_ACCOUNT.format(root=self.root, role=role)))

    def network(self) -> Site:
        """Turn the site into a multisite, and return its second site, which is in a folder."""
        config = (self.root / "wp-config.php").read_text()
        allowed = config.replace("<?php", "<?php define('WP_ALLOW_MULTISITE', true);", 1)
        (self.root / "wp-config.php").write_text(allowed)
        self.run_php(_NETWORK.format(root=self.root))
        network = _NETWORK_CONFIG.format(host=self._host)
        (self.root / "wp-config.php").write_text(config.replace("<?php", f"<?php {network}", 1))
        self.run_php(_SECOND_SITE.format(root=self.root))
        self.password = self.run_php(
            _PASSWORD.format(root=self.root)
        )  # those made before it was a multisite are refused
        return replace(self, address=f"{self.address}/second")

    @property
    def _host(self) -> str:
        return self.address.removeprefix("http://")

    def run_php(self, code: str) -> str:
        """Run PHP code inside the site, and return what it prints."""
        script = self.root / "run-once.php"
        script.write_text(code.replace("<?php", f"<?php $_SERVER['HTTP_HOST'] = '{self._host}';", 1))
        try:
            done = subprocess.run(["php", str(script)], capture_output=True, text=True)
            if done.returncode:
                message = done.stdout.rpartition("wp-die-message")[2][:500] or done.stderr[-500:]
                raise PlaygroundError(f"WordPress refused: {message}")
            return done.stdout.strip()
        finally:
            script.unlink()

    def call(self, method: str, path: str, body: Any = None, *, anonymous: bool = False, **query: Any) -> Any:
        """Call the REST API."""
        auth = None if anonymous else (self.user, self.password)
        answer = requests.request(
            method,
            f"{self.address}/",
            params={"rest_route": f"/wp/v2/{path}", **query},
            json=body,
            auth=auth,
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def page(self, content: str, kind: str = "pages") -> int:
        """Create a page with some content, and return its number."""
        made = self.call("POST", kind, {"title": "Spaces", "status": "publish", "content": content})
        return int(made["id"])

    def content(self, page: int, kind: str = "pages") -> str:
        """Return a page's source."""
        return str(self.call("GET", f"{kind}/{page}", context="edit")["content"]["raw"])

    def kept(self, page: int, kind: str = "pages") -> str:
        """Return the source of all revisions and autosaves of a page."""
        held = [self.call("GET", f"{kind}/{page}/{what}", context="edit", per_page=100) for what in _HISTORIES]
        return "".join(entry["content"]["raw"] for entries in held for entry in entries)

    def seen(self, page: int, kind: str = "pages") -> str:
        """Return all that shows a page: the REST API and its search for visitors, the page itself, and its source."""
        anonymous = str(self.call("GET", f"{kind}/{page}", anonymous=True)["content"]["rendered"])
        found = str(self.call("GET", kind, search="Spaces", include=page, anonymous=True)[0]["content"]["rendered"])
        seen = requests.get(f"{self.address}/?p={page}&page_id={page}", timeout=60).text
        return anonymous + found + seen + self.content(page, kind)


@contextmanager
def serving_wordpress() -> Iterator[Site]:
    """Install a WordPress, and serve it while the block runs."""
    with tempfile.TemporaryDirectory(prefix="pme-wp-") as folder, serving_mariadb(Path(folder)) as (where, _):
        root = Path(folder) / "site"
        shutil.copytree(_PACKAGE, root, symlinks=False, ignore_dangling_symlinks=True)
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        (root / "wp-config.php").write_text(_CONFIG.format(socket=where, address=address, root=root))
        (root / "router.php").write_text(_ROUTER)
        subprocess.run(["mariadb", f"--socket={where}", "-u", "root", "-e", "CREATE DATABASE wordpress"], check=True)
        server = subprocess.Popen(
            ["php", "-d", "opcache.revalidate_freq=0", "-S", f"127.0.0.1:{port}", "-t", str(root),
             str(root / "router.php")],
            env={"PHP_CLI_SERVER_WORKERS": "4", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield _installed(address, root)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)  # PHP's workers outlive the server
            stop(server)


def _installed(address: str, root: Path) -> Site:
    form = {"weblog_title": "Spaces", "user_name": "admin", "admin_password": _LOGIN_PASSWORD,
            "admin_password2": _LOGIN_PASSWORD, "pw_weak": "1", "admin_email": "a@example.test",
            "blog_public": "0"}  # fmt: skip
    for _ in range(100):
        try:
            requests.post(f"{address}/wp-admin/install.php?step=2", data=form, timeout=120).raise_for_status()
            break
        except requests.ConnectionError:
            time.sleep(0.1)
    else:
        raise PlaygroundError("WordPress' server did not start.")
    site = Site(address, "admin", "", root)
    return replace(site, password=site.run_php(_PASSWORD.format(root=root)))
