"""Each PME connection's part of the ledger, with the renewal rules of its placements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.read_model.rules import NightlyRule, RenewalRule, Rules
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.placements import Placement, check, load, placements_file
from pme_airflow.placements.nights import NIGHTLY_HOUR
from pme_airflow.placements.outage import LONGEST_RUN
from pme_airflow.printable import printable
from pme_airflow.sealing import Sealer

__all__ = ["FoundPlacements", "configured_placements", "placements_for_command", "placements_in", "rules_of", "view_of"]

#: How much later than planned a renewal may be: a keeper run may be slow or start late; a missing run is an alarm.
_SLACK = timedelta(minutes=5)


@dataclass(frozen=True)
class FoundPlacements:
    """The placements of an installation.

    :param problem: why they could not be read, if they could not.
    :param is_missing: whether there is no such file, as on a machine that has no DAG files.
    :param file: the file that they are in, or should be in.
    """

    placements: tuple[Placement, ...] = ()
    problem: str | None = None
    is_missing: bool = False
    file: Path | None = None

    def required(self) -> tuple[Placement, ...]:
        """Return the placements.

        :raises PMEInputError: if they could not be read, with a line for each thing that is wrong.
        """
        if self.problem is not None:
            raise PMEInputError(self.problem)
        return self.placements


def configured_placements(dag_file: str | Path | None = None) -> FoundPlacements:
    """Read the file that ``$PME_PLACEMENTS`` names, or ``placements.yaml`` next to a DAG or in Airflow's DAGs folder.

    :param dag_file: the file of the DAG; ``None`` where none is known.
    """
    from pme_airflow.airflow_compat import conf

    dag_files = [*([Path(dag_file)] if dag_file else []), Path(conf.get("core", "dags_folder")) / "dag.py"]
    tried = list(dict.fromkeys(map(placements_file, dag_files)))
    chosen = next((number for number, file in enumerate(tried) if file.exists()), 0)
    if not tried[chosen].exists() and len(tried) > 1:
        problem = f"placements: there is neither {tried[0]} nor {tried[1]}. Write one, or name it in PME_PLACEMENTS."
        return FoundPlacements(problem=problem, is_missing=True, file=tried[0])
    try:
        return FoundPlacements(tuple(load(dag_files[chosen])), file=tried[chosen])
    except PMEError as error:
        return FoundPlacements(problem=str(error), is_missing=not tried[chosen].exists(), file=tried[chosen])


def placements_for_command(file: Path | None) -> FoundPlacements:
    """Read the placements of a command: ``$PME_PLACEMENTS``, or those of this folder, or those in the DAGs folder.

    :param file: the file that the user names, which is read in place of these.
    """
    return configured_placements(Path.cwd() / "dag.py") if file is None else placements_in(file)


def placements_in(file: Path) -> FoundPlacements:
    """Read a file of placements."""
    name = printable(file)
    try:
        return FoundPlacements(tuple(check(file.read_text(encoding="utf-8"), name)), file=file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        problem = f"placements: {name} cannot be read ({reason}). Name the file of the placements."
        return FoundPlacements(problem=problem, is_missing=isinstance(error, FileNotFoundError), file=file)
    except PMEError as error:
        return FoundPlacements(problem=str(error), file=file)


def view_of(hook: PMEHook, placements: Sequence[Placement], now: datetime | None = None) -> LedgerView:
    """Return a connection's part of the ledger.

    :raises PMEError: if the connection or its ledger is not set up.
    """
    settings = hook.settings
    sealer = Sealer.of_connection(settings.client_secret, settings.extras.seal_keys)
    own = [placement for placement in placements if placement.pme_conn_id == hook.pme_conn_id]
    rules = rules_of(own, now or datetime.now(timezone.utc))
    return LedgerView(hook.pme_conn_id, settings.client_id, hook.database, sealer, rules)


def rules_of(placements: Sequence[Placement], now: datetime) -> Rules:
    """Return when the links of each placement's audience are due."""
    return Rules({placement.audience: _rule_of(placement, now) for placement in placements})


def _rule_of(placement: Placement, now: datetime) -> RenewalRule | NightlyRule:
    if placement.keep_every is None:
        last, following = _nights_around(placement.timezone, now)
        return NightlyRule(last, following)
    share = placement.renew_before / placement.valid_for.duration
    return RenewalRule(share, 2 * placement.keep_every + _SLACK, placement.keep_every + LONGEST_RUN)


def _nights_around(zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the last time of the nightly run before a timestamp, and the next one after it."""
    local = ZoneInfo(zone)
    today = now.astimezone(local).date()
    nights = [_night(today + timedelta(days=shift), local) for shift in (-2, -1, 0, 1, 2)]
    return max(night for night in nights if night <= now), min(night for night in nights if night > now)


def _night(day: date, local: ZoneInfo) -> datetime:
    return datetime.combine(day, time(NIGHTLY_HOUR), local).astimezone(timezone.utc)
