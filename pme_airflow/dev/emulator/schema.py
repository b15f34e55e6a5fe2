"""The emulator's GraphQL schema: both documented mutations under both spellings, and the listing of models."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema

from pme_airflow.dev.emulator.world import World, parse_validity, too_long

__all__ = ["bind", "make_schema"]

_LINK = """
  (modelId: ID!, clientId: ID!, clientSecret: String!, validFor: Duration): PrivateModelLink
"""
_DELETE = "(clientId: ID!, clientSecret: String!, accessToken: ID!): Boolean"
_COMMON = """
scalar Duration
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


class Refusal(GraphQLError):
    """An error as the vendor's changelog describes it: with an ``httpStatus`` and a code."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message, extensions={"httpStatus": status, "code": code})


def make_schema(*, second_spelling_only: bool) -> GraphQLSchema:
    """The schema, with the guide's names of the mutations and the FAQ's, or the FAQ's alone."""
    pairs = [_SECOND] if second_spelling_only else [_FIRST, _SECOND]
    fields = "\n".join(f"  {create}{_LINK}  {delete}{_DELETE}" for create, delete in pairs)
    return build_schema(f"{_COMMON}\ntype Mutation {{\n{fields}\n}}")


def bind(world: World, base_url: str) -> dict[str, Any]:
    """The root value that answers every field."""

    def check(client_id: str, client_secret: str) -> None:
        if (client_id, client_secret) != (world.settings.client_id, world.settings.client_secret):
            raise Refusal("these client credentials are not known", 401, "request.unauthorized")

    def create(_: Any, modelId: str, clientId: str, clientSecret: str, validFor: str = "1h") -> Any:  # noqa: N803
        check(clientId, clientSecret)
        if world.strikes("partial_null"):
            raise Refusal("try again", 429, "request.throttled")
        seconds = parse_validity(validFor)
        if seconds is None or seconds <= 0 or too_long(seconds):
            raise Refusal("validFor is not allowed", 400, "request.invalid")
        model = world.models.get(modelId)
        if model is None:
            raise Refusal("no such model", 404, "not.found")
        if model["state"] != "active":
            raise Refusal("the model is not active", 400, "model.inactive")
        issued = world.issue(modelId, seconds)
        if world.strikes("made_but_null"):
            raise Refusal("a part of the answer failed", 500, "internal.error")
        return {
            "accessToken": issued.token,
            "application": "showcase",
            "link": f"{base_url}/show?m={modelId}&auth=Bearer+{issued.token}",
            "validUntil": issued.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def delete(_: Any, clientId: str, clientSecret: str, accessToken: str) -> bool:  # noqa: N803
        check(clientId, clientSecret)
        world.count("deletes")
        if world.strikes("lying_false"):
            return False
        return world.revoke(accessToken)

    def models(_: Any, query: str, pageSize: int = 20, offset: str | None = None) -> Any:  # noqa: N803
        found = [
            {"id": model_id, **model}
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
            raise Refusal("no such model", 404, "not.found")
        known = world.models[id]
        return {"id": id, **known, "accessVisibility": known["visibility"]}

    return {
        "models": models,
        "model": model,
        **dict.fromkeys((_FIRST[0], _SECOND[0]), create),
        **dict.fromkeys((_FIRST[1], _SECOND[1]), delete),
    }
