"""The transfer of each kind of target that a placement names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pme_airflow.rotation.placements import Placement, TargetSpec
    from pme_airflow.transfers.base import PMETransferOperator

__all__ = ["transfer_for"]


def transfer_for(placement: Placement, target: TargetSpec, links: Any, **kwargs: Any) -> PMETransferOperator:
    """The operator that publishes a placement's links to one of its targets.

    :param links: the mint task's output.
    :param kwargs: further arguments of the operator.
    """
    common: dict[str, Any] = {
        "task_id": target.task_id,
        "links": links,
        "models": placement.listed_models,
        "audience": placement.audience,
        "pme_conn_id": placement.pme_conn_id,
        **kwargs,
    }
    return _MAKERS[target.kind](dict(target.options), common)


def _object_storage(options: dict[str, Any], common: dict[str, Any]) -> PMETransferOperator:
    from pme_airflow.transfers.pme_to_object_storage import PMEToObjectStorageOperator

    return PMEToObjectStorageOperator(**options, **common)


def _slack(options: dict[str, Any], common: dict[str, Any]) -> PMETransferOperator:
    from pme_airflow.transfers.pme_to_slack import PMEToSlackOperator

    return PMEToSlackOperator(**options, **common)


def _wordpress(options: dict[str, Any], common: dict[str, Any]) -> PMETransferOperator:
    from pme_airflow.transfers.pme_to_wordpress import PMEToWordPressOperator

    kind = {"kind": options.pop("type")} if "type" in options else {}
    return PMEToWordPressOperator(**options, **kind, **common)


def _http(options: dict[str, Any], common: dict[str, Any]) -> PMETransferOperator:
    from pme_airflow.transfers.pme_to_http import PMEToHttpOperator

    return PMEToHttpOperator(**options, **common)


def _custom(options: dict[str, Any], common: dict[str, Any]) -> PMETransferOperator:
    from pme_airflow.transfers.pme_to_custom import PMEToCustomTargetOperator

    return PMEToCustomTargetOperator(target_class=options["class"], options=options.get("options") or {}, **common)


_MAKERS: Mapping[str, Callable[[dict[str, Any], dict[str, Any]], PMETransferOperator]] = {
    "object_storage": _object_storage,
    "slack": _slack,
    "wordpress": _wordpress,
    "http": _http,
    "custom": _custom,
}
