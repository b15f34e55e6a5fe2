"""Published files in any store that ``fsspec`` supports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pme_airflow.checks import CheckResult

__all__ = ["CONTENT_TYPES", "FsspecFiles", "PageFiles"]

#: The content type of each file by the end of its name.
CONTENT_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "js": "text/javascript"}
_GOOGLE = frozenset({"gs", "gcs"})


class PageFiles(Protocol):
    """Files under a root, by their paths relative to it. Readers see each file whole."""

    def write(self, path: str, text: str) -> bool:
        """Replace a file; return whether the store keeps what it replaced, so that it can still be read."""

    def read(self, path: str, limit: int) -> str | None:
        """Return a file's text, or its first ``limit`` bytes; ``None`` if there is no such file."""

    def delete(self, path: str) -> bool:
        """Delete a file if it is there; return whether the store keeps what it deleted."""

    def signatures(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return a text for each file that changes whenever the file does; ``None`` for a file that is not there.

        A file whose signature would be expensive to read is left out.
        """

    def describe(self, path: str) -> Iterable[CheckResult]:
        """Return what a check finds out about a file that was just written, such as its encryption."""

    def remove_trace(self, path: str) -> bool:
        """Delete a file, and whatever the store keeps of it; return whether something remains."""


class FsspecFiles:
    """Files in a store with no special handling.

    :param root: an ``ObjectStoragePath``.
    """

    def __init__(self, root: Any) -> None:
        self._root = root

    def write(self, path: str, text: str) -> bool:
        """Replace a file."""
        with (self._root / path).open("wb", **self._headers(path)) as stream:
            stream.write(text.encode())
        return False

    def _headers(self, path: str) -> dict[str, Any]:
        """Return what ``gcsfs`` stores with a file. Google serves a public one from caches for an hour without it."""
        if self._root.protocol not in _GOOGLE:
            return {}
        content_type = CONTENT_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        return {"content_type": content_type, "fixed_key_metadata": {"cache_control": "no-store"}}

    def read(self, path: str, limit: int) -> str | None:
        """Return a file's text, or its first ``limit`` bytes; ``None`` if there is no such file."""
        try:
            with (self._root / path).open("rb") as stream:
                return bytes(stream.read(limit)).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def delete(self, path: str) -> bool:
        """Delete a file if it is there."""
        (self._root / path).unlink(missing_ok=True)
        return False

    def signatures(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return nothing: in some stores a listing is expensive, or comes from a cache."""
        return {}

    def describe(self, path: str) -> Iterable[CheckResult]:
        """Return nothing: what stores tell of a file has no common form."""
        return ()

    def remove_trace(self, path: str) -> bool:
        """Delete a file if it is there."""
        return self.delete(path)
