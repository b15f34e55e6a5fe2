"""A kit that examines a target: what each call of it must keep, and nights of publishing through faults.

``pme_airflow.targets.testing`` is its face. The package's own tests examine the shipped targets with it.
"""

from __future__ import annotations

from pme_airflow.dev.target_kit.contract import check_contract
from pme_airflow.dev.target_kit.examine import check_target
from pme_airflow.dev.target_kit.links import example_link
from pme_airflow.dev.target_kit.nights import Nights
from pme_airflow.dev.target_kit.place import BehindProxy, Place
from pme_airflow.dev.target_kit.proxy import Proxy, serving_proxy

__all__ = [
    "BehindProxy",
    "Nights",
    "Place",
    "Proxy",
    "check_contract",
    "check_target",
    "example_link",
    "serving_proxy",
]
