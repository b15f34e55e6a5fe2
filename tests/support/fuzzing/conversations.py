"""Parsers that are reached by a conversation: with WordPress, Slack, a CMS, the API, the ledger, and the command line."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import requests
import urllib3
from click.testing import CliRunner
from requests.adapters import BaseAdapter

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.messages import MintRequest
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEError
from pme_airflow.ledger.publications import Publication
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.publish_items import read_items
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.xcom_payload import items_in, models_in
from pme_airflow.sealing import Sealer, fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from pme_airflow.targets.base import Target
from pme_airflow.targets.http_json import HttpJsonTarget
from pme_airflow.targets.slack import SlackTarget
from pme_airflow.targets.slack_client import BoundedWebClient
from tests.support.clocks import FakeClock
from tests.support.fake_wordpress import MODEL, FakeWordPress, response
from tests.support.fake_wordpress import link as link_of
from tests.support.fuzzing import samples
from tests.support.fuzzing.messages import shown
from tests.support.fuzzing.mutations import LINK, TOKEN, json_bytes, mutate, mutate_json
from tests.support.ledgers import ledger_in_memory
from tests.support.ledgers import mint as mint_row

Run = Callable[[bytes], object]
#: An input's parser, its samples, and the kind of mutation.
Conversations = dict[str, tuple[Run, list[Any], str]]

HOST = "https://api.example.test"
SLOT = f"intranet/{MODEL}"
_STATUSES = (200, 200, 200, 200, 200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 410, 413, 429, 500, 502, 503)


def _changed(rng: random.Random, value: Any) -> bytes:
    """Return a response's JSON, in half of all cases changed."""
    if rng.random() < 0.5:
        return json_bytes(value)
    made = json_bytes(mutate_json(rng, value)) if rng.random() < 0.6 else json_bytes(value)
    return mutate(rng, made) if rng.random() < 0.4 else made


def _headers(rng: random.Random) -> dict[str, str]:
    known = {"Content-Type": ("application/json", "text/html", "x", ""), "Retry-After": ("1", "-1", "x", "9" * 30),
             "ETag": ('"a"', 'W/"a"', "", LINK), "Date": ("Fri, 01 May 2026 12:00:00 GMT", "x"), "Location": (LINK, "javascript:x", "http://[", "//", "http://a:99999/", "http://%", "https://xn--\u00e9/")}  # fmt: skip
    return {name: rng.choice(values) for name, values in known.items() if rng.random() < 0.4}


def _attempt(messages: list[str], call: Callable[[], object]) -> object:
    try:
        return call()
    except PMEError as error:
        messages.append(shown(error))
    return None


def _publication(slot: str, details: Mapping[str, Any]) -> Publication:
    now = datetime(2026, 5, 1, tzinfo=timezone.utc)
    return Publication("key", "target", slot, "link-1", 1, MODEL, "intranet", now, "run", dict(details))


def _converse(target: Target, slot: str) -> str:
    """Put a link, read it back, look for it and take it away, whatever of it fails."""
    messages: list[str] = []
    link = link_of(TOKEN)
    _attempt(messages, lambda: target.slots({"model_id": MODEL, "audience": "intranet"}))
    _attempt(messages, lambda: target.name)
    result: Any = _attempt(messages, lambda: target.put(slot, link, {}))
    details = dict(
        getattr(result, "details", None) or {"channel": "C1", "ts": "1.1", "fingerprint": fingerprint(link.token)}
    )
    _attempt(messages, lambda: target.read_back(slot, link, details))
    _attempt(messages, lambda: target.check_shown([_publication(slot, details)]))
    _attempt(messages, lambda: target.put(slot, link_of("n" * 25), details))
    _attempt(messages, lambda: target.take_away(slot, details))
    return "\n".join(messages)


# --------------------------------------------------------------------------- WordPress


def _wordpress(data: bytes) -> str:
    rng = random.Random(data)
    site = FakeWordPress(p1=rng.choice(samples.PAGES).decode())

    def dress(text: str) -> bytes:
        return _changed(rng, json.loads(text))

    def fault(_: object) -> requests.Response | None:
        if rng.random() < 0.85:
            return None
        answer = response(
            rng.choice(_STATUSES), _changed(rng, {"code": "rest_forbidden", "message": LINK, "data": {"status": 403}})
        )
        answer.headers.update(_headers(rng))
        answer.request = requests.Request("GET", "https://cms.example/").prepare()
        return answer

    site.dress = dress
    site.faults.append(fault)
    return _converse(site.target(), str(rng.choice(("pages/1", "posts/7"))))


# --------------------------------------------------------------------------- Slack

_SLACK: dict[str, Any] = {
    "auth.test": {"ok": True, "team_id": "T1", "url": "https://x.slack.com/"},
    "chat.postMessage": {"ok": True, "channel": "C1", "ts": "1.1", "message": {"text": LINK, "ts": "1.1"}},
    "chat.update": {"ok": True, "channel": "C1", "ts": "1.1"},
    "chat.delete": {"ok": True, "channel": "C1", "ts": "1.1"},
    "chat.getPermalink": {"ok": True, "permalink": "https://x.slack.com/a"},
    "conversations.history": {"ok": True, "has_more": False, "response_metadata": {"next_cursor": ""}, "messages": [
        {"ts": "1.1", "text": LINK, "blocks": [{"type": "section", "block_id": "pme", "text": {"type": "mrkdwn", "text": LINK}}]}]},
    "conversations.list": {"ok": True, "channels": [{"id": "C1", "name": "tours"}], "response_metadata": {"next_cursor": ""}},
}  # fmt: skip
_CODES = (
    "message_not_found",
    "cant_update_message",
    "ratelimited",
    "invalid_auth",
    "is_archived",
    "x" * 100,
    LINK,
    "fatal_error",
)


class _Slack(BoundedWebClient):
    """A client whose responses are mutated."""

    rng: random.Random

    def _perform_urllib_http_request_internal(self, url: str, req: Any) -> dict[str, Any]:
        if self.rng.random() < 0.03:
            raise OSError(LINK)
        refused = self.rng.random() < 0.15
        answer = (
            {"ok": False, "error": self.rng.choice(_CODES)}
            if refused
            else _SLACK.get(url.rpartition("/")[2], {"ok": True})
        )
        body = _changed(self.rng, answer).decode("utf-8", "replace")
        return {"status": self.rng.choice(_STATUSES), "headers": _headers(self.rng), "body": body}


def _slack(data: bytes) -> str:
    quiet = logging.getLogger("fuzzing.slack")
    quiet.setLevel(logging.CRITICAL + 1)
    client = _Slack(token="xoxb-1", retry_handlers=[], logger=quiet)
    client.rng = random.Random(data)
    return _converse(SlackTarget(client, client.rng.choice(("#tours", "C0123456789"))), SLOT)


# --------------------------------------------------------------------------- a CMS, and the API


class _Mutated(BaseAdapter):
    """Answers each request by what a function makes of its address, changed."""

    def __init__(self, rng: random.Random, answer: Callable[[str, str], Any]) -> None:
        super().__init__()
        self._rng = rng
        self._answer = answer

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        if self._rng.random() < 0.03:
            raise requests.ConnectionError(LINK)
        body = request.body.decode("utf-8", "replace") if isinstance(request.body, bytes) else str(request.body or "")
        content = _changed(self._rng, self._answer(str(request.url), body))
        made = requests.Response()
        made.status_code = self._rng.choice(_STATUSES)
        made.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False)
        made.headers.update(_headers(self._rng))
        made.request = request
        return made

    def close(self) -> None:
        return


def _cms(data: bytes) -> str:
    rng = random.Random(data)
    session = requests.Session()
    session.mount("https://", _Mutated(rng, lambda *_: {"data": {"id": 1, "tour_url": LINK}, "errors": None}))
    target = HttpJsonTarget(
        session, "https://cms.example", "http:x", method="PATCH", endpoint="items/{model_id}", json={"url": "{link}"}, headers={},
        expected=(200, 201, 204), read_endpoint=rng.choice(("items/{model_id}", None)), clear_json={"url": None}, timeout=5,
    )  # fmt: skip
    return _converse(target, f"PATCH items/{MODEL}")


def _api_answer(url: str, body: str) -> Any:
    if url.endswith("/token"):
        return {"access_token": "app-" + TOKEN, "token_type": "Bearer", "expires_in": 3599}
    link = {"accessToken": TOKEN, "link": LINK, "validUntil": "2026-05-01T12:10:00Z", "application": "showcase"}
    model = {"id": MODEL, "name": "Mill", "state": "active"}
    page = {"results": [model, {"id": "../../x"}], "nextOffset": None, "totalResults": 1}
    errors = [{"message": LINK, "path": ["a0"], "extensions": {"httpStatus": 403, "code": "x"}}]
    if "models(" in body:
        return {"data": {"models": page}}
    if "model(" in body:
        return {"data": {"a0": model, "m0": model}}
    return {"data": {"a0": link if "accessToken" in body else True, "a1": None}, "errors": errors}


def _api(data: bytes) -> str:
    rng = random.Random(data)
    session = requests.Session()
    client = PMEClient("id", SecretStr("secret"), HOST, ClientSettings(deadline=20.0), FakeClock(), session=session)
    session.mount("https://", _Mutated(rng, _api_answer))  # in place of the client's own
    messages: list[str] = []
    wanted = [MintRequest(MODEL, Validity(600)), MintRequest("yyHDFKzPzvN", Validity(600))]
    for call in (
        client.check_credentials, client.check_enabled, lambda: len(list(client.models())), lambda: client.mint(wanted),
        lambda: client.revoke([AccessToken(TOKEN), AccessToken("r" * 25)]),
    ):  # fmt: skip
        outcome = _attempt(messages, call)
        messages.append(repr(outcome))
        for verdict in outcome if isinstance(outcome, list) else []:
            messages.append(f"{getattr(verdict, 'error', '')} {getattr(verdict, 'reason', '')}")
    return "\n".join(messages)


# --------------------------------------------------------------------------- XCom, leak responses, and the command line


def _xcom(services: Services) -> Run:
    def run(data: bytes) -> str:
        value: Any = None
        with suppress(ValueError, RecursionError):
            value = json.loads(data)
        messages: list[str] = []
        found: Any = _attempt(messages, lambda: list(items_in(services, value)))
        read: Any = _attempt(messages, lambda: read_items(services, found or []))
        for item in read or []:
            messages.append(repr(getattr(item, "problem", "")))
            if isinstance(item, Mapping):
                assert item["audience"] == "intranet", "an item names an audience of its own"
                _attempt(messages, lambda item=item: services.open_item(dict(item)))  # type: ignore[misc]
        if isinstance(value, dict):
            _attempt(messages, lambda: models_in(services.database, value))
        return "\n".join(messages)

    return run


def _leak_response(services: Services) -> Run:
    """Respond to whatever is given; the ledger keeps its links, since nothing is alive of what is named."""

    def run(data: bytes) -> str:
        value: Any = None
        with suppress(ValueError, RecursionError):
            value = json.loads(data)
        given = value if isinstance(value, dict) else {"tokens": [value]}
        named = {
            name: tuple(part) if isinstance(part, list) else (part,)
            for name, part in given.items()
            if name in ("tokens", "models", "audiences", "link_ids")
        }
        messages: list[str] = []
        request = LeakRequest(**named, reason=str(given.get("reason", "")), within=given.get("within") is True)
        found: Any = _attempt(messages, lambda: respond(services, RunContext("fuzzing"), request))
        messages.append(repr(request))
        if found is not None:
            messages += [json.dumps(found.as_json()), repr(found), found.summary, *found.lines()]
            messages += map(shown, found.problems)
        return "\n".join(messages)

    return run


def _command_line(data: bytes) -> str:
    from pme_airflow.cli import main

    rng = random.Random(data)
    text = data.decode("utf-8", "replace").replace("\0", "")
    commands = (
        ["fingerprint"], ["ledger", "flag", text], ["ledger", "flag", "--token", text], ["ledger", "flag", "--stdin", "--reason", text],
        ["ledger", "show", text], ["ledger", "flag", "--model", text], ["ledger", "flag", "--audience", text, "--reason", text],
        ["ledger", "list", "--audience", text, "--format", "json"], ["plan", text], ["scan", _below(text)], ["retire", "--model", text], [text],
    )  # fmt: skip
    with _in_an_empty_folder():
        result = CliRunner().invoke(main, list(rng.choice(commands)), input=data)
    assert "This is a defect" not in result.output, result.output[-300:]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2), result.exit_code
    return result.output


@contextmanager
def _in_an_empty_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _below(path: str) -> str:
    """Return a path if it is below the working directory: what is above it may take minutes to search."""
    return path if Path(os.path.abspath(path)).is_relative_to(Path.cwd()) else "elsewhere"


def _services() -> tuple[Services, list[Any]]:
    clock = FakeClock()
    database = ledger_in_memory(clock)
    client = PMEClient("client-a", SecretStr("secret"), HOST, clock=clock)
    row = mint_row(database, model_id=MODEL)
    item = {"link_id": row.link_id, "model_id": MODEL, "audience": "intranet", "fingerprint": row.fingerprint,
            "valid_until": row.valid_until.isoformat(), "application": "showcase", "link": row.sealed}  # fmt: skip
    services = Services(client, database, Sealer.of_connection(SecretStr("secret")), clock)
    return services, [
        [item],
        [[item, None], {"manifest": "m", "audience": "public", "links": 1}],
        {"manifest": LINK},
        item,
    ]


@contextmanager
def conversations() -> Iterator[Conversations]:
    """Make the parsers; pauses between tries take no time."""
    with samples.fixed_randomness():
        services, items = _services()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connection = json.dumps(
            {"conn_type": "pme", "login": "client-a", "password": "secret", "host": "http://127.0.0.1:9"}
        )
        stack.enter_context(
            mock.patch.dict(os.environ, {"AIRFLOW_HOME": str(home), "AIRFLOW_CONN_PME_DEFAULT": connection})
        )
        stack.enter_context(mock.patch("time.sleep"))
        # with a clock that a pause does not move, waiting for a host's rate would be a busy loop
        stack.enter_context(mock.patch("pme_airflow.targets.host_limits._CLOCK", FakeClock()))
        yield {
            "WordPress answers": (_wordpress, ["wordpress"], "seed"),
            "Slack answers": (_slack, ["slack"], "seed"),
            "CMS answers": (_cms, ["cms"], "seed"),
            "API answers": (_api, ["api"], "seed"),
            "XCom items": (_xcom(services), items, "json"),
            "leak responses": (_leak_response(services), samples.LEAK_REQUESTS, "json"),
            "command line": (
                _command_line,
                [*samples.SMALL_TEXTS, *samples.TEXTS, b"sha256:" + b"0" * 64, io.BytesIO().read()],
                "bytes",
            ),
        }
