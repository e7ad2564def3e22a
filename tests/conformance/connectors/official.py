"""Official OpenAPI files of vendors, as judges of requests.

They are large and belong to the vendors, so they are not part of this repository: they lie in the folder that
SYNC_VENDOR_SPECS names, or in `shared/vendors/specs` beside the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.templating.paths.exceptions import PathError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from connectors.http import HttpConnector
from tests.conformance.connectors.desk import Exchange

FILES = {
    "discord": "discord.openapi.json",
    "pinterest": "pinterest.openapi.json",
    "slack": "slack.openapi.json",
    "tiktok": "tiktok.openapi.yaml",
    "twitter": "twitter.openapi-2.159.json",  # newer ones rename tweet.fields, which the API and its docs keep
}
BESIDE = Path(__file__).parents[4] / "shared"


def folder() -> Path:
    named = os.environ.get("SYNC_VENDOR_SPECS")
    return Path(named) if named else BESIDE / "vendors" / "specs"


def find_file(slug: str) -> Path:
    path = folder() / FILES[slug]
    if not path.exists():
        reason = f"The OpenAPI file of {slug} is not at {path}: name its folder in SYNC_VENDOR_SPECS."
        if os.environ.get("CI") and BESIDE.exists():
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class Call:
    """A request as the validator wants it, as if it had gone to the vendor."""

    def __init__(self, exchange: Exchange, base: str) -> None:
        outgoing, request = exchange.outgoing, exchange.reply.request
        address = urlsplit(base)
        self.host_url = f"{address.scheme}://{address.netloc}"
        self.path = (address.path + request.path).partition("?")[0]
        self.path_pattern = None
        self.method = outgoing.method.lower()
        query = parse_qsl(outgoing.url.query.decode(), keep_blank_values=True)
        self.content_type = outgoing.headers.get("content-type", "")
        self.body = outgoing.content or None
        self.names = {name for name, _ in query}
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(query), header=Headers(list(outgoing.headers.items())), path={}
        )


class Official:
    def __init__(self, path: Path) -> None:
        text = path.read_bytes()
        loaded = msgspec.json.decode(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
        self._spec = _as_openapi_3(loaded) if "swagger" in loaded else loaded
        _adapt(self._spec)
        _allow_both(self._spec)
        self._partial = "subset" in self._spec["info"]["title"]
        self._api = OpenAPI.from_dict(self._spec, config=Config(spec_validator_cls=None))
        self._host = urlsplit(self._spec["servers"][0]["url"]).hostname

    def covers(self, base: str) -> bool:
        return urlsplit(base).hostname == self._host

    def complaints(self, call: Call) -> Iterator[str] | None:
        """What is wrong with it; None where the file says that it does not name every call."""
        try:
            operation = self._api.request_validator._find_path(call).operation  # type: ignore[arg-type]
        except PathError as error:
            return None if self._partial else iter([str(error)])
        return self._found(call, operation)

    def _found(self, call: Call, operation: Any) -> Iterator[str]:
        for error in self._api.iter_request_errors(call):  # type: ignore[arg-type]
            yield f"{type(error).__name__}: {error} {error.__cause__ or ''}"
        declared = {
            parameter["name"].partition("[")[0]
            for place in (operation, operation.parent if hasattr(operation, "parent") else {})
            for parameter in _parameters(place)
        }
        yield from (
            f"{name} is no parameter of it" for name in sorted(call.names) if name.partition("[")[0] not in declared
        )


def _parameters(place: Any) -> list[Any]:
    return list(place / "parameters") if "parameters" in place else []


@cache
def official(slug: str) -> Official:
    return Official(find_file(slug))


def bases(connector: HttpConnector) -> dict[str, str]:
    return {"": connector.base_url} if isinstance(connector.base_url, str) else dict(connector.base_url)


def _as_openapi_3(old: dict[str, Any]) -> dict[str, Any]:
    """The part of a Swagger 2 file that says what requests may be: parameters and their types.

    A token among the parameters is left out: it goes into a header that all calls share.
    """
    kept = ("type", "format", "enum", "items", "minimum", "maximum")

    def parameter(found: dict[str, Any]) -> dict[str, Any]:
        schema = {name: found[name] for name in kept if name in found}
        return {"name": found["name"], "in": found["in"], "required": found.get("required", False), "schema": schema}

    paths = {
        path: {
            method: {
                "responses": {"200": {"description": ""}},
                "parameters": [
                    parameter(found)
                    for found in operation.get("parameters", ())
                    if found.get("name") != "token" and found["in"] in ("query", "path")
                ],
            }
            for method, operation in methods.items()
            if isinstance(operation, dict)
        }
        for path, methods in old["paths"].items()
    }
    server = {"url": f"https://{old['host']}{old['basePath']}"}
    return {"openapi": "3.0.3", "info": old["info"], "servers": [server], "paths": paths}


def _allow_both(found: Any) -> None:
    """`oneOf` over lists that overlap refuses what is in both; it is meant to be `anyOf`."""
    if isinstance(found, dict):
        if "oneOf" in found:
            found["anyOf"] = found.pop("oneOf")
        for value in found.values():
            _allow_both(value)
    elif isinstance(found, list):
        for value in found:
            _allow_both(value)


def _adapt(spec: dict[str, Any]) -> None:
    """Slips of the files are mended; OAuth, which the validator cannot judge, is left to the simulator.

    One vendor's files declare its token header as a query parameter, and say so.
    """
    spec.pop("security", None)
    operations = (operation for methods in spec["paths"].values() for operation in methods.values())
    for operation in operations:
        if not isinstance(operation, dict):
            continue
        operation.pop("security", None)
        for parameter in operation.get("parameters", ()):
            if parameter.get("name") == "Access-Token":
                parameter["in"] = "header"
