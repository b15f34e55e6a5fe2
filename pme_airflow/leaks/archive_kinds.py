"""Recognise archives and compressed files by their first bytes, both those that are opened and those that are not."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pme_airflow.leaks.decompression import DecompressedStream, bunzip2, gunzip, inflate
from pme_airflow.leaks.mail_reader import is_mail
from pme_airflow.leaks.stream_search import Readable
from pme_airflow.leaks.tar_reader import is_tar

__all__ = ["Compressed", "Kind", "Mail", "Tar", "Unopened", "Xz", "Zip", "kind_of"]


@dataclass(frozen=True)
class Zip:
    """A zip archive, also one of the many formats that are one: docx, jar, epub."""


@dataclass(frozen=True)
class Tar:
    """A tar archive."""


@dataclass(frozen=True)
class Mail:
    """A mail message or a mailbox, whose attachments may be archives."""


@dataclass(frozen=True)
class Compressed:
    """A compressed stream.

    :param decompress: opens it; the second argument is called with the number of bytes of each step.
    """

    decompress: Callable[[Readable, Callable[[int], None]], DecompressedStream] = field(repr=False)


@dataclass(frozen=True)
class Xz:
    """An xz stream, whose dictionary may need much memory."""


@dataclass(frozen=True)
class Unopened:
    """A format whose content is compressed and cannot be searched here; its raw bytes are.

    :param name: what it is.
    :param advice: what to do.
    """

    name: str
    advice: str = "Unpack it and scan the files"


Kind = Zip | Tar | Mail | Compressed | Xz | Unopened

_DECRYPT = "Decrypt it and scan that"
_EXPORT = "Export it as text and scan that"
_CLONE = "Clone it, and scan the clone with --since all"
_ZLIB_HEADERS = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_BY_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", Zip()),
    (b"PK\x05\x06", Zip()),
    (b"\x1f\x8b\x08", Compressed(gunzip)),
    (b"BZh", Compressed(bunzip2)),
    (b"\xfd7zXZ\x00", Xz()),
    (b"7z\xbc\xaf\x27\x1c", Unopened("is a 7z archive, which is not opened")),
    (b"Rar!\x1a\x07", Unopened("is a rar archive, which is not opened")),
    (b"\x28\xb5\x2f\xfd", Unopened("is compressed with zstd, which is not opened")),
    (b"\x04\x22\x4d\x18", Unopened("is compressed with lz4, which is not opened")),
    (b"\x1f\x9d", Unopened("is compressed with compress, which is not opened")),
    (b"LZIP\x01", Unopened("is compressed with lzip, which is not opened")),
    (b"\x89LZO\x00\r\n\x1a\n", Unopened("is compressed with lzop, which is not opened")),
    (b"MSCF\0\0\0\0", Unopened("is a cab archive, which is not opened")),
    (b"!<arch>\n", Unopened("is an ar or deb archive, which is not opened")),
    (b"\xed\xab\xee\xdb", Unopened("is an rpm package, which is not opened")),
    (b"hsqs", Unopened("is a squashfs image, which is not opened")),
    (b"xar!", Unopened("is a xar archive, which is not opened")),
    (b"\xff\x06\x00\x00sNaPpY", Unopened("is compressed with snappy, which is not opened")),
    (b"PAR1", Unopened("is a Parquet file, whose columns are compressed", _EXPORT)),
    (b"Obj\x01", Unopened("is an Avro file, whose blocks may be compressed", _EXPORT)),
    (b"ARROW1\0\0", Unopened("is an Arrow file, whose columns may be compressed", _EXPORT)),
    (
        b"PGDMP",
        Unopened(
            "is a PostgreSQL dump in the custom format, whose data are compressed", "Scan what pg_restore -f - prints"
        ),
    ),
    (b"REDIS0", Unopened("is a Redis dump, whose values are compressed", _EXPORT)),
    (
        b"LPKSHHRH",
        Unopened("is a systemd journal, whose fields may be compressed", "Scan what journalctl --file prints"),
    ),
    (b"!BDN", Unopened("is an Outlook data file, whose text is encoded", _EXPORT)),
    (b"-----BEGIN PGP MESSAGE", Unopened("is encrypted with PGP", _DECRYPT)),
    (b"age-encryption.org/", Unopened("is encrypted with age", _DECRYPT)),
    (b"-----BEGIN AGE ENCRYPTED", Unopened("is encrypted with age", _DECRYPT)),
    (b"Salted__", Unopened("is encrypted with OpenSSL", _DECRYPT)),
    (b"U2FsdGVkX1", Unopened("is encrypted with OpenSSL", _DECRYPT)),
    (b"$ANSIBLE_VAULT;", Unopened("is encrypted with Ansible Vault", _DECRYPT)),
    (b"%PDF-", Unopened("is a PDF, whose text is compressed", "Convert it with pdftotext and scan that")),
    (b"PACK\0\0\0\x02", Unopened("is a git pack", "Scan the history: git log -p --all | pme-airflow scan -")),
    (b"# v2 git bundle\n", Unopened("is a git bundle, whose objects are compressed", _CLONE)),
    (b"# v3 git bundle\n", Unopened("is a git bundle, whose objects are compressed", _CLONE)),
)
#: The properties of nearly all LZMA streams, and the length of their header: the dictionary's and the content's size.
_LZMA_PROPERTIES, _LZMA_HEADER_BYTES = b"\x5d", 13


def kind_of(head: bytes) -> Kind | None:
    """Return the format of a file by its first 512 bytes; ``None`` if it is neither an archive nor compressed."""
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic):
            return kind
    if is_tar(head):
        return Tar()
    if head.startswith(b"ORC") and b"\0" in head:  # three letters alone can be text
        return Unopened("is an ORC file, whose columns are compressed", _EXPORT)
    if _is_lzma(head):
        return Unopened("is compressed with lzma, which is not opened")
    if is_mail(head):
        return Mail()
    return Compressed(inflate) if _is_zlib(head) else None


def _is_lzma(head: bytes) -> bool:
    """Return whether bytes begin a stream of the format before xz (``.lzma``), which has no magic number."""
    if len(head) < _LZMA_HEADER_BYTES or not head.startswith(_LZMA_PROPERTIES):
        return False
    dictionary, size = int.from_bytes(head[1:5], "little"), head[5:13]
    is_power = dictionary >= 4096 and dictionary & (dictionary - 1) == 0
    return is_power and (size == b"\xff" * 8 or size.endswith(b"\0\0\0"))


def _is_zlib(head: bytes) -> bool:
    """Return whether bytes begin a zlib stream, as git's loose objects do; two bytes alone can be text."""
    if not head.startswith(_ZLIB_HEADERS):
        return False
    with suppress(zlib.error):
        return bool(zlib.decompressobj().decompress(head, 16))
    return False
