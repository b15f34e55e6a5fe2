"""Printing results as tables and JSON, and ending with an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click

__all__ = ["fail", "print_json", "print_json_list", "print_table"]


def fail(message: str) -> NoReturn:
    """Print an error, and end with exit status 2."""
    click.echo(f"pme-airflow: {message}", err=True)
    sys.exit(2)


def print_json(value: Any) -> None:
    """Print one JSON value, indented."""
    click.echo(json.dumps(value, indent=2))


def print_json_list(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON list, each row as it is read."""
    first = True
    click.echo("[", nl=False)
    for row in rows:
        click.echo(("" if first else ",") + "\n  " + json.dumps(row), nl=False)
        first = False
    click.echo("]" if first else "\n]")


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print some columns of rows; nothing if there are no rows."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    if table.row_count:
        Console(soft_wrap=False).print(table)
