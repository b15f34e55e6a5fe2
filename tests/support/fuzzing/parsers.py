"""The package's parsers as the campaign runs them: what each is given, and what it may raise."""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from pme_airflow.addresses import checked_base_url, checked_report_url
from pme_airflow.api.fields import checked_link, checked_text, checked_valid_until
from pme_airflow.api.outcomes import HttpResponse
from pme_airflow.credential_check import certain_mistake, possible_mistakes
from pme_airflow.durations import Validity, parse_duration
from pme_airflow.errors import PMEError
from pme_airflow.hooks.arguments import checked_audience, read_bool, read_list, read_models
from pme_airflow.hooks.connection import ConnectionSettings
from pme_airflow.hooks.http import base_url_of
from pme_airflow.hooks.token_mask import TokenMask
from pme_airflow.http_dates import parse_http_date
from pme_airflow.leaks.archives import ScanReader
from pme_airflow.leaks.encodings import candidates_in, has_masked_token, redact, tokens_in
from pme_airflow.leaks.files import Source
from pme_airflow.leaks.reports import read_report
from pme_airflow.leaks.stream_search import search
from pme_airflow.ledger.mysql import MySQLAddress, mysql_engine
from pme_airflow.ledger.storable import storable, storable_json
from pme_airflow.lifecycle.leak_criteria import LeakCriteria
from pme_airflow.model_ids import model_id_of
from pme_airflow.placements import check as check_placements
from pme_airflow.printable import csv_cell, printable
from pme_airflow.sealing import Sealer, key_ids_of
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.shown_tokens import all_tokens, tokens_of
from pme_airflow.targets.wordpress_blocks import referenced_blocks
from pme_airflow.targets.wordpress_content import cleared, holds_place, is_stale, link_embed, placed, shown_text
from pme_airflow.targets.wordpress_output import output_of
from tests.support.fake_wordpress import MODEL, link
from tests.support.fuzzing import samples
from tests.support.fuzzing.messages import shown
from tests.support.fuzzing.mutations import LINK, TOKEN, archive, json_bytes, mutate, mutate_json

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)

Run = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """One parser.

    :param run: gives it an input; what it returns, as text, must not show the token. It raises :class:`.PMEError` or
        nothing.
    :param samples: what inputs are made of.
    :param make: makes an input of a sample.
    :param readings: how often ``run`` has the input read, each of which may take its time.
    :param may_be_large: whether an input may be repeated until it is large; seeds of conversations are none.
    :param cases: how many inputs it is given in the short form.
    """

    run: Run
    samples: Sequence[Any]
    make: Callable[[random.Random, Any, Sequence[Any]], bytes]
    readings: int = 1
    may_be_large: bool = True
    cases: int = 400


def _of_bytes(rng: random.Random, sample: bytes, others: Sequence[bytes]) -> bytes:
    return mutate(rng, sample, others)


def _of_json(rng: random.Random, sample: Any, _: Sequence[Any]) -> bytes:
    made = json_bytes(mutate_json(rng, sample))
    return mutate(rng, made) if rng.random() < 0.2 else made


def _of_archive(rng: random.Random, sample: bytes, others: Sequence[bytes]) -> bytes:
    return archive(rng, mutate(rng, sample, others) if rng.random() < 0.3 else sample)


def _of_seed(rng: random.Random, sample: Any, _: Sequence[Any]) -> bytes:
    """Return the seed of a conversation whose responses are mutated while it runs."""
    return f"{sample}:{rng.getrandbits(60)}".encode()


# --------------------------------------------------------------------------- parsers of text


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _json_of(data: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(data)
    return text_of(data)


def _each(*calls: Callable[[], object]) -> str:
    """Return what the errors of some calls say; of values only that they were returned."""
    messages = []
    for call in calls:
        try:
            call()
        except PMEError as error:
            messages.append(shown(error))
    return "\n".join(messages)


def _report(data: bytes) -> object:
    return read_report(data).as_json()


def _encodings(data: bytes) -> str:
    text = text_of(data)
    tokens_in(text), tokens_in(text, bare=True), candidates_in(text), has_masked_token(text)
    again = redact(redact(text))
    assert LINK not in again, "redact leaves a link"
    return ""


def _archives(data: bytes) -> str:
    messages = []
    for seekable in (True, False):
        reader = ScanReader(200)
        stream = io.BytesIO(data)
        if not seekable:
            stream.seekable = lambda: False  # type: ignore[method-assign]
        for chunk in reader.chunks([Source("upload.bin", lambda stream=stream: stream)]):  # type: ignore[misc]
            repr(chunk)
        messages += [f"{unread} {unread.reason}" for unread in reader.unread]
    return "\n".join(messages)


def _scan(data: bytes) -> str:
    matcher = samples.matcher()
    reader = ScanReader(matcher.longest_form_bytes)
    hits = list(search(matcher, reader.chunks([Source("log", lambda: io.BytesIO(data))]), workers=1))
    if TOKEN.encode() in data:
        assert hits, "a token in clear is not found"
    return "\n".join(repr(hit) for hit in hits)


def _placements(data: bytes) -> str:
    return repr(_each(lambda: check_placements(data.decode("utf-8", "replace"))))


def _connection(data: bytes) -> str:
    value = _json_of(data)
    fields = value if isinstance(value, dict) else {"extra": value}
    given = {"conn_id": "pme_default", "conn_type": "pme", "host": None, "login": "id", "password": "s", "port": None, "schema": None,
             "extra": None}  # fmt: skip
    connection = SimpleNamespace(**{**given, **{name: part for name, part in fields.items() if name in given}})

    def read() -> None:
        settings = ConnectionSettings.read(connection)
        (
            repr(settings),
            settings.client_settings,
            Sealer.of_connection(settings.client_secret, settings.extras.seal_keys),
        )

    return _each(read)


def _ledger_extras(data: bytes) -> str:
    extras = _json_of(data)
    address = MySQLAddress(
        "db", 3306, "u", TOKEN, "ledger", extras if isinstance(extras, dict) else {"charset": extras}
    )
    return repr(address) + _each(lambda: mysql_engine(address))


def _http_connection(data: bytes) -> str:
    value = _json_of(data)
    fields = value if isinstance(value, dict) else {"host": text_of(data)}
    extra = fields.get("extra") if isinstance(fields.get("extra"), dict) else {}
    host, schema, port = (fields.get(name) for name in ("host", "schema", "port"))
    connection = SimpleNamespace(
        conn_id="cms", host=host if isinstance(host, str) else None, schema=schema if isinstance(schema, str) else None,
        port=port if isinstance(port, int) and 0 < port < 65536 else None, extra_dejson=extra,
    )  # fmt: skip
    return _each(lambda: base_url_of(connection))


def _small_texts(data: bytes) -> str:
    text = text_of(data)
    value = _json_of(data)
    certain_mistake(text, text), possible_mistakes(text, text)
    (
        parse_http_date(text),
        checked_valid_until(text, NOW),
        checked_link(text, "https://api.matterport.com"),
        checked_text(text),
    )
    wait = HttpResponse(429, {"Retry-After": text}, b"").retry_after
    assert wait is None or 0 <= wait <= 900
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in printable(text))
    json.dumps(csv_cell(value))
    (
        storable(text, 200).encode(),
        storable(text, 200, ascii_only=True).encode("ascii"),
        json.dumps(storable_json(value)).encode(),
    )
    return _each(
        lambda: parse_duration(value, "grace"), lambda: parse_duration(text), lambda: Validity.parse(value), lambda: model_id_of(value),
        lambda: model_id_of(text), lambda: checked_base_url(text, field="host"), lambda: checked_report_url(text, [text[:60]]),
        lambda: read_models(value), lambda: read_models(text), lambda: checked_audience(value), lambda: read_bool(value, "sweep"),
        lambda: read_list(value), lambda: read_list(text),
    )  # fmt: skip


def _leak_criteria(data: bytes) -> str:
    value = _json_of(data)
    given = value if isinstance(value, dict) else {"tokens": [value]}
    named = {name: part if isinstance(part, list | str) else [part] for name, part in given.items()}
    problems: list[PMEError] = []
    criteria = LeakCriteria.read(
        {name: named[name] for name in ("tokens", "models", "audiences", "link_ids") if name in named}, problems
    )
    return f"{criteria!r}" + "\n".join(map(shown, problems))


def _token_mask(data: bytes) -> str:
    mask = TokenMask()
    mask.add(AccessToken(TOKEN))
    text = text_of(data)
    mask.apply_bytes(data)
    return mask.apply(text)


_SEALER = Sealer.of_connection(SecretStr("secret"), [SecretStr("a key of 20 letters.")])


def _sealed(data: bytes) -> str:
    text = text_of(data)
    key_ids_of(text), _SEALER.knows(text), _SEALER.is_current(text)
    return _each(lambda: _SEALER.open(text, "link-1", MODEL))


# --------------------------------------------------------------------------- pages


def _page(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    shown_link = link("new0link1new0link1new0lin")
    (
        holds_place(text, MODEL),
        shown_text(text, MODEL),
        is_stale(text, "x"),
        is_stale("", text),
        all_tokens(text),
        tokens_of(text, MODEL),
    )
    referenced_blocks(text), output_of(text, shown_link)

    def change() -> None:
        made = placed(text, link_embed(shown_link), MODEL)
        assert shown_link.token.reveal() in made, "the link was not placed"
        assert placed(made, link_embed(shown_link), MODEL) == made, "a second put changes the page"
        assert shown_link.token.reveal() not in cleared(made, MODEL), "the link was not cleared"

    return _each(change)


def text_parsers() -> dict[str, Parser]:
    """Parsers that take an input at once."""
    return {
        "reports": Parser(_report, samples.REPORTS, _of_bytes),
        "reports, by structure": Parser(_report, samples.JSON_REPORTS, _of_json),
        "encodings": Parser(_encodings, samples.TEXTS, _of_bytes, readings=6),
        "archives": Parser(_archives, samples.TEXTS, _of_archive, readings=2),
        "scan": Parser(_scan, samples.TEXTS, _of_bytes),
        "placements": Parser(_placements, samples.PLACEMENTS, _of_bytes),
        "placements, by structure": Parser(_placements, samples.JSON_PLACEMENTS, _of_json),
        "connection": Parser(_connection, samples.CONNECTIONS, _of_json),
        "ledger's extras": Parser(_ledger_extras, samples.LEDGER_EXTRAS, _of_json),
        "http connection": Parser(_http_connection, samples.HTTP_CONNECTIONS, _of_json),
        "durations, dates, ids, addresses": Parser(_small_texts, samples.SMALL_TEXTS, _of_bytes, readings=20),
        "leak criteria": Parser(_leak_criteria, samples.CRITERIA, _of_json),
        "token mask": Parser(_token_mask, samples.TEXTS, _of_bytes),
        "sealed links": Parser(_sealed, samples.SEALED, _of_bytes),
        "WordPress pages": Parser(_page, samples.PAGES, _of_bytes, readings=11),
    }


@contextmanager
def all_parsers() -> Iterator[dict[str, Parser]]:
    """Make all parsers; those that converse use a ledger in memory and an Airflow home of their own."""
    from tests.support.fuzzing.conversations import conversations

    with conversations() as runs:
        made = text_parsers()
        for name, (run, samples_of, kind) in runs.items():
            make = {"seed": _of_seed, "json": _of_json, "bytes": _of_bytes}[kind]
            is_seed = kind == "seed"
            cases = 100 if is_seed else 400
            made[name] = Parser(run, samples_of, make, readings=3, may_be_large=not is_seed, cases=cases)
        yield made
