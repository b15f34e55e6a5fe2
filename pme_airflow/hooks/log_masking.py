"""Mask opened links in everything that a task writes, at a cost that does not grow with their number.

What a process writes passes one of four places, and each is masked from the first link that is opened:

- ``logging`` records, where they are made: the message, its arguments, the stack and the traceback, for all handlers;
- what the root logger's handlers write, which adds fields of ``extra`` and tracebacks that a formatter writes itself;
- what structlog's processors return, through which Airflow sends the log of a task to its supervisor;
- ``sys.stdout`` and ``sys.stderr``, for ``print``, uncaught exceptions and the errors of ``logging`` itself.

Not covered for any but the first 50 links, which Airflow masks as well: what does not pass Python's streams, such as
the output of child processes, ``os.write`` and ``sys.stdout.buffer``; a token that is written in several pieces, in hex
or base64; a traceback that a handler without a formatter reads from ``exc_info``; a structlog logger with processors of
its own; and a stream or a logging configuration that replaces the masked one, until the next link is opened.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TextIO, cast

import structlog
from airflow.sdk.log import mask_secret

from pme_airflow.hooks.token_mask import TokenMask
from pme_airflow.sealing import OpenedLink

__all__ = ["LinkMasks"]

#: Links that are masked by Airflow as well, which also covers the task's supervisor. Airflow compiles one pattern of
#: all of its texts whenever one is added, so its cost grows with their number.
_MASKED_BY_AIRFLOW = 50
_TRACEBACKS = logging.Formatter()


class LinkMasks(logging.Filter):
    """Masks links in all that the process logs and prints. Safe to share between threads."""

    def __init__(self) -> None:
        super().__init__()
        self._mask = TokenMask()
        self._lock = threading.Lock()
        self._masks_new_records = False

    def add(self, opened: OpenedLink) -> None:
        """Mask a link from here on."""
        with self._lock:
            is_new = self._mask.add(opened.token)
            by_airflow = is_new and len(self._mask) <= _MASKED_BY_AIRFLOW
            self._install()
        if by_airflow:
            mask_secret(opened.token.reveal())
            mask_secret(opened.url.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the links in a record, and let it through."""
        self._mask_message(record)
        if record.exc_info and not record.exc_text:
            trace = _TRACEBACKS.formatException(record.exc_info)
            masked = self._mask.apply(trace)
            if masked != trace:
                # Formatters write this text where there is one, and format the exception where there is none.
                record.exc_text = masked
        for name, value in record.__dict__.items():
            if isinstance(value, str):
                record.__dict__[name] = self._mask.apply(value)
        return True

    def _mask_message(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, Mapping):
            return  # an event of structlog, which is masked once it is rendered
        # Logging itself reports a message that cannot be formatted, and its report is masked in standard error.
        with contextlib.suppress(Exception):
            message = record.getMessage()
            masked = self._mask.apply(message)
            if masked != message:
                record.msg, record.args = masked, ()

    def _install(self) -> None:
        """Install the masks where they are missing: a logging configuration may have replaced the masked objects."""
        if not self._masks_new_records:
            logging.setLogRecordFactory(_MaskedRecords(logging.getLogRecordFactory(), self))
            self._masks_new_records = True
        for handler in logging.getLogger().handlers:
            if self not in handler.filters:
                handler.addFilter(self)
            if not _has_mask(handler.formatter, self._mask):
                handler.setFormatter(_MaskedFormatter(handler.formatter or logging.Formatter(), self._mask))
        # Loggers that were used before refer to this list, so it is changed in place.
        processors = structlog.get_config()["processors"]
        if isinstance(processors, list) and self._mask_rendered not in processors:
            processors.append(self._mask_rendered)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not _has_mask(stream, self._mask):
                setattr(sys, name, cast("TextIO", _MaskedStream(stream, self._mask)))

    def _mask_rendered(self, _logger: Any, _method: str, rendered: Any) -> Any:
        """Mask what the last of structlog's processors returned for its logger to write."""
        if isinstance(rendered, bytes):
            return self._mask.apply_bytes(rendered)
        return self._mask.apply(rendered) if isinstance(rendered, str) else rendered


class _MaskedRecords:
    """Makes log records as another factory does, and masks them."""

    def __init__(self, factory: Any, masks: LinkMasks) -> None:
        self._factory = factory
        self._masks = masks

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._factory(*args, **kwargs)
        self._masks.filter(record)
        return record


class _Masked:
    """Wraps an object to change the text that it writes."""

    def __init__(self, inner: Any, mask: TokenMask) -> None:
        self._inner = inner
        self._mask = mask

    def __getattr__(self, name: str) -> Any:
        # Copying asks for attributes before any is set.
        if name in ("_inner", "_mask"):
            raise AttributeError(name)
        return getattr(self._inner, name)


class _MaskedFormatter(_Masked, logging.Formatter):
    """A formatter whose text is masked."""

    def format(self, record: logging.LogRecord) -> str:
        return self._mask.apply(self._inner.format(record))


class _MaskedStream(_Masked):
    """A text stream in which each written text is masked."""

    def write(self, text: str) -> int:
        self._inner.write(self._mask.apply(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


def _has_mask(written: object, mask: TokenMask) -> bool:
    while isinstance(written, _Masked):
        if written._mask is mask:
            return True
        written = written._inner
    return False
