"""Write results to standard output and messages to standard error; text from outside cannot forge or break either.

Text from outside (names, reasons, targets, paths) may contain escape codes, line breaks and lone surrogates. All of it
is written through :func:`~pme_airflow.printable.printable`, without any markup.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from typing import Any, NoReturn, TextIO

import click

from pme_airflow.iso_times import parse_iso
from pme_airflow.printable import csv_cell, printable

__all__ = [
    "OutputClosedError",
    "fail",
    "flush",
    "print_csv",
    "print_json",
    "print_json_lines",
    "print_json_list",
    "print_line",
    "print_note",
    "print_table",
    "result_alone_on_stdout",
    "text_of",
    "write",
    "write_bytes",
    "writing_to",
]

#: Exit status of a command whose reader closed the pipe, as a shell reports a program that SIGPIPE ended.
_CLOSED_PIPE_STATUS = 141
_SURROGATE = re.compile("[\ud800-\udfff]")
#: The lines of a list of problems, which the message of one error contains.
_LIST_ITEM = re.compile(r"\n(?=  - )")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
#: Where results go; without a value, to standard output. A stream that is ``None`` is closed.
_results: ContextVar[TextIO | None] = ContextVar("pme_results")


class OutputClosedError(Exception):
    """Standard output cannot be written.

    :param exit_status: what the command ends with.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@contextmanager
def result_alone_on_stdout() -> Iterator[None]:
    """Keep standard output for the command's result: all other output goes to standard error.

    Airflow's own log handler writes to standard output, and so would break the JSON that a program reads there.
    """
    token = _results.set(_stream())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results.reset(token)


@contextmanager
def writing_to(output: TextIO | None) -> Iterator[None]:
    """Write results to a file instead of standard output while the block runs; to standard output for ``None``."""
    token = _results.set(output or _stream())
    try:
        yield
        flush()
    finally:
        _results.reset(token)


def fail(message: str, status: int = 2) -> NoReturn:
    """Print an error, and end with an exit status: 2 if nothing could be done, 1 if a promise was not kept."""
    print_note(f"pme-airflow: {message}")
    sys.exit(status)


def print_note(message: str) -> None:
    """Print a message for a person on standard error; the items of a list in it on lines of their own."""
    lines = (printable(line, None) for line in _LIST_ITEM.split(message))
    with suppress(OSError, ValueError, AttributeError):  # a closed standard error does not change the exit status
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()


def print_line(text: str) -> None:
    """Print one line of a result."""
    write(printable(text, None) + "\n")


def print_json(value: Any) -> None:
    """Print one JSON value, indented."""
    write(json.dumps(_valid(value), indent=2) + "\n")


def print_json_list(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON list, each row as it is read."""
    separator = "["
    for row in rows:
        write(f"{separator}\n  {json.dumps(_valid(row))}")
        separator = ","
    write("[]\n" if separator == "[" else "\n]\n")


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line, each as it is read."""
    for row in rows:
        write(json.dumps(_valid(row)) + "\n")


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print CSV (RFC 4180) with a line of names; no cell is a formula to a spreadsheet."""
    lines: Iterator[Sequence[Any]] = ([row.get(column) for column in columns] for row in rows)
    for values in itertools.chain([columns], lines):
        line = io.StringIO()
        csv.writer(line).writerow([csv_cell(value) for value in values])
        write(line.getvalue())


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
    """Print some columns of rows, without those that are empty everywhere. Nothing is cut or folded.

    :param empty: a sentence to print if there are no rows.
    """
    from rich.cells import cell_len

    cells = [[printable(text_of(_value(row, column))) for column in columns] for row in rows]
    if not cells:
        print_line(empty)
        return
    used = [index for index in range(len(columns)) if any(line[index] for line in cells)]
    lines = [[columns[index] for index in used], *([line[index] for index in used] for line in cells)]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(used))]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        write("  ".join(padded).rstrip() + "\n")


def _value(row: Mapping[str, Any], column: str) -> Any:
    """Return a row's value in a column; in that of models all that its token opens."""
    return (column == "model_id" and row.get("models")) or row.get(column)


def text_of(value: Any) -> str:
    """Return a value of a table: nothing for ``None``, yes or no for a truth value, a time to the second.

    Times are in the reader's zone, with its offset.
    """
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    if _TIMESTAMP.fullmatch(text):
        with suppress(ValueError, OverflowError):  # 2026-13-01 is no time, and year 9999 may have no local one
            return parse_iso(text).astimezone().isoformat(" ", "seconds")
    return text


def write(text: str) -> None:
    """Write to standard output.

    :raises OutputClosedError: if it cannot be written.
    """
    with _output_errors():
        stream = _stream()
        if stream is None:
            raise OutputClosedError("standard output is closed.", 1)
        stream.write(text)


def write_bytes(content: bytes) -> None:
    """Write bytes to standard output.

    :raises OutputClosedError: if they cannot be written.
    """
    with _output_errors():
        click.echo(content, nl=False)


def flush() -> None:
    """Write what is buffered for standard output.

    :raises OutputClosedError: if it cannot be written.
    """
    with _output_errors():
        stream = _stream()
        if stream is not None:
            stream.flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    problem: OutputClosedError | None = None
    try:
        yield
    except BrokenPipeError:
        problem = OutputClosedError("the reader of the output went away before all was written.", _CLOSED_PIPE_STATUS)
    except OSError as error:
        problem = OutputClosedError(f"the output cannot be written ({error.strerror}).", 1)
    if problem is not None:
        raise problem


def _stream() -> TextIO | None:
    return _results.get(sys.stdout)


def _valid(value: Any) -> Any:
    """Return a JSON value in which lone surrogates, which strict readers refuse, are U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_valid(key): _valid(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(inner) for inner in value]
    return value
