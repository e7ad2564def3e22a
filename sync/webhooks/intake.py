"""Decides what becomes of a call: a handshake's answer, an acknowledgement once it is stored, or a refusal.

Whoever calls without proof learns nothing: not whether the platform, the integration or the delivery exists, nor what
was wrong. The log counts refusals by reason, one line a minute at most.
"""

from __future__ import annotations

import time
from collections import Counter

from connectors.http import Hook, HookAnswer
from sync.base.logs import get_logger
from sync.webhooks.accounts import NamedAccounts
from sync.webhooks.model import Call, NewDelivery, dedup_key
from sync.webhooks.platforms import Hooked, HookedPlatforms
from sync.webhooks.writer import GroupWriter

log = get_logger(__name__)

_LOG_EVERY_S = 60.0


class Refused(Exception):
    """The call proves nothing. `reason` is for our log alone."""

    def __init__(self, reason: str, platform: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.platform = platform


class Intake:
    def __init__(self, platforms: HookedPlatforms, accounts: NamedAccounts, writer: GroupWriter) -> None:
        self._platforms = platforms
        self._accounts = accounts
        self._writer = writer
        self._refused: Counter[tuple[str, str]] = Counter()
        self._log_after = 0.0

    async def answer(self, call: Call) -> HookAnswer:
        """Errors: Refused; Transient when it could not be stored, so that the vendor sends it again."""
        hooked = self._platforms.find(call.platform, call.headers, call.query)
        if hooked is None:
            raise Refused("platform")
        hook = await self._hook(call, hooked)
        if call.method == "GET":
            return self._handshake(hook, hooked)
        if call.method != "POST":
            raise Refused("method", hooked.platform)
        if not _proved(hook, hooked):
            raise Refused("signature", hooked.platform)
        answer = hooked.webhook.handshake(hook)
        if answer is not None:
            return _accepted(answer, hooked)
        await self._writer.put(_delivery(call, hook, hooked))
        return hooked.webhook.accepted(hook)

    def count(self, refusal: Refused) -> None:
        """Note a refusal; who is flooded with them must not be flooded with log lines, too."""
        self._refused[refusal.platform, refusal.reason] += 1
        now = time.monotonic()
        if now >= self._log_after:
            self._log_after = now + _LOG_EVERY_S
            counts = {f"{platform or '?'} {reason}": count for (platform, reason), count in self._refused.items()}
            self._refused.clear()
            log.warning("webhooks.refused", calls=counts)

    async def close(self) -> None:
        await self._writer.close()

    async def _hook(self, call: Call, hooked: Hooked) -> Hook:
        query = call.query
        if call.integration_id is not None:
            named = await self._accounts.find(hooked.platform, call.integration_id)
            if named is None:
                raise Refused("integration", hooked.platform)
            query = {**query, **hooked.webhook.address(*named)}
        return Hook(call.method, call.headers, query, call.body, call.received_at, hooked.secrets)

    def _handshake(self, hook: Hook, hooked: Hooked) -> HookAnswer:
        if hooked.webhook.verify_handshake and not _proved(hook, hooked):
            raise Refused("signature", hooked.platform)
        answer = hooked.webhook.handshake(hook)
        if answer is None:
            raise Refused("handshake", hooked.platform)
        return _accepted(answer, hooked)


def _proved(hook: Hook, hooked: Hooked) -> bool:
    try:
        return hooked.webhook.verify(hook)
    except Exception:  # a time of a thousand digits, half a character: whatever cannot be checked proves nothing
        return False


def _accepted(answer: HookAnswer, hooked: Hooked) -> HookAnswer:
    if answer.status >= 400:
        raise Refused("handshake", hooked.platform)
    return answer


def _delivery(call: Call, hook: Hook, hooked: Hooked) -> NewDelivery:
    webhook = hooked.webhook
    query = {name: hook.query[name] for name in webhook.kept_query if name in hook.query}
    return NewDelivery(
        dedup_key(hooked.platform, query, webhook.delivery_id(hook), call.body),
        hooked.platform,
        call.integration_id,
        {name: call.headers[name] for name in webhook.kept if name in call.headers},
        query,
        call.body,
    )
