"""Every compiled pattern of the package takes time linear in the length of a hostile text."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pme_airflow

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as parser  # type: ignore[no-redef]

#: Lengths of texts in characters, each four times the one before. A quadratic pattern is found at the first of them
#: that takes long enough to measure, in a fraction of a second.
LENGTHS = (1_000, 4_000, 16_000, 64_000, 256_000)
#: The most that four times the length may cost. Linear is 4 and quadratic 16.
MOST_TIMES = 8.0
#: Process time in seconds below which a ratio says nothing.
MEASURABLE = 0.005
#: Patterns that are known to be quadratic, with the reason why each is harmless. It is empty when all is well.
KNOWN: dict[str, str] = {}

#: The emulator and playground, which read no text from outside, and what cannot be imported by itself.
NOT_LOADED = ("pme_airflow.dev", "pme_airflow.__main__", "pme_airflow.ledger.migrations")
_USE = r"\b{}\.(search|sub|subn|finditer|findall|split|match|fullmatch)\b"


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(pme_airflow.__path__, "pme_airflow."):
        if not found.name.startswith(NOT_LOADED):
            yield importlib.import_module(found.name)


def held(value: object) -> Iterator[re.Pattern[Any]]:
    """The patterns that a module's attribute is or holds."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from held([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from held(inner)


def patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Each pattern by name, and whether the package searches a text for it instead of matching it at the start."""
    loaded = list(modules())
    sources = "\n".join(inspect.getsource(module) for module in loaded if Path(module.__file__).stat().st_size)
    found: dict[re.Pattern[Any], tuple[str, bool]] = {}
    for module in loaded:
        for name, value in vars(module).items():
            for index, pattern in enumerate(held(value)):
                uses = set(re.findall(_USE.format(re.escape(name)), sources))
                searched = not uses or bool(uses - {"match", "fullmatch"})
                found.setdefault(pattern, (f"{module.__name__}.{name}[{index}]", searched))
    return {name: (pattern, searched) for pattern, (name, searched) in found.items()}


def samples(tree: Iterable[Any], repeats: set[str]) -> str:
    """A shortest text that a parsed pattern matches, about; what it repeats is added to ``repeats``."""
    text = ""
    for operation, argument in tree:
        kind = str(operation)
        if kind == "LITERAL":
            text += chr(argument)
        elif kind in ("NOT_LITERAL", "ANY"):
            text += "a" if argument != ord("a") else "b"
        elif kind == "IN":
            text += one_of(argument)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = argument
            one = samples(inner, repeats)
            if most > 1 and one:
                repeats.add(one)
            text += one * min(least, 50)
        elif kind == "SUBPATTERN":
            text += samples(argument[-1], repeats)
        elif kind == "ATOMIC_GROUP":
            text += samples(argument, repeats)
        elif kind == "BRANCH":
            text += next(samples(branch, repeats) for branch in argument[1])
        elif kind == "ASSERT":
            samples(argument[1], repeats)
    return text


def one_of(choices: list[Any]) -> str:
    known = {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}
    first, argument = choices[0]
    if str(first) == "NEGATE":
        return next(char for char in "a0 <-\x01" if not re.match(char_class(choices[1:]), char))
    if str(first) == "LITERAL":
        return chr(argument)
    return chr(argument[0]) if str(first) == "RANGE" else known.get(str(argument), "-")


def char_class(choices: list[Any]) -> str:
    categories = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}
    parts = []
    for kind, argument in choices:
        if str(kind) == "LITERAL":
            parts.append(re.escape(chr(argument)))
        elif str(kind) == "RANGE":
            parts.append(f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}")
        else:
            parts.append(categories.get(str(argument), ""))
    return f"[{''.join(parts)}]"


def hostile_units(pattern: re.Pattern[Any]) -> list[tuple[str, str]]:
    """Pairs of what begins a text and what it repeats: runs of what the pattern repeats, and near misses of it."""
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    repeats: set[str] = set()
    whole = samples(parser.parse(source, pattern.flags & ~re.UNICODE), repeats)
    units = [("", "a"), ("", " "), ("", "<"), *(("", unit) for unit in sorted(repeats))]
    if whole:
        ends = {1, 2, len(whole) // 2, len(whole) - 1, len(whole)} - {0}
        units += [*(("", whole[:end]) for end in sorted(ends)), *((whole[:-1], unit) for unit in sorted(repeats))]
    return list(dict.fromkeys(units))


def cost(pattern: re.Pattern[Any], text: Any, searched: bool) -> float:
    started = time.process_time()
    if searched:
        for _ in pattern.finditer(text):
            pass
    else:
        pattern.match(text)
    return time.process_time() - started


def is_linear(pattern: re.Pattern[Any], searched: bool, start: str, unit: str) -> bool:
    before = None
    for length in LENGTHS:
        text: Any = start + unit * (length // len(unit)) + "\x02"
        if isinstance(pattern.pattern, bytes):
            text = text.encode("utf-8", "replace")
        now = cost(pattern, text, searched)
        if now > MEASURABLE and before is not None and now > MOST_TIMES * max(before[0], 1e-6):
            # A busy machine disturbs one measurement: the best of three of each decides.
            best = [min(cost(pattern, given, searched) for _ in range(3)) for given in (before[1], text)]
            if best[1] > MEASURABLE and best[1] > MOST_TIMES * best[0]:
                return False
        # The longest text is left out where a quadratic cost could not be measured in it, or where it cannot cost 8
        # times as much: a quadratic part that large costs this one 5.3 times as much as the one before.
        if length == LENGTHS[-2] and before and (now * 16 < MEASURABLE or now < 5 * before[0]):
            break
        before = (now, text)
    return True


def quadratic(found: dict[str, tuple[re.Pattern[Any], bool]]) -> dict[str, tuple[str, str]]:
    offenders = {}
    for name, (pattern, searched) in found.items():
        for start, unit in hostile_units(pattern):
            if not is_linear(pattern, searched, start, unit):
                offenders[name] = (start, unit)
                break
    return offenders


def test_every_pattern_is_linear_on_hostile_texts() -> None:
    found = patterns()
    assert len(found) > 50
    assert set(KNOWN) <= set(found)
    offenders = quadratic({name: held for name, held in found.items() if name not in KNOWN})
    assert not offenders, "\n".join(f"{name}: {found[name][0].pattern!r} on {text}" for name, text in offenders.items())


@pytest.mark.parametrize("pattern", [r"\s+\Z", r"a+b", r"<[^>]*>", rb"[0-9]+[.]", r"x[a-z]*=(?:y|z)+;"])
def test_a_quadratic_pattern_is_found(pattern: str | bytes) -> None:
    assert quadratic({"it": (re.compile(pattern), True)})  # type: ignore[type-var]


def test_a_pattern_that_is_matched_at_the_start_alone_is_linear() -> None:
    assert not quadratic({"it": (re.compile(r"a+b"), False)})
