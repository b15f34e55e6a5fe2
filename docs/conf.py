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

REPOSITORY = re.search(r'^Repository = "(.+)"', (DOCS.parent / "pyproject.toml").read_text(), re.MULTILINE)[1]
#: A link out of the docs folder: the site has no such page, so it leads to the repository.
OUTSIDE = re.compile(r"\]\((?:\.\./)+(?!generated/|reference/|how-to/|tutorials/|explanation/)([\w][^)#]*)(#[^)]*)?\)")


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


def setup(app):
    generate.write_all(DOCS / "generated", REPOSITORY)
    app.connect("source-read", link_to_repository)
