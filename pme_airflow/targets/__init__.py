"""Targets: places that show links in slots. Import from here to write a target.

``Target``, ``ShownLink``, ``SlotResult`` and the errors are what a new target needs. A shipped target is imported
when its name is first used, because each one loads its own client library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pme_airflow.checks import CheckResult, Verdict
from pme_airflow.errors import SlotError, TargetUnavailableError
from pme_airflow.targets.base import DocumentSlot, ShownLink, SlotCheck, SlotResult, Target

if TYPE_CHECKING:
    from pme_airflow.targets.http_json import HttpJsonTarget
    from pme_airflow.targets.object_storage import ObjectStorageTarget
    from pme_airflow.targets.slack import SlackTarget
    from pme_airflow.targets.wordpress import WordPressTarget

__all__ = [
    "CheckResult",
    "DocumentSlot",
    "HttpJsonTarget",
    "ObjectStorageTarget",
    "ShownLink",
    "SlackTarget",
    "SlotCheck",
    "SlotError",
    "SlotResult",
    "Target",
    "TargetUnavailableError",
    "Verdict",
    "WordPressTarget",
]

_SHIPPED = {
    "HttpJsonTarget": "http_json",
    "ObjectStorageTarget": "object_storage",
    "SlackTarget": "slack",
    "WordPressTarget": "wordpress",
}


def __getattr__(name: str) -> Any:
    if name not in _SHIPPED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_SHIPPED[name]}"), name)
