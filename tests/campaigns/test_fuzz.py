"""Every parser takes anything: no traceback, no token in a message or the log, and time in proportion to the input.

The short form gives the same inputs on every machine. ``make fuzz MINUTES=60`` runs it in full; inputs that find something are written to ``.fuzz/``.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pme_airflow.errors import PMEError
from tests.support.fuzzing.campaign import Campaign
from tests.support.fuzzing.mutations import HOSTILE, SCALARS, json_bytes
from tests.support.fuzzing.parsers import Parser, all_parsers
from tests.support.scale import FULL, scaled

MINUTES = float(os.environ.get("PME_FUZZ_MINUTES", "60"))
ROUND_SECONDS = 120.0
FOLDER = Path(".fuzz") if FULL else None

pieces = (
    st.sampled_from(HOSTILE)
    | st.binary(max_size=20)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
)
values = st.recursive(
    st.sampled_from(SCALARS) | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
inputs = st.lists(pieces, max_size=12).map(b"".join) | values.map(json_bytes)


@pytest.fixture(scope="module")
def parsers() -> Iterator[dict[str, Parser]]:
    with all_parsers() as made:
        for parser in made.values():
            for sample in parser.samples:  # what is imported and compiled at the first use is not counted
                with suppress(PMEError):
                    parser.run(parser.make(random.Random(1), sample, parser.samples))
        yield made


def give_generated(campaign: Campaign, parsers: dict[str, Parser], examples: int, number: int) -> None:
    """Give every parser inputs that hypothesis makes of nothing."""
    chosen = settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    for name, parser in parsers.items():
        seed(number)(chosen(given(data=inputs)(giving(campaign, name, parser))))()


def giving(campaign: Campaign, name: str, parser: Parser) -> Callable[[bytes], None]:
    """Return a function of an input alone, as hypothesis wants it."""

    def generated(data: bytes) -> None:
        campaign.give(name, parser, data)

    return generated


def _run_long(campaign: Campaign, parsers: dict[str, Parser], number: int) -> None:
    """Give inputs in rounds until the time is over, each with a seed of its own."""
    until = time.monotonic() + MINUTES * 60
    while time.monotonic() < until:
        campaign.run_for(parsers, min(MINUTES * 60, ROUND_SECONDS) * 0.8, number)
        give_generated(campaign, parsers, 300, number)
        print(f"\n{campaign.table()}\nseed {number}", flush=True)
        number += 1


@pytest.mark.timeout(scaled(300, int(MINUTES * 60) + 900))
def test_every_parser_takes_anything(parsers: dict[str, Parser]) -> None:
    campaign = Campaign(FOLDER, timed=FULL)
    number = random.SystemRandom().getrandbits(30) if FULL else 7
    if FULL:
        _run_long(campaign, parsers, number)
    else:
        campaign.run(parsers, number)
        give_generated(campaign, parsers, 30, number)
    print(f"\n{campaign.table()}", flush=True)
    assert not campaign.findings, "\n".join(map(str, campaign.findings))
    assert set(campaign.cases) == set(parsers)


def test_the_campaign_finds_what_it_looks_for(parsers: dict[str, Parser]) -> None:
    def broken(data: bytes) -> str:
        if b"{" in data:
            raise KeyError("x")
        return data.decode("utf-8", "replace")

    campaign = Campaign()
    campaign.run({"broken": Parser(broken, parsers["scan"].samples, parsers["scan"].make)}, 1)
    assert {finding.kind.split(" at ")[0] for finding in campaign.findings} == {"KeyError", "a token in a message"}
