"""The GraphQL documents sent to the API, with every value a literal.

The declared types of the mutations' arguments are not published, so ``$variables`` cannot be declared safely; string
literals coerce to any of them and are the form the vendor documents. graphql-core prints and escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from graphql.language.print_string import print_string

from pme_airflow.api.messages import MintRequest
from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import AccessToken, SecretStr

__all__ = [
    "Document",
    "MutationNames",
    "aliases_of",
    "mint_document",
    "models_document",
    "names_document",
    "revoke_document",
]


class MutationNames(Enum):
    """The two pairs of names that the vendor's pages give the same two mutations."""

    #: The names of the guide "Private Model Embed".
    EMBED_LINK = ("createPrivateModelEmbedLink", "deletePrivateModelEmbedToken")
    #: The names of an earlier guide's FAQ and of the vendor's public sample.
    ACCESS_LINK = ("createPrivateModelAccessLink", "deletePrivateModelAccessToken")

    @property
    def mint(self) -> str:
        """The name of the mutation that mints a link."""
        return self.value[0]

    @property
    def revoke(self) -> str:
        """The name of the mutation that revokes a token."""
        return self.value[1]


@dataclass(frozen=True)
class Document:
    """A GraphQL document.

    :param text: its text, hidden from logs and tracebacks, since it holds the client secret.
    :param aliases: the aliases of its fields, in order.
    """

    text: SecretStr
    aliases: tuple[str, ...]


def aliases_of(count: int) -> tuple[str, ...]:
    """Return the aliases of a document's fields: ``a0``, ``a1``, …"""
    return tuple(f"a{index}" for index in range(count))


def _literal(text: str, field: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PMEInputError(f"{field}: holds half of a character (a lone surrogate). Enter it anew.") from None
    return print_string(text)


def _credentials(client_id: str, client_secret: SecretStr) -> str:
    secret = _literal(client_secret.reveal(), "client secret")
    return f"clientId: {_literal(client_id, 'client id')}, clientSecret: {secret}"


def _aliased(fields: list[str], operation: str = "mutation") -> Document:
    aliases = aliases_of(len(fields))
    lines = "\n".join(f"  {alias}: {field}" for alias, field in zip(aliases, fields, strict=True))
    return Document(SecretStr(f"{operation} {{\n{lines}\n}}"), aliases)


def mint_document(
    requests: Sequence[MintRequest], client_id: str, client_secret: SecretStr, names: MutationNames
) -> Document:
    """Build one mutation that mints each link under an alias of its own.

    :raises PMEInputError: for a value that cannot be encoded as UTF-8.
    """
    credentials = _credentials(client_id, client_secret)
    fields = [
        f"{names.mint}(modelId: {_literal(request.model_id, 'model id')}, {credentials}, "
        f"validFor: {_literal(str(request.validity), 'valid_for')}) {{ accessToken application link validUntil }}"
        for request in requests
    ]
    return _aliased(fields)


def revoke_document(
    tokens: Sequence[AccessToken], client_id: str, client_secret: SecretStr, names: MutationNames
) -> Document:
    """Build one mutation that revokes each token under an alias of its own.

    :raises PMEInputError: for a value that cannot be encoded as UTF-8.
    """
    credentials = _credentials(client_id, client_secret)
    fields = [f"{names.revoke}({credentials}, accessToken: {_literal(token.reveal(), 'token')})" for token in tokens]
    return _aliased(fields)


def models_document(query: str, page_size: int, offset: str | int | None) -> Document:
    """Build the query for one page of the models that the application may see.

    :param query: the vendor's search text; ``*`` for every model.
    :param page_size: models a page.
    :param offset: the ``nextOffset`` of the page before; ``None`` for the first page.
    :raises PMEInputError: for a query that cannot be encoded as UTF-8.
    """
    where = "" if offset is None else f", offset: {offset if isinstance(offset, int) else print_string(offset)}"
    arguments = f"query: {_literal(query, 'query')}, pageSize: {page_size}{where}"
    fields = "results { id name state } nextOffset totalResults"
    return Document(SecretStr(f"query {{\n  models({arguments}) {{ {fields} }}\n}}"), ("models",))


def names_document(model_ids: Sequence[str]) -> Document:
    """Build one query for the name of each model under an alias of its own."""
    return _aliased([f"model(id: {print_string(model_id)}) {{ id name }}" for model_id in model_ids], "query")
