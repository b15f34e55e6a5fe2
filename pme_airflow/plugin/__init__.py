"""The page "Private links" in Airflow's own UI.

Every task loads plugins, so importing this module costs nothing: the app, and FastAPI with it, is built when the API
server asks for it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

__all__ = ["PMEPlugin"]


class PMEPlugin(AirflowPlugin):
    """Mounts the page at ``/pme/``, and adds "Private links" to the menu Browse."""

    name = "pme"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Private links",
            "href": "pme/",
            "destination": "nav",
            "url_route": "private-links",
            "category": "browse",
            "icon": "pme/static/icon.svg",
            "icon_dark_mode": "pme/static/icon-dark.svg",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app; a property, so that only the API server builds it."""
        from pme_airflow.plugin.app import create_app

        return [{"app": create_app(), "url_prefix": "/pme", "name": "Private links"}]
