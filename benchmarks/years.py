"""A ledger as it is after many nights of a large account: the newest links live and shown, all before them over."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.tables import EPOCH

AUDIENCE = "intranet"
TARGETS = ("object_storage:s3://one", "object_storage:s3://two")
#: A model with a thousand live links, each of an audience of its own.
HOT_MODEL, HOT_LINKS = "HotModel000", 1000
#: So many of the live links are due to be retired.
DUE = 200
_CHUNK = 500_000
_DAY = 86_400_000_000


def model(index: int) -> str:
    """The id of a model."""
    return f"M{index:010d}"


def fill(database: Database, client_id: str, now: datetime, nights: int, models: int) -> int:
    """Fill an empty ledger; how many links it holds then."""
    database.prepare()
    total = nights * models
    timestamp = (now - EPOCH) // timedelta(microseconds=1)
    postgres = database.engine.dialect.name == "postgresql"
    for start in range(0, total, _CHUNK):
        _insert_links(database, postgres, start, min(total, start + _CHUNK), total, models, timestamp, client_id)
    with database.write() as tx:
        hot = _numbers(postgres, total, total + HOT_LINKS)
        tx.execute(
            text(_links_sql(postgres, hot, f"'{HOT_MODEL}'", f"'audience' || (n - {total})", "'live'", "0")),
            {"client": client_id, "now": timestamp},
        )
        for number, target in enumerate(TARGETS):
            live = _numbers(postgres, total - models, total)
            key = _padded(postgres, "", f"n + {number} * {total}", 64)
            tx.execute(
                text(
                    "INSERT INTO pme_publications (slot_key, target, slot, link_id, link_seq, model_id, audience, "
                    f"published_at, run, details, client_id) SELECT {key}, '{target}', {_model(postgres, models)}, "
                    f"{_padded(postgres, 'lnk_', 'n', 32)}, n + 1, {_model(postgres, models)}, '{AUDIENCE}', :now, "
                    f"'pme_nightly_rotation/r/publish/0', '{{}}', :client FROM {live}"
                ),
                {"now": timestamp, "client": client_id},
            )
    with database.write() as tx:
        if tx.dialect != "sqlite":  # other servers gather statistics by themselves; SQLite does not
            tx.execute(text("ANALYZE"))
    return total + HOT_LINKS


def _insert_links(
    database: Database, postgres: bool, start: int, end: int, total: int, models: int, timestamp: int, client: str
) -> None:
    numbers = _numbers(postgres, start, end)
    state = f"CASE WHEN n >= {total - models} THEN 'live' ELSE 'revoked' END"
    nights_ago = f"(({total} - 1 - n) / {models})"
    with database.write() as tx:
        tx.execute(
            text(_links_sql(postgres, numbers, _model(postgres, models), f"'{AUDIENCE}'", state, nights_ago)),
            {"client": client, "now": timestamp},
        )
        link = _padded(postgres, "lnk_", "n", 32)
        tx.execute(
            text(
                "INSERT INTO pme_events (at, event, link_id, model_id, audience, run, reason) SELECT "
                f":now - {nights_ago} * {_DAY}, 'made', {link}, {_model(postgres, models)}, '{AUDIENCE}', "
                f"'pme_nightly_rotation/r/mint/0', 'the API answered with a token' FROM {numbers}"
            ),
            {"now": timestamp},
        )
        due = f"UPDATE pme_links SET retire_at = :now - 1 WHERE state = 'live' AND seq > {total - DUE}"
        if end == total:
            tx.execute(text(due), {"now": timestamp})


def _links_sql(postgres: bool, numbers: str, model_id: str, audience: str, state: str, nights_ago: str) -> str:
    at = f":now - {nights_ago} * {_DAY}"
    return (
        "INSERT INTO pme_links (link_id, client_id, model_id, audience, state, run, run_uid, application, fingerprint, "
        "sealed, valid_for, requested_at, minted_at, valid_until, revoke_attempts, irrevocable) SELECT "
        f"{_padded(postgres, 'lnk_', 'n', 32)}, :client, {model_id}, {audience}, {state}, "
        f"'pme_nightly_rotation/r' || {nights_ago} || '/mint/0', 'uid' || {nights_ago}, 'showcase', "
        f"{_padded(postgres, 'sha256:', 'n', 64)}, CASE WHEN {state} = 'live' THEN 'pme-sealed:v1:x:y' END, 86400, "
        f"{at}, {at}, {at} + {_DAY}, 0, {'false' if postgres else '0'} FROM {numbers}"
    )


def _numbers(postgres: bool, start: int, end: int) -> str:
    if postgres:
        return f"generate_series({start}, {end - 1}) AS n"
    return (
        f"(WITH RECURSIVE s(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM s WHERE n < {end - 1}) SELECT n FROM s)"
    )


def _padded(postgres: bool, prefix: str, number: str, width: int) -> str:
    if postgres:
        return f"'{prefix}' || lpad(to_hex({number}), {width}, '0')"
    return f"printf('{prefix}%0{width}x', {number})"


def _model(postgres: bool, models: int) -> str:
    if postgres:
        return f"'M' || lpad((n % {models})::text, 10, '0')"
    return f"printf('M%010d', n % {models})"
