"""Seeded mutations of samples: of bytes, of JSON values, and of archives, which are packed anew."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

#: A token as the vendor's, which no message may show.
TOKEN = "k3f9s8d7q2m4x6z1b5n0c8v7y"
LINK = f"https://my.matterport.com/show?m=SxQL3iGyoDo&auth=Bearer+{TOKEN}"

HOSTILE: list[bytes] = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r\n", b"\x1b[2J", b"[/nope]", b"=1+1", b"../../x", b"javascript:alert(1)",
    b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"%", b"%00", b"%2", b"<!--", b"-->", b"<", b">", b"</script>",
    b"<!-- wp:html -->", b"<!-- /wp:html -->", b"<!-- pme:SxQL3iGyoDo -->", b"<!-- /pme:SxQL3iGyoDo -->", b"[pme model=SxQL3iGyoDo]",
    b"<iframe src=", b"&#x", b"&amp;", b"&&", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 30, b"9" * 5000, b"null", b"true", b"P", b"PT",
    b"T00:00:00Z", b"9999-12-31T23:59:59Z", b"2026-13-45", b"&a *a", b"!!python/object:os.system", b"? ", b": ", b"- ", b"\t", b"|", b"@",
    b"https://", b"http://127.0.0.1:80\\@evil.example/", b"[::1]", b"xn--", b"%zz", b"file:///", b"s3://", b"PK\x03\x04", b"PK\x01\x02",
    b"PK\x05\x06", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"ustar", b"L", b"x", b"Bearer ", b"auth=Bearer+", LINK.encode(), TOKEN.encode(),
    LINK.replace("+", "%20").encode(), "\u202e\ufeff\u2028é😀ſ".encode(), b"sha256:", b"a" * 64, b" " * 3000, b"\n" * 3000, b"(" * 500, b"[" * 2000,
    b'{"a":' * 400,
]  # fmt: skip
SCALARS: list[Any] = [
    None, True, False, 0, -1, 1, 429, 10**400, -0.0, 1.5, float("inf"), float("nan"), "", " ", "\0", "\ud800", "null", "1", "-1", "1e999",
    [], {}, [[]], [None], "a" * 5000, LINK, TOKEN, f"Bearer {TOKEN}", "../../x", "javascript:alert(1)", "9999-12-31T23:59:59Z", "PT999999999H",
    "\u202e😀", "[/nope]", "=cmd()", {"": None}, {LINK: LINK}, [LINK], "%", "{", "sha256:" + "0" * 64,
]  # fmt: skip
#: The longest input that a mutation makes.
MAX_BYTES = 400_000


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return some bytes changed at one to eight places."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        data = _changed(rng, data, others)[:MAX_BYTES]
    return data


def _changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((0, 1, 1, 2, 4, 16, 64, 1000)))
    kind = rng.randrange(10)
    if kind <= 1:
        return data[:start] + rng.choice(HOSTILE) + data[start:]
    if kind == 2:
        return data[:start] + rng.choice(HOSTILE) + data[end:]
    if kind == 3:
        return data[:start] + data[end:]
    if kind == 4:
        return data[:start]
    if kind == 5 and data:
        at = start % len(data)
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if kind == 6:
        return data[:start] + rng.randbytes(rng.choice((1, 2, 4, 8))) + data[end:]
    if kind == 7:
        return data[:start] + data[start:end] * rng.choice((2, 3, 50, 2000)) + data[end:]
    if kind == 8 and others:
        other = rng.choice(others)
        at = rng.randrange(len(other) + 1)
        return data[:start] + other[at : at + rng.choice((10, 100, 10_000))] + data[end:]
    other_start = rng.randrange(len(data) + 1)
    return data[:start] + data[other_start : other_start + 200] + data[end:]


def mutate_json(rng: random.Random, value: Any) -> Any:
    """Return a JSON value with some of its parts replaced, left out, doubled, renamed or nested."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _part_changed(rng, value)
    return value


def _part_changed(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        kind = rng.randrange(8)
        if kind == 0:
            return {name: part for name, part in value.items() if name != key}
        if kind == 1:
            return {**value, str(rng.choice(SCALARS))[:50]: value[key]}
        return {**value, key: _part_changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        kind = rng.randrange(8)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return [*value, value[at]]
        return [*value[:at], _part_changed(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return mutate(rng, value.encode("utf-8", "replace")).decode("utf-8", "surrogateescape")
    if rng.random() < 0.1:
        return [value] if rng.random() < 0.5 else {"a": value}
    return rng.choice(SCALARS)


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON, also one that holds half of a character."""
    return json.dumps(value).encode()


def archive(rng: random.Random, content: bytes, depth: int = 0) -> bytes:
    """Return some bytes in an archive of a random kind, perhaps in archives, perhaps broken at each level."""
    name = rng.choice(
        ["a.txt", "x/y.json", LINK.replace("/", "_"), "n" * 300, "\udcff", "a\nb", "", "..", "a.zip", "ü" * 60]
    )
    kind = rng.choice(("zip", "zip", "tar", "tar", "gz", "bz2", "xz", "zlib", "plain"))
    packed = _packed(rng, kind, name, content)
    if rng.random() < 0.4:
        packed = mutate(rng, packed)
    return archive(rng, packed, depth + 1) if depth < 5 and rng.random() < 0.4 else packed


def _packed(rng: random.Random, kind: str, name: str, content: bytes) -> bytes:
    simple = {"gz": partial(gzip.compress, mtime=0), "bz2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress}
    if kind in simple:
        return simple[kind](content)
    if kind == "zip":
        return _zip(rng, name, content)
    return _tar(rng, name, content) if kind == "tar" else content


def _zip(rng: random.Random, name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(made, "w", method) as packing:
        for index in range(rng.choice((1, 1, 2, 20))):
            member = zipfile.ZipInfo(f"{index}{name}".encode("utf-8", "replace").decode())
            member.compress_type = method
            member.comment = rng.choice((b"", LINK.encode()))
            packing.writestr(member, content)
        packing.comment = rng.choice((b"", LINK.encode()))
    return made.getvalue()


def _tar(rng: random.Random, name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=made, mode="w", format=form, errors="surrogateescape") as packing:
        for index in range(rng.choice((1, 1, 2, 20))):
            member = tarfile.TarInfo(f"{index}{name}"[: 40 if form == tarfile.USTAR_FORMAT else 400])
            member.size = len(content)
            member.type = rng.choice(
                (tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE)
            )
            member.linkname = rng.choice(("", LINK[:90]))
            packing.addfile(member, io.BytesIO(content))
    return made.getvalue()
