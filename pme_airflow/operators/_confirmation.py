"""Ask a person before very many links are revoked at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pme_airflow.airflow_compat import AirflowException, AirflowFailException
from pme_airflow.errors import PMEInputError
from pme_airflow.operators.alerts import raise_alarms

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from pme_airflow.ledger.links import LinkRow
    from pme_airflow.operators.alerts import OnAlarm

__all__ = ["TooManyLinksError", "ask", "at_most", "confirmed", "read_limit"]

_YES, _NO = "Revoke", "Cancel"
_MOST_AUDIENCES = 20


class TooManyLinksError(Exception):
    """More links match than may be flagged without a person's confirmation.

    :ivar by_audience: how many of them are of each audience.
    """

    def __init__(self, by_audience: Mapping[str, int], limit: int) -> None:
        self.by_audience = by_audience
        self.limit = limit
        super().__init__(self.sentence)

    @property
    def links(self) -> int:
        """How many links match that are not flagged yet."""
        return sum(self.by_audience.values())

    @property
    def sentence(self) -> str:
        """What matches, as a sentence."""
        named = sorted(self.by_audience.items(), key=lambda entry: (-entry[1], entry[0]))
        words = [f"{audience}: {count}" for audience, count in named[:_MOST_AUDIENCES]]
        if len(named) > _MOST_AUDIENCES:
            words.append(f"{len(named) - _MOST_AUDIENCES} more audiences")
        return f"{self.links} links match ({', '.join(words)}), more than confirm_over ({self.limit})."


def read_limit(value: object) -> int | None:
    """Return how many links may be flagged without a confirmation; ``None`` if it is never asked for.

    :raises PMEInputError: for anything but a number.
    """
    text = str(value).strip()
    if value is None or text in ("", "None"):
        return None
    if not text.isdecimal():
        raise PMEInputError("confirm_over: expected a number of links, or nothing to revoke any number unasked.")
    return int(text)


def at_most(limit: int | None) -> Callable[[Sequence[LinkRow]], None] | None:
    """Return what refuses a selection of too many links, for ``LeakRequest.on_selected``.

    A link that is flagged already is not counted: a retry after a confirmation does not ask again.
    """
    if limit is None:
        return None

    def check(rows: Sequence[LinkRow]) -> None:
        new = Counter(row.audience for row in rows if row.flagged_at is None)
        if new.total() > limit:
            raise TooManyLinksError(new, limit)

    return check


def ask(
    operator: BaseOperator, context: Mapping[str, Any], problem: TooManyLinksError, reason: str, on_alarm: OnAlarm
) -> NoReturn:
    """Let the task wait for a person's answer under Airflow's *Required Actions*; its ``execute_complete`` goes on.

    :param on_alarm: is called too, since nothing is revoked before the answer.

    :raises AirflowFailException: where this Airflow has no human-in-the-loop operator.
    """
    try:
        from airflow.providers.standard.operators.hitl import HITLOperator
    except (ImportError, AirflowException):
        raise AirflowFailException(
            f"{problem.sentence} Nothing was flagged. If all of them are to be revoked, start the run again with "
            f"confirm_over {problem.links}."
        ) from None
    waiting = f"{problem.sentence} Nothing is flagged until somebody answers under Airflow's Required Actions."
    raise_alarms(operator, context, [waiting], on_alarm)
    question = HITLOperator(
        task_id=f"{operator.task_id}_confirm",
        subject=f"Revoke {problem.links} links?",
        body=f"{problem.sentence} Every slot that shows one is dark until the keeper has healed it. Reason: {reason}",
        options=[_YES, _NO],
    )
    # the undecorated method: Airflow logs a warning about each operator that is executed within another one
    getattr(HITLOperator.execute, "__wrapped__", HITLOperator.execute)(question, context)
    raise AssertionError("Airflow's human-in-the-loop operator did not wait for an answer")


def confirmed(event: Mapping[str, Any]) -> None:
    """Check that a person has confirmed.

    :raises AirflowFailException: if nobody has, or somebody declined.
    """
    if "error" in event:
        raise AirflowFailException(f"Nothing was flagged: no answer was recorded ({event.get('error_type')}).")
    if event.get("chosen_options") != [_YES]:
        raise AirflowFailException("Nothing was flagged: somebody chose Cancel under Required Actions.")
