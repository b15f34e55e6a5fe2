"""The emulator's GraphQL schema: both documented mutations under both of their names, and the listing of models."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema

from pme_airflow.dev.emulator.world import World, parse_validity, too_long

__all__ = ["make_schema", "root_value"]

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


class FieldError(GraphQLError):
    """An error with an ``httpStatus`` and a code, as the vendor's changelog describes it."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message, extensions={"httpStatus": status, "code": code})


def make_schema(*, second_spelling_only: bool) -> GraphQLSchema:
    """Build the schema, with the names of the mutations in the guide and in the FAQ, or only those in the FAQ."""
    pairs = [_SECOND] if second_spelling_only else [_FIRST, _SECOND]
    fields = "\n".join(f"  {create}{_LINK}  {delete}{_DELETE}" for create, delete in pairs)
    return build_schema(f"{_COMMON}\ntype Mutation {{\n{fields}\n}}")


def root_value(world: World, base_url: str) -> dict[str, Any]:
    """Return the resolver of each root field."""

    def check(client_id: str, client_secret: str) -> None:
        if (client_id, client_secret) != (world.settings.client_id, world.settings.client_secret):
            raise FieldError("these client credentials are not known", 401, "request.unauthorized")

    def create(_: Any, modelId: str, clientId: str, clientSecret: str, validFor: str = "1h") -> Any:  # noqa: N803
        check(clientId, clientSecret)
        if world.injects("partial_null"):
            raise FieldError("try again", 429, "request.throttled")
        seconds = parse_validity(validFor)
        if seconds is None or seconds <= 0 or too_long(seconds):
            raise FieldError("validFor is not allowed", 400, "request.invalid")
        model = world.models.get(modelId)
        if model is None:
            raise FieldError("no such model", 404, "not.found")
        if model["state"] != "active":
            raise FieldError("the model is not active", 400, "model.inactive")
        issued = world.issue(modelId, seconds)
        if world.injects("made_but_null"):
            raise FieldError("a part of the response failed", 500, "internal.error")
        return {
            "accessToken": issued.token,
            "application": "showcase",
            "link": f"{base_url}/show?m={modelId}&auth=Bearer+{issued.token}",
            "validUntil": issued.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def delete(_: Any, clientId: str, clientSecret: str, accessToken: str) -> bool:  # noqa: N803
        check(clientId, clientSecret)
        world.count("deletes")
        if world.injects("lying_false"):
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
            raise FieldError("no such model", 404, "not.found")
        known = world.models[id]
        return {"id": id, **known, "accessVisibility": known["visibility"]}

    return {
        "models": models,
        "model": model,
        **dict.fromkeys((_FIRST[0], _SECOND[0]), create),
        **dict.fromkeys((_FIRST[1], _SECOND[1]), delete),
    }
