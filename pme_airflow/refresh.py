"""An ASGI app that serves fresh links to a portal's signed-in users, for ``pme-embed.js``: ``GET /<model_id>``.

``GET /token?modelId=<model_id>`` is the same, as the vendor's guide has it.

Mount it in the app that knows your users::

    portal.mount("/tours", create_refresh_app(authorize=who_may_see))

It returns the model-scoped token of the newest live link in the ledger, with the seconds it has left. It never mints
and no user waits for the PME API: a response comes from the ledger alone. With ``mint="10m"`` each user gets a token of
their own, minted when it is asked for. Either way it never returns the application token, which can read every model
of the organisation.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pme_airflow.iso_times import parse_iso
from pme_airflow.supported_versions import check_airflow

check_airflow()  # before imports that fail with another Airflow, and do not say why

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pme_airflow.addresses import checked_base_url, parse_http_url
from pme_airflow.durations import SHORT_VALIDITY, Validity
from pme_airflow.embed_params import EmbedParams, with_params
from pme_airflow.errors import PMECredentialsError, PMEError, PMEInputError, PMEModelError, PMESealError
from pme_airflow.ledger.links import item_of, newest_live
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.viewer_limits import MintLimits, TooManyRequests, ViewerLimits
from pme_airflow.lifecycle.viewer_links import ViewerLinkRequest, mint_for_viewer, reusable_for_viewer
from pme_airflow.model_ids import is_model_id

__all__ = ["Authorize", "MintLimits", "create_refresh_app"]

#: Called with the request and the model id; returns the name of the user where that user may see the model, or else
#: ``None``.
Authorize = Callable[[Request, str], "str | Awaitable[str | None] | None"]

#: The API's time is learnt at the first request and so many seconds after each attempt.
_LEARN_SECONDS = 3600.0
#: How long a user waits for a mint: the client gives up what is only refused, or finds the API away, after so long.
_MINT_PATIENCE_SECONDS = 10.0
#: The connection is read again at most once in so many seconds.
_READ_AGAIN_SECONDS = 60.0

log = logging.getLogger(__name__)


class _ServerTime:
    """Learns the API server's time in a thread of its own, so that nobody waits for the API.

    Until it is known, what a link has left is counted by this machine's clock less its uncertainty. It is learnt anew
    each hour, since a monotonic clock drifts by seconds a day.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._next_at = services.clock.monotonic()

    def learn(self) -> None:
        """Start to learn it where that is due; return at once."""
        with self._lock:
            now = self._services.clock.monotonic()
            if now < self._next_at:
                return
            self._next_at = now + _LEARN_SECONDS
        threading.Thread(target=self._learn, name="pme-server-time", daemon=True).start()

    def _learn(self) -> None:
        try:
            self._services.client.check_credentials()
        except PMEError as error:
            log.warning("The API's time is not known, so links are served with less time left: %s", error)


@dataclass(frozen=True)
class _Served:
    """What is served.

    :param audience: the audience whose links they are.
    :param mint: the validity of links of single users; ``None`` for links of the audience.
    :param params: the Showcase parameters that are appended to links.
    """

    audience: str
    mint: Validity | None
    params: EmbedParams


class _Refresh:
    def __init__(
        self, authorize: Authorize, served: _Served, limits: ViewerLimits, services: Callable[[], Services]
    ) -> None:
        self._authorize = authorize
        self._served = served
        self._limits = limits
        self._make_services = services
        self._services: tuple[Services, _ServerTime] | None = None
        self._read_at = 0.0
        self._lock = threading.Lock()
        self._wrong_answers: set[type] = set()

    async def serve_token(self, request: Request) -> Response:
        """Answer ``GET /token?modelId=…``."""
        return await self._serve(request, request.query_params.get("modelId", ""))

    async def serve(self, request: Request) -> Response:
        """Answer ``GET /<model_id>``."""
        return await self._serve(request, request.path_params["model_id"])

    async def _serve(self, request: Request, model_id: str) -> Response:
        if not is_model_id(model_id):
            return _error_response("this is not a model id", 404)
        user = await self._user_of(request, model_id)
        if user is None:
            return _error_response("sign in, or request access to this space", 401)
        try:
            self._limits.request(user)
            found = await run_in_threadpool(self._link_of, model_id, user)
        except TooManyRequests as limit:
            return _error_response("too many requests", 429, {"Retry-After": str(limit.seconds)})
        except PMEModelError as error:
            log.error("No link of model %s could be served: %s", model_id, error)
            return _error_response("this space has no live link", 404)
        except PMEError as error:
            log.error("No link of model %s could be served: %s", model_id, error)
            return _error_response("try again later", 503, {"Retry-After": "15"})
        if found is None:
            return _error_response("this space has no live link", 404)
        return JSONResponse(found, headers=_HEADERS)

    async def _user_of(self, request: Request, model_id: str) -> str | None:
        """Return the name of the user who may see the model; whatever is not a name grants nothing."""
        granted: object = self._authorize(request, model_id)
        if inspect.isawaitable(granted):
            granted = await granted
        if isinstance(granted, str):
            return granted if any(map(_is_visible, granted)) else None
        if granted is not None and type(granted) not in self._wrong_answers:
            self._wrong_answers.add(type(granted))
            log.error(
                "authorize returned a %s. Return the user's name as a str to grant access, or None to refuse it; "
                "everything else is refused.",
                type(granted).__name__,
            )
        return None

    def _link_of(self, model_id: str, user: str) -> dict[str, object] | None:
        services = self._open_services()
        try:
            return self._found(services, model_id, user)
        except (PMESealError, PMECredentialsError):
            if not self._may_read_again(services):
                raise
            log.info("The connection is read again: its secret or seal keys may be others by now.")
        return self._found(self._open_services(), model_id, user)

    def _found(self, services: Services, model_id: str, user: str) -> dict[str, object] | None:
        item = self._own(services, model_id, user) if self._served.mint else self._newest(services, model_id)
        if item is None:
            return None
        ends = parse_iso(str(item["valid_until"]))
        left = int((ends - services.server_time_upper_bound()).total_seconds())
        if left <= 0:
            return None
        opened = services.open_item(item)
        token, link = opened.token.reveal(), with_params(opened.url.reveal(), self._served.params.of(model_id))
        return {"access_token": token, "link": link, "expires_in": left, "valid_until": item["valid_until"]}

    def _newest(self, services: Services, model_id: str) -> dict[str, Any] | None:
        with services.database.read() as connection:
            row = newest_live(connection, services.client.client_id, self._served.audience, model_id)
        return None if row is None else item_of(row, model_id)

    def _own(self, services: Services, model_id: str, user: str) -> dict[str, Any]:
        """Return the item of the user's own link, minted now where less than half of it is left."""
        assert self._served.mint is not None
        wanted = ViewerLinkRequest(model_id, self._served.audience, user, self._served.mint)
        item = reusable_for_viewer(services, wanted)
        if item is None:
            self._limits.mint(user, model_id)
            item = mint_for_viewer(services, wanted)
            log.info("Model %s: a viewer has a link of their own, %s.", model_id, item["fingerprint"])
        return item

    def _open_services(self) -> Services:
        with self._lock:
            if self._services is None:
                services = self._make_services()
                if self._served.mint:
                    services = replace(services, client=services.client.with_patience(_MINT_PATIENCE_SECONDS))
                self._services = services, _ServerTime(services)
                self._read_at = services.clock.monotonic()
            services, server_time = self._services
        server_time.learn()
        return services

    def _may_read_again(self, failed: Services) -> bool:
        """Forget what was made of a connection that no longer fits the ledger or the API, unless it was just read."""
        with self._lock:
            if self._services is not None and self._services[0] is failed:
                if failed.clock.monotonic() < self._read_at + _READ_AGAIN_SECONDS:
                    return False
                self._services = None
            return True


_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


def _is_visible(character: str) -> bool:
    return character.isprintable() and not character.isspace()


def _error_response(message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, {**_HEADERS, **(headers or {})})


def create_refresh_app(
    *,
    authorize: Authorize,
    audience: str = "default",
    allow_origins: Sequence[str] = (),
    requests_per_minute: int = 30,
    mint: Validity | timedelta | str | None = None,
    mint_limits: MintLimits | None = None,
    params: str | Mapping[str, Any] | None = None,
    pme_conn_id: str = "pme_default",
    services: Callable[[], Services] | None = None,
) -> Starlette:
    """Make the app.

    :param authorize: your check, plain or ``async``: given the request and the model id, it returns the name of the
        user who may see that model, or ``None``. Only a name, a ``str`` that is not blank, grants access. Take it from
        what a visitor cannot write, such as a signed session, and never from a plain cookie or header.
    :param audience: the audience whose links are served.
    :param allow_origins: other origins whose pages may read the responses, such as ``https://www.example.com``; none
        unless named, never ``*``, and plain http for loopback alone.
    :param requests_per_minute: requests that one user may make a minute, in each process that serves.
    :param mint: the validity of links of single users, ``"10m"`` for example: each user who may see a model gets a
        token of their own, which is minted when it is asked for and reused while half of it is left. ``None`` serves
        the audience's links, and mints nothing.
    :param mint_limits: how many of these are minted a minute at the most.
    :param params: Showcase parameters that are appended to links, as ``params`` of a placement has them.
    :param pme_conn_id: the PME connection's id, as Airflow resolves it (``AIRFLOW_CONN_PME_DEFAULT``, say).
    :param services: makes the client, ledger and keys, in place of that connection.
    :raises PMEInputError: without a check, for an origin in another form than a browser sends, or for a rate that is no
        whole number from 1.
    """
    if not callable(authorize):
        raise PMEInputError("authorize: is missing. Give the function that decides which user may see which model.")
    origins = _checked_origins(allow_origins)
    if type(requests_per_minute) is not int or requests_per_minute < 1:
        raise PMEInputError("requests_per_minute: give a whole number of at least 1.")
    validity = None if mint is None else Validity.parse(mint, "mint")
    if validity is not None and validity.is_short:
        log.warning("mint: %s. %s", validity, SHORT_VALIDITY)
    served = _Served(audience, validity, EmbedParams.parse(params))
    limits = ViewerLimits(requests_per_minute, mint_limits or MintLimits())
    refresh = _Refresh(authorize, served, limits, services or (lambda: _of_connection(pme_conn_id)))
    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["GET"], allow_credentials=True, expose_headers=["Date"]
    )
    routes = [
        Route("/token", refresh.serve_token, methods=["GET"]),
        Route("/{model_id}", refresh.serve, methods=["GET"]),
    ]
    return Starlette(routes=routes, middleware=[cors] if origins else [])


def _checked_origins(origins: Sequence[str]) -> list[str]:
    """Return the origins, each of which must be one as a browser sends it: a scheme and a host, https or loopback."""
    if isinstance(origins, str):
        raise PMEInputError('allow_origins: expected a list, as in ["https://www.example.com"].')
    for origin in origins:
        if origin == "*":
            raise PMEInputError("allow_origins: * would let any page read private links. Name your pages' origins.")
        base = checked_base_url(origin, field="allow_origins")
        url = parse_http_url(base)
        if url is None or url.path or base != origin:
            raise PMEInputError("allow_origins: give each origin as a browser sends it, as in https://www.example.com.")
    return list(origins)


def _of_connection(pme_conn_id: str) -> Services:
    from pme_airflow.hooks.pme import PMEHook

    return PMEHook(pme_conn_id).services
