"""Measure the direct dependencies and write the table of the docs: ``make dependencies``, where the package index is.

A package's size is that of its installed files here. What it adds is the size of all that Airflow does not install
itself. The month of its newest release is found by asking uv what was the newest at the end of each month; that takes
minutes for all of them, so that a few may be named.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from pme_airflow.dev.playground.home import ROOT

__all__ = ["PAGE", "direct_requirements", "main", "rows_of"]

PAGE = ROOT / "docs" / "reference" / "dependencies.md"
UV = Path(sys.executable).parent / "uv"
MONTHS = 24
HEAD = ("package", "with Airflow", "size", "adds", "newest release", "what it is for", "instead of it")


def direct_requirements() -> list[Requirement]:
    """Return the direct requirements of the package and of its extras, each once."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|slack|s3|postgres|mysql|scan) = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    found = [Requirement(entry) for part in lists for entry in re.findall(r'"([^"]+)"', part)]
    return list({requirement.name: requirement for requirement in found}.values())


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the cells of each row of the table by the packages in its first cell, commas between."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    return {row[0].replace("`", ""): row for row in rows}


@cache
def closure(name: str) -> frozenset[str]:
    """Return a package and all that it requires without extras, by normalised names, as far as they are installed here."""
    found: set[str] = set()
    rim = {normal(name)}
    while rim:
        found |= rim
        rim = {required for package in rim for required in requires(package)} - found
    return frozenset(found)


@cache
def requires(name: str) -> frozenset[str]:
    try:
        listed = distribution(name).requires or []
    except PackageNotFoundError:
        return frozenset()
    parsed = (Requirement(entry) for entry in listed)
    return frozenset(normal(one.name) for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""}))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def size_of(name: str) -> int:
    """Return the bytes of a package's installed files; 0 if it is not installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return 0
    paths = (Path(str(file.locate())) for file in files if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())


def newest(names: list[str], before: date | None = None) -> dict[str, str]:
    """Return the newest version of each package, of those that were there before a day."""
    cut = () if before is None else ("--exclude-newer", f"{before:%Y-%m-%d}")
    options = ("-q", "--no-deps", "--no-header", "--no-annotate", "--python-version", "3.12", *cut, "-")
    done = subprocess.run(
        [UV, "pip", "compile", *options], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return dict(line.split("==") for line in done.stdout.split())


def release_months(names: list[str], today: date) -> dict[str, str]:
    """Return the newest version of each package with the month of its release."""
    versions = newest(names)
    months: dict[str, str] = {}
    for first in firsts_of_months(today):
        older = newest(names, first)
        for name in names:
            if name not in months and older.get(name) != versions[name]:
                months[name] = f"{versions[name]}, {first:%Y-%m}"
        if len(months) == len(names):
            break
    return {name: months.get(name, f"{versions[name]}, over {MONTHS} months ago") for name in names}


def firsts_of_months(today: date) -> Iterator[date]:
    day = today.replace(day=1)
    for _ in range(MONTHS):
        yield day
        day = (day - timedelta(days=1)).replace(day=1)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else ""


def main() -> int:
    """Write the measured columns of the table."""
    page = PAGE.read_text(encoding="utf-8")
    airflow = closure("apache-airflow")
    names = sys.argv[1:] or [requirement.name for requirement in direct_requirements()]
    released = release_months(names, date.today())  # noqa: DTZ011 - a month will do
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    for packages, row in rows_of(page).items():
        listed = [name.strip() for name in packages.split(",")]
        added = {name for package in listed for name in closure(package)} - airflow
        months = "; ".join(released[name] for name in listed) if {*listed} <= {*names} else row[4]
        lines.append(
            f"| {row[0]} | {'yes' if {*map(normal, listed)} <= airflow else ' '} | "
            f"{megabytes(sum(map(size_of, listed)))} | {megabytes(sum(map(size_of, added)))} | "
            f"{months} | {row[-2]} | {row[-1]} |"
        )
    table = re.compile(r"^\| package \|.*?(?=^\n|\Z)", re.MULTILINE | re.DOTALL)
    PAGE.write_text(table.sub(lambda _: "\n".join(lines) + "\n", page, count=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
