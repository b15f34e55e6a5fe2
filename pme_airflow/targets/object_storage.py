"""Pages in object storage, under any path that Airflow's ``ObjectStoragePath`` supports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pme_airflow.checks import CheckResult
from pme_airflow.concurrency import read_at_once
from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.iso_times import iso_text
from pme_airflow.ledger.publications import Publication
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from pme_airflow.targets.addresses import checked_sdk_url
from pme_airflow.targets.base import ShownLink, SlotCheck, SlotResult, Target
from pme_airflow.targets.page_files import FsspecFiles, PageFiles
from pme_airflow.targets.pages import embed_page, gallery_page, source
from pme_airflow.targets.shown_tokens import tokens_of
from pme_airflow.targets.storage_names import storage_name
from pme_airflow.targets.storage_setup import check_storage

__all__ = ["ObjectStorageTarget"]

_FILES = ("embed.html", "link.json")
#: The script of embed pages, which gives an open space each new link.
_SCRIPT = "pme-embed.js"
_LOCAL = frozenset({"file", "local", ""})
_S3 = frozenset({"s3", "s3a", "s3n"})
#: The most bytes that are read of a file. Published files have about 3 kB.
_MAX_FILE = 256 * 1024
#: How many slots with changed files are read in one check.
_MAX_READ = 50
#: A slot is a folder's name: the model's id, never a path.
_SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z")


class ObjectStorageTarget(Target):
    """Writes ``<model_id>/link.json``, ``<model_id>/embed.html`` and a gallery. Readers see each file whole.

    :param root: an ``ObjectStoragePath``.
    :param sdk_url: the address of the vendor's SDK for Embeds, which gives open spaces each new link.
    :param sdk_key: your SDK key.
    :param storage_options: what files in S3 are written with: ``ServerSideEncryption``, ``SSEKMSKeyId``, ``ACL``,
        ``StorageClass`` and others, as S3 spells them.
    :param at_once: how many slots are written and cleared at the same time.
    """

    shows_names = True

    def __init__(
        self,
        root: Any,
        *,
        sdk_url: str = "",
        sdk_key: str = "",
        storage_options: Mapping[str, Any] | None = None,
        at_once: int = 8,
    ) -> None:
        self.at_once = read_at_once(at_once)
        self._root = root
        self._sdk = {"sdk_url": checked_sdk_url(sdk_url), "sdk_key": sdk_key}
        self._storage_options = dict(storage_options or {})

    @property
    def name(self) -> str:  # type: ignore[override]
        """The whole address of the root, with the store's own address where it is not the usual one."""
        return f"object_storage:{self._place}"

    @property
    def former_names(self) -> Sequence[str]:  # type: ignore[override]
        return (f"object_storage:{str(self._root).rstrip('/')}",)

    @cached_property
    def _place(self) -> str:
        return storage_name(self._root)

    @cached_property
    def _files(self) -> PageFiles:
        if self._root.protocol in _S3:
            from pme_airflow.targets.s3_files import S3Files

            return S3Files(self._root, self._storage_options)
        if self._storage_options:
            raise PMEInputError(
                f"storage_options: they apply to paths in S3, and {self._root} is not one. Remove them."
            )
        if self._root.protocol in _LOCAL:
            from pme_airflow.targets.local_files import LocalFiles

            return LocalFiles(self._root.path)
        return FsspecFiles(self._root)

    # ------------------------------------------------------------------- slots

    def put(self, slot: str, link: ShownLink, previous: Mapping[str, Any]) -> SlotResult:
        folder = _checked(slot)
        files = self._files
        until = iso_text(link.valid_until)
        record = {
            "model_id": link.model_id,
            "audience": link.audience,
            "link": link.url.reveal(),
            "access_token": link.token.reveal(),
            "valid_until": until,
        }
        page = embed_page(link=link.url.reveal(), title=link.name, valid_until=until, **self._sdk)
        remains = files.write(f"{folder}/embed.html", page)
        remains |= files.write(f"{folder}/link.json", json.dumps(record, indent=2) + "\n")
        details = {"folder": str(self._root / folder), "name": link.name, "fingerprint": fingerprint(link.token)}
        return SlotResult(details, old_link_remains=remains)

    def read_back(self, slot: str, link: ShownLink, details: Mapping[str, Any]) -> None:
        token = link.token.reveal()
        problem = ""
        if _token_in(self._read(slot, "link.json")) != token:
            problem = "link.json does not hold the new link"
        elif token not in self._read(slot, "embed.html"):
            problem = "embed.html does not show the new link"
        if problem:
            raise SlotError(f"{problem} right after it was written: does another program write there?", passing=True)

    def take_away(self, slot: str, details: Mapping[str, Any]) -> SlotResult:
        folder = _checked(slot)
        remains = [self._files.delete(f"{folder}/{name}") for name in _FILES]
        return SlotResult(old_link_remains=any(remains))

    def check_shown(self, shown: Sequence[Publication]) -> SlotCheck:
        """Compare the files with what they were at the last check; read those that changed."""
        now = self._files.signatures([f"{entry.slot}/{name}" for entry in shown for name in _FILES])
        lost: list[str] = []
        details: dict[str, dict[str, Any]] = {}
        for entry in shown:
            signatures = [now.get(f"{entry.slot}/{name}", "unknown") for name in _FILES]
            if None in signatures:
                lost.append(entry.slot)
            elif "unknown" in signatures or signatures == entry.details.get("seen") or len(details) >= _MAX_READ:
                continue
            elif self._still_shows(entry):
                details[entry.slot] = {**entry.details, "seen": signatures}
            else:
                lost.append(entry.slot)
        return SlotCheck(lost, details)

    def check(self, items: Sequence[Mapping[str, Any]] = ()) -> list[CheckResult]:
        """Write, read and delete a file of its own."""
        return list(check_storage(self._files, self._place))

    def _still_shows(self, entry: Publication) -> bool:
        wanted = entry.details.get("fingerprint")
        if wanted is None:
            return True  # an earlier version did not record signatures
        record, page = (self._read(entry.slot, name) for name in ("link.json", "embed.html"))
        found = {_token_in(record), *(tokens_of(page, entry.model_id) or {""})}
        return found != {""} and {fingerprint(AccessToken(token)) for token in found} == {wanted}

    def _read(self, slot: str, name: str) -> str:
        return self._files.read(f"{_checked(slot)}/{name}", _MAX_FILE) or ""

    # ------------------------------------------------------------------ gallery

    def finish(self, shown: Sequence[Publication]) -> None:
        script = source(_SCRIPT)
        if self._files.read(_SCRIPT, len(script.encode()) + 1) != script:
            self._files.write(_SCRIPT, script)
        self._files.write("index.html", gallery_page(self._listed(shown)))

    def _listed(self, shown: Sequence[Publication]) -> list[dict[str, str]]:
        """Return the slots that show a link, except those whose page was deleted."""
        slots = [entry for entry in shown if entry.link_id and _SLOT.match(entry.slot)]
        pages = self._files.signatures([f"{entry.slot}/embed.html" for entry in slots])
        return [
            {
                "model_id": entry.slot,
                "name": str(entry.details.get("name") or entry.slot),
                "audience": entry.audience,
                "published_at": entry.published_at.strftime("%Y-%m-%d %H:%M UTC"),
            }
            for entry in slots
            if pages.get(f"{entry.slot}/embed.html", "unknown") is not None
        ]


def _checked(slot: str) -> str:
    """Return a slot if it is the name of one folder.

    :raises SlotError: for anything else, a path such as ``../other`` for example.
    """
    if not _SLOT.match(slot):
        raise SlotError("the slot is not the name of a folder: model ids have letters and digits only")
    return slot


def _token_in(record: str) -> str:
    """Return the token in the text of a ``link.json``; empty if there is none."""
    try:
        token = json.loads(record)["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return token if isinstance(token, str) else ""
