"""Checking the connection: host, TLS, credentials, clock, whether PME is enabled, and the account's models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from urllib.parse import urlsplit

from pme_airflow.api.client import PMEClient
from pme_airflow.api.messages import Model
from pme_airflow.api.outcomes import NetworkFailure, NoResponse
from pme_airflow.checks import CheckResult
from pme_airflow.clock import Clock
from pme_airflow.errors import PMEError, PMEUnavailableError

__all__ = ["CLOCK_WARNING", "MAX_LISTED", "check_connection", "judge_clock", "list_some_models"]

#: A clock that is further off than this is doubtful; the schedule is planned for up to ten minutes.
CLOCK_WARNING = timedelta(seconds=30)
_CLOCK_BAD = timedelta(minutes=10)
_SET_CLOCK = "Set the clocks by NTP (timedatectl set-ntp true)."
_BUSY = (
    "Try again in some minutes. If it stays, ask the vendor whether the API is available, and whether another client "
    "uses up the account's rate limit."
)
#: How many models are listed: ten pages.
MAX_LISTED = 1000
_CURES = {
    NetworkFailure.NAME: "Correct API address of the connection, or the name servers of this machine.",
    NetworkFailure.CONNECT: "Check API address and port, and that a firewall or proxy lets this machine out.",
    NetworkFailure.CONNECT_TIMEOUT: "Check that a firewall lets this machine out, or set HTTPS_PROXY.",
    NetworkFailure.TLS: "Correct API address; where a proxy signs its own certificates, name its authority in "
    "REQUESTS_CA_BUNDLE.",
    NetworkFailure.PROXY: "Correct HTTPS_PROXY, or name the host in NO_PROXY.",
    NetworkFailure.TIMEOUT: "Check that the host of API address is running, and try again.",
    NetworkFailure.BROKEN: "Check that API address names the API itself and its scheme, and try again.",
}


def check_connection(client: PMEClient, clock: Clock, models: int = MAX_LISTED) -> Iterator[CheckResult]:
    """Check the connection, one step after another; the first that fails ends it.

    :param models: how many models are listed.
    """
    unreachable = _reach(client)
    if unreachable is not None:
        yield unreachable
        return
    yield CheckResult.good("host", f"{client.host} answers{_tls(client.host)}.")
    try:
        client.check_credentials()
    except PMEError as error:
        yield CheckResult.of_error("credentials", error, _busy(error))
        return
    yield CheckResult.good("credentials", "The API accepts the client id and secret.")
    yield _check_clock(client, clock)
    try:
        client.check_enabled()
    except PMEError as error:
        yield CheckResult.of_error("PME", error, _busy(error))
        return
    yield CheckResult.good("PME", "The account may use Private Model Embed.")
    yield _check_models(client, models)


def _busy(error: PMEError) -> str:
    return _BUSY if isinstance(error, PMEUnavailableError) else ""


def list_some_models(client: PMEClient, most: int = MAX_LISTED) -> list[Model]:
    """Return the account's models, up to a number of them."""
    return list(islice(client.models(), most))


def judge_clock(check: str, whose: str, off: timedelta, other: str) -> CheckResult:
    """Judge how far a clock is from another one.

    :param off: positive where the clock named ``other`` is ahead.
    """
    seconds = round(abs(off).total_seconds())
    if abs(off) <= CLOCK_WARNING:
        return CheckResult.good(check, f"The clocks of {whose} and {other} agree within {max(seconds, 1)} s.")
    direction = "behind" if off > timedelta(0) else "ahead of"
    finding = f"The clock of {whose} is {seconds} s {direction} {other}'s."
    make = CheckResult.bad if abs(off) > _CLOCK_BAD else CheckResult.warning
    return make(check, finding, _SET_CLOCK)


def _reach(client: PMEClient) -> CheckResult | None:
    exchange = client.reach()
    if not isinstance(exchange, NoResponse):
        return None
    cure = _CURES[exchange.failure or NetworkFailure.BROKEN]
    return CheckResult.bad("host", f"{client.host} was not reached: {exchange.reason}.", cure)


def _tls(host: str) -> str:
    return ", with a certificate that is trusted here" if urlsplit(host).scheme == "https" else " on this machine"


def _check_clock(client: PMEClient, clock: Clock) -> CheckResult:
    if not client.server_clock.known:
        finding = "The API's responses have no Date, so links are dated by this machine's clock."
        return CheckResult.warning("clock", finding, "Keep this machine's clock right by NTP.")
    return judge_clock("clock", "this machine", client.server_clock.now() - clock.now(), "the API")


def _check_models(client: PMEClient, most: int) -> CheckResult:
    try:
        models = list_some_models(client, most)
    except PMEError as error:
        return CheckResult.of_error("models", error, "Try again; a mint of models by id does without the list.")
    if not models:
        cure = "Check that the client belongs to the organisation whose spaces are to be shown."
        return CheckResult.warning("models", "The account lists no models.", cure)
    inactive = sum(model.state not in ("active", "") for model in models)
    more = " or more" if len(models) == most else ""
    return CheckResult.good("models", f"The account lists {len(models)}{more} models, {inactive} of them inactive.")
