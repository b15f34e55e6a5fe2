"""The assets that this package's DAGs publish to and start from."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset

__all__ = ["at_risk_asset", "due_renewal_asset", "due_sweep_asset", "leaks_asset", "links_asset", "revoked_asset"]


def links_asset(audience: str) -> Asset:
    """Return ``pme://links/<audience>``, updated when an audience's links are published."""
    return _asset(f"pme://links/{audience}")


def revoked_asset(audience: str) -> Asset:
    """Return ``pme://revoked/<audience>``, updated when the revocation of a leaked link darkens slots."""
    return _asset(f"pme://revoked/{audience}")


def at_risk_asset(audience: str) -> Asset:
    """Return ``pme://at-risk/<audience>``, updated when slots are nearer to their end than the plan allows."""
    return _asset(f"pme://at-risk/{audience}")


def leaks_asset(**kwargs: Any) -> Asset:
    """Return ``pme://leaks``. An event on it with the extra ``{"fingerprints": […]}`` starts the leak response.

    :param kwargs: further arguments of the asset, such as ``watchers``.
    """
    return _asset("pme://leaks", "pme://leaks/", **kwargs)


def due_sweep_asset(conn_id: str, **kwargs: Any) -> Asset:
    """Return ``pme://due/sweep/<conn_id>``, updated when a link of a PME connection is due to be revoked or closed.

    :param kwargs: further arguments of the asset, such as ``watchers``.
    """
    return _asset(f"pme://due/sweep/{conn_id}", **kwargs)


def due_renewal_asset(audience: str, **kwargs: Any) -> Asset:
    """Return ``pme://due/renewal/<audience>``, updated when an audience's links are due, or one of its slots is dark.

    :param kwargs: further arguments of the asset, such as ``watchers``.
    """
    return _asset(f"pme://due/renewal/{audience}", **kwargs)


def _asset(name: str, uri: str | None = None, **kwargs: Any) -> Asset:
    """Return the same as ``Asset(name)``, without loading the URI handlers of every installed provider.

    Airflow loads them to look for one of the scheme ``pme``, which has none: 100 to 200 ms and 340 modules in each
    parse of a DAG file where the Amazon provider is installed. Only a value without a scheme is not looked up.
    """
    asset = Asset(name=name, uri="pme", **kwargs)
    object.__setattr__(asset, "uri", uri or name)
    return asset
