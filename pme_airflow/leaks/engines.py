"""Searching bytes for many texts at once: Aho-Corasick on a wheel that installs everywhere, or hyperscan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pme_airflow.api.errors import PMEInputError

__all__ = ["Engine", "engine_for"]

#: Which of the texts may stand in some bytes, by their number: all that do, line breaks inside of them apart, and
#: perhaps one in another case. No text may hold a line break or a ``=``.
Engine = Callable[[bytes], set[int]]

#: What the automaton looks for is the start of a text; the rest is compared. It keeps the automaton small.
_PREFIX = 12
#: Where runs long enough to hold a text make up more than this part of the data, all of it is searched.
_DENSE = 0.5
#: What cutting a run out costs, in bytes that could be searched in the same time.
_RUN_COST = 60
#: What a text may be broken by.
_BREAKS = b"\n\r="


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


def _hyperscan(patterns: Sequence[bytes]) -> Engine:
    """Intel's hyperscan, from the extra ``scan``. A scratch space serves one thread at a time.

    Texts that differ in case alone are one to it, which halves the disguises in hex.
    """
    import hyperscan

    groups: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(patterns):
        groups.setdefault(pattern.lower(), []).append(number)
    numbers = list(groups.values())
    once, either = hyperscan.HS_FLAG_SINGLEMATCH, hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_CASELESS
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[patterns[group[0]] for group in numbers],
        ids=list(range(len(numbers))),
        elements=len(numbers),
        flags=[once if len(group) == 1 else either for group in numbers],
        literal=True,
    )
    local = threading.local()

    def present(data: bytes) -> set[int]:
        if not hasattr(local, "scratch"):
            local.scratch = hyperscan.Scratch(database)
        found: set[int] = set()
        database.scan(
            _unbroken(data), match_event_handler=lambda n, *_: found.update(numbers[n]), scratch=local.scratch
        )
        return found

    return present


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
        wanted = _unbroken(_long_runs(data, kinds, shortest))
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
        if held > len(data) * _DENSE:
            return data
        start = told.find(run, end)
    return gap.join(parts)
