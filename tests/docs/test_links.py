"""Every relative link and every file that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pme_airflow.dev.playground.home import ROOT
from tests.support.screenshots import PICTURES

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


def test_every_picture_is_made_by_a_script_and_shown() -> None:
    made = {*PICTURES, "simulation.svg"}  # the last one by make simulate
    shown = {Path(found).name for page in PAGES for found in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())}
    assert made == shown == {path.name for path in (ROOT / "docs" / "images").iterdir()}


# links to other sites


def outside_links() -> list[tuple[str, str]]:
    """Return the addresses of other sites in pages, in the package's metadata and in the forms for issues."""
    texts = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
    others = ("pyproject.toml", ".github/ISSUE_TEMPLATE/config.yml", "pme_airflow/provider.py")
    texts |= {name: (ROOT / name).read_text() for name in others}
    return sorted(
        {(name, found) for name, text in texts.items() for found in re.findall(r"https?://[^\s\"'<>)\]`,]+", text)}
    )


def test_every_address_of_another_site_is_well_formed() -> None:
    wrong = []
    for name, address in outside_links():
        parts = urlsplit(address)
        loopback = parts.hostname in ("127.0.0.1", "localhost")
        whole = "." in (parts.hostname or "") and not address.endswith((".", ":", ";"))
        if not loopback and not (whole and parts.scheme == "https" and parts.username is None):
            wrong.append((name, address))
    assert wrong == []
    assert len(outside_links()) > 15


def test_the_projects_addresses_stand_in_one_place() -> None:
    """``[project.urls]`` of pyproject.toml; the form for issues needs its own copies, which must agree."""
    urls = dict(re.findall(r'^(\w+) = "(https://[^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    repository = urls["Repository"]
    assert all(url.startswith(f"{repository}/") for name, url in urls.items() if name != "Repository")
    elsewhere = [
        (str(path.relative_to(ROOT)), found)
        for folder in ("pme_airflow", "dags", "docs", "extras", "rules", ".github", ".ci", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"_build", "generated", "__pycache__"} & set(path.parts)
        for found in re.findall(rb"https://github\.com/pme-airflow[^\s\"')]*", path.read_bytes())
    ]
    forms = ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"
    assert {name for name, _ in elsewhere} <= {str(forms.relative_to(ROOT)), "tests/docs/test_links.py"}
    assert set(re.findall(r"url: (\S+)", forms.read_text())) == {
        urls["Security"], f"{repository}/blob/main/docs/how-to/questions.md",
    }  # fmt: skip
