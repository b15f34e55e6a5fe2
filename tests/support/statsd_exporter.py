"""What prometheus/statsd_exporter makes of StatsD's datagrams, as far as its mapping's regular expressions go."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Sample:
    """One series and its value."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float

    @property
    def series(self) -> str:
        inside = ",".join(f'{key}="{value}"' for key, value in self.labels)
        return f"{self.name}{{{inside}}}"


class Receiver:
    """Receives the datagrams of one StatsD client."""

    def __init__(self, taken: socket.socket) -> None:
        self._socket = taken
        self.port: int = taken.getsockname()[1]

    def lines(self) -> list[str]:
        """What has arrived since the last call."""
        found: list[str] = []
        self._socket.setblocking(False)
        while True:
            try:
                found += self._socket.recv(65535).decode().split("\n")
            except BlockingIOError:
                return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        taken.bind(("127.0.0.1", 0))
        yield Receiver(taken)


def samples(lines: Iterable[str], mapping: Path) -> list[Sample]:
    """The series of some datagrams; of one that came twice the last value."""
    rules = yaml.safe_load(mapping.read_text())["mappings"]
    found: dict[str, Sample] = {}
    for line in lines:
        name, _, value = line.partition(":")
        sample = _mapped(name, float(value.split("|")[0]), rules)
        found[sample.series] = sample
    return list(found.values())


def _mapped(name: str, value: float, rules: list[dict[str, Any]]) -> Sample:
    for rule in rules:
        assert rule["match_type"] == "regex"
        match = re.fullmatch(rule["match"], name)
        if match:
            labels = _filled(rule["labels"], match)
            return Sample(match.expand(re.sub(r"\$(\d)", r"\\\1", rule["name"])), tuple(labels.items()), value)
    return Sample(re.sub(r"[^A-Za-z0-9_]", "_", name), (), value)


def _filled(labels: Mapping[str, Any], match: re.Match[str]) -> dict[str, str]:
    return {key: match.expand(re.sub(r"\$(\d)", r"\\\1", str(text))) for key, text in labels.items()}
