"""Who may look at the page, and who may act on it: the rights on runs of ``pme_leak_response``.

A mounted app is not authenticated by Airflow, so every route depends on one of these.
"""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends

__all__ = ["LEAK_RESPONSE", "MAY_ACT", "MAY_LOOK", "ActingDep"]

LEAK_RESPONSE = "pme_leak_response"
MAY_LOOK = Depends(requires_access_dag("GET", DagAccessEntity.RUN, LEAK_RESPONSE))
MAY_ACT = Depends(requires_access_dag("POST", DagAccessEntity.RUN, LEAK_RESPONSE))


def _may_act(user: GetUserDep) -> bool:
    """Return whether the user may start the leak response."""
    details: Any = DagDetails(id=LEAK_RESPONSE)
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=details, user=user
        )
    )


#: Whether the user may act; for what the page offers. What is refused is decided by MAY_ACT and by Airflow's own API.
ActingDep = Annotated[bool, Depends(_may_act)]
