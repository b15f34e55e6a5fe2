"""The GraphQL documents sent to the API, with every value a literal.

The declared types of the mutations' arguments are not published, so ``$variables`` cannot be declared safely; string
literals coerce to any of them and are the form the vendor documents. graphql-core prints and escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pme_airflow.api.dialect import OPTIONAL_FIELDS, SHARED_MINT, Dialect
from pme_airflow.api.messages import MintRequest
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEInputError, PMESharedTokenError
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = [
    "Document",
    "aliases_of",
    "mint_document",
    "models_document",
    "names_document",
    "revoke_document",
]

_NAME = re.compile(r"(?:a[0-9]{1,4}: )?([A-Za-z]{1,40})\b", re.ASCII)


@dataclass(frozen=True)
class Document:
    """A GraphQL document.

    :param text: its text, hidden from logs and tracebacks, since it holds the client secret.
    :param aliases: the aliases of its fields, in order.
    :param optional: the fields that may be left out of it.
    """

    text: SecretStr
    aliases: tuple[str, ...]
    optional: frozenset[str] = frozenset()

    def field_at(self, line: int, column: int) -> str | None:
        """Return the optional field at a place of the text, both counted from 1; ``None`` where there is none."""
        lines = self.text.reveal().split("\n")
        found = _NAME.match(lines[line - 1], column - 1) if 0 < line <= len(lines) and column > 0 else None
        return found[1] if found and found[1] in OPTIONAL_FIELDS else None


def aliases_of(count: int) -> tuple[str, ...]:
    """Return the aliases of a document's fields: ``a0``, ``a1``, …"""
    return tuple(f"a{index}" for index in range(count))


def _printed(text: str) -> str:
    from graphql.language.print_string import print_string  # slow to import, and few texts need it

    return print_string(text)


def _literal(text: str, field: str) -> str:
    if text.isascii() and text.isalnum():  # nearly all: nothing in it is escaped
        return f'"{text}"'
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PMEInputError(f"{field}: holds half of a character (a lone surrogate). Enter it anew.") from None
    return _printed(text)


def _credentials(client_id: str, client_secret: SecretStr) -> str:
    secret = _literal(client_secret.reveal(), "client secret")
    return f"clientId: {_literal(client_id, 'client id')}, clientSecret: {secret}"


def _aliased(fields: list[str], operation: str = "mutation", wanted: str = "") -> Document:
    aliases = aliases_of(len(fields))
    lines = "\n".join(f"  {alias}: {field}" for alias, field in zip(aliases, fields, strict=True))
    return Document(SecretStr(f"{operation} {{\n{lines}\n}}"), aliases, _optional(wanted))


def _optional(wanted: str) -> frozenset[str]:
    """Return the fields of a selection that may be left out."""
    return OPTIONAL_FIELDS.intersection(wanted.split())


def mint_document(
    requests: Sequence[MintRequest], client_id: str, client_secret: SecretStr, dialect: Dialect
) -> Document:
    """Build one mutation that mints each link, or token for several models, under an alias of its own.

    :raises PMEInputError: for a value that cannot be encoded as UTF-8.
    :raises PMESharedTokenError: for a token for several models where the API is known to make none.
    """
    credentials = _credentials(client_id, client_secret)
    wanted = dialect.select("accessToken", "application", "link", "validUntil")
    shared = dialect.select("accessToken", "validUntil")
    fields = [
        f"{_mint_field(request, credentials, dialect)} {{ {shared if request.models else wanted} }}"
        for request in requests
    ]
    optional = SHARED_MINT if any(request.models for request in requests) else ""
    return _aliased(fields, wanted=f"{wanted} {optional}")


def _mint_field(request: MintRequest, credentials: str, dialect: Dialect) -> str:
    valid_for = _valid_for(request.validity)
    if not request.models:
        return f"{dialect.names.mint}(modelId: {_literal(request.model_id, 'model id')}, {credentials}, {valid_for})"
    if not dialect.shares_tokens:
        raise PMESharedTokenError("The PME API makes no tokens for several models. Each model gets a link of its own.")
    ids = ", ".join(_literal(model_id, "model id") for model_id in request.models)
    return f"{SHARED_MINT}({credentials}, modelIds: [{ids}], {valid_for})"


@lru_cache(maxsize=16)
def _valid_for(validity: Validity) -> str:
    return f"validFor: {_literal(str(validity), 'valid_for')}"


def revoke_document(
    tokens: Sequence[AccessToken], client_id: str, client_secret: SecretStr, dialect: Dialect
) -> Document:
    """Build one mutation that revokes each token under an alias of its own.

    :raises PMEInputError: for a value that cannot be encoded as UTF-8.
    """
    credentials = _credentials(client_id, client_secret)
    fields = [
        f"{dialect.names.revoke}({credentials}, accessToken: {_literal(token.reveal(), 'token')})" for token in tokens
    ]
    return _aliased(fields)


def models_document(query: str, page_size: int, offset: str | int | None, dialect: Dialect) -> Document:
    """Build the query for one page of the models that the application may see.

    :param query: the vendor's search text; ``*`` for every model.
    :param page_size: models a page.
    :param offset: the ``nextOffset`` of the page before; ``None`` for the first page.
    :raises PMEInputError: for a query that cannot be encoded as UTF-8.
    """
    where = "" if offset is None else f", offset: {offset if isinstance(offset, int) else _printed(offset)}"
    arguments = f"query: {_literal(query, 'query')}, pageSize: {page_size}{where}"
    wanted = dialect.select("id", "name", "state")
    text = f"query {{\n  models({arguments}) {{ results {{ {wanted} }} nextOffset }}\n}}"
    return Document(SecretStr(text), ("models",), _optional(wanted))


def names_document(model_ids: Sequence[str], dialect: Dialect) -> Document:
    """Build one query for the name of each model under an alias of its own."""
    wanted = dialect.select("id", "name")
    fields = [f"model(id: {_printed(model_id)}) {{ {wanted} }}" for model_id in model_ids]
    return _aliased(fields, "query", wanted)
