"""Archives are opened and searched, also inside each other; what cannot be read is listed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from pme_airflow.leaks import archives
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import Unread, files_under
from pme_airflow.leaks.stream_search import Hit, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.secrets import AccessToken
from tests.support.leaked import FINGERPRINT, TOKEN, link


def scanned(path: Path) -> tuple[list[Hit], list[Unread]]:
    matcher = TokenMatcher([AccessToken(TOKEN)])
    reader = ScanReader(matcher.longest_form_bytes)
    return list(search(matcher, reader.chunks(files_under(str(path))))), reader.unread


def packed(kind: str, content: bytes) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/note.txt", content)
    elif kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as tar:
            entry = tarfile.TarInfo("note.txt")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    else:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind]
        return pack(content)
    return out.getvalue()


@pytest.mark.parametrize("kinds", [["zip"], ["tar"], ["gz"], ["bz2"], ["xz"], ["tar", "gz"], ["gz", "zip", "tar"]])
def test_archives_are_searched_inside(tmp_path: Path, kinds: list[str]) -> None:
    content = b"lorem " * 300 + link(TOKEN).encode()
    for kind in kinds:
        content = packed(kind, content)
    (tmp_path / "archive").write_bytes(content)
    hits, unread = scanned(tmp_path / "archive")
    assert {hit.fingerprint for hit in hits} == {FINGERPRINT}
    assert unread == []


def test_a_bomb_is_listed_and_the_other_files_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 1 << 20)
    (tmp_path / "a_bomb.gz").write_bytes(gzip.compress(b"\0" * (64 << 20)))
    (tmp_path / "b.txt").write_text(TOKEN)
    hits, unread = scanned(tmp_path)
    assert [hit.path for hit in hits] == [str(tmp_path / "b.txt")]
    assert "expands beyond" in unread[0].reason


def test_a_broken_archive_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(packed("zip", TOKEN.encode() * 50)[:-40])
    assert "broken" in scanned(tmp_path / "x.zip")[1][0].reason


def test_archives_nested_too_deep_are_listed(tmp_path: Path) -> None:
    content = TOKEN.encode() * 20
    for _ in range(5):
        content = gzip.compress(content)
    (tmp_path / "deep.gz").write_bytes(content)
    hits, unread = scanned(tmp_path / "deep.gz")
    assert hits == []
    assert "nested deeper than 4" in unread[0].reason
