"""The scan finds the very tokens it looks for, in every disguise, and nothing else."""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import os
import quopri
import random
import string
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.leaks import archives
from pme_airflow.leaks import token_matcher as needles_module
from pme_airflow.leaks.archives import Scan, files_under
from pme_airflow.leaks.engines import engine_for
from pme_airflow.leaks.stream_search import Hit, pieces_of, search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.scale import scaled

ALPHABET = string.ascii_lowercase + string.digits
TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"
MARK = fingerprint(AccessToken(TOKEN))


def link(token: str) -> str:
    return f"https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{token}"


DISGUISES: Mapping[str, Callable[[str], bytes]] = {
    "bare": lambda token: token.encode(),
    "link": lambda token: link(token).encode(),
    "header": lambda token: f"Authorization: Bearer {token}".encode(),
    "percent": lambda token: f"auth=Bearer%20{token}&x=1".encode(),
    "percent twice": lambda token: quote(quote(link(token), safe=""), safe="").encode(),
    "html": lambda token: html.escape(f'<iframe src="{link(token)}">').encode(),
    "slack": lambda token: f"<{link(token)}|the space>".encode(),
    "quoted-printable": lambda token: quopri.encodestring(("x" * 30 + link(token)).encode()),
    "json": lambda token: json.dumps(json.dumps({"url": link(token)})).encode(),
    "base64": lambda token: base64.b64encode(b"x" + link(token).encode()),
    "base64 wrapped": lambda token: "\n".join(textwrap.wrap(base64.b64encode(link(token).encode()).decode(), 76)).encode(),
    "utf-16": lambda token: link(token).encode("utf-16"),
}  # fmt: skip


@pytest.fixture(params=["ahocorasick", "hyperscan"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds with either engine."""
    name: str = request.param
    if name == "hyperscan":
        pytest.importorskip("hyperscan", reason="the extra scan is not installed: no wheel of hyperscan fits here")
    monkeypatch.setattr(needles_module, "engine_for", lambda patterns, _: engine_for(patterns, name))
    return name


def hits(data: bytes, needles: TokenMatcher | None = None) -> list[Hit]:
    needles = needles or TokenMatcher([AccessToken(TOKEN)])
    return list(search(needles, pieces_of(io.BytesIO(data), "x", needles.longest)))


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_token_is_found_in_every_disguise_once(disguise: str) -> None:
    data = b"before\n" + DISGUISES[disguise](TOKEN) + b"\nafter"
    (hit,) = hits(data)
    assert hit.fingerprint == MARK


def test_the_offset_is_where_it_stands() -> None:
    assert hits(b"0123456789" + TOKEN.encode())[0].offset == 10
    cut = TOKEN[:10].encode() + b"=\n" + TOKEN[10:].encode()
    assert hits(b"line\n" * 4 + cut)[0].offset == 20


def test_every_place_of_a_token_is_told_in_both_cases_of_hex() -> None:
    raw, upper = TOKEN.encode().hex().encode(), TOKEN.encode().hex().upper().encode()
    data = b"," + raw + b"," + upper + b"," + TOKEN.encode() + b"," + TOKEN.encode()
    assert [hit.offset for hit in hits(data)] == [1, 52, 103, 129]


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"=\n", b"=\r\n", b"\n  ", b"\r\n\t", b"\n\n"])
def test_a_token_that_a_line_break_cuts_is_found_where_it_begins(between: bytes) -> None:
    data = b"x = 1\n  y\n" * 3 + TOKEN[:9].encode() + between + TOKEN[9:].encode() + b"\nz"
    assert [hit.offset for hit in hits(data)] == [30]


@pytest.mark.parametrize("at", [(1 << 20) - 30, (1 << 20) - 10, (1 << 20), (3 << 20) - 1])
def test_a_token_across_two_pieces_is_found_once(at: int) -> None:
    assert [hit.offset for hit in hits(b"." * at + TOKEN.encode() + b"." * (1 << 20))] == [at]


@pytest.mark.parametrize("size", [1, 7, 26, 300])
def test_a_token_is_found_once_in_a_stream_of_small_pieces(size: int) -> None:
    class Drops(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            return super().read(size)

    needles = TokenMatcher([AccessToken(TOKEN)])
    drops = Drops(b"." * 1000 + TOKEN.encode() + b"\n" * 500 + TOKEN[:9].encode() + b"\n" + TOKEN[9:].encode() + b"..")
    assert [hit.offset for hit in search(needles, pieces_of(drops, "x", needles.longest))] == [1000, 1525]


@pytest.mark.parametrize("token", ["a", "ab", "abc", "a-token"])
def test_a_token_of_few_bytes_is_found(token: str) -> None:
    needles = TokenMatcher([AccessToken(token)])
    assert [hit.offset for hit in hits(f"?t={token}&".encode(), needles)] == [3]


def test_a_look_alike_is_none() -> None:
    others = [TOKEN[:-1] + "q", TOKEN[1:], TOKEN.upper(), TOKEN[::-1]]
    assert hits("\n".join(others).encode()) == []


def test_a_token_among_a_thousand_that_share_a_part_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a cut token goes through all of the data: it is not begun for what shares a part alone."""
    alike = "\n".join(TOKEN[:24] + "q " + "q" + TOKEN[1:] for _ in range(1000)).encode()
    monkeypatch.setattr(needles_module, "_BETWEEN", rb"never(")
    assert hits(alike) == []
    assert [hit.offset for hit in hits(alike + b"\n" + TOKEN.encode())] == [len(alike) + 1]


def test_nothing_to_look_for_finds_nothing() -> None:
    assert hits(TOKEN.encode(), TokenMatcher([])) == []


def test_needles_show_no_token() -> None:
    assert TOKEN not in repr(TokenMatcher([AccessToken(TOKEN)]))


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
def test_archives_are_looked_into(tmp_path: Path, kinds: list[str]) -> None:
    content = b"lorem " * 300 + link(TOKEN).encode()
    for kind in kinds:
        content = packed(kind, content)
    (tmp_path / "archive").write_bytes(content)
    scan = Scan(TokenMatcher([AccessToken(TOKEN)]))
    assert {hit.fingerprint for hit in scan.hits(scan.file(tmp_path / "archive"))} == {MARK}
    assert scan.problems == []


def test_a_bomb_is_a_problem_and_the_rest_is_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 1 << 20)
    (tmp_path / "a_bomb.gz").write_bytes(gzip.compress(b"\0" * (64 << 20)))
    (tmp_path / "b.txt").write_text(TOKEN)
    scan = Scan(TokenMatcher([AccessToken(TOKEN)]))
    found = list(scan.hits(piece for path in files_under(str(tmp_path)) for piece in scan.file(path)))
    assert [hit.path for hit in found] == [str(tmp_path / "b.txt")]
    assert "expands beyond" in scan.problems[0]


def test_a_broken_archive_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(packed("zip", TOKEN.encode() * 50)[:-40])
    scan = Scan(TokenMatcher([AccessToken(TOKEN)]))
    list(scan.file(tmp_path / "x.zip"))
    assert "broken" in scan.problems[0]


def test_loops_pipes_and_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep" / "note").write_text(TOKEN)
    assert [path.name for path in files_under(str(tmp_path))] == ["note"]


def test_a_path_that_names_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PMEInputError, match="nothing at"):
        list(files_under(str(tmp_path / "nowhere")))


CAMPAIGN = """
import sys
from pme_airflow.api.messages import AccessToken
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.leaks import archives
from pme_airflow.leaks.archives import Scan, files_under
tokens = open(sys.argv[1]).read().split()
scan = Scan(TokenMatcher(map(AccessToken, tokens), sys.argv[3]))
for hit in scan.hits(piece for path in files_under(sys.argv[2]) for piece in scan.file(path)):
    print(hit.fingerprint)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, file=sys.stderr)
"""


@pytest.mark.timeout(scaled(120, 900))
def test_a_thousand_planted_links_among_look_alikes(tmp_path: Path, engine: str) -> None:
    """Each in one of twelve disguises; none false; memory flat."""
    chance = random.Random(5)
    count, size = scaled(120, 1000), scaled(20, 200) << 20
    tokens = ["".join(chance.choices(ALPHABET, k=25)) for _ in range(count)]
    (tmp_path / "tokens").write_text("\n".join(tokens))
    tree = tmp_path / "tree"
    tree.mkdir()
    block = "\n".join(link("".join(chance.choices(ALPHABET, k=25))) for _ in range(2000)).encode()
    forms = list(DISGUISES.values())
    for number in range(10):
        with (tree / f"{number}.log").open("wb") as out:
            for index in range(number, count, 10):
                out.write(block[: max(1, size // count)] + b"\n" + forms[index % 12](tokens[index]) + b"\n")
            while out.tell() < size // 10:
                out.write(block[chance.randrange(1000) :])
    done = subprocess.run(
        [sys.executable, "-c", CAMPAIGN, str(tmp_path / "tokens"), str(tree), engine],
        capture_output=True,
        text=True,
        check=True,
    )
    found = done.stdout.split()
    assert sorted(found) == sorted(fingerprint(AccessToken(token)) for token in tokens)
    assert int(done.stderr.split()[-1]) < 200
