"""The emulator's Showcase: the page that a link opens, its picture, and the SDK that the vendor's client loads."""

from __future__ import annotations

import html
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from pme_airflow.dev.emulator.world import World

__all__ = ["showcase_routes"]

_HERE = Path(__file__).parent
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>
body {{ font: 1.2rem system-ui, sans-serif; display: grid; place-items: center; height: 100vh; margin: 0;
background: #20262e; color: #fff }} .live {{ color: #7ee787 }} .expired {{ color: #ff7b72 }}
</style></head><body><main><h1>{name}</h1><p>This space is <strong id="state" class="{word}">{word}</strong>.</p></main>
<script type="module" src="showcase/page.js"></script></body></html>"""


class _Showcase:
    def __init__(self, world: World) -> None:
        self.world = world

    def _opens(self, authorization: str, model_id: str) -> bool:
        scheme, _, token = authorization.replace("+", " ").partition(" ")
        return scheme == "Bearer" and self.world.opens(token, model_id)

    async def show(self, request: Request) -> Response:
        """Return the page that a link opens: live, or expired with status 401."""
        model_id = request.query_params.get("m", "")
        live = self._opens(request.query_params.get("auth", ""), model_id)
        name = html.escape(self.world.models.get(model_id, {}).get("name", "a private model"))
        page = _PAGE.format(word="live" if live else "expired", name=name)
        return HTMLResponse(page, 200 if live else 401, {"Cache-Control": "no-store"})

    async def picture(self, request: Request) -> Response:
        """Return what Showcase keeps loading while a space is open: 204 with a live token, otherwise 401."""
        live = self._opens(request.headers.get("Authorization", ""), request.query_params.get("m", ""))
        return Response(status_code=204 if live else 401, headers={"Cache-Control": "no-store"})

    async def script(self, request: Request) -> Response:
        source = (_HERE / f"{request.path_params['name']}.js").read_text()
        return Response(source, media_type="text/javascript", headers={"Access-Control-Allow-Origin": "*"})


def showcase_routes(world: World) -> list[BaseRoute]:
    """Return the routes of the emulator's Showcase."""
    showcase = _Showcase(world)
    return [
        Route("/show", showcase.show),
        Route("/picture", showcase.picture),
        Route("/showcase/{name:str}.js", showcase.script),
    ]
