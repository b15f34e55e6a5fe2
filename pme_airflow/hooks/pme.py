"""The hook: the API client, the ledger and the keys of one PME connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pme_airflow.supported_versions import check_airflow

check_airflow()  # before imports that fail with another Airflow, and do not say why

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from pme_airflow.api.client import PMEClient, limiter_of
from pme_airflow.api.dialect import DialectMemory
from pme_airflow.checks import Verdict
from pme_airflow.clock import Clock, SystemClock
from pme_airflow.doctor.connection import check_connection
from pme_airflow.durations import Validity, parse_duration
from pme_airflow.errors import LedgerError, LedgerMissingError, PMEError, PMEInputError
from pme_airflow.hooks.arguments import checked_audience, empty_or_parts, read_models
from pme_airflow.hooks.connection import ConnectionSettings
from pme_airflow.hooks.connection_lookup import find_connection
from pme_airflow.hooks.ledger_engines import ledger_of
from pme_airflow.hooks.log_masking import LinkMasks
from pme_airflow.ledger import publications
from pme_airflow.ledger.api_facts import LedgerFacts
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.rate_limit import SharedRateLimit
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.account_models import ModelQuery, list_models
from pme_airflow.lifecycle.leak_response import LeakRequest, LeakResponse, respond
from pme_airflow.lifecycle.mint import MintLinksRequest, MintResult, mint_links
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult, sweep
from pme_airflow.lifecycle.token_probe import check_liveness
from pme_airflow.lifecycle.xcom_payload import items_in, models_in
from pme_airflow.placements.token_sharing import checked_models_per_token
from pme_airflow.sealing import OpenedLink, Sealer, key_text

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["PMEHook", "run_context_of"]

#: How long the Test button and the doctor wait for the API.
_BRIEF_SECONDS = 10.0

_masks = LinkMasks()


def run_context_of(context: Mapping[str, Any] | None = None) -> RunContext:
    """Return the run context of the running task; outside of a task, each call is a run of its own."""
    if context is None:
        try:
            from airflow.sdk import get_current_context

            context = get_current_context()
        except RuntimeError:
            return RunContext.of_command("python")
    ti = context.get("ti") or context.get("task_instance")
    if ti is None:
        return RunContext.of_command("python")
    return RunContext.of_task(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


class PMEHook(BaseHook):
    """Mint, open, publish, flag and sweep links over one ``pme`` connection.

    :param pme_conn_id: the connection.
    :param clock: the source of time; the system clock if omitted.
    """

    conn_name_attr = "pme_conn_id"
    default_conn_name = "pme_default"
    conn_type = "pme"
    hook_name = "Matterport Private Model Embed"

    def __init__(self, pme_conn_id: str = default_conn_name, clock: Clock | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pme_conn_id = pme_conn_id
        self.clock = clock or SystemClock()

    @cached_property
    def settings(self) -> ConnectionSettings:
        """The connection's settings, read once.

        :raises PMEInputError: for an invalid setting.
        """
        settings = ConnectionSettings.read(find_connection(self.pme_conn_id))
        for secret in (settings.client_secret, *map(key_text, settings.extras.seal_keys)):
            if secret.reveal():
                mask_secret(secret.reveal())
        return settings

    @cached_property
    def services(self) -> Services:
        """The client, the ledger and the keys."""
        settings = self.settings
        client = PMEClient(
            settings.client_id,
            settings.client_secret,
            settings.host,
            settings.client_settings,
            self.clock,
            limiter=limiter_of(settings.client_settings, self.clock, self._shared_rate_limit()),
            memory=DialectMemory(LedgerFacts(self.database, settings.host, settings.client_id)),
        )
        return Services(client, self.database, self.sealer, self.clock)

    @cached_property
    def sealer(self) -> Sealer:
        """The keys that seal and open links.

        :raises PMEInputError: for a seal key that is too short.
        """
        return Sealer.of_connection(self.settings.client_secret, self.settings.extras.seal_keys)

    def _shared_rate_limit(self) -> SharedRateLimit | None:
        """The request rate that all tasks of the connection share, through the ledger."""
        settings = self.settings
        per_second = settings.extras.requests_per_second
        if per_second is None:
            return None
        return SharedRateLimit(per_second, self.database, self.clock, settings.client_id, settings.host)

    @cached_property
    def database(self) -> Database:
        """The ledger.

        :raises LedgerError: if it cannot be used as it is set up.
        """
        return ledger_of(self.settings.extras.ledger_conn_id, self.clock)

    def get_conn(self) -> PMEClient:
        """Return the API client."""
        return self.services.client

    def brief_client(self) -> PMEClient:
        """Return an API client that waits for at most 10 seconds, and needs no ledger; for the doctor."""
        settings = self.settings
        brief = replace(
            settings.client_settings,
            timeout=min(settings.extras.timeout, _BRIEF_SECONDS),
            deadline=_BRIEF_SECONDS,
            requests_per_second=None,
        )
        return PMEClient(settings.client_id, settings.client_secret, settings.host, brief, self.clock)

    def test_connection(self) -> tuple[bool, str]:
        """Test what the doctor examines first: address, credentials, clock, PME, models, and the ledger.

        :return: whether all work, and a message for the Test button.
        """
        try:
            _ = self.settings, Sealer.of_connection(self.settings.client_secret, self.settings.extras.seal_keys)
            results = list(check_connection(self.brief_client(), self.clock, models=1))
        except PMEError as error:
            return False, str(error)
        bad = [f"{result.finding} {result.cure}" for result in results if result.verdict is Verdict.BAD]
        if bad:
            return False, " ".join(bad)
        try:
            with suppress(LedgerMissingError):  # the first mint creates it
                self.database.check()
        except PMEError as error:
            return False, f"The credentials are good, but the ledger is not: {error}"
        warnings = "".join(f" {result.finding} {result.cure}" for result in results if result.cure)
        return True, (
            f"{self.settings.host} accepts the credentials for Private Model Embed, and the ledger answers.{warnings} "
            "`pme-airflow doctor` examines the rest."
        )

    def mint(
        self,
        models: object,
        valid_for: Validity | timedelta | str = "24h",
        audience: str = "default",
        renew_before: timedelta | str | None = None,
        run_context: RunContext | None = None,
        *,
        check_alive: bool = False,
        models_per_token: int | str = 1,
    ) -> MintResult:
        """Mint a link for every model that needs one.

        :param models: ids, share URLs, ``{"query": "*"}`` for what the account lists, or a reference to many.
        :param valid_for: the validity that new links are requested with.
        :param audience: who the links are for.
        :param renew_before: a link with at least this left is reused; ``None`` renews all.
        :param check_alive: whether a sample of the live links is asked about, so that dead ones are replaced.
        :param models_per_token: how many models may share a token; 1 for a link for each.
        :raises PMEError: if nothing could be done at all; single models' failures are in the outcome.
        """
        most = checked_models_per_token(models_per_token)
        validity = Validity.parse(valid_for)
        margin = None if renew_before in (None, "") else parse_duration(renew_before, "renew_before")
        request = MintLinksRequest(
            self._wanted(models), checked_audience(audience), validity, margin, models_per_token=most
        )
        run_context = run_context or run_context_of()
        dead = check_liveness(self.services, run_context, request.audience).dead if check_alive else ()
        result = mint_links(self.services, run_context, request)
        return replace(result, dead=len(dead))

    def list_models(
        self, models: object, audience: str = "default", run_context: RunContext | None = None
    ) -> list[str]:
        """Return the ids of models, or of what the account lists.

        :param models: as for :meth:`mint`.
        :param audience: in whose slots models that the account has stopped listing are cleared.
        """
        wanted = self._wanted(models)
        if not isinstance(wanted, ModelQuery):
            return wanted
        run_context = run_context or run_context_of()
        return list_models(self.services, run_context, checked_audience(audience), wanted).models

    def shown_models(self, models: object) -> list[str] | None:
        """Return the ids of the models that a target is to show, from the ``models`` of a transfer.

        :param models: as for :meth:`mint`, or batches of them as ``PMEListModelsOperator`` returns; an empty list for
            none. For a query, as for ``None``, ``None`` is returned: the account says which they are.
        :raises PMEInputError: for anything else.
        """
        parts = empty_or_parts(models)
        if parts is None:
            wanted = None if models is None else self._wanted(models)
            return None if isinstance(wanted, ModelQuery) else wanted
        found = [self.shown_models(part) for part in parts]
        return None if None in found else [model_id for ids in found for model_id in ids or ()]

    def _wanted(self, models: object) -> list[str] | ModelQuery:
        read = read_models(models)
        return models_in(self.database, read) if isinstance(read, Mapping) else read

    def open(self, item: Mapping[str, Any]) -> str:
        """Return the clear URL of one XCom item. Airflow's logs mask it from then on; keep it out of XCom.

        :raises PMESealError: if the item is not as the mint returned it, or the key is gone.
        """
        return self.open_link(item).url.reveal()

    def open_link(self, item: Mapping[str, Any]) -> OpenedLink:
        """Return the URL and token of one XCom item, both hidden, and mask them in the logs from then on."""
        opened = self.services.open_item(dict(item))
        _masks.add(opened)
        return opened

    def items(self, links: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the items of a mint task's output: items, a reference to many, or lists of them as mapped tasks give.

        What :meth:`mint` returned is taken too.

        :raises PMEInputError: for anything else.
        """
        return items_in(self.services, links.xcom_payload if isinstance(links, MintResult) else links)

    def record_publication(
        self, item: Mapping[str, Any], target: str, slot: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """Record that a task of your own put an item's link into a slot. Call it once the target has confirmed that.

        The link that the slot showed before is retired if no other slot shows it.

        :param target: the name of the target, for instance ``intranet``.
        :param slot: the name of the place inside it, for instance a page.
        :param details: JSON the next run needs to edit the slot in place; never a link or token.
        :raises LedgerError: if the slot already shows a later link.
        """
        shown = publications.Shown(
            slot, str(item["link_id"]), dict(details or {}), self.services.grace, str(item["model_id"])
        )
        refused = self.database.run(
            run_context_of(), lambda tx: publications.publish(tx, target, [shown], claimed=False)
        )
        if refused:
            raise LedgerError(f"{target}, {slot}: not recorded, since {refused[slot]}.")

    def flag(
        self,
        tokens: Iterable[str] = (),
        models: Iterable[str] = (),
        audiences: Iterable[str] = (),
        link_ids: Iterable[str] = (),
        reason: str = "",
        run_context: RunContext | None = None,
        *,
        within: bool = False,
    ) -> LeakResponse:
        """Flag leaked links; the next sweep revokes them.

        :param tokens: raw tokens, links in any encoding, or fingerprints; raw tokens are fingerprinted first.
        :param within: whether a link must match all of the criteria, where several are given.
        :raises PMEInputError: if there is nothing to flag, if criteria are mixed without ``within``, or if a value
            cannot be read; the rest is flagged then.
        """
        request = LeakRequest(
            _texts(tokens), _texts(models), _texts(audiences), _texts(link_ids), reason=reason, within=within
        )
        response = respond(self.services, run_context or run_context_of(), request)
        if response.problems:
            raise PMEInputError("; ".join(str(problem) for problem in response.problems))
        return response

    def sweep(
        self,
        max_attempts: int = 6,
        *,
        verify: bool = False,
        flagged_only: bool = False,
        deadline: timedelta | None = None,
        next_within: timedelta | None = None,
        run_context: RunContext | None = None,
    ) -> SweepResult:
        """Revoke what is due, and return the result.

        :param max_attempts: a link that the API refused to revoke so often is irrevocable.
        :param verify: whether to request each revoked link itself, and record the answer.
        :param flagged_only: whether to revoke leaked links alone.
        :param deadline: how long to go on while no revocation is confirmed; ``None`` for two minutes.
        :param next_within: how long to wait for the next retirement, so that one sweep revokes several;
            ``None`` not to wait.
        """
        request = SweepRequest(max_attempts, verify, flagged_only, deadline, next_within)
        return sweep(self.services, run_context or run_context_of(), request)
