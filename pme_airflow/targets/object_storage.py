"""Pages in object storage, under any path that Airflow's ``ObjectStoragePath`` supports."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pme_airflow.errors import SlotError
from pme_airflow.ledger.publications import Publication
from pme_airflow.targets.base import ShownLink, SlotResult, Target
from pme_airflow.targets.pages import render, source

__all__ = ["ObjectStorageTarget"]

_FILES = ("link.json", "embed.html")
#: The script of embed pages, which gives an open space each new link.
_SCRIPT = "pme-embed.js"
_CONTENT_TYPES = {".json": "application/json", ".html": "text/html; charset=utf-8", ".js": "text/javascript"}

log = logging.getLogger(__name__)


class ObjectStorageTarget(Target):
    """Writes ``<model_id>/link.json``, ``<model_id>/embed.html`` and a gallery. Readers see each file whole.

    :param root: an ``ObjectStoragePath``.
    :param sdk_url: the address of the vendor's SDK for Embeds, which gives open spaces each new link.
    :param sdk_key: your SDK key.
    """

    shows_names = True
    at_once = 8

    def __init__(self, root: Any, *, sdk_url: str = "", sdk_key: str = "") -> None:
        self._root = root
        self._sdk = {"sdk_url": sdk_url, "sdk_key": sdk_key}
        self.name = f"object_storage:{str(root).rstrip('/')}"

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        folder = self._root / slot
        until = _utc(link)
        record = {
            "model_id": link.model_id,
            "audience": link.audience,
            "link": link.url.reveal(),
            "access_token": link.token.reveal(),
            "valid_until": until,
        }
        page = render("embed.html.j2", link=link.url.reveal(), title=link.name, valid_until=until, **self._sdk)
        self._replace(folder / "embed.html", page)
        self._replace(folder / "link.json", json.dumps(record, indent=2) + "\n")
        details = {"folder": str(folder), "name": link.name}
        return SlotResult(details, old_link_remains=self._delete_old_versions(folder) > 0)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        folder = self._root / slot
        problem = ""
        try:
            record = json.loads((folder / "link.json").read_text())
            if record.get("access_token") != link.token.reveal():
                problem = "link.json holds another link"
            elif link.token.reveal() not in (folder / "embed.html").read_text():
                problem = "embed.html shows another link"
        except (ValueError, AttributeError):
            problem = "link.json is incomplete"
        if problem:
            raise SlotError(f"{problem} right after it was written: does another program write there?", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        folder = self._root / slot
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        return SlotResult(old_link_remains=self._delete_old_versions(folder) > 0)

    def _delete_old_versions(self, folder: Any) -> int:
        """Delete the old versions that a versioned bucket keeps, with the old link in them; return how many remain."""
        call = getattr(folder.fs, "call_s3", None)
        if call is None:
            return 0
        kept = 0
        for name in _FILES:
            bucket, _, key = (folder / name).path.lstrip("/").partition("/")
            try:
                listed = call("list_object_versions", Bucket=bucket, Prefix=key).get("Versions", [])
            except Exception as error:  # noqa: BLE001 - each store raises its own errors
                reason = type(error).__name__
                log.warning("%s: old versions cannot be listed (%s): allow s3:ListBucketVersions.", folder, reason)
                return 0
            for version in listed:
                if version["Key"] == key and not version["IsLatest"]:
                    kept += not _deleted(call, bucket, key, version["VersionId"])
        if kept:
            log.warning(
                "%s: %d old versions still contain links, which are revoked at once. Allow s3:DeleteObjectVersion.",
                folder,
                kept,
            )
        return kept

    def finish(self, shown: Sequence[Publication]) -> None:
        pages = [
            {
                "model_id": publication.slot,
                "name": str(publication.details.get("name") or publication.slot),
                "audience": publication.audience,
                "published_at": publication.published_at.strftime("%Y-%m-%d %H:%M UTC"),
            }
            for publication in shown
            if publication.link_id
        ]
        script, text = self._root / _SCRIPT, source(_SCRIPT)
        if not script.exists() or script.read_text() != text:
            self._replace(script, text)
        self._replace(self._root / "index.html", render("index.html.j2", pages=pages))

    def _replace(self, path: Any, text: str) -> None:
        """Write a file so that a reader sees either the old text or the new one, whole."""
        if path.protocol in ("file", "local", ""):
            _replace_local(Path(path.path), text)
            return
        extra: dict[str, Any] = {}
        if path.protocol in ("s3", "s3a"):
            content_type = _CONTENT_TYPES[os.path.splitext(path.name)[1]]
            extra = {"CacheControl": "no-store", "ContentType": content_type}
        with path.open("wb", **extra) as stream:
            stream.write(text.encode())


def _deleted(call: Callable[..., Any], bucket: str, key: str, version: str) -> bool:
    try:
        call("delete_object", Bucket=bucket, Key=key, VersionId=version)
    except Exception:  # noqa: BLE001 - each store raises its own errors
        return False
    return True


def _replace_local(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.pme-tmp"):
        left.unlink(missing_ok=True)
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}.pme-tmp"
    try:
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _utc(link: ShownLink) -> str:
    return link.valid_until.isoformat().replace("+00:00", "Z")
