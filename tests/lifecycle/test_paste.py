from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import insert

from pme_airflow.errors import PMEInputError
from pme_airflow.ledger.bulk import insert_rows
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.link_models import SHARED, add_models
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.ledger.tables import links, models
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.lifecycle.paste import MAX_PASTE_BYTES, Paste, pasted_links, read_paste
from pme_airflow.sealing import Sealer, fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from tests.ledger.read_model.conftest import show_in
from tests.support.clocks import FakeClock
from tests.support.ledgers import AUDIENCE, CLIENT, change, insert_link, ledger_in_memory
from tests.support.ledgers import OTHER as OTHER_CLIENT

TOKEN, OTHER = "k3f9" + "a1b2c3" * 3 + "xyz", "q7w8" + "e5r6t7" * 3 + "uvw"
PRINT, OTHER_PRINT = fingerprint(AccessToken(TOKEN)), fingerprint(AccessToken(OTHER))
LINK = f"https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+{TOKEN}"


@pytest.mark.parametrize(
    "text",
    [TOKEN, f"  {TOKEN}\r\n", LINK, f"<iframe src='{LINK}'></iframe>", f"seen on the forum: {LINK} yesterday", PRINT.upper(),
     f"{TOKEN} {OTHER}", f"{TOKEN}, {OTHER}", json.dumps([{"Secret": TOKEN, "RuleID": "x", "File": "f", "StartLine": 1}])],
)  # fmt: skip
def test_tokens_links_fingerprints_and_reports_are_fingerprinted(text: str) -> None:
    paste = read_paste(text)
    assert PRINT in [*paste.named, *paste.candidates]
    assert (OTHER_PRINT in paste.named) is (OTHER in text)
    assert TOKEN not in repr(paste)


def test_the_words_of_a_report_are_not_taken_for_tokens() -> None:
    report = json.dumps([{"Secret": "ghp_0123456789abcdefghij", "RuleID": "x", "File": "f", "StartLine": 1}])
    assert read_paste(report).named == ()


@pytest.mark.parametrize(
    ("text", "words"), [("", "empty"), (" \n", "empty"), ("x" * (MAX_PASTE_BYTES + 1), "over the limit")]
)
def test_nothing_and_too_much_are_refused(text: str, words: str) -> None:
    with pytest.raises(PMEInputError, match=words):
        read_paste(text)


def test_what_could_not_be_read_is_named() -> None:
    masked = json.dumps([{"Secret": "REDACTED", "RuleID": "x", "File": "f", "StartLine": 1}])
    assert "masked" in read_paste(masked).problems[0]


@pytest.mark.parametrize(("lines", "is_named"), [(500, True), (501, False)])
def test_a_text_of_over_500_lines_is_a_log_whose_words_are_not_all_tokens(lines: int, is_named: bool) -> None:
    paste = read_paste("\n".join([TOKEN, *["a line of a log"] * (lines - 1)]))
    assert (PRINT in paste.named) is is_named


def test_a_text_of_the_largest_size_is_read_and_bytes_count() -> None:
    assert MAX_PASTE_BYTES == 1_048_576
    assert read_paste(f"{PRINT}\n".ljust(MAX_PASTE_BYTES, "x")).named == (PRINT,)
    with pytest.raises(PMEInputError, match=f"it has {MAX_PASTE_BYTES + 1} bytes"):
        read_paste("é" * (MAX_PASTE_BYTES // 2) + "x")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{'a1' * 8} {TOKEN}", [PRINT]),
        (f"{'a1' * 7}b {TOKEN}", []),
        (f"{TOKEN},{OTHER}", [PRINT, OTHER_PRINT]),
        (f"see {TOKEN} {OTHER}", []),
    ],
)
def test_words_as_long_as_tokens_are_read_one_by_one(text: str, named: list[str]) -> None:
    found = read_paste(text).named
    assert [name for name in found if name in (PRINT, OTHER_PRINT)] == named


def test_a_report_of_digests_says_how_they_are_compared() -> None:
    digests = [hashlib.sha1(text, usedforsecurity=False).hexdigest() for text in (b"a", b"b")]
    paste = read_paste(json.dumps({"results": {"f": [{"hashed_secret": digest} for digest in digests]}}))
    assert paste.problems[-1].startswith("2 findings are SHA-1 digests, which are not compared here")
    assert (paste.named, paste.candidates) == ((), ())


# --------------------------------------------------------- the links it names


@pytest.fixture
def ledger() -> Iterator[Database]:
    database = ledger_in_memory(FakeClock())
    yield database
    database.engine.dispose()


def view_of(ledger: Database, client_id: str = CLIENT) -> LedgerView:
    return LedgerView("pme_default", client_id, ledger, Sealer.of_connection(SecretStr("a secret")), Rules())


def test_pasted_links_are_the_connections_own_with_their_names_and_slots(ledger: Database) -> None:
    now = FakeClock().now()
    shown = show_in(ledger, "page 1")
    change(ledger, shown.link_id, fingerprint=PRINT)
    insert_link(ledger, "over", now, fingerprint=OTHER_PRINT, state="expired", model_id="ModelBBBBBB")
    insert_link(ledger, "theirs", now, fingerprint=PRINT, state="live", client_id=OTHER_CLIENT)
    with ledger.write() as tx:
        tx.execute(insert(models), {"client_id": CLIENT, "model_id": shown.model_id, "name": "Hall"})
    paste = Paste((OTHER_PRINT, "sha256:none"), (PRINT, OTHER_PRINT), "plain text")
    found = pasted_links(view_of(ledger), paste)
    assert (found["conn_id"], found["total"]) == ("pme_default", 2)
    names = ("link_id", "conn_id", "model_name", "slots", "audience")
    assert [tuple(link[name] for name in names) for link in found["links"]] == [
        (shown.link_id, "pme_default", "Hall", 1, AUDIENCE), ("over", "pme_default", None, 0, AUDIENCE)
    ]  # fmt: skip
    assert [link["link_id"] for link in pasted_links(view_of(ledger, OTHER_CLIENT), paste)["links"]] == ["theirs"]


@pytest.mark.parametrize(
    ("names", "shown"), [({}, None), ({"A": "Hall"}, "Hall, B"), ({"A": "Hall", "B": "Foyer"}, "Hall, Foyer")]
)
def test_a_token_of_several_models_has_the_names_of_those_that_have_one(
    ledger: Database, names: dict[str, str], shown: str | None
) -> None:
    insert_link(ledger, "lnk", FakeClock().now(), fingerprint=PRINT, state="live", model_id=SHARED)
    with ledger.write() as tx:
        add_models(tx, {"lnk": ["A", "B"]})
        for model_id, name in names.items():
            tx.execute(insert(models), {"client_id": CLIENT, "model_id": model_id, "name": name})
    (link,) = pasted_links(view_of(ledger), Paste((PRINT,), (), "plain text"))["links"]
    assert (link["model_name"], link["models"]) == (shown, ["A", "B"])


def test_500_links_are_listed_and_all_are_counted(ledger: Database) -> None:
    now = FakeClock().now()
    same = {"client_id": CLIENT, "model_id": "m", "audience": "a", "state": "live", "run": "r", "run_uid": "u",
            "valid_for": 60, "requested_at": now, "valid_until": now + timedelta(days=1), "revoke_attempts": 0,
            "irrevocable": False, "fingerprint": PRINT}  # fmt: skip
    with ledger.write() as tx:
        insert_rows(tx, links, {"link_id": [f"lnk_{number}" for number in range(501)]}, same)
    found = pasted_links(view_of(ledger), Paste((PRINT,), (), "plain text"))
    assert (found["total"], len(found["links"])) == (501, 500)


def test_a_wrapped_link_is_pasted_as_one() -> None:
    assert read_paste(f"{LINK[:-9]}\n{LINK[-9:]}").named == (PRINT,)
