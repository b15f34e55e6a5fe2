"""The emulator's GraphQL schema: both documented mutations under both of their names, and the listing of models."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema

from pme_airflow.dev.emulator.world import IssuedToken, World, parse_validity, too_long

__all__ = ["make_schema", "root_value"]

_LINK = """
  (modelId: ID!, clientId: ID!, clientSecret: String!, validFor: Duration): PrivateModelLink
"""
_DELETE = "(clientId: ID!, clientSecret: String!, accessToken: ID!): Boolean"
_SHARED = """
  createPrivateModelEmbedToken(
    application: PrivateModelApplication = showcase, clientId: ID!, clientSecret: String!, modelIds: [ID!]!,
    validFor: Duration
  ): PrivateModelToken
"""
_COMMON = """
scalar Duration
enum PrivateModelApplication { showcase }
type PrivateModelToken { accessToken: String validUntil: String }
type PrivateModelLink { accessToken: String application: String link: String validUntil: String }
type Model { id: ID name: String state: String visibility: String accessVisibility: String }
type ModelPage { results: [Model] nextOffset: String totalResults: Int }
type Query {
  models(query: String!, pageSize: Int, offset: String): ModelPage
  model(id: ID!): Model
}
"""
_FIRST = ("createPrivateModelEmbedLink", "deletePrivateModelEmbedToken")
_SECOND = ("createPrivateModelAccessLink", "deletePrivateModelAccessToken")
_DEFAULT_SECONDS = 3600


class FieldError(GraphQLError):
    """An error with an ``httpStatus`` and a code, as the vendor's changelog describes it."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message, extensions={"httpStatus": status, "code": code})


def make_schema(
    *, second_spelling_only: bool = False, without: Collection[str] = (), shared_tokens: bool = False
) -> GraphQLSchema:
    """Build the schema.

    :param second_spelling_only: whether the mutations have only the names in the vendor's FAQ.
    :param without: fields of links and models that the API no longer has.
    :param shared_tokens: whether there is the beta mutation that makes one token for several models.
    """
    pairs = [_SECOND] if second_spelling_only else [_FIRST, _SECOND]
    fields = "\n".join(f"  {create}{_LINK}  {delete}{_DELETE}" for create, delete in pairs)
    types = _COMMON
    for field in without:
        types = re.sub(rf"\b{field}: \w+", "", types)
    return build_schema(f"{types}\ntype Mutation {{\n{fields}{_SHARED if shared_tokens else ''}\n}}")


def _timestamp(issued: IssuedToken) -> str:
    return issued.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ")


def root_value(world: World, base_url: str) -> dict[str, Any]:
    """Return the resolver of each root field."""

    def check(client_id: str, client_secret: str) -> None:
        if (client_id, client_secret) != (world.settings.client_id, world.settings.client_secret):
            raise FieldError("these client credentials are not known", 401, "request.unauthorized")
        if not world.licensed:
            raise FieldError("Private Model Embed is not enabled", 403, "request.forbidden")

    def check_request(model_ids: list[str], valid_for: str) -> int:
        seconds = parse_validity(valid_for)
        if seconds is None or seconds <= 0 or too_long(seconds) or not model_ids:
            raise FieldError("validFor or modelIds is not allowed", 400, "request.invalid")
        for model_id in model_ids:
            model = world.models.get(model_id)
            if model is None:
                raise FieldError("no such model", 404, "not.found")
            if model["state"] != "active":
                raise FieldError("the model is not active", 400, "model.inactive")
        return seconds

    def create_shared(_: Any, **given: Any) -> Any:
        check(given["clientId"], given["clientSecret"])
        if world.injects("partial_null"):
            raise FieldError("try again", 429, "request.throttled")
        if 0 < world.max_models_per_token < len(given["modelIds"]):
            world.count("refused_tokens")
            raise FieldError("too many models", 400, "request.unsupported")
        seconds = check_request(given["modelIds"], given.get("validFor", "1h"))
        issued = world.issue(given["modelIds"][0], seconds, given["modelIds"][1:])
        if world.injects("made_but_null"):
            raise FieldError("a part of the response failed", 500, "internal.error")
        return {"accessToken": issued.token, "validUntil": _timestamp(issued)}

    def create(_: Any, modelId: str, clientId: str, clientSecret: str, validFor: str = "1h") -> Any:  # noqa: N803
        check(clientId, clientSecret)
        if world.injects("partial_null"):
            raise FieldError("try again", 429, "request.throttled")
        seconds = check_request([modelId], validFor)
        issued = world.issue(modelId, seconds)
        if world.injects("made_but_null"):
            raise FieldError("a part of the response failed", 500, "internal.error")
        return {
            "accessToken": issued.token,
            "application": "showcase",
            "link": f"{base_url}/show?m={modelId}&auth=Bearer+{issued.token}",
            "validUntil": _timestamp(issued),
        }

    def delete(_: Any, clientId: str, clientSecret: str, accessToken: str) -> bool:  # noqa: N803
        check(clientId, clientSecret)
        world.count("deletes")
        if world.injects("lying_false"):
            return False
        return world.revoke(accessToken)

    def models(_: Any, query: str, pageSize: int = 20, offset: str | None = None) -> Any:  # noqa: N803
        found = [
            {"id": model_id, **model, "accessVisibility": model["visibility"]}
            for model_id, model in world.models.items()
            if query == "*" or query.lower() in model["name"].lower()
        ]
        start = int(offset or 0)
        following = start + pageSize
        return {
            "results": found[start:following],
            "nextOffset": str(following) if following < len(found) else None,
            "totalResults": len(found),
        }

    def model(_: Any, id: str) -> Any:  # noqa: A002
        if id not in world.models:
            raise FieldError("no such model", 404, "not.found")
        known = world.models[id]
        return {"id": id, **known, "accessVisibility": known["visibility"]}

    return {
        "models": models,
        "model": model,
        "createPrivateModelEmbedToken": create_shared,
        **dict.fromkeys((_FIRST[0], _SECOND[0]), create),
        **dict.fromkeys((_FIRST[1], _SECOND[1]), delete),
    }
