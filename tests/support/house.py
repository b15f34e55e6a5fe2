"""Measures the code of a package: sizes, import circles, private words in names, and tests that mirror the modules.

``python -m tests.support.house`` prints what breaks a rule that ``make lint`` enforces, and exits with 1.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MODULE_LINES = 350
MEDIAN_FUNCTION_LINES = 7
LONG_FUNCTION_LINES = 20  # 90 % of all functions have at most so many
MIRRORED = 0.9
#: Words that only the authors of a name know. None may be part of a name; the glossary has the terms to use.
PRIVATE_WORDS = frozenset({
    "actor", "beside", "ceiling", "disguise", "disguises", "doubt", "exposures", "gathered", "handover", "haystack",
    "heed", "mark", "marks", "moment", "moments", "needle", "needles", "reckon", "roster", "said", "sitting", "stone",
    "surely", "tell", "told", "turn",
})  # fmt: skip
#: Names with a private word that are terms of databases all the same.
FIELD_TERMS = frozenset({"mark_uncertain"})
#: Names that have been replaced; none may return as a whole name.
REPLACED_NAMES = frozenset({
    "Answer", "Denied", "HandOn", "Hidden", "Lost", "NoAnswer", "Spelling", "after_seq", "begin_finish", "give_up",
    "handed_on", "leave_result", "pace", "same_work",
})  # fmt: skip
#: Private words and phrases that no comment, docstring or message may contain either. "doubtful" is a verdict of the
#: doctor, which the glossary defines.
PRIVATE_PROSE = re.compile(
    r"\b(said|told|reckon\w*|heed\w*|sitting|roster|surely|doubt(?!ful\b)\w*|beside|of ours|hand(?:s|ed)? on)\b",
    re.IGNORECASE,
)
REPLACED_MODULES = frozenset({
    "leaks/disguises.py", "leaks/needles.py", "leaks/scan.py", "leaks/sources.py", "leaks/trees.py", "ledger/pace.py",
    "ledger/roster.py", "operators/alarms.py", "operators/edge.py",
})  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path
    name: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def lines(self) -> int:
        return len(self.source.splitlines())

    @property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @property
    def has_logic(self) -> bool:
        """Whether a test of its own is due: at least two functions, and neither a face nor a migration."""
        return len(self.functions) >= 2 and self.path.name != "__init__.py" and "migrations" not in self.path.parts

    def imports(self) -> Iterator[str]:
        """Give every name that the module imports, wherever the statement stands."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.rsplit(".", node.level - 1)[0] if node.level else ""
                origin = ".".join(filter(None, (above, node.module)))
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)

    def identifiers(self) -> Iterator[tuple[str, int]]:
        """Give every name in the code, with its line."""
        for node in ast.walk(self.tree):
            for name in _names_in(node):
                yield name, getattr(node, "lineno", 1)


def _names_in(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, (ast.arg, ast.keyword)):
        return [node.arg] if node.arg else []
    if isinstance(node, ast.alias):
        return [node.asname or node.name]
    if isinstance(node, ast.ExceptHandler):
        return [node.name] if node.name else []
    if isinstance(node, (ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    return []


class House:
    """A package and its tests.

    :param root: the checkout.
    :param package: the package's name.
    """

    def __init__(self, root: Path, package: str = "pme_airflow") -> None:
        self._root = root
        self._package = root / package
        files = sorted(path for path in self._package.rglob("*.py") if "versions" not in path.parts)
        self.modules = [self._module(path) for path in files]

    def _module(self, path: Path) -> Module:
        parts = path.relative_to(self._root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return Module(path.relative_to(self._package), name, path.read_text())

    def large_modules(self) -> list[str]:
        """List the modules with too many lines."""
        return [f"{m.path}: {m.lines} lines" for m in self.modules if m.lines > MODULE_LINES]

    def function_sizes(self) -> tuple[float, int]:
        """Return the median and the 90th percentile of the lines of all functions."""
        sizes = sorted((f.end_lineno or f.lineno) - f.lineno + 1 for m in self.modules for f in m.functions)
        return statistics.median(sizes), sizes[int(len(sizes) * 0.9)]

    def circles(self) -> list[str]:
        """List the modules that import themselves by way of others, imports for type checkers counted."""
        names = {module.name for module in self.modules}
        edges = {m.name: {name for name in m.imports() if name in names and name != m.name} for m in self.modules}
        return [name for name in sorted(names) if name in _reachable(name, edges)]

    def private_names(self) -> list[str]:
        """List the names that hold a private word or have been replaced, each with its first place."""
        found: dict[str, str] = {}
        for module in self.modules:
            for name, line in module.identifiers():
                words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
                private = words & PRIVATE_WORDS and name.strip("_") not in FIELD_TERMS
                if private or name.strip("_") in REPLACED_NAMES:
                    found.setdefault(name, f"{module.path}:{line}: {name}")
        return [*found.values(), *(str(m.path) for m in self.modules if m.path.as_posix() in REPLACED_MODULES)]

    def private_prose(self) -> list[str]:
        """List the lines of the code that contain a private word or phrase."""
        return [
            f"{module.path}:{number}: {found[0]}"
            for module in self.modules
            for number, line in enumerate(module.source.splitlines(), 1)
            if (found := PRIVATE_PROSE.search(line))
        ]

    def without_tests(self) -> tuple[list[str], int]:
        """List the modules with logic that no test file mirrors; return how many have logic, too."""
        logic = [module for module in self.modules if module.has_logic]
        return [str(module.path) for module in logic if not self._is_mirrored(module.path)], len(logic)

    def _is_mirrored(self, path: Path) -> bool:
        folder, stem = self._root / "tests" / path.parent, path.stem.lstrip("_")
        return any(folder.glob(f"test_{stem}.py")) or any(folder.glob(f"test_{stem}_*.py"))

    def faults(self) -> list[str]:
        """List what breaks a rule of size, of imports or of words."""
        median, long = self.function_sizes()
        sizes = [f"functions: median {median}, 90th percentile {long} lines"]
        return [
            *(f"more than {MODULE_LINES} lines: {each}" for each in self.large_modules()),
            *(sizes if median > MEDIAN_FUNCTION_LINES or long > LONG_FUNCTION_LINES else []),
            *(f"in an import circle: {each}" for each in self.circles()),
            *(f"private word: {each}" for each in (*self.private_names(), *self.private_prose())),
        ]


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += edges[name]
    return seen


def main() -> int:
    """Print the faults of the package in the working directory."""
    faults = House(Path.cwd()).faults()
    for fault in faults:
        print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
