"""An examination of one connection's set-up by the doctor, with what Airflow knows about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pme_airflow.api.client import PMEClient
from pme_airflow.api.messages import Model
from pme_airflow.doctor import CheckResult, Report, Section, examine
from pme_airflow.doctor.airflow import check_airflow
from pme_airflow.doctor.connection import MAX_LISTED, check_connection, list_some_models
from pme_airflow.doctor.keys import check_keys
from pme_airflow.doctor.ledger import check_ledger
from pme_airflow.doctor.mint_trial import try_minting
from pme_airflow.doctor.placements import check_other_connection, check_placements, check_target, items_of, unreadable
from pme_airflow.errors import PMEError, PMEInputError, PMEUnavailableError
from pme_airflow.hooks.airflow_state import SHIPPED_DAGS, airflow_state
from pme_airflow.hooks.connection_lookup import find_connection
from pme_airflow.hooks.ledger_views import placements_for_command
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.model_ids import model_id_of
from pme_airflow.placements import Placement, TargetSpec, transfer_for
from pme_airflow.sealing import key_text

__all__ = ["PARTS", "Examination"]

PARTS = ("connection", "ledger", "keys", "placements", "airflow")

Check = Callable[[], Iterable[CheckResult]]


class Examination:
    """The parts of one examination; what several of them need is read once.

    :param hook: the hook of the connection.
    :param placements_file: the placements; ``None`` for those that the DAGs read.
    """

    def __init__(self, hook: PMEHook, placements_file: Path | None = None) -> None:
        self._hook = hook
        self._placements_file = placements_file

    def report(self, parts: Sequence[str] = PARTS, trial_model: str | None = None) -> Report:
        """Examine some parts, and return what was found, without any secret.

        :param trial_model: the model that a few links are minted for and revoked; ``None`` for no trial.
        """
        return examine(list(self._sections(parts, trial_model))).without(self._secrets())

    def _sections(self, parts: Sequence[str], trial_model: str | None) -> Iterator[Section]:
        checks: dict[str, Check] = {
            "connection": lambda: check_connection(self._client, self._hook.clock),
            "ledger": lambda: check_ledger(self._hook.database, self._hook.clock),
            "keys": lambda: check_keys(self._hook.services),
            "placements": self._check_placements,
            "airflow": _check_airflow,
        }
        for part in PARTS:
            if part in parts:
                yield Section(part, checks[part])
            if part == "connection" and trial_model is not None:
                yield Section("trial", lambda: self._try_minting(trial_model), seconds=None)
            if part == "placements" and part in parts:
                yield from self._targets()

    def _secrets(self) -> list[str]:
        """Return the connection's secrets, as far as it can be read."""
        try:
            settings = self._hook.settings
        except PMEError:
            return []
        return [settings.client_secret.reveal(), *(key_text(key).reveal() for key in settings.extras.seal_keys)]

    @cached_property
    def _client(self) -> PMEClient:
        return self._hook.brief_client()

    def _try_minting(self, model: str) -> Iterator[CheckResult]:
        return try_minting(self._client, self._hook.clock, model_id_of(model, "--mint"))

    # -------------------------------------------------------------- placements

    def _check_placements(self) -> Iterator[CheckResult]:
        try:
            placements = self._placements
        except PMEInputError as error:
            yield from unreadable(error)
            return
        own = [placement for placement in placements if self._is_own(placement)]
        if own or not placements:
            yield from check_placements(own, self._models)
        for placement in placements:
            if not self._is_own(placement):
                yield check_other_connection(placement, find_connection)

    def _is_own(self, placement: Placement) -> bool:
        return placement.pme_conn_id == self._hook.pme_conn_id

    @cached_property
    def _placements(self) -> tuple[Placement, ...]:
        """The placements of the file that is named, or else of the one that every command reads.

        :raises PMEInputError: with a line for each thing that is wrong.
        """
        return placements_for_command(self._placements_file).required()

    @cached_property
    def _models(self) -> dict[str, Model] | None:
        """The account's models by id; ``None`` where they cannot be listed, or are too many."""
        try:
            listed = list_some_models(self._client)
        except PMEError:
            return None
        return {model.model_id: model for model in listed} if len(listed) < MAX_LISTED else None

    def _targets(self) -> Iterator[Section]:
        try:
            placements = self._placements
        except PMEInputError:
            return
        for placement in filter(self._is_own, placements):
            for number, spec in enumerate(placement.targets):
                yield Section(f"target {number} ({spec.kind}) of {placement.audience}", self._target(placement, spec))

    def _target(self, placement: Placement, spec: TargetSpec) -> Check:
        def check_it() -> Iterable[CheckResult]:
            items = items_of(placement, (self._models or {}).values())
            return check_target(lambda: transfer_for(placement, spec, []).make_target(self._hook), items)

        return check_it


def _check_airflow() -> Iterator[CheckResult]:
    try:
        state = airflow_state(SHIPPED_DAGS)
    except PMEUnavailableError as error:
        found = CheckResult.of_error("database", error)
        yield CheckResult.warning(found.check, found.finding, found.cure)
        return
    yield from check_airflow(state, SHIPPED_DAGS)
