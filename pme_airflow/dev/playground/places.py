"""The playground's targets: a channel of a stand-in Slack, and a real WordPress if it is installed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.dev.playground import wordpress
from pme_airflow.dev.playground.channel import Channel, create_channel_app
from pme_airflow.dev.playground.home import PlaygroundError
from pme_airflow.targets.pages import render

__all__ = ["Places", "serving_places", "serving_showroom"]


@dataclass(frozen=True)
class Places:
    """The targets of a playground, apart from files.

    :param channel: the address of the channel's page.
    :param page: the address of the WordPress page, or ``None``.
    :param why: the reason why there is no WordPress.
    :param environment: the targets' connections, as environment variables.
    :param targets: lines of ``placements.yaml``.
    """

    channel: str
    page: str | None
    why: str
    environment: Mapping[str, str]
    targets: str
    site: wordpress.Site | None = None
    page_number: int = 0


@contextmanager
def serving_places(models: Mapping[str, str]) -> Iterator[Places]:
    """Serve the channel and, if possible, a WordPress with a page that has a placeholder for each model.

    :param models: names by id.
    """
    with ExitStack() as stack:
        channel = Channel()
        slack = stack.enter_context(serving_app(lambda _: create_channel_app(channel)))
        chat = {"conn_type": "slack", "password": "xoxb-playground", "extra": {"base_url": f"{slack}/api/"}}
        connections: dict[str, object] = {"SLACK_API_DEFAULT": chat}
        targets = f"  - {{kind: slack, channel: '#{channel.name}'}}\n"
        why = wordpress.missing() or ""
        site: wordpress.Site | None = None
        number = 0
        if not why:
            try:
                site = stack.enter_context(wordpress.serving_wordpress())
                site.set_up(revisions_plugin=True, pretty=False)
                number = site.page("\n".join(f"<h2>{name}</h2>\n[pme model={key}]" for key, name in models.items()))
            except (OSError, subprocess.SubprocessError, PlaygroundError) as error:
                why = f"it did not start ({type(error).__name__})"
        if site is not None and number:
            fields = {"conn_type": "http", "host": site.address, "login": site.user, "password": site.password}
            connections["WORDPRESS_DEFAULT"] = fields
            pages = ", ".join(f"{model_id}: {number}" for model_id in models)
            targets += f"  - {{kind: wordpress, pages: {{{pages}}}}}\n"
        environment = {f"AIRFLOW_CONN_{name}": json.dumps(fields) for name, fields in connections.items()}
        page = f"{site.address}/?page_id={number}" if site is not None and number else None
        yield Places(slack, page, why, environment, targets, site, number)


@contextmanager
def serving_showroom(published: Path, places: Places) -> Iterator[str]:
    """Serve the published folder under ``/gallery/``, and a page that shows all targets side by side."""
    shown = {"Gallery": "/gallery/index.html", "Channel": places.channel}
    if places.page is not None:
        shown["WordPress page"] = places.page
    published.mkdir(parents=True, exist_ok=True)

    async def side_by_side(_: Request) -> Response:
        return HTMLResponse(render("showroom.html.j2", shown=shown))

    routes = [Route("/", side_by_side), Mount("/gallery", StaticFiles(directory=published))]
    with serving_app(lambda _: Starlette(routes=routes)) as address:
        yield address
