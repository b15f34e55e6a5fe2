"""The ZIP file of the WordPress plugin: the same bytes each time, of this version, and PHP that can be read."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import pme_airflow
from pme_airflow.shipped_files import shipped
from pme_airflow.targets.pages import source
from pme_airflow.targets.wordpress_zip import plugin_files, plugin_zip
from tests.support.home import ROOT

PLUGIN = shipped("extras/wordpress/pme-embed")
PHP = sorted(PLUGIN.rglob("*.php"))
WASM = ROOT / ".venv" / "php"
PROBES = ROOT / "tests" / "support" / "php_versions"


def test_the_same_files_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plugin_zip()
    for file in PLUGIN.rglob("*"):
        file.touch()
    assert plugin_zip() == first


def test_wordpress_finds_one_folder_with_the_plugin_and_the_packages_own_script() -> None:
    with zipfile.ZipFile(io.BytesIO(plugin_zip())) as archive:
        names = archive.namelist()
        assert archive.read("pme-embed/assets/pme-embed.js").decode() == source("pme-embed.js")
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
    assert names == sorted(names)
    assert {name.partition("/")[0] for name in names} == {"pme-embed"}
    assert {"pme-embed/pme-embed.php", "pme-embed/uninstall.php", "pme-embed/LICENSE"} <= set(names)
    assert not any("/." in name or name.endswith("~") for name in names)


def test_every_place_names_the_packages_version() -> None:
    files = {name.removeprefix("pme-embed/"): text.decode() for name, text in plugin_files().items()}
    found = [
        *re.findall(r"^ \* Version: +(\S+)$|^const VERSION = '(.+)';$", files["pme-embed.php"], re.MULTILINE),
        *re.findall(r"^Stable tag: (\S+)()$", files["readme.txt"], re.MULTILINE),
        *re.findall(r"'version' +=> '(.+)'()", files["block/editor.asset.php"]),
    ]
    assert ["".join(version) for version in found] == [pme_airflow.__version__] * 4


@pytest.mark.skipif(shutil.which("php") is None, reason="needs php")
def test_php_reads_every_file() -> None:
    done = subprocess.run(["php", "-r", _LINT, *map(str, PHP)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(PHP) > 10


#: What `php -l` does, for all files in one process.
_LINT = """
foreach (array_slice($argv, 1) as $file) {
    exec('php -d display_errors=1 -l ' . escapeshellarg($file) . ' 2>&1', $lines, $status);
    if ($status) { echo implode("\\n", $lines); exit(1); }
}
"""


@pytest.mark.parametrize("file", PHP, ids=lambda file: Path(file).name)
def test_no_file_answers_by_itself(file: Path) -> None:
    """A file that is requested directly does nothing: it ends where WordPress is not loaded."""
    guard = "WP_UNINSTALL_PLUGIN" if file.name == "uninstall.php" else "ABSPATH"
    assert f"defined( '{guard}' ) || exit;" in file.read_text()


@pytest.mark.parametrize("file", PHP, ids=lambda file: Path(file).name)
def test_php_is_that_of_7_4(file: Path) -> None:
    """What PHP 8 brought, and 7.4 cannot read. An attribute on a line of its own is a comment to 7.4."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*|'(?:[^'\\]|\\.)*'|^\s*#\[[^\n]*$", "", file.read_text(), flags=re.S | re.M)
    newer = r"\?->|\bmatch\s*\(|\bstr_(?:contains|starts_with|ends_with)\(|\breadonly\b|\benum\s|\bnever\b|__construct\(\s*(?:public|private)"
    assert re.findall(newer, code) == []
    assert re.findall(r"\)\s*:\s*\??\w+\|\w+|\bfn\s*\([^)]*\)\s*:\s*static", code) == []


@pytest.mark.skipif(not (WASM / "node_modules").is_dir(), reason="needs PHP's versions as WebAssembly: make php")
@pytest.mark.parametrize("version", ["7.4", "8.3"])
def test_the_oldest_and_the_newest_php_load_the_plugin(tmp_path: Path, version: str) -> None:
    files = {name: text.decode("utf-8", "replace") for name, text in plugin_files().items()}
    (tmp_path / "files.json").write_text(json.dumps(files))
    probe = (PROBES / "probe.php").read_text()
    words = ["node", str(PROBES / "run.mjs"), version, str(tmp_path / "files.json")]
    done = subprocess.run(words, input=probe, capture_output=True, text=True, env={**os.environ, "PHP_WASM": str(WASM)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found.pop("version").startswith(f"{version}.")
    assert found.pop("parsed") == len(PHP)
    assert found.pop("hooks") > 0
    assert found == {"outside": True, "known": True, "other": False, "model": [True, False, False]}


def test_every_text_can_be_translated() -> None:
    """The template of translations has each text of the PHP and the JavaScript, and each names the plugin's domain."""
    sources = [path.read_text() for path in [*PHP, PLUGIN / "block" / "editor.js"]]
    calls = r"\b(?:__|_e|_n|esc_html__|esc_html_e|esc_attr__)\(\s*'((?:[^'\\]|\\.)*)'(.*?)\)"
    found = [match for source in sources for match in re.findall(calls, source)]
    assert len(found) > 35
    assert [text for text, rest in found if "'pme-embed'" not in rest] == []
    template = (PLUGIN / "languages" / "pme-embed.pot").read_text()
    listed = {re.sub(r'"\n"', "", text) for text in re.findall(r'^msgid ((?:"[^\n]*"\n)+)', template, re.MULTILINE)}
    texts = {text.strip()[1:-1].replace('\\"', '"') for text in listed}
    assert {text for text, _ in found} - texts == set()
