"""The pages of the documentation as tests read them: their code blocks, sections and links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pme_airflow.dev.playground.home import ROOT

__all__ = ["DOCS", "Block", "blocks_of", "inline_commands", "links_of", "pages", "sections_of", "slug_of"]

DOCS = ROOT / "docs"
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w{}]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    :param name: the page and the line, as a test's id.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> dict[str, Path]:
    """Return the pages that are written by hand, by their paths in the repository."""
    skipped = (DOCS / "generated", DOCS / "_build")
    found = [*ROOT.glob("*.md"), *(path for path in DOCS.rglob("*.md") if not {*skipped} & {*path.parents})]
    return {str(path.relative_to(ROOT)): path for path in sorted(found)}


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"], textwrap.dedent(found["text"]))


def without_blocks(text: str) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", text)


def inline_commands(text: str) -> list[str]:
    """Return the commands of ``pme-airflow`` that stand in a sentence or a table, in backticks."""
    flat = re.sub(r"\s*\n\s*", " ", without_blocks(text))
    return re.findall(r"`(pme-airflow [^`]+)`", flat)


def slug_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def sections_of(text: str) -> dict[str, str]:
    """Return the text of each section by its anchor, without the sections below it; the page's own by ``""``."""
    found, anchor, fenced = {"": ""}, "", False
    for line in text.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"#{2,4} (.*)", line)
        if heading:
            anchor = slug_of(heading[1])
            found[anchor] = ""
        found[anchor] += line
    return found


@cache
def links_of(page: Path) -> frozenset[tuple[Path, str]]:
    """Return the pages that a page links to in its text, each with its anchor."""
    found = set()
    for target in _LINK.findall(without_blocks(page.read_text(encoding="utf-8"))):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            found.add(((page.parent / path).resolve() if path else page, anchor))
    return frozenset(found)
