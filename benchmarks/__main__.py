"""Run the benchmarks side by side, print ratios, and write the table of the docs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import celery, idle, keeper, ledger, limits, minting, processor, scanning, starting, targets, usual
from benchmarks.measure import Figure

BENCHMARKS: Mapping[str, Callable[[], Iterator[Figure]]] = {
    "minting": minting.figures,
    "postgresql": minting.on_postgresql,
    "processor": processor.figures,
    "publishing": processor.publishing,
    "keeper": keeper.figures,
    "idle": idle.figures,
    "limits": limits.figures,
    "targets": targets.figures,
    "usual": usual.figures,
    "starting": starting.figures,
    "scanning": scanning.figures,
    "ledger": ledger.figures,
    "celery": celery.figures,
}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def main() -> None:
    """Run those named on the command line, or all; only a whole run writes the docs' table."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(wanted) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    table = Table("figure", "median", "spread", "goal")
    figures: list[Figure] = []
    for name in wanted:
        print(f"{name} …", file=sys.stderr, flush=True)
        for figure in BENCHMARKS[name]():
            figures.append(figure)
            print("  " + " | ".join(figure.cells()), file=sys.stderr, flush=True)
            table.add_row(*figure.cells())
    Console(width=140).print(table)
    if set(wanted) == set(BENCHMARKS):
        PAGE.write_text(_page(figures), encoding="utf-8")


def _page(figures: list[Figure]) -> str:
    rows = "\n".join("| " + " | ".join(figure.cells()) + " |" for figure in figures)
    return (
        "# Benchmarks\n\nWritten by `make bench`: everything side by side in one run, an API of 50 ms unless a line "
        f"says otherwise. {platform.system()}, Python {platform.python_version()}, {_cores()} cores.\n\n"
        f"| figure | median | spread | goal |\n| --- | --- | --- | --- |\n{rows}\n{_profile()}"
    )


def _profile() -> str:
    """Return what the page says after the table, which people write."""
    _, heading, rest = PAGE.read_text(encoding="utf-8").partition("\n## ")
    return heading + rest


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
