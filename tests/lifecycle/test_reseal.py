"""A rotation of the secret or of the keys locks no link at any step, and says which keys are still needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pme_airflow.api.client import PMEClient
from pme_airflow.api.settings import ClientSettings
from pme_airflow.dev.emulator import World
from pme_airflow.durations import Validity
from pme_airflow.errors import PMECredentialsError, PMEUnavailableError
from pme_airflow.ledger import audit, flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle import reseal as module
from pme_airflow.lifecycle.reseal import ResealResult, reseal
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, mint_for_viewer
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS, SECRET
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint, publish, rows, sweep

ALL = list(MODELS)[:5]
NEW, OTHER = "the new secret, of some length", "a seal key of some length"


def with_keys(services: Services, secret: str, *seal_keys: str) -> Services:
    """The same connection after its secret or keys were changed."""
    return replace(services, sealer=Sealer.of_connection(SecretStr(secret), [SecretStr(key) for key in seal_keys]))


def resealed(services: Services, *, unchecked: bool = False) -> ResealResult:
    return reseal(services, RunContext.of_command("ledger reseal"), unchecked=unchecked)


def opens_all(services: Services) -> bool:
    found = list(services.live_links())
    return bool(found) and all(opened is not None for _, opened in found)


def test_links_move_to_the_current_key_once(services: Services) -> None:
    mint(services, "run", ALL)
    during = with_keys(services, NEW, f"open:{SECRET}")
    first = resealed(during)
    assert (first.moved, first.still_needed, first.promise_kept) == (5, (), True)
    assert first.lines() == []
    assert resealed(during).moved == 0
    assert opens_all(with_keys(services, NEW))
    assert not opens_all(services)


#: What the connection holds, step by step; after each step all links open, are shown and can be revoked.
ROTATIONS: dict[str, list[tuple[str, ...]]] = {
    "the secret, without keys": [(SECRET,), (NEW, f"open:{SECRET}"), (NEW,)],
    "the secret, without keys, the old one given plain": [(SECRET,), (NEW, SECRET), (NEW, f"open:{SECRET}"), (NEW,)],
    "the secret, with a key": [(SECRET, OTHER), (NEW, OTHER)],
    "a first key": [(SECRET,), (SECRET, OTHER)],
    "a key for another": [(SECRET, OTHER), (SECRET, NEW, OTHER), (SECRET, NEW)],
    "the key is given up": [(SECRET, OTHER), (SECRET, f"open:{OTHER}"), (SECRET,)],
    "the secret twice": [(SECRET,), (NEW, f"open:{SECRET}"), (OTHER, f"open:{NEW}", f"open:{SECRET}"), (OTHER,)],
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_rotation_leaves_nothing_dark_or_unrevocable_at_any_step(services: Services, world: World, name: str) -> None:
    shelf = Shelf()
    for number, (secret, *keys) in enumerate(ROTATIONS[name]):
        now = with_keys(services, secret, *keys)
        if number == 0:
            publish(now, "monday", shelf, mint(now, "monday", ALL).items)
        assert opens_all(now), f"step {number}, before reseal"
        assert resealed(now).promise_kept
        assert opens_all(now), f"step {number}, after reseal"
        assert mint(now, f"keeper{number}", ALL).links == len(ALL)
        assert all(world.tokens[token].alive(world.now()) for token in shelf.shown.values())
    last = with_keys(services, ROTATIONS[name][-1][0], *ROTATIONS[name][-1][1:])
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", audiences=["intranet"])
    result = sweep(last)
    assert not result.unopened
    assert world.alive() == []


def test_tokens_of_several_models_and_of_viewers_move_with_the_others(
    shared_services: Services, shared_world: World
) -> None:
    before, models = shared_services, SHARED_MODELS[:6]
    mint(before, "monday", models, models_per_token=3)
    viewers = ViewerLinkRequest(models[0], "intranet", "ada", Validity(600))
    mint_for_viewer(before, viewers)
    assert resealed(with_keys(before, NEW, f"open:{SECRET}")).moved == 3
    after = with_keys(before, NEW)
    assert opens_all(after)
    assert not list(filter(None, (opened for _, opened in before.live_links())))
    with after.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", audiences=["intranet"])
    assert not sweep(after).unopened
    assert shared_world.alive() == []


def mistyped(services: Services, host: str | None = None) -> Services:
    """The connection after a reset, with a secret that the API does not know."""
    settings = ClientSettings(timeout=1.0, deadline=1.0)
    client = PMEClient(services.client.client_id, SecretStr(NEW), host or services.client.host, settings)
    return replace(with_keys(services, NEW, f"open:{SECRET}"), client=client)


@pytest.mark.parametrize("unchecked", [False, True])
def test_no_link_is_sealed_with_a_secret_that_the_api_refuses(services: Services, unchecked: bool) -> None:
    mint(services, "run", ALL)
    with pytest.raises(PMECredentialsError):
        resealed(mistyped(services), unchecked=unchecked)
    assert opens_all(services)


def test_no_link_is_sealed_with_a_secret_that_the_api_cannot_confirm(services: Services) -> None:
    mint(services, "run", ALL)
    with pytest.raises(PMEUnavailableError, match="--unchecked"):
        resealed(mistyped(services, "http://127.0.0.1:9"))
    assert opens_all(services)


def test_an_unchecked_secret_is_named_and_keeps_the_earlier_keys_needed(services: Services) -> None:
    mint(services, "run", ALL)
    result = resealed(mistyped(services, "http://127.0.0.1:9"), unchecked=True)
    assert (result.moved, result.still_needed, result.promise_kept) == (5, (), False)
    (line,) = result.lines()
    assert "was not checked" in line
    assert "open:SECRET" in line
    assert resealed(with_keys(services, SECRET, f"open:{NEW}")).promise_kept
    assert opens_all(services)


def test_links_that_no_key_opens_are_named_by_their_key(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    mint(services, "run", ALL)
    (key_id,) = {str(row.sealed).split(":")[2] for row in rows(services)}
    result = resealed(with_keys(services, NEW))
    (use,) = result.still_needed
    assert (use.key_ids, use.links, use.held) == (key_id, 5, False)
    assert use.until == max(row.valid_until for row in rows(services))
    assert (result.moved, result.unopened, result.promise_kept) == (0, 5, False)
    (line,) = result.lines()
    for part in ("5 links", key_id, "open:SECRET", f"{use.until:%Y-%m-%d %H:%M}"):
        assert part in line
    assert line in caplog.text
    assert result.as_json()["still_needed"][0]["key_ids"] == key_id


def test_one_link_that_no_key_opens_does_not_stop_the_others(services: Services) -> None:
    mint(with_keys(services, OTHER), "other", ALL[:2])
    mint(services, "run", ALL[2:])
    result = resealed(with_keys(services, NEW, f"open:{SECRET}"))
    assert (result.moved, result.unopened) == (3, 2)


def test_another_clients_links_are_its_own_to_move(services: Services) -> None:
    mint(with_keys(services, OTHER), "other", ALL)
    services.client.client_id = "another-client"
    result = resealed(with_keys(services, NEW))
    assert (result.moved, result.still_needed, result.promise_kept) == (0, (), True)
    held = resealed(with_keys(services, NEW, f"open:{OTHER}"))
    assert held.moved == 5


def test_a_mint_that_is_under_way_is_named(services: Services) -> None:
    from pme_airflow.ledger import mint_requests, mint_runs
    from tests.support.rooms import demand

    with services.database.write(RunContext("dag/run/mint/-1")) as tx:
        run = mint_runs.begin(tx)
        mint_requests.prepare(tx, run, demand(), ALL[:2], services.server_now(), lambda _: True)
    result = resealed(services)
    assert (result.in_flight, result.promise_kept) == (2, False)
    assert "2 mints are under way" in result.lines()[0]


def test_a_link_sealed_meanwhile_with_the_earlier_key_is_moved_too(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    mint(services, "run", ALL[:3])
    during = with_keys(services, NEW, f"open:{SECRET}")
    whole = module._move_all
    calls: list[int] = []

    def late(*args: Any) -> int:
        moved = whole(*args)
        calls.append(moved)
        if len(calls) == 1:
            mint(services, "late", ALL[3:])
        return moved

    monkeypatch.setattr(module, "_move_all", late)
    result = resealed(during)
    assert calls == [3, 2]
    assert (result.moved, result.promise_kept) == (5, True)


def test_a_link_that_keeps_coming_back_is_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    mint(services, "run", ALL)
    passes: list[object] = []
    monkeypatch.setattr(module, "_move_all", lambda *given: passes.append(given) or 0)
    result = resealed(with_keys(services, NEW, f"open:{SECRET}"))
    assert len(passes) == 3
    (use,) = result.still_needed
    assert use.held
    assert "Run reseal again" in result.lines()[0]


def test_many_links_are_read_in_pages(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    mint(services, "run", ALL)
    whole = audit.sealed_rows
    monkeypatch.setattr(audit, "sealed_rows", lambda tx, after: whole(tx, after, 2))
    assert resealed(with_keys(services, NEW, f"open:{SECRET}")).moved == 5
