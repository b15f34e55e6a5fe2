"""Trying a real API with links of a minute: what it makes of a batch, of a revocation, and of a dead token.

The links are recorded in no ledger. Each is revoked before the trial ends, also where it fails; one whose revocation
the API does not confirm is named with its end, which is a minute ahead unless the API makes short lives longer.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pme_airflow.api.client import PMEClient
from pme_airflow.api.dialect import MutationNames
from pme_airflow.api.messages import EmbedLink, MintRequest
from pme_airflow.api.outcomes import Made, MintVerdict, NotRevoked, Revoked, RevokeVerdict, Unknown
from pme_airflow.api.token_probe import Liveness, ProbeMethod, distinguishing
from pme_airflow.checks import CheckResult
from pme_airflow.clock import Clock
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEError
from pme_airflow.sealing import fingerprint
from pme_airflow.secrets import AccessToken

__all__ = ["try_minting"]

_LIFE = 60
#: The shortest validity that the vendor documents.
_SHORT_LIFE = 30
_DEAD_WITHIN_SECONDS = 10
#: Seconds that the trial waits at the most for a link to expire: an API may round a short validity up to hours.
_LONGEST_WAIT = 120.0
#: By how many seconds a link may live shorter or longer than was requested before it is named.
_TOLERANCE = 5.0
_TOKEN_SHAPE = re.compile(r"[a-z0-9]{25}")
_ALPHABET = string.ascii_lowercase + string.digits
_REPORT = "Note it in docs/vendor-behaviour.md."


class _IsoValidity(Validity):
    """A validity that is requested as an ISO-8601 duration."""

    def __str__(self) -> str:
        return f"PT{self.seconds}S"


@dataclass
class _Trial:
    """The links of a trial that may be alive.

    :param lost: how many mints may have made a token that nobody holds.
    """

    client: PMEClient
    clock: Clock
    alive: list[EmbedLink] = field(default_factory=list)
    lost: int = 0

    def mint(self, requests: Sequence[MintRequest]) -> list[MintVerdict]:
        verdicts = self.client.mint(requests)
        self.alive += [verdict.link for verdict in verdicts if isinstance(verdict, Made)]
        self.lost += sum(isinstance(verdict, Unknown) for verdict in verdicts)
        return verdicts

    def revoke(self, link: EmbedLink) -> RevokeVerdict:
        (verdict,) = self.client.revoke([link.access_token])
        if isinstance(verdict, Revoked):
            self.alive.remove(link)
        return verdict


def try_minting(client: PMEClient, clock: Clock, model_id: str) -> Iterator[CheckResult]:
    """Mint two links in one request and one alone, look at them, and revoke them; takes about half a minute.

    :param model_id: the model that they are minted for.
    """
    trial = _Trial(client, clock)
    try:
        yield from _steps(trial, model_id)
    except PMEError as error:
        yield CheckResult.of_error("trial", error)
    finally:
        left = _clear(trial)
    yield from left


def _steps(trial: _Trial, model_id: str) -> Iterator[CheckResult]:
    together = trial.mint([MintRequest(model_id, Validity(_LIFE)), MintRequest(model_id, _IsoValidity(_LIFE))])
    (alone,) = trial.mint([MintRequest(model_id, Validity(_SHORT_LIFE))])
    made = [verdict.link for verdict in (*together, alone) if isinstance(verdict, Made)]
    if not made:
        yield _refused(alone)
        return
    yield CheckResult.good("mint", f"The API made {len(made)} of 3 links of model {model_id}.")
    yield _batches(trial.client, together)
    yield _spelling(trial.client)
    yield from _validity_forms(together, alone)
    yield from _shape(made[0])
    yield from _revocations(trial, made)
    yield _limits(trial.client)


def _refused(verdict: MintVerdict) -> CheckResult:
    if isinstance(verdict, Unknown):
        finding = f"The response to a mint was lost ({verdict.reason})."
        return CheckResult.bad("mint", finding, "Check the network between this machine and the API, and try again.")
    assert not isinstance(verdict, Made)
    return CheckResult.of_error("mint", verdict.error)


def _batches(client: PMEClient, together: Sequence[MintVerdict]) -> CheckResult:
    if client.takes_batches and all(isinstance(verdict, Made) for verdict in together):
        return CheckResult.good("batches", "Several mutations in one request are executed.")
    if not client.takes_batches:
        cure = f"Nothing is to be done: links are minted one by one, which takes longer. {_REPORT}"
        return CheckResult.warning("batches", "The API refuses several mutations in one request.", cure)
    finding = "Only a part of a request with two mutations was executed."
    return CheckResult.warning("batches", finding, f"See the check validFor below. {_REPORT}")


def _spelling(client: PMEClient) -> CheckResult:
    names = client.mutation_names
    if names is None:
        finding = "Which names of the mutations the API knows was not seen."
        return CheckResult.warning("spelling", finding, "Run the trial again.")
    whose = "the guide's" if names is MutationNames.EMBED_LINK else "the FAQ's"
    return CheckResult.good("spelling", f"The API knows {whose} names of the mutations ({names.mint}).")


def _validity_forms(together: Sequence[MintVerdict], alone: MintVerdict) -> Iterator[CheckResult]:
    forms = zip(("1m", f"PT{_LIFE}S", f"{_SHORT_LIFE}s"), (*together, alone), strict=True)
    tried = list(forms)
    refused = [form for form, verdict in tried if not isinstance(verdict, Made)]
    other = [
        f"{form} gave {verdict.link.granted.total_seconds():g} s"
        for form, verdict in tried
        if isinstance(verdict, Made) and verdict.link.granted is not None and _differs(verdict.link)
    ]
    if refused or other:
        found = [f"{', '.join(refused)} was refused"] * bool(refused) + other
        yield CheckResult.warning("validFor", f"{'; '.join(found)}.", f"Plan with what the API grants. {_REPORT}")
        return
    accepted = ", ".join(form for form, _ in tried)
    yield CheckResult.good("validFor", f"The forms {accepted} are accepted, and links live as long as requested.")


def _differs(link: EmbedLink) -> bool:
    asked = link.requested.seconds if link.requested is not None else _LIFE
    return link.granted is not None and abs(link.granted.total_seconds() - asked) > _TOLERANCE


def _shape(link: EmbedLink) -> Iterator[CheckResult]:
    parts = urlsplit(link.url.reveal())
    length = len(link.access_token.reveal())
    finding = f"A link begins {parts.scheme}://{parts.netloc}{parts.path}, and its token has {length} characters"
    if _TOKEN_SHAPE.fullmatch(link.access_token.reveal()):
        yield CheckResult.good("link", f"{finding} of [a-z0-9], as documented.")
        return
    cure = f"Check that `pme-airflow scan` and your scanner's rules find such a token. {_REPORT}"
    yield CheckResult.warning("link", f"{finding}, other than the documented 25 of [a-z0-9].", cure)


def _revocations(trial: _Trial, made: Sequence[EmbedLink]) -> Iterator[CheckResult]:
    link, last = made[0], made[-1]
    opened = trial.client.probe_link(link.url)
    yield _opens(opened)
    live = trial.client.probe_each(link.model_id, link.access_token, link.url)
    verdict = trial.revoke(link)
    if isinstance(verdict, Revoked):
        yield CheckResult.good("revoke a live token", "The API answers true.")
        yield _dead(trial, link, opened)
        yield _probe(trial.client, live, trial.client.probe_each(link.model_id, link.access_token, link.url))
        (again,) = trial.client.revoke([link.access_token])
        yield _informed("revoke it again", again)
    else:
        cure = "Ask the vendor; without revocation a leaked link lives until it expires."
        yield CheckResult.bad("revoke a live token", f"The API did not confirm it: {verdict.reason}.", cure)
    unknown = AccessToken("".join(secrets.choice(_ALPHABET) for _ in range(25)))
    (answer,) = trial.client.revoke([unknown])
    yield _informed("revoke an unknown token", answer)
    if last is not link:
        yield _expired(trial, last)


def _opens(status: int | None) -> CheckResult:
    if status is not None and status < 300:
        return CheckResult.good("open the link", f"Its page answers HTTP {status}.")
    answer = "nothing" if status is None else f"HTTP {status}"
    cure = "Open a link in a browser; where this machine may not reach the page, that alone is no fault."
    return CheckResult.warning("open the link", f"Its page answers {answer}.", cure)


def _dead(trial: _Trial, link: EmbedLink, opened: int | None) -> CheckResult:
    """Request the link until it is dead."""
    started = trial.clock.monotonic()
    while True:
        status = trial.client.probe_link(link.url)
        seconds = trial.clock.monotonic() - started
        if status != opened:
            return CheckResult.good("dead when revoked", f"After {seconds:.0f} s its page answers HTTP {status}.")
        if seconds >= _DEAD_WITHIN_SECONDS:
            finding = f"Its page still answers {status} after {seconds:.0f} s, which may not tell live from dead."
            cure = f"Open a revoked link in a browser once. {_REPORT}"
            return CheckResult.warning("dead when revoked", finding, cure)
        trial.clock.sleep(1)


def _probe(
    client: PMEClient, live: Mapping[ProbeMethod, Liveness], dead: Mapping[ProbeMethod, Liveness]
) -> CheckResult:
    """Find out which way of asking distinguishes a dead token from a live one, and remember it for the keeper."""
    found = distinguishing(live, dead)
    client.remember_probe(found)
    if found is not None:
        return CheckResult.good("ask about a token", f"The {found.value} distinguishes a dead token from a live one.")
    answers = ", ".join(f"the {m.value}: {live[m].value} when live, {dead[m].value} when revoked" for m in ProbeMethod)
    cure = f"Nothing is to be done: the keeper does not look for links that died elsewhere. {_REPORT}"
    return CheckResult.warning("ask about a token", f"Nothing distinguishes a dead token ({answers}).", cure)


def _informed(check: str, verdict: RevokeVerdict) -> CheckResult:
    answer = verdict.reason if isinstance(verdict, NotRevoked) else "the API answered true"
    return CheckResult.good(check, f"{answer[:1].upper()}{answer[1:]}.")


def _expired(trial: _Trial, link: EmbedLink) -> CheckResult:
    """Wait until a link has expired, and revoke it; one that lives for too long is left to :func:`_clear`."""
    check = "revoke an expired token"
    left = (link.valid_until - trial.client.server_clock.now()).total_seconds()
    if left > _LONGEST_WAIT:
        finding = f"Not tried: the link was requested for {link.requested}, and is to live until {_end_of(link)}."
        return CheckResult.warning(check, finding, f"Nothing is to be done: the link is revoked now. {_REPORT}")
    if left > -1:
        trial.clock.sleep(left + 1)
    verdict = trial.revoke(link)
    if not isinstance(verdict, Revoked) and _is_over(trial.client, link):
        trial.alive.remove(link)
    return _informed(check, verdict)


def _is_over(client: PMEClient, link: EmbedLink) -> bool:
    """Return whether a link has certainly expired: by the API's clock, not by this machine's."""
    return client.server_clock.known and link.valid_until <= client.server_clock.now()


def _end_of(link: EmbedLink) -> str:
    return f"{link.valid_until:%Y-%m-%d %H:%M:%S} UTC"


def _limits(client: PMEClient) -> CheckResult:
    headers = client.rate_limit_headers
    if not headers:
        return CheckResult.good("rate limits", "Responses have no headers about rate limits.")
    named = ", ".join(f"{name}: {value}" for name, value in sorted(headers.items()))
    return CheckResult.good("rate limits", f"Responses have {named}.")


def _clear(trial: _Trial) -> list[CheckResult]:
    """Revoke what the trial minted and did not revoke; return a result for each link that may be alive."""
    results = []
    for link in list(trial.alive):
        problem = _revoked(lambda link=link: trial.revoke(link))  # type: ignore[misc]
        if problem and not _is_over(trial.client, link):
            named = fingerprint(link.access_token)
            finding = f"The link {named} may be alive until {_end_of(link)}: {problem}."
            results.append(CheckResult.bad("leave nothing", finding, "Nothing: it ends by itself then."))
    if trial.lost:
        finding = f"{trial.lost} responses to mints were lost: a token that nobody has may live for {_LIFE} s."
        results.append(CheckResult.warning("leave nothing", finding, "Nothing: it ends by itself."))
    if not results:
        results.append(CheckResult.good("leave nothing", "Every link of the trial is revoked or has expired."))
    return results


def _revoked(revoke: Callable[[], RevokeVerdict]) -> str:
    """Return why a revocation failed; nothing if it did not."""
    try:
        verdict = revoke()
    except PMEError as error:
        return type(error).__name__
    return verdict.reason if isinstance(verdict, NotRevoked) else ""
