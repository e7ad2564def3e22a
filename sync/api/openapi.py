"""Completes the generated OpenAPI document: an example for every body, the problems every route can answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sync.api.problems import KINDS, MEDIA_TYPE

Schema = dict[str, Any]

_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem document.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "`/problems/<code>`; GET explains it. Switch on this."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened and what to do, for people."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "requestId": {"type": "string", "description": "Also in the header X-Request-Id and in the server's log."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body, or `query:<name>`."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_PLAIN: Schema = {"object": {}, "integer": 0, "number": 0.0, "boolean": False, "null": None}
_CHOICES = ("anyOf", "oneOf", "allOf")
_ALWAYS = ("internal", "unavailable")
_WITH_TOKEN = ("token-required", "forbidden")
_WITH_BODY = ("malformed-json", "body-too-large", "not-json", "validation")


def install(app: FastAPI) -> None:
    def build() -> Schema:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _complete(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _complete(document: Schema) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_problems(path, operation)
            _add_examples(operation, schemas)


def _add_problems(path: str, operation: Schema) -> None:
    if operation.pop("x-own-answers", False):  # no route of ours answers there
        return
    codes = list(_ALWAYS)
    if operation.get("security"):
        codes += _WITH_TOKEN
    if "requestBody" in operation:
        codes += _WITH_BODY
    elif operation.get("parameters"):
        codes.append("validation")
    if "{" in path:
        codes.append("not-found")
    codes += operation.pop("x-problems", [])
    for code in codes:
        kind = KINDS[code]
        example = {"type": f"/problems/{code}", "title": kind.title, "status": kind.status, "detail": kind.help}
        operation["responses"][str(kind.status)] = {
            "description": f"{kind.title}. {kind.help}",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
        }


def _add_examples(operation: Schema, schemas: Schema) -> None:
    bodies = [operation.get("requestBody", {})]
    bodies += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for body in bodies:
        media = body.get("content", {}).get("application/json")
        if media and "example" not in media and "examples" not in media:
            media["example"] = with_nulls(example_of(media["schema"], schemas), media["schema"], schemas)


def example_of(schema: Schema, schemas: Schema) -> Any:
    """An example of a schema: its own, or put together from those of its parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in _CHOICES:
        if key in schema:
            return example_of(schema[key][0], schemas)
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if "properties" in schema:
        return {name: example_of(part, schemas) for name, part in schema["properties"].items()}
    return _PLAIN.get(schema.get("type", ""), "string")


def with_nulls(value: Any, schema: Schema, schemas: Schema) -> Any:
    """`value` with the nulls that FastAPI drops from examples: required properties that are absent are null."""
    if "$ref" in schema:
        return with_nulls(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    for key in _CHOICES:
        if key in schema:
            return with_nulls(value, schema[key][0], schemas)
    if isinstance(value, list) and "items" in schema:
        return [with_nulls(item, schema["items"], schemas) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    absent = dict.fromkeys(name for name in schema.get("required", ()) if name not in value)
    given = {name: with_nulls(part, schema["properties"].get(name, {}), schemas) for name, part in value.items()}
    return {**given, **absent}
