"""An ASGI app that serves fresh links to a portal's signed-in users, for ``pme-embed.js``: ``GET /<model_id>``.

Mount it in the app that knows your users::

    portal.mount("/tours", create_refresh_app(authorize=who_may_see))

It returns the model-scoped token of the newest live link in the ledger, with the seconds it has left. It never mints,
and it never returns the application token, which can read every model of the organisation.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pme_airflow.errors import PMEError, PMEInputError
from pme_airflow.ledger.links import item_of, newest_live
from pme_airflow.lifecycle.services import Services

__all__ = ["Authorize", "create_refresh_app"]

#: Called with the request and the model id; returns the name of the user where that user may see the model, or else
#: ``None``.
Authorize = Callable[[Request, str], "str | Awaitable[str | None] | None"]

log = logging.getLogger(__name__)


class _Refresh:
    def __init__(self, authorize: Authorize, audience: str, per_minute: int, services: Callable[[], Services]) -> None:
        self._authorize = authorize
        self._audience = audience
        self._limit = parse(f"{per_minute}/minute")
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._make = services
        self._services: Services | None = None

    async def serve(self, request: Request) -> Response:
        model_id = request.path_params["model_id"]
        granted = self._authorize(request, model_id)
        user = await granted if inspect.isawaitable(granted) else granted
        if not user:
            return _error_response("sign in, or request access to this space", 401)
        if not self._limiter.hit(self._limit, str(user)):
            return _error_response("too many requests", 429, {"Retry-After": "60"})
        try:
            found = await run_in_threadpool(self._newest, model_id)
        except PMEError as error:
            log.error("No link of model %s could be served: %s", model_id, error)
            return _error_response("try again later", 503, {"Retry-After": "15"})
        if found is None:
            return _error_response("this space has no live link", 404)
        return JSONResponse(found, headers=_HEADERS)

    def _newest(self, model_id: str) -> dict[str, object] | None:
        if self._services is None:
            services = self._make()
            services.learn_server_time()
            self._services = services
        services = self._services
        with services.database.read() as tx:
            row = newest_live(tx, services.client.client_id, self._audience, model_id)
        if row is None:
            return None
        left = int((row.valid_until - services.server_time_upper_bound()).total_seconds())
        if left <= 0:
            return None
        item = item_of(row)
        opened = services.open_item(item)
        token, link = opened.token.reveal(), opened.url.reveal()
        return {"access_token": token, "link": link, "expires_in": left, "valid_until": item["valid_until"]}


_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


def _error_response(message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, {**_HEADERS, **(headers or {})})


def create_refresh_app(
    *,
    authorize: Authorize,
    audience: str = "default",
    allow_origins: Sequence[str] = (),
    requests_per_minute: int = 30,
    pme_conn_id: str = "pme_default",
    services: Callable[[], Services] | None = None,
) -> Starlette:
    """Make the app.

    :param authorize: your check, plain or ``async``: given the request and the model id, it returns the name of the
        user who may see that model, or ``None``.
    :param audience: the audience whose links are served.
    :param allow_origins: other origins whose pages may read the responses; none unless named, and never ``*``.
    :param requests_per_minute: requests that one user may make a minute, in each process that serves.
    :param pme_conn_id: the PME connection's id, as Airflow resolves it (``AIRFLOW_CONN_PME_DEFAULT``, say).
    :param services: makes the client, ledger and keys, in place of that connection.
    :raises PMEInputError: without a check, for an origin of ``*``, or for a rate below 1.
    """
    if not callable(authorize):
        raise PMEInputError("authorize: is missing. Give the function that decides which user may see which model.")
    if "*" in allow_origins:
        raise PMEInputError("allow_origins: * would let any page read private links. Name the origins of your pages.")
    if isinstance(requests_per_minute, bool) or requests_per_minute < 1:
        raise PMEInputError("requests_per_minute: give a whole number of at least 1.")
    refresh = _Refresh(authorize, audience, requests_per_minute, services or (lambda: _of_connection(pme_conn_id)))
    cors = Middleware(CORSMiddleware, allow_origins=list(allow_origins), allow_methods=["GET"], allow_credentials=True)
    return Starlette(
        routes=[Route("/{model_id}", refresh.serve, methods=["GET"])], middleware=[cors] if allow_origins else []
    )


def _of_connection(pme_conn_id: str) -> Services:
    from pme_airflow.hooks.pme import PMEHook

    return PMEHook(pme_conn_id).services
