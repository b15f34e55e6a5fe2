"""A WordPress of the playground: pages, accounts, and what visitors see of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pme_airflow.dev.playground import wordpress
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.dev.playground.wordpress import Site, serving_wordpress


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordpress, "_PACKAGE", tmp_path / "none")
    assert "wordpress" in str(wordpress.missing())
    monkeypatch.setattr(wordpress, "_PACKAGE", tmp_path)
    monkeypatch.setattr(wordpress, "program", lambda name: None)
    assert "mariadb-server" in str(wordpress.missing())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if (reason := wordpress.missing()) is not None:
        pytest.skip(reason)
    with serving_wordpress() as running:
        running.set_up(revisions_plugin=False, pretty=True)
        yield running


def test_a_page_is_seen_by_all_ways(site: Site) -> None:
    page = site.page("a word")
    assert site.content(page) == "a word"
    assert site.seen(page).count("a word") >= 3
    site.call("POST", f"pages/{page}", {"content": "another"})
    assert "another" in site.kept(page)


def test_an_account_has_its_role(site: Site) -> None:
    author = site.account("author")
    page = site.page("theirs")
    with pytest.raises(requests.HTTPError, match="403"):
        author.call("POST", f"pages/{page}", {"content": "mine"})


@pytest.mark.parametrize("pretty", [False, True])
def test_signing_in_leads_to_the_dashboard(site: Site, pretty: bool) -> None:
    site.set_up(revisions_plugin=False, pretty=pretty)
    browser = requests.Session()
    browser.get(f"{site.address}/wp-login.php", timeout=60)
    answer = browser.post(
        f"{site.address}/wp-login.php", data={"log": site.user, "pwd": site.login_password, "testcookie": 1}, timeout=60
    )
    assert answer.url == f"{site.address}/wp-admin/"
    assert "<title>Dashboard" in answer.text


def test_the_set_up_is_what_was_asked_for(site: Site) -> None:
    assert requests.get(f"{site.address}/wp-json/wp/v2/types", timeout=60).status_code == 200
    assert not (site.root / "wp-content" / "mu-plugins" / "pme-revisions.php").exists()
    site.set_up(revisions_plugin=True, pretty=False)
    assert (site.root / "wp-content" / "mu-plugins" / "pme-revisions.php").exists()


def test_code_that_wordpress_refuses_is_named(site: Site) -> None:
    with pytest.raises(PlaygroundError, match="WordPress refused"):
        site.run_php("<?php no_such_function();")
