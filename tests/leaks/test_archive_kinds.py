"""Archives are recognised by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib

import pytest

from pme_airflow.leaks.archive_kinds import _BY_MAGIC, Compressed, Tar, Unopened, Xz, Zip, kind_of


def zip_of(names: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (zip_of(["a"]), Zip),
        (zip_of([]), Zip),
        (gzip.compress(b"a"), Compressed),
        (bz2.compress(b"a"), Compressed),
        (lzma.compress(b"a"), Xz),
        (zlib.compress(b"blob 5\0token"), Compressed),
        (zlib.compress(b"a cached answer", 9), Compressed),
        (tarfile.TarInfo("a").tobuf(), Tar),
    ],
)
def test_kinds_that_are_opened(head: bytes, kind: type) -> None:
    assert isinstance(kind_of(head[:512]), kind)


@pytest.mark.parametrize(
    "head",
    [
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07\x01",
        b"\x28\xb5\x2f\xfd",
        b"%PDF-1.7",
        b"PAR1",
        b"PACK\0\0\0\x02",
        b"Obj\x01",
        b"ORC",
        b"PGDMP\x01",
        b"REDIS0011",
        b"LPKSHHRH",
        b"Salted__",
        b"-----BEGIN PGP MESSAGE-----",
        b"age-encryption.org/v1",
        b"$ANSIBLE_VAULT;1.1;AES256",
    ],
)
def test_kinds_that_are_not_opened_are_named_with_advice(head: bytes) -> None:
    kind = kind_of(head + b"\0" * 100)
    assert isinstance(kind, Unopened)
    assert kind.name.startswith("is ")
    assert "scan" in kind.advice.lower()


@pytest.mark.parametrize("magic", [magic for magic, kind in _BY_MAGIC if isinstance(kind, Unopened)], ids=repr)
def test_every_kind_that_is_not_opened_has_a_name_and_advice(magic: bytes) -> None:
    kind = kind_of(magic + b"\0" * 100)
    assert isinstance(kind, Unopened)
    assert kind.name.startswith("is ")
    assert "scan" in kind.advice.lower()


@pytest.mark.parametrize(
    "head", [b"", b"plain text", b"x", b"x\x9c is text", b"x^2", b"ORCID of an author", b"\0" * 512]
)
def test_other_files_are_no_archive(head: bytes) -> None:
    assert kind_of(head) is None
