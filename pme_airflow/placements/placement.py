"""Placements as checked, immutable values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pme_airflow.durations import Validity
from pme_airflow.embed_params import EmbedParams
from pme_airflow.placements.locations import location_of

__all__ = ["DEFAULT_TIMEZONE", "PLACEMENT_DAGS", "Placement", "TargetSpec", "task_id_part"]

DEFAULT_TIMEZONE = "UTC"
#: The ids of the shipped DAGs, which publish what placements name: each clears what the other one published.
PLACEMENT_DAGS = ("pme_nightly_rotation", "pme_link_keeper")


@dataclass(frozen=True)
class TargetSpec:
    """One target of a placement."""

    kind: str
    options: Mapping[str, Any]
    task_id: str

    @property
    def location(self) -> str:
        """Where it shows links; two targets of one location would write the same slots."""
        return location_of(self.kind, self.options)

    @property
    def slots_of_one_audience(self) -> list[str]:
        """The names of places that can show one audience only: the whole location, a site's pages, or none."""
        if self.kind == "slack":  # each audience has messages of its own in a channel
            return []
        if self.kind == "wordpress":
            return [f"{self.location} {page}#{model}" for model, page in (self.options.get("pages") or {}).items()]
        return [self.location]


@dataclass(frozen=True)
class Placement:
    """One audience's models and targets.

    :param models: ids, without those excluded; or ``{"query": …}``, with ``exclude`` and ``allow_clearing`` in it if
        they are given.
    :param renew_before: a link with less than this left is due; half of ``valid_for`` unless given otherwise.
    :param keep_every: how often the keeper looks; ``None`` for never.
    :param allow_gaps: whether a schedule that must leave a gap is accepted.
    :param exclude: ids of models that are not published.
    :param allow_clearing: whether more than half of the slots may be cleared at once.
    :param params: the Showcase parameters of the links.
    :param models_per_token: how many models may share a token; 1 for a link for each.
    :param timezone: the IANA time zone in which the nightly run is at 02:00.
    """

    audience: str
    valid_for: Validity
    models: Sequence[str] | Mapping[str, Any]
    targets: tuple[TargetSpec, ...]
    pme_conn_id: str
    renew_before: timedelta
    keep_every: timedelta | None
    allow_gaps: bool = field(default=False)
    exclude: tuple[str, ...] = ()
    allow_clearing: bool = False
    timezone: str = DEFAULT_TIMEZONE
    params: EmbedParams = field(default_factory=EmbedParams)
    models_per_token: int = 1

    @property
    def group(self) -> str:
        """The id of the group of tasks that rotate it."""
        return f"rotate_{task_id_part(self.audience)}"

    @property
    def listed_models(self) -> list[str] | None:
        """The models by id; ``None`` if a query finds them. Empty if nothing is to be shown."""
        return None if isinstance(self.models, Mapping) else list(self.models)


def task_id_part(audience: str) -> str:
    """Return an audience as part of a task's id; two audiences never share one.

    Characters that task ids cannot hold become underscores, and a digest of the audience is appended then.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", audience)
    return (
        plain
        if plain == audience
        else f"{plain}_{hashlib.sha256(audience.encode(errors='surrogatepass')).hexdigest()[:6]}"
    )
