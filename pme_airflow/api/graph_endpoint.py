"""Execute documents on the graph endpoint with an application token, and repeat those that certainly had no effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from dataclasses import replace

from pme_airflow.api.application_token import ApplicationToken, ApplicationTokenCache
from pme_airflow.api.dialect import Dialect, DialectMemory, MutationNames
from pme_airflow.api.documents import Document
from pme_airflow.api.graph_response import is_whole_json, parse_graph_response
from pme_airflow.api.judge import field_refusal_of, refusal_of
from pme_airflow.api.network import Network
from pme_airflow.api.outcomes import Exchange, HttpResponse, Refusal, RefusalKind
from pme_airflow.api.retry import Attempt, RetryPolicy
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.secrets import SecretStr

__all__ = ["GraphEndpoint", "object_at"]

_GRAPH_PATH = "/api/models/graph"
_MAX_RENEWALS = 5
_RESENT = frozenset({RefusalKind.RETRY_LATER, RefusalKind.OTHER_MUTATION_NAMES, RefusalKind.WITHOUT_FIELDS})
_ABOUT_FORM = frozenset({RefusalKind.OTHER_MUTATION_NAMES, RefusalKind.WITHOUT_FIELDS})
#: The kinds of refusals that may be about a field of the query.
_ABOUT_QUERY = frozenset({RefusalKind.OTHER_MUTATION_NAMES, RefusalKind.SPLIT_BATCH, RefusalKind.GIVE_UP})
#: How long the path of an error is that took a field of an aliased object, or the object itself.
_FIELD_DEPTH = 2

Build = Callable[[Dialect], Document]


class GraphEndpoint:
    """Executes documents on the graph endpoint. Safe to share between threads.

    :param network: sends the requests.
    :param tokens: where application tokens come from.
    :param retries: repeats a request that certainly had no effect.
    :param memory: the form of documents that the API executes.
    """

    def __init__(
        self, network: Network, tokens: ApplicationTokenCache, retries: RetryPolicy, memory: DialectMemory
    ) -> None:
        self._network = network
        self._tokens = tokens
        self._retries = retries
        self._memory = memory

    def mutate(self, build: Build, fields: int, *, named: bool = True) -> Attempt:
        """Execute a mutation; repeat it only while it certainly had no effect, until the deadline.

        Where the server does not know the mutation under one pair of names, the other is tried once. The pair that it
        executed is remembered, as are the optional fields that the server does not have.

        :param build: makes the document in the given form.
        :param fields: how many aliases the document holds.
        :param named: whether it holds the mutations that have two names.
        :raises PMECredentialsError: where no application token can be had; likewise PMEUnreachableError,
            PMEUnavailableError and PMEProtocolError.
        """
        refused: set[MutationNames] = set()
        return self._run(lambda token: self._mutate_once(build, token, fields, refused, named))

    def query(self, build: Build, field: str) -> dict[str, object]:
        """Execute a query, which is safe to repeat after any failure, and return the object of one field.

        :return: the whole object, never a part of it; empty where the API refused the field itself.
        :raises PMEError: where it cannot be had before the deadline.
        """
        last = self._retries.run(
            lambda: self.query_once(build),
            lambda attempt: attempt.refusal is None and _whole_object_at(attempt, field) is None,
        )
        if last.refusal is not None:
            raise last.refusal.error
        value = _whole_object_at(last, field)
        if value is None:
            raise PMEUnavailableError(f"The PME API did not answer the query for {field}. Try again later.")
        return value

    def execute_with(self, query: str, token: SecretStr) -> Exchange:
        """Execute a query once with a token of the caller's, in place of an application token."""
        return self._network.post_json(_GRAPH_PATH, SecretStr(json.dumps({"query": query})), token, kind="probe")

    def query_once(self, build: Build) -> Attempt:
        """Execute a query; repeat it only while it certainly had no effect, until the deadline."""
        return self._run(lambda token: self._query_once(build, token))

    def _query_once(self, build: Build, token: ApplicationToken) -> Attempt:
        dialect = self._memory.dialect
        last = self._send(build(dialect), token, fields=1)
        self._note_executed(dialect, last, mutation=False)
        return last

    def _run(self, send: Callable[[ApplicationToken], Attempt]) -> Attempt:
        renewals = 0

        def attempt() -> Attempt:
            nonlocal renewals
            token = self._tokens.get()
            last = send(token)
            if last.refusal is None and not renewals:
                last = Attempt(last.exchange, field_refusal_of(last.exchange))
            if last.refusal is not None and last.refusal.kind is RefusalKind.RENEW_TOKEN:
                renewals += 1
                self._tokens.get(stale=token)
            return last

        def should_retry(last: Attempt) -> bool:
            if last.refusal is None:
                return False
            if last.refusal.kind is RefusalKind.RENEW_TOKEN:
                return renewals <= _MAX_RENEWALS
            return last.refusal.kind in _RESENT

        return self._retries.run(attempt, should_retry)

    def _mutate_once(
        self,
        build: Build,
        token: ApplicationToken,
        fields: int,
        refused: set[MutationNames],
        named: bool,
    ) -> Attempt:
        with self._memory.first_alone():
            known = self._memory.dialect
            names = next(names for names in (known.names, *MutationNames) if names not in refused)
            dialect = replace(known, names=names)
            last = self._send(build(dialect), token, fields)
            self._note_executed(dialect, last, mutation=named)
        if last.refusal is not None and last.refusal.kind is RefusalKind.OTHER_MUTATION_NAMES:
            refused.add(names)
            confirmed = self._memory.names_confirmed
            if confirmed or len(refused) == len(MutationNames):
                unknown = RefusalKind.GIVE_UP if confirmed else RefusalKind.UNKNOWN_MUTATION
                kind = RefusalKind.SPLIT_BATCH if fields > 1 else unknown
                return Attempt(last.exchange, Refusal(kind, last.refusal.error))
        return last

    def _note_executed(self, dialect: Dialect, attempt: Attempt, *, mutation: bool) -> None:
        """Remember the form that the server executed; a lost or unreadable response confirms nothing."""
        if mutation and (attempt.refusal is None or attempt.refusal.kind not in _ABOUT_FORM):
            self._memory.settle()
        if attempt.refusal is None and isinstance(attempt.exchange, HttpResponse):
            graph = parse_graph_response(attempt.exchange)
            if graph is not None and graph.data is not None:
                self._memory.executed(dialect, mutation=mutation)

    def _send(self, document: Document, token: ApplicationToken, fields: int) -> Attempt:
        body = SecretStr(json.dumps({"query": document.text.reveal()}))
        exchange = self._network.post_json(_GRAPH_PATH, body, token.value, kind=document.aliases)
        refusal = refusal_of(exchange, fields)
        if refusal is not None and refusal.kind in _ABOUT_QUERY:
            missing = _missing_fields(exchange, document)
            if missing:
                self._memory.refuse(missing)
                refusal = Refusal(RefusalKind.WITHOUT_FIELDS, refusal.error)
        return Attempt(exchange, refusal)


def _missing_fields(exchange: Exchange, document: Document) -> Set[str | None]:
    """Return the optional fields of a document that the API refused it for."""
    graph = parse_graph_response(exchange) if isinstance(exchange, HttpResponse) else None
    if graph is None or any(error.status in (401, 403) for error in graph.errors):
        return frozenset()
    named = {error.refused_field for error in graph.errors if error.validation or error.is_denial}
    places = [place for error in graph.errors if error.validation for place in error.locations]
    return (named & document.optional) or {document.field_at(*place) for place in places} & document.optional


def object_at(attempt: Attempt, alias: str) -> dict[str, object] | None:
    """Return the object under an alias: empty where the API refused that alias, ``None`` where it gave no answer."""
    if not isinstance(attempt.exchange, HttpResponse):
        return None
    graph = parse_graph_response(attempt.exchange)
    if graph is None:
        return None
    value = graph.value(alias)
    if isinstance(value, dict):
        return value
    errors = graph.errors_at(alias)
    return {} if errors and all(error.is_client_error for error in errors) else None


def _whole_object_at(attempt: Attempt, alias: str) -> dict[str, object] | None:
    """Return the same of a response that is whole: ``None`` also where an error took one of the object's fields."""
    exchange = attempt.exchange
    if not isinstance(exchange, HttpResponse) or not (exchange.complete and is_whole_json(exchange.body)):
        return None
    value = object_at(attempt, alias)
    graph = parse_graph_response(exchange)
    errors = graph.errors_at(alias) if graph is not None else []
    if value:
        return None if any(error.path is not None and len(error.path) <= _FIELD_DEPTH for error in errors) else value
    return value if all(error.is_denial for error in errors) else None
