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

__all__ = ["Document", "MutationNames", "mint_document", "model_document", "models_document", "names_document",
           "revoke_document"]  # fmt: skip


class MutationNames(Enum):
    """The two names the vendor's pages give the same pair of mutations."""

    EMBED_LINK = ("createPrivateModelEmbedLink", "deletePrivateModelEmbedToken")
    ACCESS_LINK = ("createPrivateModelAccessLink", "deletePrivateModelAccessToken")

    @property
    def mint(self) -> str:
        return self.value[0]

    @property
    def revoke(self) -> str:
        return self.value[1]


@dataclass(frozen=True)
class Document:
    """A query text, hidden from every log and traceback, and the aliases it asks under."""

    text: SecretStr
    aliases: tuple[str, ...]


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
    aliases = tuple(f"a{index}" for index in range(len(fields)))
    lines = "\n".join(f"  {alias}: {field}" for alias, field in zip(aliases, fields, strict=True))
    return Document(SecretStr(f"{operation} {{\n{lines}\n}}"), aliases)


def mint_document(
    requests: Sequence[MintRequest], client_id: str, client_secret: SecretStr, spelling: MutationNames
) -> Document:
    """One mutation that asks for each link under an alias of its own."""
    who = _credentials(client_id, client_secret)
    fields = [
        f"{spelling.mint}(modelId: {_literal(request.model_id, 'model id')}, {who}, "
        f"validFor: {_literal(str(request.validity), 'valid_for')}) {{ accessToken application link validUntil }}"
        for request in requests
    ]
    return _aliased(fields)


def revoke_document(
    tokens: Sequence[AccessToken], client_id: str, client_secret: SecretStr, spelling: MutationNames
) -> Document:
    """One mutation that revokes each token under an alias of its own."""
    who = _credentials(client_id, client_secret)
    fields = [f"{spelling.revoke}({who}, accessToken: {_literal(token.reveal(), 'token')})" for token in tokens]
    return _aliased(fields)


def models_document(query: str, page_size: int, offset: str | int | None) -> Document:
    """One page of the models the application may see."""
    where = "" if offset is None else f", offset: {offset if isinstance(offset, int) else print_string(offset)}"
    arguments = f"query: {_literal(query, 'query')}, pageSize: {page_size}{where}"
    fields = "results { id name state visibility } nextOffset totalResults"
    return Document(SecretStr(f"query {{\n  models({arguments}) {{ {fields} }}\n}}"), ("models",))


def names_document(model_ids: Sequence[str]) -> Document:
    """Each of so many models under an alias of its own."""
    return _aliased([f"model(id: {print_string(model_id)}) {{ id name }}" for model_id in model_ids], "query")


def model_document(model_id: str) -> Document:
    """One model's state."""
    fields = "id name state accessVisibility"
    return Document(SecretStr(f"query {{\n  model(id: {print_string(model_id)}) {{ {fields} }}\n}}"), ("model",))
