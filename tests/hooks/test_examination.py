"""Each planted fault is found, with the cure that mends it; a good set-up is called good, and nothing is left changed.

The faults: what the connection, the API, the ledger, the keys, the placements, each kind of target, and Airflow can
have wrong with them. A test plants one, and expects one result with its words in finding or cure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from pme_airflow.doctor import Entry, Report, Verdict
from pme_airflow.doctor.airflow import DagState
from pme_airflow.errors import SlotError
from pme_airflow.hooks.airflow_state import SHIPPED_DAGS
from pme_airflow.hooks.ledger_engines import LEDGER_FILE
from pme_airflow.targets import ShownLink, Target
from tests.conftest import SECRET
from tests.hooks.conftest import ONE, RUNNING, SetUp
from tests.support.handlers import serving_handler

BAD, WARNING = Verdict.BAD, Verdict.WARNING
Plant = Callable[[SetUp], Any]


@dataclass(frozen=True)
class Fault:
    """A fault, the section and check that must name it, and words of its finding and of its cure."""

    plant: Plant
    section: str
    check: str
    finding: str
    cure: str
    verdict: Verdict = BAD


def fields(**changed: Any) -> Plant:
    return lambda setup: setup.fields.update(changed)


def mint_once(setup: SetUp) -> None:
    setup.hook().mint([ONE], audience="intranet")


def ledger(setup: SetUp, statement: str) -> None:
    engine = create_engine(f"sqlite:///{setup.home / LEDGER_FILE}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def version(number: str) -> Plant:
    def plant(setup: SetUp) -> None:
        mint_once(setup)
        ledger(setup, f"UPDATE pme_version SET version_num = '{number}'")

    return plant


def read_only(setup: SetUp) -> None:
    """The ledger is a copy that only reads: every write is refused by the database itself."""
    mint_once(setup)
    ledger(
        setup, "CREATE TRIGGER no_writes BEFORE INSERT ON pme_runs BEGIN SELECT RAISE(ABORT, 'readonly database'); END"
    )


def lost_key(setup: SetUp) -> None:
    mint_once(setup)
    setup.world.settings = replace(setup.world.settings, client_secret="another secret of some length")
    setup.fields["password"] = "another secret of some length"


def earlier_key(setup: SetUp) -> None:
    mint_once(setup)
    setup.fields["extra"] = {"seal_keys": ["a seal key of good length"]}


def target(name: str, **changed: Any) -> Plant:
    return lambda setup: setup.targets[name].update(changed)


def airflow(**changed: Any) -> Plant:
    def plant(setup: SetUp) -> None:
        setup.airflow = replace(setup.airflow, **changed)

    return plant


def placements(broken: str) -> Plant:
    return lambda setup: setup.placements_file.write_text(broken)


def channel(**changed: Any) -> Plant:
    def plant(setup: SetUp) -> None:
        for name, value in changed.items():
            setattr(setup.slack.channel, name, value)

    return plant


def world(**changed: Any) -> Plant:
    def plant(setup: SetUp) -> None:
        for name, value in changed.items():
            setattr(setup.world, name, value)

    return plant


class Unchecked(Target):
    """A target of a user's own."""

    name = "own"

    def put(self, slot: str, link: ShownLink, previous: Any) -> dict[str, Any]:
        raise AssertionError("a check publishes nothing")

    def read_back(self, slot: str, link: ShownLink, details: Any) -> None:
        raise AssertionError("a check publishes nothing")


class Failing(Unchecked):
    def check(self) -> None:  # type: ignore[override]
        raise SlotError("the lift is stuck. Free the lift.")


class Breaking(Unchecked):
    def check(self, items: Any = ()) -> None:
        raise KeyError("a secret")


class Quiet(Unchecked):
    def check(self) -> None:  # type: ignore[override]
        return


def own(name: str) -> Plant:
    options = {"kind": "custom", "class": f"{__name__}.{name}"}
    return lambda setup: setup.targets.update(http=options)


def api(status: int) -> Plant:
    """The API answers every request with a status."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    return lambda setup: setup.fields.update(host=setup.stack.enter_context(serving_handler(Handler)))


def database_away(setup: SetUp) -> None:
    setup.connection("gone", conn_type="postgres", host="127.0.0.1", port=1, login="pme", schema="pme")
    setup.fields["extra"] = {"ledger_conn_id": "gone"}


def unwritable_bucket(setup: SetUp) -> None:
    """S3 denies every request that writes; moto knows no rights."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:  # noqa: N802 - the name that the server looks for
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    address = setup.stack.enter_context(serving_handler(Handler))
    extra = {"endpoint_url": address, "region_name": "us-east-1"}
    conn_id = f"denied_{address.rpartition(':')[2]}"
    setup.connection(conn_id, conn_type="aws", login="key", password="secret", extra=extra)
    setup.targets["bucket"]["path"] = f"s3://{conn_id}@tours/x"


DAGS = dict.fromkeys(SHIPPED_DAGS, DagState())
FILES, BUCKET, SLACK, HTTP = (
    f"target {number} ({kind}) of intranet"
    for number, kind in enumerate(("object_storage", "object_storage", "slack", "http"))
)
OWN = "target 3 (custom) of intranet"

FAULTS = {
    "wrong secret": Fault(
        fields(password="another secret of some length"), "connection", "credentials", "refused the client id or secret",
        "Compare Client ID and Client secret",
    ),
    "secret with a newline": Fault(
        fields(password=f"{SECRET}\n"), "connection", "credentials", "ends with a newline", "without the newline"
    ),
    "empty secret": Fault(fields(password=""), "connection", "set-up", "Client secret: is empty", "Enter the client"),
    "account without PME": Fault(
        world(licensed=False), "connection", "PME", "may not use Private Model Embed", "sales team"
    ),
    "API that is down": Fault(api(503), "connection", "credentials", "HTTP 503", "ask the vendor"),
    "API that limits": Fault(api(429), "connection", "credentials", "HTTP 429", "another client uses up"),
    "address with a path": Fault(
        lambda setup: setup.fields.update(host=f"{setup.fields['host']}/api/models/graph"), "connection", "credentials",
        "HTTP 404", "the vendor's is https://api.matterport.com",
    ),
    "host without TLS": Fault(
        fields(host="http://api.example.com"), "connection", "set-up", "plain http", "https://api.example.com"
    ),
    "host that is not there": Fault(
        fields(host="http://127.0.0.1:1"), "connection", "host", "could not connect", "firewall"
    ),
    "host without a name": Fault(
        fields(host="https://api.nowhere.invalid"), "connection", "host", "does not resolve", "name servers"
    ),
    "another web server": Fault(
        lambda setup: setup.fields.update(host=setup.slack.proxy.address), "connection", "credentials", "not as a PME API does",
        "the vendor's is https://api.matterport.com",
    ),
    "clock off": Fault(
        lambda setup: setup.world.move_clock(-300), "connection", "clock", "s ahead of", "NTP", WARNING
    ),
    "clock far off": Fault(lambda setup: setup.world.move_clock(1800), "connection", "clock", "s behind", "NTP"),
    "no models": Fault(
        lambda setup: setup.world.models.clear(), "connection", "models", "lists no models", "organisation", WARNING
    ),
    "unknown extra": Fault(fields(extra={"batchsize": 3}), "connection", "set-up", "batchsize is unknown", "remove it"),
    "ledger's connection missing": Fault(
        fields(extra={"ledger_conn_id": "nowhere"}), "ledger", "set-up", "nowhere is not defined", "AIRFLOW_CONN_NOWHERE"
    ),
    "ledger of a newer version": Fault(version("9999"), "ledger", "version", "newer than this package", "Upgrade"),
    "ledger of an older version": Fault(version("0001"), "ledger", "version", "0001", "ledger migrate"),
    "ledger that cannot be written": Fault(read_only, "ledger", "write", "cannot be opened or written", "rights"),
    "ledger that is damaged": Fault(
        lambda setup: (setup.home / LEDGER_FILE).write_bytes(b"no database " * 999), "ledger", "reach", "is damaged",
        "Restore it from a backup",
    ),
    "SQLite for several machines": Fault(
        lambda setup: setup.monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor"), "ledger", "set-up",
        "CeleryExecutor spreads tasks", "postgres or mysql",
    ),
    "keys in a ledger that is away": Fault(
        database_away, "keys", "set-up", "cannot be reached", "Check that it runs and that ledger_conn_id names it"
    ),
    "lost key": Fault(lost_key, "keys", "live links", "1 live links are sealed with a key", "open:SECRET"),
    "short seal key": Fault(
        fields(extra={"seal_keys": ["short"]}), "keys", "set-up", "shorter than 16", "Use a random key"
    ),
    "earlier key": Fault(earlier_key, "keys", "earlier keys", "an earlier key", "ledger reseal", WARNING),
    "placements that are no YAML": Fault(placements("{a: ["), "placements", "file", "is no YAML", ""),
    "unknown key in the placements": Fault(
        placements("audience: a\nmodels: []\nmodles: []\ntargets: [{kind: slack, channel: x}]"), "placements", "file",
        "modles: is unknown", "choose-models.md",
    ),
    "placement of a connection that is missing": Fault(
        lambda setup: setup.more.update(pme_conn_id="pme_brokers"), "placements", "connection",
        "connection pme_brokers is not defined", "correct pme_conn_id of the placement intranet",
    ),
    "longer than the API grants": Fault(
        lambda setup: setup.more.update(valid_for="48h"), "placements", "file", "Give at most 24h", "Correct this key"
    ),
    "no placements": Fault(placements("[]"), "placements", "placements", "no placements", "PME_PLACEMENTS", WARNING),
    "schedule with a gap": Fault(
        lambda setup: setup.more.update(allow_gaps=True, keep_every=False), "placements", "schedule", "are dark for up to",
        "keep_every",
    ),
    "model that the account does not list": Fault(
        lambda setup: setup.models.append("NoSuchModel"), "placements", "models", "does not list NoSuchModel", "take them"
    ),
    "inactive model": Fault(
        lambda setup: setup.world.models[ONE].update(state="inactive"), "placements", "models", "being inactive",
        "Activate the models",
    ),
    "folder that is a file": Fault(
        lambda setup: (setup.home.parent / "out").write_text(""), FILES, "write", "failed", "right to write"
    ),
    "bucket that is not there": Fault(
        target("bucket", path="s3://nowhere-such-bucket"), BUCKET, "write", "s3://nowhere-such-bucket", "correct path"
    ),
    "storage's connection missing": Fault(
        target("bucket", path="s3://gone@bucket/x"), BUCKET, "set-up", "gone is not defined", "Add it in Airflow"
    ),
    "unknown storage option": Fault(
        target("bucket", storage_options={"Acl": "private"}), BUCKET, "check", "Acl is unknown", "The options are"
    ),
    "bot outside the channel": Fault(channel(member=False), SLACK, "channel", "not in #tours", "Invite the bot"),
    "archived channel": Fault(channel(archived=True), SLACK, "channel", "is archived", "Choose another"),
    "channel that is not there": Fault(target("slack", channel="#nowhere"), SLACK, "channel", "no channel", "Check the"),
    "missing scope": Fault(
        channel(scopes="channels:history,channels:read"), SLACK, "scopes", "chat:write", "OAuth & Permissions"
    ),
    "missing scopes to read": Fault(
        channel(scopes="chat:write", may_read=False), SLACK, "scopes", "channels:history and channels:read", "Add them",
        WARNING,
    ),
    "revoked Slack token": Fault(
        channel(refuse="token_revoked"), SLACK, "account", "token_revoked", "Enter a new token"
    ),
    "Slack's connection missing": Fault(
        target("slack", slack_conn_id="nowhere"), SLACK, "set-up", "connection is not defined", "Define it"
    ),
    "entries that do not exist": Fault(
        lambda setup: setup.cms.items.clear(), HTTP, "read", f"no entry for {ONE}", "Create the entries"
    ),
    "CMS that is down": Fault(lambda setup: setattr(setup.cms, "down", True), HTTP, "read", "HTTP 503", "running"),
    "CMS that refuses the login": Fault(
        lambda setup: setattr(setup.cms, "refuses", True), HTTP, "read", "HTTP 401", "credentials of the connection"
    ),
    "CMS's connection missing": Fault(
        target("http", http_conn_id="nowhere"), HTTP, "set-up", "is not defined (nowhere)", "correct its id"
    ),
    "nothing that is read back": Fault(
        lambda setup: setup.targets["http"].pop("read_endpoint"), HTTP, "read", "only written to", "read_endpoint", WARNING
    ),
    "own class that cannot be imported": Fault(
        lambda setup: setup.targets.update(http={"kind": "custom", "class": "nowhere.Target"}), OWN, "set-up",
        "nowhere.Target is no subclass", "import path",
    ),
    "own check that fails": Fault(own("Failing"), OWN, "check", "the lift is stuck", "Free the lift"),
    "own check that breaks": Fault(own("Breaking"), OWN, "set-up", "KeyError", "connection and its options"),
    "own target without a check": Fault(own("Unchecked"), OWN, "check", "no check of its own", "check()", WARNING),
    "bucket that cannot be written": Fault(unwritable_bucket, BUCKET, "write", "AccessDenied", "s3:PutObject"),
    "paused DAG": Fault(
        airflow(dags={**DAGS, "pme_link_keeper": DagState(paused=True)}), "airflow", "DAGs", "pme_link_keeper is paused",
        "airflow dags unpause pme_link_keeper",
    ),
    "missing DAG": Fault(airflow(dags={}), "airflow", "DAGs", "does not know pme_nightly_rotation", "Copy the DAG files"),
    "DAG whose file is gone": Fault(
        airflow(dags={**DAGS, "pme_leak_response": DagState(stale=True)}), "airflow", "DAGs", "does not know",
        "Copy the DAG files",
    ),
    "import error": Fault(
        airflow(import_errors={"dags/pme_link_keeper.py": "ModuleNotFoundError"}), "airflow", "import errors",
        "ModuleNotFoundError", "list-import-errors",
    ),
    "no triggerer": Fault(
        airflow(running={**RUNNING, "triggerer": False}), "airflow", "triggerer", "No triggerer", "airflow triggerer"
    ),
    "no scheduler": Fault(airflow(running={}), "airflow", "scheduler", "No scheduler", "airflow scheduler"),
}  # fmt: skip


def part_of(section: str) -> str:
    return "placements" if section.startswith("target") else section


def only(report: Report, fault: Fault) -> Entry:
    """The entry of a fault, which is the only one of its section that is as bad."""
    (entry,) = (
        entry for entry in report.entries
        if entry.section == fault.section and entry.result.check == fault.check and entry.result.verdict is fault.verdict
    )  # fmt: skip
    return entry


@pytest.mark.parametrize("name", list(FAULTS))
def test_planted_fault_is_found_and_its_cure_named(setup: SetUp, name: str) -> None:
    fault = FAULTS[name]
    fault.plant(setup)
    report = setup.report([part_of(fault.section)])
    entry = only(report, fault)
    assert fault.finding in entry.result.finding
    assert fault.cure in entry.result.cure
    assert entry.result.cure
    assert report.exit_status == (2 if fault.verdict is BAD else 1), report
    assert SECRET not in json.dumps(report.as_json())
    assert setup.world.counts.get("minted", 0) == len(setup.world.tokens)


def snapshot(setup: SetUp) -> Any:
    """Everything outside of this process that an examination could change."""
    files = {
        path.relative_to(setup.home.parent): path.read_bytes() if path.is_file() and "db" not in path.suffix else b""
        for path in setup.home.parent.rglob("*")
        if not path.name.endswith(("-wal", "-shm"))
    }
    versions = setup.bucket.client.list_object_versions(Bucket=setup.bucket.name)
    kept = [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in versions.get(kind, ())]
    rows = []
    if (setup.home / LEDGER_FILE).exists():
        engine = create_engine(f"sqlite:///{setup.home / LEDGER_FILE}")
        with engine.connect() as connection:
            tables = ("links", "publications", "events", "flags", "claims", "runs", "manifests")
            rows = [list(connection.execute(text(f"SELECT * FROM pme_{table}"))) for table in tables]
        engine.dispose()
    return files, kept, rows, json.dumps(setup.slack.channel.messages), json.dumps(setup.cms.items)


@pytest.mark.parametrize("used", [False, True], ids=["first night", "used"])
def test_good_set_up_is_good_and_nothing_is_left_changed(setup: SetUp, used: bool) -> None:
    setup.place()
    if used:
        mint_once(setup)
        versioning = {"Status": "Enabled"}
        setup.bucket.client.put_bucket_versioning(Bucket=setup.bucket.name, VersioningConfiguration=versioning)
    setup.hook()
    before, alive = snapshot(setup), len(setup.world.alive())
    report = setup.report()
    assert [entry for entry in report.entries if entry.result.verdict is not Verdict.GOOD] == []
    assert report.exit_status == 0
    assert {entry.section for entry in report.entries} >= {
        "connection",
        "ledger",
        "keys",
        "placements",
        "airflow",
        SLACK,
    }
    assert snapshot(setup) == before
    assert len(setup.world.alive()) == alive == int(used)
    assert setup.cms.history == []


def test_own_check_that_finds_nothing_is_good(setup: SetUp) -> None:
    own("Quiet")(setup)
    report = setup.report(["placements"])
    assert report.exit_status == 0, report


def test_placement_of_another_connection_is_left_to_the_examination_of_that_one(setup: SetUp) -> None:
    setup.connection("pme_brokers", conn_type="pme", login="another", password="another secret of some length")
    setup.more["pme_conn_id"] = "pme_brokers"
    setup.models.append("TheirModel0")
    report = setup.report(["placements"])
    (entry,) = report.entries
    assert (entry.result.verdict, "--conn-id pme_brokers" in entry.result.finding) == (Verdict.GOOD, True)


def test_missing_extra_is_named(setup: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pme_airflow.hooks.slack", None)
    (entry,) = (e for e in setup.report(["placements"]).entries if e.section == SLACK)
    assert "pip install 'pme-airflow[slack]'" in f"{entry.result.finding} {entry.result.cure}"
    assert entry.result.verdict is BAD


def test_offset_of_the_clock_that_the_schedule_allows_is_only_doubtful(setup: SetUp) -> None:
    setup.world.move_clock(timedelta(minutes=9).total_seconds())
    assert setup.report(["connection"]).exit_status == 1


def test_placements_file_that_is_missing_is_bad(setup: SetUp, tmp_path: Path) -> None:
    setup.place()
    from pme_airflow.hooks.examination import Examination

    report = Examination(setup.hook(), tmp_path / "nowhere.yaml").report(["placements"])
    (entry,) = report.entries
    assert "cannot be read" in entry.result.finding
    assert entry.result.verdict is BAD
