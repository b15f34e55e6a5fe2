"""Every relative link and every file that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT

#: `make docs` writes these pages; tests/test_site.py builds them.
GENERATED = ROOT / "docs" / "generated"
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if GENERATED not in page.parents)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:pme_airflow|tests|dags|docs|extras|rules|benchmarks)/[\w./-]*)`")


def missing(page: Path) -> list[str]:
    text = page.read_text()
    links = [page.parent / found for found in LINK.findall(text)]
    named = [ROOT / found for found in FILE.findall(text)]
    return [str(path) for path in [*links, *named] if not (path.exists() or GENERATED in path.resolve().parents)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not missing(page)


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](none.md) [b](page.md#x) [c](https://e.test) `pme_airflow/none.py` `pme_airflow/cli`")
    assert missing(page) == [str(tmp_path / "none.md"), str(ROOT / "pme_airflow/none.py")]
