"""A stream is searched in chunks, and each place of a token is found once."""

from __future__ import annotations

import io
import random
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pme_airflow.leaks.stream_search import Chunk, Hit, Rewound, chunks_of, peek, search
from pme_airflow.leaks.token_matcher import Match, TokenMatcher
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken
from tests.support.leaked import ENCODINGS, FINGERPRINT, TOKEN, link
from tests.support.scale import scaled

pytestmark = pytest.mark.usefixtures("engine")


def hits(stream: io.BytesIO, **options: int) -> list[Hit]:
    matcher = TokenMatcher([AccessToken(TOKEN)])
    return list(search(matcher, chunks_of(stream, "x", matcher.longest_form_bytes), **options))


@pytest.mark.parametrize("at", [(1 << 20) - 30, (1 << 20) - 10, (1 << 20), (3 << 20) - 1])
def test_a_token_across_two_chunks_is_found_once(at: int) -> None:
    assert hits(io.BytesIO(b"." * at + TOKEN.encode() + b"." * (1 << 20))) == [Hit(FINGERPRINT, "x", at)]


@pytest.mark.parametrize("size", [1, 7, 26, 300])
def test_a_token_is_found_once_in_a_stream_of_small_reads(size: int) -> None:
    class SmallReads(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            return super().read(size)

    data = b"." * 1000 + TOKEN.encode() + b"\n" * 500 + TOKEN[:9].encode() + b"\n" + TOKEN[9:].encode() + b".."
    assert [hit.offset for hit in hits(SmallReads(data))] == [1000, 1525]


@pytest.mark.parametrize(("longest", "reach"), [(10, 256), (64, 256), (65, 260), (1000, 4000)])
def test_a_seam_reaches_four_times_the_longest_form_to_both_sides(longest: int, reach: int) -> None:
    size = 1 << 20
    found = list(chunks_of(io.BytesIO(bytes(size + 5000)), "x", longest))
    assert [(chunk.base, len(chunk.data), chunk.seam) for chunk in found] == [
        (0, size, 0), (size - reach, 2 * reach, reach), (size, 5000, 0),
    ]  # fmt: skip


def test_a_chunk_is_printed_without_its_bytes() -> None:
    assert TOKEN not in repr(Chunk("x", 0, TOKEN.encode()))


class Pipe(io.BytesIO):
    """A stream that gives three bytes at a time, and fails at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size if size is None or size < 0 else min(size, 3))
        if not data and size:
            raise OSError("gone")
        return data


def test_a_stream_can_be_read_from_its_start_after_a_look_at_its_first_bytes() -> None:
    head, whole = peek(io.BytesIO(b"abcdefgh"), 4)
    assert (head, whole.read(0), whole.read(2), whole.read(3), whole.read(9), whole.read(9)) == (
        b"abcd", b"", b"ab", b"cde", b"fgh", b"",
    )  # fmt: skip
    rest = io.BytesIO(b"abcdefgh")
    head, whole = peek(rest, 4)
    assert (rest.tell(), whole.read(4), rest.tell(), whole.read()) == (4, b"abcd", 4, b"efgh")
    assert peek(io.BytesIO(b"ab"), 4)[0] == b"ab"
    assert peek(io.BytesIO(b"abcdef"), 4)[1].read() == b"abcdef"


def test_an_error_is_raised_after_the_bytes_before_it() -> None:
    head, whole = peek(Pipe(b"abcd"), 9)
    assert (head, whole.read(2), whole.read(9)) == (b"abcd", b"ab", b"cd")
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            whole.read(9)
    whole = Rewound(b"ab", Pipe(b""))
    assert whole.read(9) == b"ab"
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            whole.read(9)
    with pytest.raises(OSError, match="gone"):
        Rewound(b"", Pipe(b"")).read(9)


def test_hits_keep_their_order_with_many_workers() -> None:
    data = (TOKEN.encode() + b"." * ((1 << 20) - 100)) * 8
    offsets = [hit.offset for hit in hits(io.BytesIO(data), workers=4)]
    assert offsets == sorted(offsets)
    assert len(offsets) == 8


def test_progress_counts_every_byte_once() -> None:
    counted: list[int] = []
    list(chunks_of(io.BytesIO(b"x" * (5 << 19)), "x", 75, counted.append))
    assert sum(counted) == 5 << 19


def test_what_was_found_inside_an_archive_is_not_reported_for_its_own_bytes() -> None:
    matcher = TokenMatcher([AccessToken(TOKEN)])
    found_inside: set[str] = set()
    inner = chunks_of(io.BytesIO(TOKEN.encode()), "a!b", 75, found_inside=found_inside)
    assert [hit.path for hit in search(matcher, inner)] == ["a!b"]
    assert found_inside == {FINGERPRINT}
    outer = chunks_of(io.BytesIO(TOKEN.encode()), "a", 75, already_found=found_inside)
    assert list(search(matcher, outer)) == []


CAMPAIGN = """
import sys
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import files_under
from pme_airflow.leaks.stream_search import search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.secrets import AccessToken
matcher = TokenMatcher(map(AccessToken, open(sys.argv[1]).read().split()), sys.argv[3])
reader = ScanReader(matcher.longest_form_bytes)
for hit in search(matcher, reader.chunks(files_under(sys.argv[2]))):
    print(hit.fingerprint)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, file=sys.stderr)
"""


@pytest.mark.timeout(scaled(120, 900))
def test_a_thousand_planted_links_are_found_among_similar_ones_in_constant_memory(tmp_path: Path, engine: str) -> None:
    """Each in one of twelve encodings, no false alarm, less than 200 MB."""
    chance = random.Random(5)
    alphabet = string.ascii_lowercase + string.digits
    count, size = scaled(120, 1000), scaled(20, 200) << 20
    tokens = ["".join(chance.choices(alphabet, k=25)) for _ in range(count)]
    (tmp_path / "tokens").write_text("\n".join(tokens))
    tree = tmp_path / "tree"
    tree.mkdir()
    block = "\n".join(link("".join(chance.choices(alphabet, k=25))) for _ in range(2000)).encode()
    forms = list(ENCODINGS.values())
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
    assert sorted(done.stdout.split()) == sorted(fingerprint(AccessToken(token)) for token in tokens)
    assert int(done.stderr.split()[-1]) < 200


def test_no_more_chunks_are_read_ahead_than_the_workers_need() -> None:
    """The first chunk is searched until the fifth has been: two workers hold five chunks at the most."""
    fifth_is_searched, first_is_searched = threading.Event(), threading.Event()
    taken: list[int] = []

    class Slow:
        def find(self, data: bytes) -> list[Match]:
            if data == b"0":
                assert fifth_is_searched.wait(60)
                first_is_searched.set()
            elif data == b"4":
                fifth_is_searched.set()
            return []

    def chunks() -> Iterator[Chunk]:
        for number in range(40):
            if not first_is_searched.is_set():
                taken.append(number)
            yield Chunk("x", number, str(number).encode())

    assert list(search(Slow(), chunks(), 2)) == []  # type: ignore[arg-type]
    assert taken == [0, 1, 2, 3, 4]
