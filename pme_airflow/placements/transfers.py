"""Build the transfer operator of each kind of target that a placement names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pme_airflow.placements.placement import PLACEMENT_DAGS, Placement, TargetSpec

__all__ = ["transfer_for"]

#: The operator of each kind, by its import path: placements lie below the Airflow layer and import nothing of it.
_OPERATORS: Mapping[str, str] = {
    "object_storage": "pme_airflow.transfers.pme_to_object_storage.PMEToObjectStorageOperator",
    "slack": "pme_airflow.transfers.pme_to_slack.PMEToSlackOperator",
    "wordpress": "pme_airflow.transfers.pme_to_wordpress.PMEToWordPressOperator",
    "http": "pme_airflow.transfers.pme_to_http.PMEToHttpOperator",
    "custom": "pme_airflow.transfers.pme_to_custom.PMEToCustomTargetOperator",
}
#: Placement keys whose operator argument has another name.
_ARGUMENTS: Mapping[tuple[str, str], str] = {("wordpress", "type"): "kind", ("custom", "class"): "target_class"}


def transfer_for(placement: Placement, target: TargetSpec, links: Any, **kwargs: Any) -> Any:
    """Build the operator that publishes a placement's links to one of its targets.

    :param placement: one of :func:`~pme_airflow.placements.load`.
    :param target: one of ``placement.targets``.
    :param links: the mint task's output.
    :param kwargs: further arguments of the operator.
    :return: a :class:`~pme_airflow.transfers.base.PMETransferOperator`.
    """
    module, _, name = _OPERATORS[target.kind].rpartition(".")
    operator = getattr(import_module(module), name)
    options = {_ARGUMENTS.get((target.kind, key), key): value for key, value in target.options.items()}
    common: dict[str, Any] = {
        "task_id": target.task_id,
        "links": links,
        "models": placement.listed_models,
        "publishers": PLACEMENT_DAGS,
        "allow_clearing": placement.allow_clearing,
        "link_params": placement.params.as_json() or None,
        "audience": placement.audience,
        "pme_conn_id": placement.pme_conn_id,
    }
    return operator(**{**options, **common, **kwargs})
