from __future__ import annotations

import pytest
from graphql import FieldNode, OperationDefinitionNode, StringValueNode, parse
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.api.dialect import Dialect, MutationNames
from pme_airflow.api.documents import Document, mint_document, models_document, revoke_document
from pme_airflow.api.messages import MintRequest
from pme_airflow.durations import Validity
from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import AccessToken, SecretStr

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def read_fields(text: str) -> list[FieldNode]:
    (operation,) = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return [field for field in operation.selection_set.selections if isinstance(field, FieldNode)]


def arguments(field: FieldNode) -> dict[str, str]:
    return {a.name.value: a.value.value for a in field.arguments if isinstance(a.value, StringValueNode)}


@given(client_id=any_text, secret=any_text)
def test_any_secret_comes_out_of_a_mint_as_it_went_in(client_id: str, secret: str) -> None:
    asked = [MintRequest("yyHDFKzPzvN", Validity(600)), MintRequest("SxQL3iGyoDo", Validity(60))]
    document = mint_document(asked, client_id, SecretStr(secret), Dialect())
    fields = read_fields(document.text.reveal())
    assert [field.alias.value for field in fields if field.alias] == list(document.aliases)
    for field, request in zip(fields, asked, strict=True):
        assert arguments(field) == {
            "modelId": request.model_id,
            "clientId": client_id,
            "clientSecret": secret,
            "validFor": str(request.validity),
        }


@given(secret=any_text, token=any_text)
def test_any_token_comes_out_of_a_revocation_as_it_went_in(secret: str, token: str) -> None:
    document = revoke_document([AccessToken(token)], "id", SecretStr(secret), Dialect(MutationNames.ACCESS_LINK))
    (field,) = read_fields(document.text.reveal())
    assert field.name.value == "deletePrivateModelAccessToken"
    assert arguments(field) == {"clientId": "id", "clientSecret": secret, "accessToken": token}


@given(any_text)
def test_any_query_comes_out_of_a_listing_as_it_went_in(query: str) -> None:
    (field,) = read_fields(models_document(query, 10, "5", Dialect()).text.reveal())
    assert arguments(field)["query"] == query


def test_half_a_character_is_refused_without_being_shown() -> None:
    with pytest.raises(PMEInputError, match="client secret") as caught:
        mint_document([MintRequest("yyHDFKzPzvN", Validity(60))], "id", SecretStr("abc\ud800"), Dialect())
    assert "abc" not in str(caught.value)


def test_no_document_shows_itself() -> None:
    document = mint_document([MintRequest("yyHDFKzPzvN", Validity(60))], "id", SecretStr("s3cret"), Dialect())
    assert "s3cret" not in repr(document)
    assert "s3cret" not in str(document.text)


@pytest.mark.parametrize(
    ("text", "line", "column", "field"),
    [
        ("query {\n  link\n}", 2, 3, "link"),
        ("query {\n  link\n}", 1, 1, None),
        ("query {\n  link\n}", 1, 7, None),
        ("query {\n  link\n}", 2, 0, None),
        ("query {\n  link\n}", 4, 1, None),
        ("link", 1, 1, "link"),
        ("link", 0, 1, None),
    ],
)
def test_an_optional_field_is_found_by_its_place(text: str, line: int, column: int, field: str | None) -> None:
    assert Document(SecretStr(text), ("a0",)).field_at(line, column) == field
