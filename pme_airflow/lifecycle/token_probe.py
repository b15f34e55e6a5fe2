"""A truth beyond the ledger: whether the tokens that it calls live do still work.

A token that somebody revoked elsewhere, or that a reset of the client secret ended, is dark although the ledger calls
its link live. No documented call tells, so :func:`find_probe` tries each way on a token that is live and then revoked,
and the ledger remembers for a day which way distinguished the two. A way that calls both alive, or both dead, is not
believed. Where nobody tried that yet, a check compares a live link with a token that never was, which costs no mint;
before a link is called dead the probe is always tried on a revoked token.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pme_airflow.api.client import NEVER_ISSUED
from pme_airflow.api.outcomes import Revoked
from pme_airflow.api.token_probe import Liveness, ProbeMethod, distinguishing, probe_fact
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEError, PMESealError, PMEUnavailableError
from pme_airflow.ledger import liveness, revocations
from pme_airflow.ledger.api_facts import LedgerFacts
from pme_airflow.ledger.links import LinkRow, by_id, item_of
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.transaction import WriteTransaction
from pme_airflow.lifecycle.mint import MintLinksRequest, mint_links
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = ["PROBE_AUDIENCE", "LivenessCheck", "ProbeFinding", "check_liveness", "find_probe", "known_probe"]

#: The audience of the links that probes are tried on. No placement can have it.
PROBE_AUDIENCE = "pme:probe"
_TRIAL_VALIDITY = Validity(60)
_FACT = "token_probe"
_NONE = "none"
#: A keeper run asks about one link at least, and about this part of the mints of a day at the most.
_SHARE = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeFinding:
    """Which way distinguishes a dead token from a live one.

    :param method: the way; ``None`` where none does, so that nothing is asked.
    :param live: what each way found of a token that was live.
    :param revoked: what each way found of the same token after it was revoked.
    """

    method: ProbeMethod | None
    live: Mapping[ProbeMethod, Liveness]
    revoked: Mapping[ProbeMethod, Liveness]

    @property
    def message(self) -> str:
        """What was found, in a sentence for a person."""
        if self.method is not None:
            return f"The {self.method.value} tells a dead token from a live one."
        results = ", ".join(
            f"the {method.value} calls a live token {self.live[method].value} and a revoked one "
            f"{self.revoked[method].value}"
            for method in ProbeMethod
        )
        return f"Nothing tells a dead token from a live one, so none is asked about: {results}."


@dataclass(frozen=True)
class LivenessCheck:
    """What a check of live links found.

    :param asked: about how many links the API was asked.
    :param dead: the links whose tokens work no more.
    :param problem: why nothing was asked or believed, if so.
    """

    asked: int = 0
    dead: tuple[LinkRow, ...] = ()
    problem: str = ""


def known_probe(services: Services) -> ProbeMethod | None:
    """Return the way that was found within the last day; ``None`` where none was, or none tells."""
    value = _facts(services).load().get(_FACT, _NONE)
    return None if value == _NONE else ProbeMethod(value)


def find_probe(services: Services, run_context: RunContext, model_id: str) -> ProbeFinding:
    """Try each way on a token of a model, live and then revoked, and remember the way that tells the two apart.

    It mints one link of 60 s, which the ledger knows, and revokes it.

    :raises PMEError: where no link can be minted or revoked, so that nothing was found out.
    """
    run_context = RunContext(run_context.run)  # a run of its own: the caller's may be minting too
    result = mint_links(services, run_context, MintLinksRequest([model_id], PROBE_AUDIENCE, _TRIAL_VALIDITY))
    if not result.items:
        raise PMEUnavailableError(f"No link could be minted to try probes on: {result.failures[0].reason}")
    opened = services.open_item(result.items[0])
    live = services.client.probe_each(model_id, opened.token, opened.url)
    _revoke(services, run_context, str(result.items[0]["link_id"]), opened)
    revoked = services.client.probe_each(model_id, opened.token, opened.url)
    finding = ProbeFinding(distinguishing(live, revoked), live, revoked)
    _facts(services).save(probe_fact(finding.method))
    (log.info if finding.method else log.warning)("%s", finding.message)
    return finding


def check_liveness(services: Services, run_context: RunContext, audience: str) -> LivenessCheck:
    """Ask about a sample of an audience's live links, each once in its life, and note which are dead.

    A run asks about one link at least and 1 % of the day's mints at the most. Where one is dead, the probe is tried
    anew on a token that is certainly live and then revoked, and if it still distinguishes the two, all other links are
    asked about too, also those that were alive when a run asked. It never raises for what it could not find out.
    """
    problem = ""
    try:
        return _check(services, run_context, audience)
    except PMEError as error:
        problem = str(error)
    log.warning("Audience %s: whether live links work was not found out: %s", audience, problem)
    return LivenessCheck(problem=problem)


def _check(services: Services, run_context: RunContext, audience: str) -> LivenessCheck:
    client_id = services.client.client_id
    with services.database.read() as tx:
        budget = max(1, math.floor(_SHARE * liveness.mints_of_last_day(tx, client_id, audience)))
        sample = liveness.unasked(tx, client_id, audience, budget)
    if not sample:
        return LivenessCheck()
    method = _method(services, run_context, sample[0])
    if method is None:
        return LivenessCheck(problem="nothing tells a dead token from a live one")
    dead = _ask(services, run_context, method, sample)
    if not dead:
        return LivenessCheck(len(sample))
    finding = find_probe(services, run_context, dead[0].opens[0])
    if finding.method is not method:
        log.error("A probe called a link dead and is not believed. %s", finding.message)
        return LivenessCheck(len(sample), problem=finding.message)
    with services.database.read() as tx:
        rest = liveness.reusable(tx, client_id, audience)
    asked = {row.link_id for row in sample}
    rest = [row for row in rest if row.link_id not in asked]
    dead += _ask(services, run_context, method, rest)
    noted = services.database.run(run_context, lambda tx: liveness.note_dead(tx, dead))
    for row in noted[:20]:
        log.error(
            "Link %s of %s (%s) is dead although nobody revoked it here: it is replaced now. Was it revoked "
            "elsewhere, or was the client secret reset?", row.link_id, row.named_models, row.fingerprint,
        )  # fmt: skip
    return LivenessCheck(len(sample) + len(rest), tuple(noted))


def _method(services: Services, run_context: RunContext, row: LinkRow) -> ProbeMethod | None:
    """Return the way that is known to tell, or find it by a link that should be live and a token that never was."""
    fact = _facts(services).load().get(_FACT)
    if fact is not None:
        return known_probe(services)
    opened = services.open_item(item_of(row))
    live = services.client.probe_each(row.opens[0], opened.token, opened.url)
    never = services.client.probe_each(row.opens[0], NEVER_ISSUED, _with_token(opened, NEVER_ISSUED))
    found = distinguishing(live, never)
    if found is None and Liveness.DEAD in live.values():
        return find_probe(services, run_context, row.opens[0]).method
    if Liveness.UNKNOWN not in (*live.values(), *never.values()):
        _facts(services).save(probe_fact(found))
    return found


def _with_token(opened: OpenedLink, token: AccessToken) -> SecretStr:
    return SecretStr(opened.url.reveal().replace(opened.token.reveal(), token.reveal()))


def _ask(services: Services, run_context: RunContext, method: ProbeMethod, rows: Sequence[LinkRow]) -> list[LinkRow]:
    """Ask about links; note those that are alive, and return those that are dead."""
    found: dict[Liveness, list[LinkRow]] = {kind: [] for kind in Liveness}
    for row in rows:
        try:
            opened = services.open_row(row)
        except PMESealError:
            continue
        found[services.client.probe_token(method, row.opens[0], opened.token, opened.url)].append(row)
    if found[Liveness.ALIVE]:
        services.database.run(run_context, lambda tx: liveness.note_alive(tx, found[Liveness.ALIVE]))
    return found[Liveness.DEAD]


def _revoke(services: Services, run_context: RunContext, link_id: str, opened: OpenedLink) -> None:
    (verdict,) = services.client.revoke([opened.token])
    if not isinstance(verdict, Revoked):
        raise PMEUnavailableError(f"The link that probes are tried on was not revoked: {verdict.reason}")

    def record(tx: WriteTransaction) -> None:
        row = by_id(tx, link_id)
        if row is not None:
            revocations.revoked(tx, [row], {})

    services.database.run(run_context, record)


def _facts(services: Services) -> LedgerFacts:
    return LedgerFacts(services.database, services.client.host, services.client.client_id)
