"""The documentation site: ``make docs``. ``generate.py`` writes the reference from the code before it is read."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
sys.path.insert(0, str(DOCS.parent))

import generate  # noqa: E402

from pme_airflow import __version__  # noqa: E402

project = "pme-airflow"
author = "the maintainers of pme-airflow"
version = release = __version__
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"pme-airflow {__version__}"
html_show_copyright = False
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
highlight_language = "none"  # an indented block is a command or its output
suppress_warnings = ["misc.highlighting_failure"]

REPOSITORY = generate.repository_address()
#: Words of a search that lead to a page first, as entries of its index.
SEARCH_TERMS = {
    "how-to/astronomer": "astronomer",
    "how-to/bridge-an-outage": "gap outage",
    "how-to/celery": "celery",
    "how-to/choose-models": "placement placements audience",
    "how-to/composer": "composer",
    "how-to/headless-cms": "cms directus strapi contentful sanity",
    "how-to/install-and-connect": "install connect connection",
    "how-to/kubernetes": "kubernetes",
    "how-to/ledger": "ledger backup postgresql mysql",
    "how-to/mwaa": "mwaa",
    "how-to/object-storage": "s3 bucket gcs",
    "how-to/portal-users": "portal",
    "how-to/rotate-the-secret": "rotate secret key reseal",
    "how-to/slack": "slack",
    "how-to/stop-publishing": "stop retire unpublish",
    "how-to/upgrade": "upgrade downgrade rollback migrate",
    "how-to/why-dark": "expired dark broken down",
    "how-to/wordpress": "wordpress",
    "how-to/write-a-target": "target",
    "leaks": "revoke leak leaked flag scan alarm",
}
#: A link out of the docs folder: the site has no such page, so it leads to the repository.
OUTSIDE = re.compile(r"\]\((?:\.\./)+(?!generated/|reference/|how-to/|tutorials/|explanation/)([\w][^)#]*)(#[^)]*)?\)")


#: `make links` asks every other site; these addresses are examples, or a listener on the reader's machine.
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost)", r"https?://[\w.-]*\.?example\.(com|org)"]
linkcheck_anchors = False
linkcheck_timeout = 20


def link_to_repository(app, docname, source):
    """Let links to files beside the docs lead to the repository, as they do where the page is read there."""

    def replace(match):
        depth = match[0].count("../")
        folder = (DOCS / docname).parent
        for _ in range(depth):
            folder = folder.parent
        if folder != DOCS.parent:
            return match[0]
        return f"]({REPOSITORY}/blob/main/{match[1]}{match[2] or ''})"

    source[0] = OUTSIDE.sub(replace, source[0])


def add_search_terms(app, docname, source):
    """Enter a page's search terms into the index; in the page itself they would disturb whoever reads it as it is."""
    if docname in SEARCH_TERMS:
        terms = ", ".join(f"! {term}" for term in SEARCH_TERMS[docname].split())
        source[0] = f"```{{index}} {terms}\n```\n\n{source[0]}"


def setup(app):
    unknown = [name for name in SEARCH_TERMS if not (DOCS / f"{name}.md").exists()]
    assert not unknown, f"SEARCH_TERMS names pages that do not exist: {unknown}"
    generate.write_all(DOCS / "generated", REPOSITORY)
    app.connect("source-read", link_to_repository)
    app.connect("source-read", add_search_terms)
