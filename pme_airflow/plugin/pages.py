"""The page itself: HTML, JavaScript modules, a stylesheet and icons, all of this package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from pme_airflow.plugin.rights import MAY_LOOK

__all__ = ["pages"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STATIC = {entry.name: entry for entry in files("pme_airflow.plugin").joinpath("static").iterdir()}

pages = APIRouter(dependencies=[MAY_LOOK])


@pages.get("/")
def page() -> Response:
    """Return the page."""
    return _file("index.html")


@pages.get("/static/{name}")
def static(name: str) -> Response:
    """Return one of the page's files."""
    return _file(name)


def _file(name: str) -> Response:
    entry = _STATIC.get(name)
    if entry is None or PurePosixPath(name).suffix not in _TYPES:
        raise HTTPException(404, "There is no such file.")
    return Response(entry.read_bytes(), media_type=_TYPES[PurePosixPath(name).suffix])
