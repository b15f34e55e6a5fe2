"""Scanning against ripgrep, which looks for the same tokens, in clear alone, in the same files."""

from __future__ import annotations

import base64
import json
import random
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import RUNS, Figure, timed
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.files import files_under
from pme_airflow.leaks.stream_search import search
from pme_airflow.leaks.token_matcher import TokenMatcher
from pme_airflow.secrets import AccessToken

TOKENS = 10_000
EACH = 3
FILES, FILE_BYTES = 8, 50 << 20
_ALPHABET = string.ascii_lowercase + string.digits


def figures() -> Iterator[Figure]:
    """Our megabytes a second over ripgrep's, with each engine that is installed; and what making ready costs."""
    if shutil.which("rg") is None:
        print("  skipped: ripgrep is not installed (Debian's package ripgrep)", file=sys.stderr)
        return
    chance = random.Random(4711)
    tokens = ["".join(chance.choices(_ALPHABET, k=25)) for _ in range(TOKENS)]
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as folder:
        listed, tree = Path(folder, "tokens"), Path(folder, "tree")
        listed.write_text("\n".join(tokens) + "\n")
        tree.mkdir()
        for number in range(FILES):
            _write(
                tree / f"{number}.txt", tokens[number::FILES][:EACH], chance, ("log", "json", "log", "mail")[number % 4]
            )
        planted = EACH * FILES
        command = ["rg", "--no-filename", "--only-matching", "-F", "-f", str(listed), str(tree)]
        empty = Path(folder, "empty")
        empty.write_text("")
        ready = [timed(lambda: subprocess.run([*command[:-1], str(empty)], check=False)) for _ in range(RUNS)]
        theirs = []
        for _ in range(RUNS):
            theirs.append(timed(lambda: _ripgrep(command, planted)) - min(ready))
        for name, label, goal in (("ahocorasick", "default", "2.5"), ("hyperscan", "with the extra scan", "20")):
            if name == "hyperscan" and find_spec(name) is None:
                print("  hyperscan is not installed", file=sys.stderr)
                continue
            begun = time.perf_counter()
            matcher = TokenMatcher(map(AccessToken, tokens), name)
            took = time.perf_counter() - begun
            ours = [timed(partial(_scan, matcher, tree, planted)) for _ in range(RUNS)]
            ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
            what = f"scan for {TOKENS:,} tokens and their encodings against ripgrep -F -f, {label}"
            yield Figure(what, ratios, goal, " times")
            yield Figure(f"the same, seconds to make ready (ripgrep {min(ready):.2g} s)", [took], "", " s")


def _ripgrep(command: list[str], planted: int) -> None:
    found = subprocess.run(command, capture_output=True, check=True).stdout.split()
    assert len(found) == planted


def _scan(matcher: TokenMatcher, tree: Path, planted: int) -> None:
    reader = ScanReader(matcher.longest_form_bytes)
    assert len(list(search(matcher, reader.chunks(files_under(str(tree)))))) == planted


def _write(path: Path, planted: list[str], chance: random.Random, kind: str) -> None:
    """A log, an export in JSON, or a mailbox of attachments, with links of others in each, and some of the ledger's."""
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 10))) for _ in range(2000)]
    with path.open("w") as out:
        while out.tell() < FILE_BYTES:
            stranger = "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+" + "".join(
                chance.choices(_ALPHABET, k=25)
            )
            drawn = chance.choices(words, k=4000)
            lines = [f"{' '.join(drawn[n : n + 8])} id={chance.getrandbits(64):016x}" for n in range(0, 4000, 8)]
            if kind == "log":
                out.writelines(f"2026-11-25T02:00:{n % 60:02} INFO {line}\n" for n, line in enumerate(lines))
                out.write(stranger + "\n")
            elif kind == "json":
                out.write(json.dumps({"url": stranger, "notes": lines}) + "\n")
            else:
                out.write(
                    f"Subject: {lines[0]}\n\n{stranger}\n\n{base64.encodebytes(chance.randbytes(60_000)).decode()}\n"
                )
        out.write("\n".join(planted) + "\n")
