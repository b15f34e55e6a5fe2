"""The documentation site builds without a warning, and its search finds what people look for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pme_airflow.dev.playground.home import ROOT
from tests.support.chromium import CHROMIUM, chromium

pytestmark = pytest.mark.xdist_group("site")
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    made = tmp_path_factory.mktemp("site")
    options = ("-q", "-W", "--keep-going", "-b", "html", "-d", made / "doctrees")
    env = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, DOCS, made / "html"],
        cwd=ROOT, env={**env, "AIRFLOW_HOME": str(made)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return made / "html"


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    assert (site / "generated" / "commands.html").exists()


@pytest.fixture(scope="module")
def search(site: Path) -> Iterator[Page]:
    """A browser that is at the site's search page."""
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with chromium() as browser:
        yield browser.new_page()


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("revoke", "leaks.html"), ("leak", "leaks.html"), ("leaked", "leaks.html"), ("scan", "leaks.html"),
        ("rotate", "how-to/rotate-the-secret.html"), ("secret", "how-to/rotate-the-secret.html"),
        ("expired", "how-to/why-dark.html"), ("dark", "how-to/why-dark.html"),
        ("gap", "how-to/bridge-an-outage.html"), ("outage", "how-to/bridge-an-outage.html"),
        ("wordpress", "how-to/wordpress.html"), ("slack", "how-to/slack.html"), ("s3", "how-to/object-storage.html"),
        ("upgrade", "how-to/upgrade.html"), ("kubernetes", "how-to/kubernetes.html"), ("install", "how-to/install-and-connect.html"),
    ],
)  # fmt: skip
def test_a_search_finds_the_right_page_first(site: Path, search: Page, words: str, page: str) -> None:
    search.goto(f"{(site / 'search.html').as_uri()}?q={words}")
    first = search.locator("#search-results ul.search li > a").first
    first.wait_for(timeout=30_000)
    search.wait_for_function("/found|did not/.test(document.querySelector('p.search-summary')?.textContent)")
    assert (first.get_attribute("href") or "").partition("#")[0] == page
