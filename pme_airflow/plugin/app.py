"""The page's app: its routes, who may call them, and the headers of every response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.plugin.pages import pages
from pme_airflow.plugin.pasting import pasting
from pme_airflow.plugin.queries import BadQueryError
from pme_airflow.plugin.reading import reading
from pme_airflow.plugin.sources import Sources, configured_conn_ids

__all__ = ["SECURITY_HEADERS", "create_app"]

#: The page loads nothing from elsewhere, runs no inline script, and is shown in Airflow's own frame alone.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(sources: Sources | None = None) -> FastAPI:
    """Return the app.

    :param sources: the ledgers it reads; those of the configured connections if omitted.
    """
    app = FastAPI(title="Private links", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sources = sources or Sources(configured_conn_ids())
    for router in (pages, reading, pasting):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(BadQueryError, _refuse_query)
    app.add_exception_handler(PMEInputError, _refuse_query)
    app.add_exception_handler(PMEError, _unavailable)
    app.middleware("http")(_with_headers)
    return app


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in SECURITY_HEADERS.items():
        response.headers[name] = value
    return response


async def _refuse_body(_request: Request, _error: Exception) -> JSONResponse:
    """Answer a body or query of the wrong form; what was sent is not repeated, since it may hold a token."""
    message = 'The request has not the expected form. Send JSON as {"text": "…"} with the header Content-Type.'
    return JSONResponse({"detail": message}, 422)


async def _refuse_query(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
