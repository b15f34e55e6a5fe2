"""Searching bytes for many texts at once: Aho-Corasick on a wheel that installs everywhere, or hyperscan."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence

from pme_airflow.errors import PMEInputError

__all__ = ["Engine", "engine_for"]

#: Which of the texts may stand in some bytes, by their number: all that do, breaks inside of them apart, and perhaps
#: others that share a part or differ in case. A break is a line's end, also as quoted-printable and folded lines have
#: it, or a zero of UTF-16. No text may hold a part of one.
Engine = Callable[[bytes], set[int]]

#: What the automaton looks for is the start of a text; the rest is compared. It keeps the automaton small.
_PREFIX = 6
#: What hyperscan looks for is a part of so many bytes of a text.
_PART = 12
#: How seldom a byte stands in prose and logs.
_RARITY = [3 if chr(byte).isdigit() else 0 if chr(byte).islower() else 2 for byte in range(128)] + [2] * 128
#: Where runs long enough to hold a text make up more than this part of what was looked at, all of it is searched.
_DENSE = 0.5
#: So much is looked at before that is decided.
_LOOK = 1 << 15
#: What cutting a run out costs, in bytes that could be searched in the same time.
_RUN_COST = 60
#: What a text may be broken by.
_BREAKS = b"\n\r="
_FOLD = re.compile(rb"\n[ \t]+")


def engine_for(patterns: Sequence[bytes], name: str | None = None) -> Engine:
    """The named engine, or the fastest one that is installed.

    :raises PMEInputError: where the named one is not installed.
    """
    if name == "ahocorasick":
        return _ahocorasick(patterns)
    try:
        return _hyperscan(patterns)
    except ImportError:
        if name is None:
            return _ahocorasick(patterns)
    raise PMEInputError(f"engine: {name} is not installed here. pip install 'pme-airflow[scan]'.")


def _unbroken(data: bytes) -> bytes:
    """Bytes without line breaks, and without every ``=``: that is quicker than to look for those that end a line."""
    return data.replace(b"\n", b"").replace(b"\r", b"").replace(b"=", b"")


def _unfolded(data: bytes) -> bytes:
    """Bytes without UTF-16's zeros, and without what a folded line begins with."""
    return _FOLD.sub(b"\n", data.replace(b"\0", b""))


def _hyperscan(patterns: Sequence[bytes]) -> Engine:
    """Intel's hyperscan, from the extra ``scan``.

    Texts that differ in case alone are one to it, which halves the disguises in hex. It also tells which breaks but
    plain ends of lines there are: to take out what is not there costs as much as the search.
    """
    groups: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(patterns):
        groups.setdefault(pattern.lower(), []).append(number)
    numbers = list(groups.values())
    ends = [_telling_end(patterns[group[0]]) for group in numbers]
    parts = [patterns[group[0]][max(0, end - _PART) : end] for group, end in zip(numbers, ends, strict=True)]
    texts = _literals(parts, [len(group) > 1 for group in numbers])
    breaks = _literals([b"\n ", b"\n\t", b"=\n"], [False] * 3, once=True)

    def present(data: bytes) -> set[int]:
        rare: list[int] = []
        if b"\n" in data:
            breaks(data, lambda number, *_: rare.append(number))
        special = rare or b"\0" in data or b"\r" in data
        joined = _unbroken(_unfolded(data)) if special else data.replace(b"\n", b"")
        found: set[int] = set()

        def met(group: int, _: int, to: int, *__: object) -> None:
            start = to - ends[group]
            if start >= 0:
                found.update(number for number in numbers[group] if joined.startswith(patterns[number], start))

        texts(joined, met)
        return found

    return present


def _telling_end(text: bytes) -> int:
    """Where the part of a text ends whose last two bytes prose has least.

    Hyperscan's filter looks at the last bytes of a literal: with digits or capitals there, half of its time is saved.
    """
    ends = range(min(_PART, len(text)), len(text) + 1)
    return max(ends, key=lambda end: _RARITY[text[end - 2]] + _RARITY[text[end - 1]])


def _literals(
    texts: Sequence[bytes], either_case: Sequence[bool], *, once: bool = False
) -> Callable[[bytes, Callable[..., None]], None]:
    """A search that calls back with each text's number, 0, and where it ends. A scratch space serves one thread.

    :param either_case: which of them stand for their capitals too.
    :param once: whether each is told once alone.
    """
    import hyperscan

    flags = hyperscan.HS_FLAG_SINGLEMATCH if once else 0
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(texts),
        ids=list(range(len(texts))),
        elements=len(texts),
        flags=[flags | hyperscan.HS_FLAG_CASELESS if either else flags for either in either_case],
        literal=True,
    )
    local = threading.local()

    def search(data: bytes, met: Callable[..., None]) -> None:
        if not hasattr(local, "scratch"):
            local.scratch = hyperscan.Scratch(database)
        database.scan(data, match_event_handler=met, scratch=local.scratch)

    return search


def _ahocorasick(patterns: Sequence[bytes]) -> Engine:
    """Aho-Corasick over the parts of the data that are long enough runs of bytes which occur in the texts."""
    import ahocorasick_rs

    by_prefix: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(patterns):
        by_prefix.setdefault(pattern[:_PREFIX], []).append(number)
    numbers = list(by_prefix.values())
    automaton = ahocorasick_rs.BytesAhoCorasick(list(by_prefix))
    alphabet = set(b"".join(patterns) + _BREAKS)
    kinds = bytes(ord("x") if byte in alphabet else ord(" ") for byte in range(256))
    shortest = min(map(len, patterns))

    def present(data: bytes) -> set[int]:
        wanted = _unbroken(_long_runs(_unfolded(data), kinds, shortest))
        found: set[int] = set()
        for prefix, start, _ in automaton.find_matches_as_indexes(wanted, overlapping=True):
            found.update(number for number in numbers[prefix] if wanted.startswith(patterns[number], start))
        return found

    return present


def _long_runs(data: bytes, kinds: bytes, shortest: int) -> bytes:
    """The runs of ``x`` bytes that could hold a text, with a gap between them; all of the data where it is dense."""
    told = data.translate(kinds)
    run, gap = b"x" * shortest, b" "
    parts: list[bytes] = []
    held = 0
    start = told.find(run)
    while start >= 0:
        end = told.find(gap, start + shortest)
        end = len(data) if end < 0 else end
        parts.append(data[start:end])
        held += end - start + _RUN_COST
        if held > max(end, _LOOK) * _DENSE:
            return data
        start = told.find(run, end)
    return gap.join(parts)
