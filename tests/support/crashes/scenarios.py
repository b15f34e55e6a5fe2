"""What is killed: the work of a night, of the keeper, of sweeps, leaks, retirements, keys, purges and migrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import MetaData, create_engine, inspect, text

from pme_airflow.ledger import audit
from pme_airflow.ledger.links import LinkRow
from pme_airflow.ledger.migrations import migrate
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.states import State
from pme_airflow.ledger.tables import HEAD_REVISION, metadata
from pme_airflow.lifecycle.leak_response import LeakRequest, respond
from pme_airflow.lifecycle.reseal import reseal
from pme_airflow.lifecycle.retire import RetireRequest, retire
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.support.crashes import promises
from tests.support.crashes.promises import Before
from tests.support.crashes.stage import MODELS, Stage
from tests.support.rooms import CLIENT, demand, mint, publish, rows, sweep

HOUR = 3600.0
NEW_KEY = SecretStr("a seal key of the crash tests, the new one")
#: How long a killed sweep keeps others from what it took.
_LEASE = 46.0
AUDIENCE = demand().audience


@dataclass(frozen=True)
class Scenario:
    """Work that is killed or fails at each of its boundaries, and then runs again.

    :param prepare: brings a stage with a night's links to where the work begins.
    :param work: returns whether all went well by its own account.
    :param goal: raises unless the work is done; called after each run that says so, and after the rerun.
    :param leaked: whether slots may be dark on the way, since their link leaked.
    :param patience: seconds after which a further run may be needed: a killed sweep keeps its links for that long.
    :param clears: whether slots are cleared on purpose.
    """

    name: str
    prepare: Callable[[Stage], None]
    work: Callable[[Stage], bool]
    goal: Callable[[Stage, Before], None]
    leaked: bool = False
    patience: float = 0.0
    clears: bool = False


def build(stage: Stage) -> None:
    """Show a night's links."""
    assert night(stage, "first")


def night(stage: Stage, run: str = "night", renew_before: timedelta | None = None) -> bool:
    """Mint, publish to both targets, and sweep."""
    services = stage.services()
    made = mint(services, run, MODELS, demand(renew_before=renew_before))
    published = [publish(services, run, target, made.items).promise_kept for target in stage.targets()]
    swept = sweep(services).promise_kept
    return made.promise_kept and all(published) and swept


def keeper(stage: Stage) -> bool:
    """Renew what has less than half of its life left, and heal."""
    return night(stage, "keeper", timedelta(hours=12))


# ------------------------------------------------------------------- rotation


def a_day_later(stage: Stage) -> None:
    """Each link has an hour left."""
    stage.clock.advance(23 * HOUR)


def half_a_day_later(stage: Stage) -> None:
    """Each link is below its margin, and one leaked and was revoked."""
    stage.clock.advance(12.5 * HOUR)
    services = stage.services()
    _respond(services, _live(services)[0])


def every_slot_shows_a_new_link(stage: Stage, was: Before) -> None:
    """Both targets show all models, each a link of this run."""
    assert len(stage.shown()) == 2 * len(MODELS), "a slot shows nothing"
    assert not promises.dark(stage), "a slot is dark"
    for slot, token in stage.shown().items():
        assert token not in was.tokens, f"{slot} still shows an earlier link"


# --------------------------------------------------------------------- sweeps


def three_replaced_and_one_leaked(stage: Stage) -> None:
    """The links of a night ago are to be revoked, and one of the new ones was flagged."""
    stage.clock.advance(12 * HOUR)
    assert night(stage, "second")
    stage.clock.advance(0.3 * HOUR)
    services = stage.services()
    newest = _live(services)[0]
    respond(services, RunContext("cli/flag"), LeakRequest(tokens=(newest.fingerprint,), reason="it leaked"))
    stage.truth.denials = 1


def three_replaced_and_an_api_that_refuses(stage: Stage) -> None:
    three_replaced_and_one_leaked(stage)
    stage.truth.denials = -1


def swept(stage: Stage) -> bool:
    stage.truth.denials = 1
    services = stage.services()
    swept = sweep(services).promise_kept  # which speaks of leaked links alone
    return swept and not any(row.state is State.LIVE for row in _due(services))


def swept_in_vain(stage: Stage) -> bool:
    stage.truth.denials = -1
    services = stage.services()
    sweep(services, max_attempts=2)
    return all(row.irrevocable for row in _due(services))


def nothing_due_is_alive(stage: Stage, was: Before) -> None:
    due = _due(stage.services())
    assert len(due) == 4
    stage.truth.refresh()
    alive = {promises.mark(issued.token) for issued in stage.truth.alive()}
    lost = promises.unconfirmed(stage)
    for row in due:
        assert row.fingerprint not in alive, "what was due is alive"
        assert row.state is State.REVOKED or row.link_id in lost, "what was due is not recorded as revoked"


def what_was_denied_is_irrevocable(stage: Stage, was: Before) -> None:
    due = _due(stage.services())
    assert [row.state for row in due] == [State.LIVE] * 4, "what the API denied is not live"
    assert all(row.irrevocable for row in due), "what was denied too often is not irrevocable"


# ---------------------------------------------------------------------- leaks


def responded_and_healed(stage: Stage) -> bool:
    """Flag and revoke the first model's link, and let the keeper heal."""
    services = stage.services()
    leaked = [row for row in rows(services) if row.model_id == MODELS[0] and row.fingerprint]
    revoked = _respond(services, leaked[-1])
    return keeper(stage) and revoked


def the_leaked_slots_are_healed(stage: Stage, was: Before) -> None:
    stage.truth.refresh()
    leaked = [row for row in rows(stage.services()) if row.flagged_at is not None]
    assert len(leaked) == 1, "more than the leaked link was flagged"
    lost = promises.unconfirmed(stage)
    assert leaked[0].state is State.REVOKED or leaked[0].link_id in lost, "the leaked link was not revoked"
    assert len(stage.shown()) == 2 * len(MODELS)
    assert not promises.dark(stage), "a slot is dark"


# ---------------------------------------------------------------- retirements


def retired(stage: Stage) -> bool:
    """Retire the site, and one model everywhere."""
    services = stage.services()
    at = {target.name: target for target in stage.targets()}
    good = True
    for criteria in ({"targets": ("site",)}, {"models": (MODELS[0],)}):
        request = RetireRequest(**criteria, at=at, sweep=True, allow_clearing=True)  # type: ignore[arg-type]
        good &= retire(services, RunContext("cli/retire"), request).promise_kept
    return good


def the_site_and_a_model_are_gone(stage: Stage, was: Before) -> None:
    assert set(stage.shown()) == {f"pages/{model_id}" for model_id in MODELS[1:]}, "not what was retired is gone"
    stage.truth.refresh()
    assert {issued.model_id for issued in stage.truth.alive()} == set(MODELS[1:]), "not what was retired is dead"


# ----------------------------------------------------------------------- keys


def resealed(stage: Stage) -> bool:
    stage.seal_keys = (NEW_KEY,)
    return reseal(stage.services(), RunContext("cli/reseal")).promise_kept


def every_link_opens_with_the_new_key(stage: Stage, was: Before) -> None:
    sealer = Sealer.of_connection(SecretStr("another secret, after a reset"), [NEW_KEY])
    live = _live(stage.services())
    assert len(live) == len(MODELS)
    for row in live:
        token = sealer.open(row.sealed or "", row.link_id, row.model_id).token
        assert promises.mark(token.reveal()) == row.fingerprint


# ---------------------------------------------------------------------- purge


def nights_ago(stage: Stage) -> None:
    """Two nights of links are over, and the last one's are live."""
    for number in range(2):
        stage.clock.advance(20 * HOUR)
        assert night(stage, f"night{number}")
    stage.clock.advance(20 * HOUR)
    assert night(stage, "last")
    stage.clock.advance(0.3 * HOUR)
    sweep(stage.services())


def purged(stage: Stage) -> bool:
    limit = stage.clock.now() - timedelta(hours=30)
    audit.purge(stage.services().database, limit)
    return True


def what_ended_is_gone(stage: Stage, was: Before) -> None:
    states = [row.state for row in rows(stage.services())]
    assert states.count(State.LIVE) == len(MODELS)
    assert len(states) < 4 * len(MODELS), "nothing was purged"


# ------------------------------------------------------------------ the table


def same(stage: Stage) -> None:
    """Begin with a night's links as they are."""


SCENARIOS: Sequence[Scenario] = (
    Scenario("nightly", a_day_later, night, every_slot_shows_a_new_link),
    Scenario("keeper", half_a_day_later, keeper, every_slot_shows_a_new_link),
    Scenario(
        "sweep under denials", three_replaced_and_one_leaked, swept, nothing_due_is_alive, leaked=True, patience=_LEASE
    ),
    Scenario(
        "sweep in vain",
        three_replaced_and_an_api_that_refuses,
        swept_in_vain,
        what_was_denied_is_irrevocable,
        leaked=True,
        patience=_LEASE,
    ),
    Scenario("leak response", same, responded_and_healed, the_leaked_slots_are_healed, leaked=True, patience=_LEASE),
    Scenario("retirement", same, retired, the_site_and_a_model_are_gone, patience=_LEASE, clears=True),
    Scenario("reseal", same, resealed, every_link_opens_with_the_new_key),
    Scenario("purge", nights_ago, purged, what_ended_is_gone),
)


def _due(services: Services) -> list[LinkRow]:
    return [row for row in rows(services) if row.flagged_at is not None or row.retire_at is not None]


def _live(services: Services) -> list[LinkRow]:
    return rows(services, "live")


def _respond(services: Services, row: LinkRow) -> bool:
    request = LeakRequest(tokens=(row.fingerprint,), reason="it leaked", sweep=True)
    return respond(services, RunContext("cli/flag"), request).promise_kept


# ----------------------------------------------------------------- migrations


def empty(address: str) -> None:
    """Drop every table of a database."""
    engine = create_engine(address)
    found = MetaData()
    with engine.begin() as connection:
        found.reflect(connection)
        found.drop_all(connection)
    engine.dispose()


def at_revision(address: str, revision: str, stage: Stage) -> None:
    """Make the tables of an earlier version, with a link that is shown."""
    empty(address)
    engine = create_engine(address)
    migrate(engine, revision)
    now = int(stage.clock.now().timestamp() * 1_000_000)
    link = {
        "link_id": "lnk_1", "client_id": CLIENT, "model_id": MODELS[0], "audience": AUDIENCE, "state": "live",
        "run": "dag/run/mint/-1", "run_uid": "u", "valid_for": 86400, "requested_at": now,
        "valid_until": now + 86_400_000_000, "revoke_attempts": 0, "irrevocable": False,
    }  # fmt: skip
    slot = {
        "slot_key": "key", "target": "site", "slot": MODELS[0], "link_id": "lnk_1", "link_seq": 1,
        "model_id": MODELS[0], "audience": AUDIENCE, "published_at": now, "run": "dag/run/publish/-1", "details": "{}",
    }  # fmt: skip
    event = {"at": now, "event": "published", "link_id": "lnk_1", "model_id": MODELS[0], "audience": AUDIENCE,
             "run": "r", "reason": f"site shows it at {MODELS[0]}"}  # fmt: skip
    with engine.begin() as connection:
        for table, row in (("pme_links", link), ("pme_publications", slot), ("pme_events", event)):
            names = ", ".join(row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(row)})"), row)
    engine.dispose()


def migrated(stage: Stage) -> bool:
    stage.services().database.migrate()
    return True


def the_tables_are_of_this_version(stage: Stage, revision: str) -> None:
    """The tables are exactly the code's, and what was in them is still there, with what later versions added."""
    services = stage.services()
    assert services.database.revision() == HEAD_REVISION
    with services.database.read() as tx:
        found = inspect(tx.connection)
        assert set(found.get_table_names()) == {*metadata.tables, "pme_version"}
        for name, table in metadata.tables.items():
            assert {column["name"] for column in found.get_columns(name)} == set(table.columns.keys()), name
            indexes = {index["name"]: index["column_names"] for index in found.get_indexes(name)}
            assert {index.name: index.columns.keys() for index in table.indexes}.items() <= indexes.items(), name
            surplus = {index for index in indexes if index} - {index.name for index in table.indexes}
            assert {name for name in surplus if not name.endswith(("link_id", "link_id_key"))} == set(), name
        (link,) = audit.list_links(tx)
        (event,) = audit.export_events(tx)
        owner = tx.scalar(text("SELECT client_id FROM pme_publications"))
    assert (link.link_id, link.state) == ("lnk_1", State.LIVE)
    if revision < "0004":
        filled = link.task_key, owner
        assert filled == (RunContext.of_task("dag", "run", "mint").task_key, CLIENT), "an owner was not filled in"
    if revision < "0006":
        assert (event["target"], event["slot"]) == ("site", MODELS[0]), "a slot was not filled in"
