"""Multi-pattern search in bytes: Aho-Corasick, whose wheel installs everywhere, or hyperscan, which is faster."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence

from pme_airflow.errors import PMEInputError
from pme_airflow.extras import install_command

__all__ = ["Engine", "engine_for"]

#: Returns the indexes of the patterns that may occur in some bytes. Every pattern that occurs is among them, also one
#: that line breaks interrupt; one that only shares a substring, or differs in case, may be among them too. A line
#: break is any of CR and LF, or LF and CRLF as JSON escapes them, with the ``=`` of quoted-printable before it and the
#: indent of a folded line after it, or a zero byte of UTF-16. No pattern may contain one of these bytes or a backslash.
Engine = Callable[[bytes], set[int]]

#: Bytes of each pattern that the Aho-Corasick automaton holds; the rest is compared. Keeps the automaton small.
_PREFIX_BYTES = 6
#: Bytes of each pattern that hyperscan searches for.
_LITERAL_BYTES = 12
#: How rare each byte is in prose and logs: 0 for lower-case letters, 3 for digits, 2 for the rest.
_RARITY = [3 if chr(byte).isdigit() else 0 if chr(byte).islower() else 2 for byte in range(128)] + [2] * 128
#: Search all of the data once candidate runs make up more than this share of it.
_MAX_RUN_SHARE = 0.5
#: Bytes to look at before that share is decided.
_SHARE_SAMPLE_BYTES = 1 << 15
#: The cost of extracting one run, in bytes that could be searched in the same time.
_RUN_COST_BYTES = 60
_BREAKS = b"\n\r="
_FOLD = re.compile(rb"\n[ \t]+")


def engine_for(patterns: Sequence[bytes], name: str | None = None) -> Engine:
    """Build the named engine, or the fastest one that is installed.

    :raises PMEInputError: if the named engine is not installed.
    """
    engine = _installed(patterns, name)

    def present(data: bytes) -> set[int]:
        found = engine(data)
        if b"\\n" in data:  # searched by itself: a pattern may also begin with the letter behind a backslash
            found |= engine(data.replace(b"\\r\\n", b"\n").replace(b"\\n", b"\n"))
        return found

    return present


def _installed(patterns: Sequence[bytes], name: str | None) -> Engine:
    if name == "ahocorasick":
        return _ahocorasick(patterns)
    try:
        return _hyperscan(patterns)
    except ImportError:
        if name is None:
            return _ahocorasick(patterns)
    raise PMEInputError(f"{name} is not installed: run {install_command('scan')}.", "engine")


def _without_breaks(data: bytes) -> bytes:
    """Remove line breaks and every ``=``; that is faster than finding the ``=`` that end a line."""
    return data.replace(b"\n", b"").replace(b"\r", b"").replace(b"=", b"")


def _without_folds(data: bytes) -> bytes:
    """Remove UTF-16's zero bytes and the indent of folded lines."""
    return _FOLD.sub(b"\n", data.replace(b"\0", b""))


def _hyperscan(patterns: Sequence[bytes]) -> Engine:
    """Build an engine on Intel's hyperscan, from the extra ``scan``.

    Patterns that differ in case alone share one literal, which halves the number of hexadecimal forms. Hyperscan also
    finds out which kinds of line breaks the data has: removing a kind that is absent costs as much as the search.
    """
    by_lower_case: dict[bytes, list[int]] = {}
    for index, pattern in enumerate(patterns):
        by_lower_case.setdefault(pattern.lower(), []).append(index)
    groups = list(by_lower_case.values())
    ends = [_rarest_end(patterns[group[0]]) for group in groups]
    literals = [patterns[group[0]][max(0, end - _LITERAL_BYTES) : end] for group, end in zip(groups, ends, strict=True)]
    search_literals = _literal_search(literals, [len(group) > 1 for group in groups])
    search_breaks = _literal_search([b"\n ", b"\n\t", b"=\n"], [False] * 3, once=True)

    def present(data: bytes) -> set[int]:
        unusual_breaks: list[int] = []
        if b"\n" in data:
            search_breaks(data, lambda index, *_: unusual_breaks.append(index))
        unusual = unusual_breaks or b"\0" in data or b"\r" in data
        joined = _without_breaks(_without_folds(data)) if unusual else data.replace(b"\n", b"")
        found: set[int] = set()

        def on_match(group: int, _: int, to: int, *__: object) -> None:
            start = to - ends[group]
            if start >= 0:
                found.update(index for index in groups[group] if joined.startswith(patterns[index], start))

        search_literals(joined, on_match)
        return found

    return present


def _rarest_end(pattern: bytes) -> int:
    """Return where the substring of a pattern ends whose last two bytes are rarest in prose.

    Hyperscan filters by the last bytes of a literal: with digits or capitals there, half of its time is saved.
    """
    ends = range(min(_LITERAL_BYTES, len(pattern)), len(pattern) + 1)
    return max(ends, key=lambda end: _RARITY[pattern[end - 2]] + _RARITY[pattern[end - 1]])


def _literal_search(
    literals: Sequence[bytes], ignore_case: Sequence[bool], *, once: bool = False
) -> Callable[[bytes, Callable[..., None]], None]:
    """Build a search that calls back with each literal's index, 0, and where it ends. One scratch space a thread.

    :param ignore_case: for each literal, whether it matches in either case.
    :param once: whether each literal is reported once alone.
    """
    import hyperscan

    flags = hyperscan.HS_FLAG_SINGLEMATCH if once else 0
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(literals),
        ids=list(range(len(literals))),
        elements=len(literals),
        flags=[flags | hyperscan.HS_FLAG_CASELESS if ignore else flags for ignore in ignore_case],
        literal=True,
    )
    local = threading.local()

    def search(data: bytes, on_match: Callable[..., None]) -> None:
        if not hasattr(local, "scratch"):
            local.scratch = hyperscan.Scratch(database)
        database.scan(data, match_event_handler=on_match, scratch=local.scratch)

    return search


def _ahocorasick(patterns: Sequence[bytes]) -> Engine:
    """Build an engine on Aho-Corasick. It searches only runs of bytes that occur in patterns and are long enough."""
    import ahocorasick_rs

    by_prefix: dict[bytes, list[int]] = {}
    for index, pattern in enumerate(patterns):
        by_prefix.setdefault(pattern[:_PREFIX_BYTES], []).append(index)
    groups = list(by_prefix.values())
    automaton = ahocorasick_rs.BytesAhoCorasick(list(by_prefix))
    alphabet = set(b"".join(patterns) + _BREAKS)
    byte_classes = bytes(ord("x") if byte in alphabet else ord(" ") for byte in range(256))
    shortest = min(map(len, patterns))

    def present(data: bytes) -> set[int]:
        candidates = _without_breaks(_candidate_runs(_without_folds(data), byte_classes, shortest))
        found: set[int] = set()
        for group, start, _ in automaton.find_matches_as_indexes(candidates, overlapping=True):
            found.update(index for index in groups[group] if candidates.startswith(patterns[index], start))
        return found

    return present


def _candidate_runs(data: bytes, byte_classes: bytes, shortest: int) -> bytes:
    """Return the runs of class ``x`` that could hold a pattern, separated by spaces; all of the data where it is dense.

    :param byte_classes: a translation table: ``x`` for a byte that occurs in a pattern, a space for any other.
    """
    classes = data.translate(byte_classes)
    run, gap = b"x" * shortest, b" "
    runs: list[bytes] = []
    cost = 0
    start = classes.find(run)
    while start >= 0:
        end = classes.find(gap, start + shortest)
        end = len(data) if end < 0 else end
        runs.append(data[start:end])
        cost += end - start + _RUN_COST_BYTES
        if cost > max(end, _SHARE_SAMPLE_BYTES) * _MAX_RUN_SHARE:
            return data
        start = classes.find(run, end)
    return gap.join(runs)
