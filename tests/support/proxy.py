"""The proxy of the kit for targets, which the tests use too."""

from __future__ import annotations

from pme_airflow.dev.target_kit.proxy import FAULTS, Proxy, serving_proxy

__all__ = ["FAULTS", "Proxy", "serving_proxy"]
