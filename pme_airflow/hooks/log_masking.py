"""Keeping opened links out of a task's log, at a cost that does not grow with their number."""

from __future__ import annotations

import logging
import re
import threading

from airflow.sdk.log import mask_secret

from pme_airflow.sealing import OpenedLink, fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["LinkMasks"]

#: Airflow looks for each masked text in each line, and builds one pattern of all of them whenever one is added; a few
#: links are masked that way, which covers the supervisor too. All of them are found by their fingerprint.
_MASKED_BY_AIRFLOW = 50
_WORD = re.compile(r"[A-Za-z0-9._~-]{8,512}")


class LinkMasks(logging.Filter):
    """Masks the links it was told of in whatever the root logger's handlers are handed. Safe to share."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: set[str] = set()
        self._lock = threading.Lock()

    def add(self, opened: OpenedLink) -> None:
        """Mask a link from here on."""
        with self._lock:
            mark = fingerprint(opened.token)
            known, count = mark in self._marks, len(self._marks)
            self._marks.add(mark)
            for handler in logging.getLogger().handlers:
                if self not in handler.filters:
                    handler.addFilter(self)
        if not known and count < _MASKED_BY_AIRFLOW:
            mask_secret(opened.token.reveal())
            mask_secret(opened.url.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record that holds a link; it is always let through."""
        said = record.getMessage()
        masked = _WORD.sub(self._masked, said)
        if masked != said:
            record.msg, record.args = masked, ()
        return True

    def _masked(self, word: re.Match[str]) -> str:
        return "***" if fingerprint(AccessToken(word[0])) in self._marks else word[0]
