"""Masking opened links in a task's log, at a cost that does not grow with their number."""

from __future__ import annotations

import logging
import re
import threading

from airflow.sdk.log import mask_secret

from pme_airflow.sealing import OpenedLink, fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["LinkMasks"]

#: Links that are masked by Airflow as well, which also covers the task's supervisor. Airflow compiles one pattern of
#: all of its texts whenever one is added, so its cost grows with their number.
_MASKED_BY_AIRFLOW = 50
_WORD = re.compile(r"[A-Za-z0-9._~-]{8,512}")


class LinkMasks(logging.Filter):
    """Masks links in all records that the root logger's handlers receive. Safe to share between threads."""

    def __init__(self) -> None:
        super().__init__()
        self._fingerprints: set[str] = set()
        self._lock = threading.Lock()

    def add(self, opened: OpenedLink) -> None:
        """Mask a link from here on."""
        with self._lock:
            known, count = fingerprint(opened.token) in self._fingerprints, len(self._fingerprints)
            self._fingerprints.add(fingerprint(opened.token))
            for handler in logging.getLogger().handlers:
                if self not in handler.filters:
                    handler.addFilter(self)
        if not known and count < _MASKED_BY_AIRFLOW:
            mask_secret(opened.token.reveal())
            mask_secret(opened.url.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the links in a record, and let it through."""
        message = record.getMessage()
        masked = _WORD.sub(self._masked, message)
        if masked != message:
            record.msg, record.args = masked, ()
        return True

    def _masked(self, word: re.Match[str]) -> str:
        return "***" if fingerprint(AccessToken(word[0])) in self._fingerprints else word[0]
