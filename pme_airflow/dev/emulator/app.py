"""The emulator as an ASGI app: the API's two endpoints, the pages of links, and a control path for tests."""

from __future__ import annotations

import asyncio
import html
import json
import re
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, execute, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pme_airflow.dev.emulator.loopback import LoopbackOnly
from pme_airflow.dev.emulator.schema import make_schema, root_value
from pme_airflow.dev.emulator.showcase import showcase_routes
from pme_airflow.dev.emulator.world import World

__all__ = ["create_app"]

#: What a client asks about to see what is answered of a token that never was.
_NEVER_ISSUED = "0" * 25
_GATEWAY_PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"


class _Broken(Response):
    """No response: the connection is aborted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _abort(scope)


class _Cut(Response):
    """A response whose connection is aborted after two thirds of the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) * 2 // 3], "more_body": True})
        await asyncio.sleep(0.01)
        _abort(scope)


def _abort(scope: Scope) -> None:
    scope["state"]["pme_transport"].abort()


class _WithTransport:
    """An ASGI middleware that puts uvicorn's transport into the scope, so that a fault can abort the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            cycle = getattr(receive, "__self__", None)
            scope.setdefault("state", {})["pme_transport"] = getattr(cycle, "transport", None)
        await self._app(scope, receive, send)


class _Emulator:
    def __init__(self, world: World, base_url: str) -> None:
        self.world = world
        self.schema = self._make_schema()
        self.root = root_value(world, base_url)

    def _make_schema(self) -> GraphQLSchema:
        world = self.world
        return make_schema(
            second_spelling_only=world.settings.second_spelling,
            without=world.without_fields,
            shared_tokens=world.shared_tokens,
        )

    async def token(self, request: Request) -> Response:
        self.world.count("requests:token")
        await self._delay()
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode(), True).items()}
        if form.get("grant_type") != "client_credentials":
            return self._json({"error": "unsupported_grant_type"}, 400)
        settings = self.world.settings
        if (form.get("client_id"), form.get("client_secret")) != (settings.client_id, settings.client_secret):
            return self._json({"error": "invalid_client"}, 401)
        token, lifetime = self.world.issue_application_token()
        body = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}
        return self._json({**body, "scope": "ViewPublic ViewDetails"})

    async def graph(self, request: Request) -> Response:
        world = self.world
        body = await request.body()
        await self._delay()
        own = self._model_token(request)
        query = self._query(request, body)
        if own is not None and query:
            world.count("requests:probe")
            return self._answer_model_token(own, query)
        world.count("requests:graph")
        refused = self._refuse(request)
        if refused is not None:
            return refused
        query = self._query(request, body)
        if query is None:
            return self._json({"error": "unsupported_media_type"}, 415)
        status, result = self._execute(query)
        if world.injects("lost_after"):
            return _Broken()
        if world.injects("bad_gateway_after"):
            return self._page(_GATEWAY_PAGE, 502)
        if world.settings.drop_nulls:
            result = _without_nulls(result)
        if world.injects("cut_body"):
            return _Cut(json.dumps(result), headers=self._headers(), media_type="application/json")
        return self._json(result, status)

    def _refuse(self, request: Request) -> Response | None:
        """Return a response that a request gets before it has any effect, or ``None``."""
        world = self.world
        if world.down or world.injects("lost_before"):
            return _Broken()
        if world.injects("bad_gateway"):
            return self._page(_GATEWAY_PAGE, 502)
        if world.injects("throttled"):
            return self._json({"errors": [{"message": "too many requests"}]}, 429, {"Retry-After": "1"})
        if world.injects("throttled_date"):
            return self._json({"errors": []}, 429, {"Retry-After": format_datetime(world.now(), usegmt=True)})
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        state = world.application_token_state(token) if scheme == "Bearer" else "unknown"
        if state == "unknown":
            return self._json({"error": "unauthorized"}, 401)
        if state == "expired" or world.injects("expired_token"):
            return self._json({"error": "invalid_grant"}, 400)
        return None

    def _model_token(self, request: Request) -> str | None:
        """Return the token of a model that a request has in place of an application token."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        known = token in self.world.tokens or token == _NEVER_ISSUED
        return token if known else None

    def _answer_model_token(self, token: str, query: str) -> Response:
        """Answer a query for the id of the token's own model; nothing else is allowed with it."""
        if self.world.down:
            return _Broken()
        found = re.fullmatch(r'query \{ model\(id: "([A-Za-z0-9]+)"\) \{ id \} \}', query)
        if found is None or not self.world.opens(token, found[1]):
            return self._json({"errors": [{"message": "unauthorized", "httpStatus": 401}]}, 401)
        return self._json({"data": {"model": {"id": found[1]}}})

    def _query(self, request: Request, body: bytes) -> str | None:
        kind = _media_type(request)
        if kind == "application/graphql":
            return body.decode()
        if kind != "application/json":
            return None
        try:
            return str(json.loads(body)["query"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _execute(self, query: str) -> tuple[int, dict[str, Any]]:
        try:
            document = parse(query)
        except GraphQLError as error:
            return 400, {"errors": [_refused(error)]}
        errors = validate(self.schema, document)
        if errors:
            self.world.count("refused_documents")
            return 400, {"errors": [_refused(error) for error in errors]}
        limit = self.world.settings.max_aliases
        if limit and _fields(document) > limit:
            refused = {"message": "too many fields", "httpStatus": 400, "code": "request.unsupported"}
            return 400, {"data": None, "errors": [refused]}
        result = execute(self.schema, document, self.root)
        if asyncio.iscoroutine(result):
            raise TypeError("a field of the emulator's schema is asynchronous")
        body: dict[str, Any] = {"data": result.data}  # type: ignore[union-attr]
        if result.errors:  # type: ignore[union-attr]
            body["errors"] = [_failed(error) for error in result.errors]  # type: ignore[union-attr]
        return 200, body

    async def model_page(self, request: Request) -> Response:
        model_id = request.path_params["model_id"]
        model = self.world.models.get(model_id)
        if model is None:
            return self._page("<h1>no such model</h1>", 404)
        return self._page(f"<h1>{html.escape(model['name'])}</h1><p>{html.escape(model_id)}</p>", 200)

    async def truth(self, request: Request) -> Response:
        return self._json(self.world.truth())

    async def control(self, request: Request) -> Response:
        """Set what a test wants: ``faults`` (rates by name), ``move_clock`` (seconds), ``down``, ``licensed`` …

        ``models`` are added by id. ``probes`` may lie: ``alive``, ``dead`` or ``honest``.
        ``without_fields`` and ``shared_tokens`` change the schema.
        """
        if _media_type(request) != "application/json":
            return self._json({"error": "send application/json"}, 415)
        try:
            wanted = json.loads(await request.body())
            if "faults" in wanted:
                self.world.set_faults(wanted["faults"])
            if "move_clock" in wanted:
                self.world.move_clock(float(wanted["move_clock"]))
            if "down" in wanted:
                self.world.down = bool(wanted["down"])
            if {"without_fields", "shared_tokens"} & set(wanted):
                self._change_schema(wanted)
            if "licensed" in wanted:
                self.world.licensed = bool(wanted["licensed"])
            self.world.probes = str(wanted.get("probes", self.world.probes))
            for model_id, model in dict(wanted.get("models", {})).items():
                defaults = {"name": model_id, "state": "active", "visibility": "private"}
                self.world.models[model_id] = {**defaults, **model}
        except (ValueError, TypeError, AttributeError) as error:
            return self._json({"error": str(error)}, 422)
        return self._json({"ok": True})

    def _change_schema(self, wanted: dict[str, Any]) -> None:
        self.world.without_fields = frozenset(map(str, wanted.get("without_fields", self.world.without_fields)))
        self.world.shared_tokens = bool(wanted.get("shared_tokens", self.world.shared_tokens))
        self.schema = self._make_schema()

    async def _delay(self) -> None:
        seconds = self.world.settings.latency
        if self.world.injects("slow"):
            seconds += self.world.settings.slow_seconds
        if seconds:
            await asyncio.sleep(seconds)

    def _headers(self) -> dict[str, str]:
        return {"Date": format_datetime(self.world.now(), usegmt=True)}

    def _json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(body, status, {**self._headers(), **(headers or {})})

    def _page(self, body: str, status: int) -> Response:
        return HTMLResponse(body, status, {**self._headers(), "Cache-Control": "no-store"})


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _fields(document: DocumentNode) -> int:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return sum(len(operation.selection_set.selections) for operation in operations)


def _refused(error: GraphQLError) -> dict[str, Any]:
    formatted: dict[str, Any] = dict(error.formatted)
    return {**formatted, "httpStatus": 400, "code": "request.unsupported"}


def _failed(error: GraphQLError) -> dict[str, Any]:
    extensions = error.extensions or {"httpStatus": 500, "code": "internal.error"}
    return {"message": error.message, "path": error.path, **extensions}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def create_app(world: World, base_url: str) -> ASGIApp:
    """Return the emulator as an ASGI app.

    :param world: the emulator's state.
    :param base_url: the address that links begin with.
    """
    emulator = _Emulator(world, base_url.rstrip("/"))
    app = Starlette(
        routes=[
            Route("/api/oauth/token", emulator.token, methods=["POST"]),
            Route("/api/models/graph", emulator.graph, methods=["POST"]),
            *showcase_routes(world),
            Route("/models/{model_id}", emulator.model_page),
            Route("/_emulator/truth", emulator.truth),
            Route("/_emulator/control", emulator.control, methods=["POST"]),
        ]
    )
    return LoopbackOnly(_WithTransport(app))
