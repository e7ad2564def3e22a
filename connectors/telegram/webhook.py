"""Telegram's webhooks: one update per call, proved by a secret in a header, without saying which bot it is for.

So the address names it: that of its integration, or `?account=<bot id>&username=<bot name>`. Each bot has a secret of
its own, made from that of the installation (`secret_of`); whoever calls setWebhook gives it as `secret_token`.
Source: Telegram Bot API 10.1, setWebhook.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from connectors.http import Hook, HookEvent, Webhook, read_object
from connectors.telegram import parse


def secret_of(installation_secret: str, account: str) -> str:
    return hmac.new(installation_secret.encode(), account.encode(), sha256).hexdigest()


def verify(hook: Hook) -> bool:
    secret, account = hook.secrets.get("webhook_secret", ""), hook.query.get("account", "")
    given = hook.headers.get("x-telegram-bot-api-secret-token", "")
    return bool(secret and account) and hmac.compare_digest(secret_of(secret, account).encode(), given.encode())


def events(hook: Hook) -> Iterator[HookEvent]:
    """The update itself: with a webhook there is no other way to get it."""
    update = read_object(hook.body)
    if "update_id" not in update:
        return
    account = hook.query.get("account", "")
    records = tuple(parse.records(update, account, hook.query.get("username", "")))
    yield HookEvent(account, str(update["update_id"]), records=records)


def address(account: str, facts: Mapping[str, Any]) -> dict[str, str]:
    return {"account": account, "username": str(facts.get("username") or "")}


WEBHOOK = Webhook(
    verify=verify,
    events=events,
    signed_by="x-telegram-bot-api-secret-token",
    kept_query=("account", "username"),
    address=address,
)
