"""Archives are opened and searched, also inside each other; what cannot be read is listed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from pme_airflow.leaks import archives
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import Source, Unread, files_under
from pme_airflow.leaks.stream_search import Chunk, Hit, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.secrets import AccessToken
from tests.leaks.test_mail_reader import mail
from tests.support.leaked import ENCODINGS, FINGERPRINT, TOKEN, link


def scanned(path: Path) -> tuple[list[Hit], list[Unread]]:
    matcher = TokenMatcher([AccessToken(TOKEN)])
    reader = ScanReader(matcher.longest_form_bytes)
    hits = list(search(matcher, reader.chunks(files_under(str(path)))))
    assert all(part.path.startswith(str(path)) for part in reader.unread)
    return hits, reader.unread


def chunks(raw: bytes, name: str = "x", *, is_pipe: bool = False) -> tuple[list[Chunk], list[Unread]]:
    """Read one source."""

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return not is_pipe

    reader = ScanReader(75)
    return list(reader.chunks([Source(name, lambda: Stream(raw))])), reader.unread


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


def nested_zips(content: bytes) -> bytes:
    return packed("zip", packed("zip", content))


#: Scans one file in a process of its own, and prints the most memory it took and what was not searched.
_MEASURE = """
import sys
from pathlib import Path
from tests.leaks.test_archives import scanned
hits, unread = scanned(Path(sys.argv[1]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0], len(hits), *(part.reason for part in unread))
"""


def zeros(size: int) -> bytes:
    """Return gzip of zeros, as streams of 8 MiB that follow each other."""
    return gzip.compress(b"\0" * (8 << 20)) * (size >> 23)


def gnu_long_name(size: int) -> bytes:
    entry = tarfile.TarInfo("@LongLink")
    entry.type = tarfile.GNUTYPE_LONGNAME
    entry.size = size
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT)) + zeros(size)


def pax_header(size: int) -> bytes:
    entry = tarfile.TarInfo("pax")
    entry.type = tarfile.XHDTYPE
    entry.size = size
    return gzip.compress(entry.tobuf() + b"%d comment=" % size) + zeros(size)


def xz_of(content: bytes, dictionary: int) -> bytes:
    return lzma.compress(content, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": dictionary}])


_SIZE = 256 << 20
_BOMBS: dict[str, Callable[[], bytes]] = {
    "a long name": lambda: gnu_long_name(_SIZE),
    "a pax header": lambda: pax_header(_SIZE),
    "nested gzip": lambda: gzip.compress(zeros(_SIZE)),
    "many gzip streams": lambda: gzip.compress(b"") * 20_000 + zeros(_SIZE),
    "many members of a zip": lambda: packed_names(20_000),
    "a large dictionary": lambda: xz_of(b"\0" * (1 << 20), 1 << 30),
    "nested dictionaries": lambda: xz_of(xz_of(b"\0" * (128 << 20), 64 << 20), 64 << 20),
    "nested zips": lambda: nested_zips(b"\0" * (64 << 20)),
    "a zip in a stream of a dictionary": lambda: xz_of(zip_with([b"\0" * (46 << 20)]), 64 << 20),
    "a large zip": lambda: gzip.compress(zip_with([b"\0" * (64 << 20)])[:100]) + zeros(_SIZE),
}


def packed_names(count: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number:01000}", b"")
    return out.getvalue()


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux keeps the most memory of a process there"
)
@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_takes_less_than_200_mb(tmp_path: Path, name: str) -> None:
    (tmp_path / "bomb").write_bytes(_BOMBS[name]())
    command = [sys.executable, "-c", _MEASURE, str(tmp_path / "bomb")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    kibibytes, _, *reasons = done.stdout.split(maxsplit=2)
    assert int(kibibytes) * 1024 < 200_000_000
    assert ("memory" in "".join(reasons)) == (name in {"a large dictionary", "nested dictionaries"})


_TEXT = b"lorem " * 300 + link(TOKEN).encode()
_SMALL, _LARGE = 4 << 20, 32 << 20


def tar_of(*contents: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number, content in enumerate(contents):
            entry = tarfile.TarInfo(f"{number}.xz")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def lzma_zip_of(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("0.xz", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "is_read"),
    [
        pytest.param(xz_of(_TEXT, _LARGE), True, id="large"),
        pytest.param(gzip.compress(xz_of(_TEXT, _LARGE)), True, id="large in gzip"),
        pytest.param(xz_of(xz_of(_TEXT, _SMALL), _LARGE), True, id="small in large"),
        pytest.param(xz_of(xz_of(_TEXT, _LARGE), _SMALL), False, id="large in small"),
        pytest.param(tar_of(xz_of(b"", _SMALL), xz_of(_TEXT, _LARGE)), True, id="large behind small"),
        pytest.param(lzma_zip_of(xz_of(_TEXT, _LARGE)), False, id="large in a zip of LZMA"),
        pytest.param(tar_of(lzma_zip_of(b""), xz_of(_TEXT, _LARGE)), True, id="large behind a zip of LZMA"),
    ],
)
def test_a_large_dictionary_is_read_unless_another_one_is_held(tmp_path: Path, data: bytes, is_read: bool) -> None:
    (tmp_path / "archive").write_bytes(data)
    hits, unread = scanned(tmp_path / "archive")
    assert {hit.fingerprint for hit in hits} == ({FINGERPRINT} if is_read else set())
    assert ["memory" in part.reason for part in unread] == ([] if is_read else [True])


@pytest.mark.parametrize("kinds", [["gz", "zip"], ["zip", "tar"], ["tar", "gz"], ["gz", "gz"], ["xz", "tar", "xz"]])
def test_the_limit_holds_for_all_members_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str]
) -> None:
    """Each member is below the limit; nested, their bytes count in each archive they are packed in."""
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 3 << 19)
    monkeypatch.setattr(archives, "MAX_EXPANSION_RATIO", 1)
    content = b"\0" * (1 << 20)
    for kind in kinds:
        content = packed(kind, content)
    (tmp_path / "a.zip").write_bytes(zip_with([content, content]))
    unread = scanned(tmp_path / "a.zip")[1]
    assert ["expands beyond" in part.reason for part in unread] == [True]
    assert unread[0].permanent


def zip_with(contents: list[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(str(number), content)
    return out.getvalue()


def test_the_own_bytes_of_an_archive_are_searched_beyond_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 1)
    (tmp_path / "a.zip").write_bytes(zip_with([b"1", b"2", TOKEN.encode()]))
    hits, unread = scanned(tmp_path / "a.zip")
    assert [hit.path for hit in hits] == [str(tmp_path / "a.zip")]
    assert ["over 1 members" in part.reason for part in unread] == [True]


def test_what_the_own_bytes_of_an_inner_archive_hold_is_not_found_again_in_the_outer_one(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("0", b"nothing")
        archive.comment = TOKEN.encode()
    (tmp_path / "a.tar").write_bytes(tar_of(inner.getvalue()))
    hits, _ = scanned(tmp_path / "a.tar")
    assert [hit.path for hit in hits] == [f"{tmp_path / 'a.tar'}!0.xz"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 2)
    (tmp_path / "a").write_bytes(packed("gz", zip_with([packed(kind, b"1"), packed(kind, b"2")])))
    assert ["members" in part.reason for part in scanned(tmp_path / "a")[1]] == [True]


def test_zips_inside_archives_share_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One inside another is held with it; one after another is not."""
    inner = zip_with([b"text"])
    outer = zip_with([inner, inner])
    (tmp_path / "a.gz").write_bytes(gzip.compress(outer))
    monkeypatch.setattr(archives, "MAX_NESTED_ZIP_BYTES", len(outer) + len(inner))
    assert scanned(tmp_path / "a.gz")[1] == []
    monkeypatch.setattr(archives, "MAX_NESTED_ZIP_BYTES", len(outer) + len(inner) - 1)
    assert ["inside an archive" in part.reason for part in scanned(tmp_path / "a.gz")[1]] == [True, True]


def test_many_unread_parts_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNREAD_PARTS", 2)
    (tmp_path / "a.zip").write_bytes(zip_with([b"%PDF-1.7"] * 5))
    unread = scanned(tmp_path / "a.zip")[1]
    assert len(unread) == 3
    assert unread[-1] == Unread(str(tmp_path / "a.zip"), "3 more parts were not searched", permanent=True)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "tar"])
def test_what_comes_before_a_cut_is_searched(tmp_path: Path, kind: str) -> None:
    content = packed(kind, link(TOKEN).encode() + bytes(range(256)) * 8)
    cut = gzip.compress(content[:2000]) if kind == "tar" else packed(kind, link(TOKEN).encode()) + content[:-20]
    (tmp_path / "a").write_bytes(cut)
    hits, unread = scanned(tmp_path / "a")
    assert hits
    assert ["cut off" in part.reason for part in unread] == [True]
    assert not unread[0].permanent


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda packed: packed[:-20],
    "is broken": lambda packed: packed[:-4] + bytes([packed[-4] ^ 1]) + packed[-3:],
    "other data after its end": lambda packed: packed + b"trailing",
}


@pytest.mark.parametrize("problem", BROKEN)
@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_mail_that_is_broken_is_searched_and_named(tmp_path: Path, kind: str, problem: str) -> None:
    raw = packed(kind, mail(link().encode() + random.Random(0).randbytes(2_000_000)))
    (tmp_path / "mail.eml").write_bytes(BROKEN[problem](raw))
    hits, (part,) = scanned(tmp_path / "mail.eml")
    assert problem in part.reason
    assert hits


def test_a_mail_that_expands_too_far_is_searched_as_far_as_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 1000)
    monkeypatch.setattr(archives, "MAX_EXPANSION_RATIO", 1)
    found, (part,) = chunks(gzip.compress(mail(link().encode() * 20_000)), name="a.eml.gz")
    assert "expands beyond" in part.reason
    assert any(chunk.path == "a.eml.gz!a.eml" for chunk in found)


def test_names_of_members_are_searched(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(f"{TOKEN}.html"))
    assert [hit.fingerprint for hit in scanned(tmp_path / "a.tgz")[0]] == [FINGERPRINT]


def test_encrypted_members_are_listed(tmp_path: Path) -> None:
    data = bytearray(packed("zip", TOKEN.encode()))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert ["encrypted" in part.reason for part in scanned(tmp_path / "a.zip")[1]] == [True]


def gzip_with(name: bytes, comment: bytes) -> bytes:
    packed = gzip.compress(b"nothing")
    return packed[:3] + bytes([0x08 | 0x10]) + packed[4:10] + name + b"\0" + comment + b"\0" + packed[10:]


def hidden_in(place: str) -> bytes:
    """An archive whose members have nothing in them, with a token elsewhere."""
    out = io.BytesIO()
    if place.startswith("gzip"):
        return gzip_with(TOKEN.encode(), b"") if place == "gzip name" else gzip_with(b"a", link(TOKEN).encode())
    if place.startswith("zip"):
        with zipfile.ZipFile(out, "w") as archive:
            member = zipfile.ZipInfo("a")
            member.comment = TOKEN.encode() if place == "zip member's comment" else b""
            archive.comment = link(TOKEN).encode() if place == "zip comment" else b""
            archive.writestr(member, b"nothing")
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(link(TOKEN).replace("/", "_") if place == "tar folder's name" else "a")
        entry.type = tarfile.DIRTYPE if place == "tar folder's name" else tarfile.SYMTYPE
        if place == "tar link target":
            entry.linkname = TOKEN
        elif place == "tar long link target":
            entry.linkname = "x" * 200 + TOKEN
        elif place == "tar comment":
            entry.pax_headers = {"comment": link(TOKEN)}
        elif place == "tar owner":
            entry.uname = f"{TOKEN}ü"
        tar.addfile(entry)
    return out.getvalue()


@pytest.mark.parametrize("around", [[], ["gz"], ["tar", "gz"], ["zip", "xz"]])
@pytest.mark.parametrize(
    "place",
    ["gzip name", "gzip comment", "zip comment", "zip member's comment", "tar link target", "tar long link target", "tar comment",
     "tar folder's name", "tar owner"],
)  # fmt: skip
def test_names_comments_and_link_targets_are_searched_also_in_nested_archives(
    tmp_path: Path, place: str, around: list[str]
) -> None:
    content = hidden_in(place)
    for kind in around:
        content = packed(kind, content)
    (tmp_path / "upload.bin").write_bytes(content)
    hits, unread = scanned(tmp_path / "upload.bin")
    assert {hit.fingerprint for hit in hits} == {FINGERPRINT}
    assert unread == []


@pytest.mark.parametrize("around", [[], ["tar", "gz"]])
def test_zip_files_in_lzma_are_searched(tmp_path: Path, around: list[str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"x" * 100_000 + TOKEN.encode() + b"y" * 100_000)
    content = out.getvalue()
    for kind in around:
        content = packed(kind, content)
    (tmp_path / "upload.bin").write_bytes(content)
    hits, unread = scanned(tmp_path / "upload.bin")
    assert [hit.fingerprint for hit in hits] == [FINGERPRINT]
    assert unread == []


def test_the_limits_of_a_source() -> None:
    assert (archives.MAX_EXPANDED_BYTES, archives.MAX_EXPANSION_RATIO) == (1 << 30, 200)
    assert (archives.MAX_ARCHIVE_LEVELS, archives.MAX_ARCHIVE_MEMBERS) == (4, 1_000_000)
    assert (archives.MAX_NESTED_ZIP_BYTES, archives.MAX_UNREAD_PARTS) == (48 << 20, 100)
    assert archives.MAX_NAME_CHARACTERS == 1000


@pytest.mark.parametrize("is_pipe", [False, True])
@pytest.mark.parametrize("levels", [4, 5])
def test_four_levels_are_opened_of_a_file_and_of_a_pipe(levels: int, is_pipe: bool) -> None:
    content = TOKEN.encode()
    for _ in range(levels):
        content = gzip.compress(content)
    found, unread = chunks(content, is_pipe=is_pipe)
    assert any(chunk.data == TOKEN.encode() for chunk in found) is (levels == 4)
    path = "x" + "!x" * 4
    assert unread == ([] if levels == 4 else [
        Unread(path, "archives are nested deeper than 4. Unpack it and scan again", permanent=True)
    ])  # fmt: skip


def test_what_is_packed_in_a_file_is_named_by_the_file() -> None:
    found, _ = chunks(gzip.compress(b"text"), "folder/note.txt.gz")
    assert [(chunk.path, chunk.base, chunk.data[:4]) for chunk in found] == [
        ("folder/note.txt.gz!note.txt", 0, b"text"),
        ("folder/note.txt.gz", 0, b"\x1f\x8b\x08\x00"),
    ]


def test_the_header_of_a_compressed_member_is_searched_from_its_start() -> None:
    found, _ = chunks(gzip.compress(gzip_with(b"name", b"")))
    (header,) = (chunk for chunk in found if chunk.path.endswith("(its header)"))
    assert (header.base, header.data.index(b"name")) == (0, 10)


def test_the_own_bytes_of_a_nested_zip_are_searched_from_their_start() -> None:
    inner = zip_with([b"text"])
    found, _ = chunks(gzip.compress(inner))
    assert [(chunk.base, chunk.data) for chunk in found if chunk.path == "x!x"] == [(0, inner)]


def test_a_token_in_a_member_is_not_reported_for_the_archives_own_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_with([TOKEN.encode()]))
    assert [hit.path for hit in scanned(tmp_path / "a.zip")[0]] == [f"{tmp_path}/a.zip!0"]
    (tmp_path / "b.tar").write_bytes(tar_of(zip_with([TOKEN.encode()])))
    assert [hit.path for hit in scanned(tmp_path / "b.tar")[0]] == [f"{tmp_path}/b.tar!0.xz!0"]


@pytest.mark.parametrize(("name", "data"), [("n" * 19, None), ("n" * 20, b"n" * 20), ("n" * 18 + "\udc80\udce4", b"n" * 18 + b"\x80\xe4"),
                                            ("n" * 19 + "\ud800", b"n" * 19 + b"?")])  # fmt: skip
def test_a_name_that_is_long_enough_for_a_token_is_searched(name: str, data: bytes | None) -> None:
    found, _ = chunks(b"", name)
    assert found == ([] if data is None else [Chunk(f"{name} (its name)", 0, data)])


@pytest.mark.parametrize(("size", "is_read"), [(1000, True), (1001, False)])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_file_may_expand_to_so_many_times_its_size(
    monkeypatch: pytest.MonkeyPatch, size: int, is_read: bool, is_pipe: bool
) -> None:
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 999)
    monkeypatch.setattr(archives, "MAX_EXPANSION_RATIO", 1)
    raw = gzip.compress(b"\0" * size)
    _, unread = chunks(raw.ljust(1000, b"\0"), is_pipe=is_pipe)
    reason = "expands beyond 1000 bytes and was not read further. Unpack it and scan the files"
    assert unread == ([] if is_read else [Unread("x", reason, permanent=True)])


def test_a_source_that_cannot_be_read_is_listed_without_its_errors_text() -> None:
    def fail(error: Exception) -> IO[bytes]:
        raise error

    reader = ScanReader(75)
    before = Unread("w", "is a folder")
    sources = [before, Source("x", lambda: fail(OSError(5, "Input/output error", "key=secret"))),
               Source("y", lambda: fail(ValueError("key=secret")))]  # fmt: skip
    assert list(reader.chunks(sources)) == []
    assert reader.unread == [
        before, Unread("x", "cannot be read (Input/output error)"), Unread("y", "cannot be read (ValueError)"),
    ]  # fmt: skip
    assert not reader.unread[1].permanent


def test_bytes_that_are_read_are_counted() -> None:
    counted: list[int] = []
    reader = ScanReader(75, counted.append)
    list(reader.chunks([Source("x", lambda: io.BytesIO(gzip.compress(b"text" * 1000)))]))
    assert counted == [4000, len(gzip.compress(b"text" * 1000))]


def test_a_member_of_an_unknown_kind_is_listed_by_its_path() -> None:
    (part,) = chunks(zip_with([b"%PDF-1.7"]))[1]
    assert (part.path, part.permanent) == ("x!0", True)
    assert "PDF" in part.reason


def test_long_names_of_members_are_cut() -> None:
    found, _ = chunks(packed_names(1))
    assert [chunk.path for chunk in found][:1] == [f"x!{0:01000} (its name)"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("n" * 1001, b"text")
    assert {chunk.path for chunk in chunks(out.getvalue())[0]} == {f"x!{'n' * 1000} (its name)", f"x!{'n' * 1000}", "x"}


def test_a_member_that_is_broken_is_listed_with_what_broke_and_the_others_are_searched(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("broken", b"x" * 10_000)
        archive.writestr("whole", TOKEN.encode())
    raw = bytearray(out.getvalue())
    start = raw.index(b"broken") + len(b"broken")
    raw[start : start + 8] = b"\xff" * 8
    (tmp_path / "a.zip").write_bytes(raw)
    hits, unread = scanned(tmp_path / "a.zip")
    assert [hit.path for hit in hits] == [f"{tmp_path / 'a.zip'}!whole"]
    assert [(part.path, part.reason) for part in unread] == [
        (f"{tmp_path / 'a.zip'}!broken", "is broken (error). What comes before was searched")
    ]


UNOPENED = {
    "7z": b"7z\xbc\xaf\x27\x1c" + b"x" * 99,
    "PDF": b"%PDF-1.7\n" + b"x" * 99,
    "with lzma": lzma.compress(link().encode(), lzma.FORMAT_ALONE),
    "git bundle": b"# v2 git bundle\n" + b"x" * 99,
}


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("outside", [[], ["gz"], ["zip"], ["tar"]])
def test_attachments_that_are_archives_are_searched(tmp_path: Path, outside: list[str], line_end: bytes) -> None:
    for kind in ("zip", "gz", "tar"):
        content = mail(packed(kind, b"lorem " * 300 + link().encode()), line_end=line_end)
        for around in outside:
            content = packed(around, content)
        (tmp_path / f"a.{kind}").write_bytes(content)
        hits, unread = scanned(tmp_path / f"a.{kind}")
        assert {hit.fingerprint for hit in hits} == {FINGERPRINT}
        assert all("!attachment 1!" in hit.path for hit in hits)
        assert unread == []


@pytest.mark.parametrize("name", UNOPENED)
def test_what_cannot_be_opened_is_named_also_in_a_mail(name: str) -> None:
    for raw in (UNOPENED[name], mail(b"text", UNOPENED[name])):
        for is_pipe in (False, True):
            (part,) = chunks(raw, is_pipe=is_pipe)[1]
            assert name in part.reason


def test_text_in_base64_in_a_mail_is_found_once(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(mail(link().encode()))
    hits, unread = scanned(tmp_path / "a.eml")
    assert [hit.path for hit in hits] == [f"{tmp_path / 'a.eml'}!attachment 1"]
    assert unread == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_found_in_base64_in_a_mail(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.eml").write_bytes(mail(ENCODINGS[encoding](TOKEN)))
    hits, unread = scanned(tmp_path / "a.eml")
    assert {hit.fingerprint for hit in hits} == {FINGERPRINT}
    assert unread == []


def test_a_long_mail_that_cannot_be_held_is_named_and_its_own_bytes_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "MAX_NESTED_ZIP_BYTES", 100)
    raw = mail(packed("zip", b"x"))
    found, (part,) = chunks(raw, is_pipe=True)
    assert "is a mail of over 100 bytes" in part.reason
    assert b"".join(chunk.data for chunk in found if not chunk.seam) == raw


@pytest.mark.parametrize("prefix", [b"#!/usr/bin/env python3\n", b"MZ" + b"\0" * 70_000])
def test_a_zip_archive_behind_a_program_is_searched(tmp_path: Path, prefix: bytes) -> None:
    (tmp_path / "tool").write_bytes(prefix + packed("zip", b"lorem " * 300 + link().encode()))
    hits, unread = scanned(tmp_path / "tool")
    assert [hit.path for hit in hits] == [f"{tmp_path / 'tool'}!folder/note.txt"]
    assert unread == []
    (tmp_path / "tool.gz").write_bytes(gzip.compress((tmp_path / "tool").read_bytes()))
    (part,) = scanned(tmp_path / "tool.gz")[1]
    assert "ends with a zip archive" in part.reason


@pytest.mark.parametrize(
    "raw", [b"text PK\x05\x06", b"x" * 99 + b"PK\x05\x06" + b"\0" * 18, b"PK\x05\x06 in a text " * 9]
)
def test_the_signature_of_a_zip_archive_alone_is_no_archive(raw: bytes) -> None:
    for is_pipe in (False, True):
        assert chunks(b"a" + raw, is_pipe=is_pipe)[1] == []
