"""Runs parsers on inputs, so many or for a time, and collects what none of them may do."""

from __future__ import annotations

import hashlib
import logging
import random
import re
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pme_airflow.errors import PMEError
from tests.support.fuzzing.messages import shown
from tests.support.fuzzing.mutations import TOKEN
from tests.support.fuzzing.parsers import Parser

#: Each reading of an input may take this long in processor time, and so much more a megabyte.
SECONDS, SECONDS_A_MEGABYTE = 0.2, 1.0
#: The length in bytes of large inputs, which show what grows faster than its input, and how often one is given.
LARGE, LARGE_SHARE = 500_000, 0.004
#: Of shorter inputs in bytes no rate is kept.
_LARGE_ENOUGH = 100_000
#: The most findings of one kind that are kept of one parser.
_MOST = 3


#: The token as a word; a longer word that holds it is another one.
_TOKEN = re.compile(rf"(?<![A-Za-z0-9]){TOKEN}(?![A-Za-z0-9])")


@dataclass(frozen=True)
class Finding:
    """An input that a parser may not treat as it did."""

    parser: str
    kind: str
    message: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.parser}: {self.kind} ({len(self.data)} bytes): {self.message}"


class _Log(logging.Handler):
    """Collects what the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.append(text + (logging.Formatter().formatException(record.exc_info) if record.exc_info else ""))


class Campaign:
    """Runs parsers.

    :param folder: where inputs that find something are written.
    :param timed: whether an input may take too long.
    """

    def __init__(self, folder: Path | None = None, *, timed: bool = False) -> None:
        self._folder = folder
        self._timed = timed
        self.cases: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.seconds_a_megabyte: dict[str, float] = {}
        self.findings: list[Finding] = []
        self._kept: Counter[tuple[str, str]] = Counter()

    def run(self, parsers: Mapping[str, Parser], seed: int) -> None:
        """Give each parser so many inputs as its short form has: the same ones on every machine."""
        for name, parser in parsers.items():
            rng = random.Random(f"{name} {seed}")
            for _ in range(parser.cases):
                self.give(name, parser, self._made(rng, parser))

    def run_for(self, parsers: Mapping[str, Parser], seconds: float, seed: int) -> None:
        """Give each parser inputs in turn until the time is over."""
        rng = random.Random(seed)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, parser in parsers.items():
                share = time.monotonic() + seconds / len(parsers) / 20
                while time.monotonic() < min(share, until):
                    self.give(name, parser, self._made(rng, parser))

    def _made(self, rng: random.Random, parser: Parser) -> bytes:
        """Make an input; in a timed campaign some are repeated until they are large."""
        data = parser.make(rng, rng.choice(parser.samples), parser.samples)
        if data and parser.may_be_large and self._timed and rng.random() < LARGE_SHARE:
            return (data * (LARGE // len(data) + 1))[:LARGE]
        return data

    def give(self, name: str, parser: Parser, data: bytes) -> None:
        """Give a parser an input."""
        self.cases[name] += 1
        log = _Log()
        package = logging.getLogger("pme_airflow")
        level = package.level
        package.addHandler(log)
        package.setLevel(logging.DEBUG)
        package.propagate = False  # an hour of it fills pytest's memory
        state = random.getstate()
        random.seed(_seed_of(data))  # pauses between tries are random, and their number decides what is asked for
        begun = time.process_time()
        try:
            told = str(parser.run(data))
        except PMEError as error:
            told = shown(error)
        except Exception as error:  # noqa: BLE001 - that is what the campaign looks for
            told = ""
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._found(
                name, f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}", str(error)[:200], data
            )
        finally:
            random.setstate(state)
            package.removeHandler(log)
            package.setLevel(level)
            package.propagate = True
        spent = time.process_time() - begun
        if _TOKEN.search(told):
            self._found(name, "a token in a message", _around(told), data)
        logged = "\n".join(log.lines)
        if _TOKEN.search(logged):
            self._found(name, "a token in the log", _around(logged), data)
        self._judge_time(name, parser, data, spent)

    def _judge_time(self, name: str, parser: Parser, data: bytes, spent: float) -> None:
        limit = (SECONDS + SECONDS_A_MEGABYTE * len(data) / 1e6) * parser.readings
        if self._timed and spent > limit:
            spent = min(spent, *(self._seconds(parser, data) for _ in range(2)))
            if spent > limit:
                self._found(name, "slow", f"{spent:.2f} s", data)
        self.slowest[name] = max(self.slowest.get(name, 0.0), spent)
        self.seconds[name] += spent
        if len(data) >= _LARGE_ENOUGH:
            rate = spent / parser.readings / len(data) * 1e6
            self.seconds_a_megabyte[name] = max(self.seconds_a_megabyte.get(name, 0.0), rate)

    def _seconds(self, parser: Parser, data: bytes) -> float:
        begun = time.process_time()
        with suppress(Exception):  # judged before
            parser.run(data)
        return time.process_time() - begun

    def _found(self, name: str, kind: str, message: str, data: bytes) -> None:
        self._kept[name, kind] += 1
        if self._kept[name, kind] > _MOST:
            return
        finding = Finding(name, kind, message, data)
        self.findings.append(finding)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            print(finding, flush=True)

    def table(self) -> str:
        """Return the figures, a line a parser."""
        lines = [
            f"{name:36} {count:>9} cases, {self.seconds[name]:7.1f} s, slowest {self.slowest.get(name, 0.0):6.3f} s and "
            f"{self.seconds_a_megabyte.get(name, 0.0):5.2f} s a MB, "
            f"{sum(kept for (parser, _), kept in self._kept.items() if parser == name)} findings"
            for name, count in self.cases.items()
        ]
        return "\n".join([*lines, f"{'all':36} {sum(self.cases.values()):>9} cases"])


def _seed_of(data: bytes) -> int:
    """Return a number that depends on an input alone."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def _around(text: str) -> str:
    return text[max(0, text.index(TOKEN) - 80) :][:200]
