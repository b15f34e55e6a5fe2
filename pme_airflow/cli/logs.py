"""Log to standard error, one line a record, although Airflow configures a log on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pme_airflow.printable import printable

__all__ = ["logging_to_stderr", "replace_airflow_handlers"]


#: This logger's messages are in the response, which commands print, so they are not logged as well.
_PRINTED = "pme_airflow.lifecycle.leak_response"


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each record as one line, whatever text from outside it contains."""

    def __init__(self, level: int) -> None:
        super().__init__(sys.stderr)
        self.setLevel(level)
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.addFilter(lambda record: record.name != _PRINTED)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), None)


_handler: ContextVar[_StderrHandler | None] = ContextVar("pme_log_handler", default=None)


@contextmanager
def logging_to_stderr(*, verbose: bool) -> Iterator[None]:
    """Log errors to standard error while the block runs, and with ``verbose`` also what is done."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    token = _handler.set(_StderrHandler(logging.INFO if verbose else logging.ERROR))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        replace_airflow_handlers()
        yield
    finally:
        _handler.reset(token)
        root.handlers[:] = handlers
        root.setLevel(level)


def replace_airflow_handlers() -> None:
    """Take the handlers that write to a terminal off the root logger, and log to standard error instead.

    Call it after importing Airflow, which sets up such a handler.
    """
    handler = _handler.get()
    if handler is None:
        return
    root = logging.getLogger()
    root.handlers[:] = [*(other for other in root.handlers if type(other) is not logging.StreamHandler), handler]
    root.setLevel(handler.level)
