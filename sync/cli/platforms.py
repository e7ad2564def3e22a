"""`syncctl connect <platform>`: any platform of the registry, with its fields or by consent in a browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync.cli.connect import Check, Json, Org, connectors, integrations_of, print_connected, print_json
from sync.cli.session import operator, when, with_runtime

if TYPE_CHECKING:
    from connectors.base import Connector, Field
    from sync.pull.model import Integration
    from sync.pull.oauth import Consent
    from sync.wiring import Runtime


def platform(
    name: Annotated[str, typer.Argument(metavar="PLATFORM", help="As GET /sync/platforms names it.")],
    org: Org,
    browser: Annotated[bool, typer.Option("--browser", help="By consent: prints the address to open.")] = False,
    account: Annotated[
        str | None, typer.Option(help="The vendor's id of the account; asked of the vendor when left out.")
    ] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="A field that is no secret: NAME=VALUE.")] = None,
    secrets_file: Annotated[
        Path | None, typer.Option(help="JSON object with the secret fields; '-' is stdin. Else they are asked.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    sync_types: Annotated[
        list[str] | None, typer.Option("--sync-type", help="With --browser: ask for what these need alone.")
    ] = None,
    check: Check = True,
    as_json: Json = False,
) -> None:
    """Connect an account of any platform. Its first sync is due at once."""

    async def begin(runtime: Runtime) -> Consent:
        from sync.pull.oauth import Consents

        found = connectors(runtime)
        config = _config(_find(found, name), values or [])
        consents = Consents(runtime.database, runtime.sealer, runtime.settings, found)
        given = _read(secrets_file) if secrets_file else {}
        return await consents.begin(
            org,
            name,
            by=operator(),
            label=label,
            config=config,
            credentials=given,
            sync_types=sync_types,
            operator=True,
        )

    async def work(runtime: Runtime) -> Integration:
        connector = _find(connectors(runtime), name)
        config = _config(connector, values or [])
        credentials = _read(secrets_file) if secrets_file else _ask(connector)
        whose, called = account, label
        if check or account is None:
            said = await _identity(runtime, connector, org, account, config, credentials)
            whose, called = said[0], label or said[1]
        assert whose is not None
        return await integrations_of(runtime).connect(
            org, name, whose, config, credentials, by=operator(), label=called, operator=True
        )

    if not browser:
        print_connected(with_runtime(work), as_json)
        return
    consent = with_runtime(begin)
    if as_json:
        print_json({"authorizeUrl": consent.authorize_url, "expiresAt": consent.expires_at})
    else:
        print(f"Open this before {when(consent.expires_at)}; it leads back to {consent.redirect_uri}:\n")
        print(consent.authorize_url)


def _find(found: Mapping[str, Connector], name: str) -> Connector:
    from connectors.registry import find_connector

    return find_connector(name, found)


def _config(connector: Connector, values: list[str]) -> dict[str, Any]:
    """Errors: ConfigurationError for what is not NAME=VALUE or has a wrong type."""
    from sync.base.errors import ConfigurationError

    fields = {item.name: item for item in connector.fields}
    config: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {value}: give a name and a value, as in --set {value}=…")
        if name in fields and fields[name].secret:
            raise ConfigurationError(f"{name} is a secret: others could read it here. Use --secrets-file.")
        config[name] = _typed(fields.get(name), text)
    return config


def _typed(field: Field | None, text: str) -> Any:
    if field is not None and field.kind == "integer" and text.lstrip("-").isdecimal():
        return int(text)
    if field is not None and field.kind == "boolean" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return text


def _read(file: Path) -> dict[str, str]:
    """Errors: ConfigurationError."""
    from sync.base.errors import ConfigurationError

    try:
        found = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--secrets-file {file}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ConfigurationError(f"--secrets-file {file}: a JSON object of texts is wanted.")
    return found


def _ask(connector: Connector) -> dict[str, str]:
    """The secret fields, from the keyboard without echo; empty answers leave a field out."""
    if not sys.stdin.isatty():
        return {}
    secret = [item for item in connector.fields if item.secret]
    asked = {item.name: typer.prompt(f"{item.name} ({item.help})", default="", hide_input=True) for item in secret}
    return {name: value for name, value in asked.items() if value}


async def _identity(
    runtime: Runtime,
    connector: Connector,
    org: str,
    account: str | None,
    config: dict[str, Any],
    credentials: dict[str, str],
) -> tuple[str, str | None]:
    """Account and its name, as the vendor says. Errors: ConfigurationError if it is another; the connector's."""
    from connectors.http import HttpConnector
    from connectors.http.consent import whose
    from sync.base.errors import ConfigurationError
    from sync.pull.accounts import Accounts

    given = integrations_of(runtime).check(connector.platform, config, credentials, operator=True)
    accounts = Accounts(runtime.database, runtime.sealer, runtime.settings)
    tried = accounts.unsaved(org, connector.platform, account or "", given.config, given.credentials)
    if isinstance(connector, HttpConnector) and connector.identify is not None:
        identity = await whose(connector, tried)
        if account not in {None, identity.account}:
            raise ConfigurationError(f"These credentials are for {identity.account}, not for {account}.")
        return identity.account, identity.label or None
    if account is None:
        raise ConfigurationError(f"{connector.title} does not say whose credentials these are: give --account.")
    async with connector.open(tried) as session:
        await session.check()
    return account, None
