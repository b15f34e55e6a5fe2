"""Mutants that change nothing a user or a test could notice, each with the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.mutation.mutants import Mutant

FILE = "tests/support/equivalent_mutants.txt"


@dataclass(frozen=True)
class Equivalent:
    """A named mutant: the module, the text of the line it begins in, and the change."""

    path: str
    line: str
    change: str
    reason: str


def read_equivalent(root: Path) -> list[Equivalent]:
    """Read the named mutants: blocks of a path and the indented fields ``line``, ``change`` and ``reason``."""
    file = root / FILE
    blocks = file.read_text().split("\n\n") if file.exists() else []
    return [_block(block) for block in map(str.strip, blocks) if block and not block.startswith("#")]


def _block(block: str) -> Equivalent:
    path, *rest = block.splitlines()
    fields = dict(line.strip().split(": ", 1) for line in rest)
    if set(fields) != {"line", "change", "reason"}:
        raise ValueError(f"{FILE}: a block needs a path, then line, change and reason:\n{block}")
    return Equivalent(path, fields["line"], fields["change"], fields["reason"])


def is_named(mutant: Mutant, source: bytes, named: list[Equivalent]) -> bool:
    """Return whether a mutant is among the named ones."""
    line = source.splitlines()[mutant.first_line - 1].decode().strip()
    return any((each.path, each.line, each.change) == (mutant.path, line, mutant.change) for each in named)
