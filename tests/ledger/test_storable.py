"""Text from outside is stored whatever it holds, on every database, and two texts stay two."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from pme_airflow.ledger import audit, flags, links, publications, slot_claims
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mint_requests import Demand
from pme_airflow.ledger.publications import Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.storable import StorableString, storable, storable_json
from pme_airflow.ledger.tables import flags as flag_table
from pme_airflow.ledger.tables import metadata
from tests.support.ledgers import AUDIENCE, CLIENT, DAY, MODEL, ledger_at, mint, row_of, task

#: What broke a write: U+0000, halves of surrogate pairs, characters beyond the basic plane, and too much of anything.
ODD = {
    "null": "a\x00b",
    "lone surrogate": "a\ud800b",
    "reversed surrogates": "\udfff\ud800",
    "emoji": "leaked 🔥 on 𝕏",
    "long": "🔥" * 5000,
    "long and odd": "\x00\ud83d" * 5000,
    "quotes": "'\"\\%s%(x)s:name --",
    "accents": "é→ж中",
    "newlines": "a\r\n\tb\x1b[2J",
}


@pytest.fixture
def database(ledger_address: str) -> Database:
    return ledger_at(ledger_address)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_flag_is_never_lost_to_its_reason(database: Database, odd: str) -> None:
    row = mint(database)
    unknown = f"sha256:{'0' * 64}"
    with database.write(RunContext(f"cli/{odd}")) as tx:
        flagged = flags.flag(tx, odd, fingerprints=[row.fingerprint or "", unknown], models=[odd], link_ids=[odd])
    assert flagged.tombstones == (unknown,)
    found = row_of(database, row.link_id)
    assert found.flagged_at is not None
    assert 0 < len(found.flag_reason or "") <= 500
    with database.read() as tx:
        assert tx.scalar(select(flag_table.c.reason)) == found.flag_reason
        assert [event["event"] for event in audit.history(tx, row.link_id)][-1] == "flagged"


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_slots_and_targets_of_any_name_are_published_and_found_again(database: Database, odd: str) -> None:
    row = mint(database)
    target, details = f"target {odd}", {odd: [odd, {"deep": odd}], "n": 1}
    with database.write(task()) as tx:
        slot_claims.open_slots(tx, target, {odd: row.link_id})
        assert publications.publish(tx, target, [Shown(odd, row.link_id, details)]) == {}
    with database.read() as tx:
        (shown,) = publications.shown_at(tx, target)
        assert publications.shown_at(tx, f"{target} other") == []
        assert publications.shown_in(tx, target, [odd]) == {
            shown.slot: publications.SlotLink(row.link_id, row.model_id)
        }
    assert shown.details["n"] == 1


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_links_of_any_audience_and_run_are_recorded(database: Database, odd: str) -> None:
    row = mint(database, Demand(CLIENT, f"{AUDIENCE}{odd}", DAY), MODEL, task(odd * 3))
    again = mint(database, Demand(CLIENT, f"{AUDIENCE}{odd}x", DAY), MODEL, task(odd * 3))
    with database.read() as tx:
        found = links.newest_live(tx, CLIENT, f"{AUDIENCE}{odd}", MODEL)
    assert found is not None
    assert found.link_id == row.link_id != again.link_id


#: Columns that only ever hold and are compared with what the package makes or checks itself.
OWN_VALUES = {"state", "run_uid", "task_key", "fingerprint", "sweep_owner", "slot_key", "event", "owner", "listing_key",
              "pace_key", "models", "viewer", "api_key", "name", "value"}  # fmt: skip


def test_every_text_that_comes_in_is_made_storable() -> None:
    """A column of a plain type would bring the fault back."""
    plain = [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if type(column.type).__name__ in ("String", "JSON")
    ]
    assert {name.partition(".")[2] for name in plain} == OWN_VALUES


@given(st.text(st.characters(), max_size=900), st.integers(17, 700))
def test_what_is_storable_fits_and_stays_itself(given_text: str, length: int) -> None:
    kept = storable(given_text, length)
    assert len(kept) <= length
    assert storable(kept, length) == kept
    kept.encode()
    assert "\x00" not in kept
    if len(given_text) <= length and given_text.isprintable():
        assert kept == given_text


@pytest.mark.parametrize("length", [32, 320, 700])
def test_two_texts_that_are_too_long_stay_two_and_keep_both_ends(length: int) -> None:
    one, two = (f"begin{'x' * 800}{number}{'x' * 200}/17" for number in (1, 2))
    kept = storable(one, length)
    assert kept != storable(two, length)
    assert len(kept) == length
    assert kept.startswith("begin")
    assert kept.endswith("/17") is (length >= 320)
    assert storable("x" * length, length) == "x" * length


def test_a_digest_of_16_characters_stands_between_both_ends() -> None:
    text = "b" * 500 + "m" * 500 + "e" * 500
    assert re.fullmatch(r"b{222}~[0-9a-f]{16}~e{80}", storable(text, 320))
    assert re.fullmatch(r"b{302}~[0-9a-f]{16}", storable(text, 319))


def test_a_run_that_is_too_long_keeps_its_map_index() -> None:
    run = RunContext.of_task("d" * 250, "r" * 250, "t" * 250, 41).run
    assert storable(run, 700).endswith("/41")


def test_a_database_of_ascii_gets_escapes_and_no_error() -> None:
    assert storable("é🔥", 40, ascii_only=True) == "\\xe9\\U0001f525"
    assert storable_json({"é": ["🔥"]}, ascii_only=True) == {"\\xe9": ["\\U0001f525"]}


def test_json_keeps_what_is_no_text() -> None:
    value = {"a": [1, 2.5, None, True], "b": {"c": "x\x00"}, 3: ("y",)}
    assert storable_json(value) == {"a": [1, 2.5, None, True], "b": {"c": "x\ufffd"}, "3": ["y"]}


def test_what_is_no_text_is_stored_as_one() -> None:
    process = StorableString(10).bind_processor(create_engine("sqlite://").dialect)
    assert process(7) == "7"  # type: ignore[arg-type]
    assert process(None) is None


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "UTF8"])
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_database_of_any_encoding_keeps_a_flag(servers: Callable[[str], str], encoding: str, driver: str) -> None:
    """initdb makes SQL_ASCII where the locale is C, as in many a container."""
    admin = make_url(servers("postgresql"))
    name = f"encoded_{encoding.lower()}_{driver}"
    engine = create_engine(admin, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        locale = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(text(f"CREATE DATABASE {name} ENCODING '{encoding}' {locale}"))
    address = admin.set(database=name, drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    database = ledger_at(address)
    row = mint(database)
    with database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked 🔥 é", link_ids=[row.link_id])
    kept = row_of(database, row.link_id).flag_reason
    assert kept == ("leaked \\U0001f525 \\xe9" if encoding == "LATIN1" else "leaked 🔥 é")


def test_a_bound_parameter_is_made_storable_like_a_value(database: Database) -> None:
    with database.write() as tx:
        tx.execute(
            insert(flag_table), [{"fingerprint": "f", "flagged_at": tx.now(), "reason": "\x00", "run": "\ud800"}]
        )
        assert tx.execute(select(flag_table.c.reason, flag_table.c.run)).one() == ("\ufffd", "\ufffd")
