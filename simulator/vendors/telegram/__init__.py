"""Telegram's Bot API: a queue of updates that reading destroys, or a webhook; no history, no limits in headers.

A connected account is one bot. Its token is part of the path, never runs out and is replaced by revoking it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simulator.auth import App, Grant, TokenError
from simulator.dice import ALNUM, letters
from simulator.feed import Feed
from simulator.http import Request, Response
from simulator.limits import Rule, Usage
from simulator.vendors.telegram import data, methods
from simulator.vendors.telegram.data import Bot
from simulator.vendors.telegram.deeds import KINDS, Deeds
from simulator.webhooks import Delivery, HookRules

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

_TOKEN = re.compile(r"\d{3,}:[\w-]{35}")


class Telegram(Deeds):
    slug = "telegram"
    tables = (methods.routes,)
    limit_rules = (
        Rule("bot", 30, 1),
        Rule("chat", 1, 1),
        Rule("group", 20, 60),
    )
    hooks_by_account = True
    hook_rules = HookRules(retries=(0.05, 2, 4, 8, 16, 32, *[60] * 20), timeout_s=60)

    def build(self, scale: Scale) -> None:
        self.auth.add_app(App("telegram", letters(20, ALNUM, "telegram", self.seed)))
        for number in range(scale.accounts):
            bot = self.add(data.bot(self.seed, number, self.world.start))
            if number == 0:
                bot.allowed = frozenset(KINDS)
            self.past(bot, self.world.start, max(scale.per_day * 10, 40))
        self.add(data.bot(self.seed, 999, self.world.start, big=scale.big))
        self.actions = self.deeds()

    def feeds(self, account: Bot) -> dict[str, Feed]:
        return {"updates": account.updates}

    # --- what Telegram says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        if not _TOKEN.fullmatch(request.params.get("token", "")):
            return failed(404, "Not Found")
        return failed(401, "Unauthorized")

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return failed(400, "Bad Request: need administrator rights in the channel chat")

    def limited(self, request: Request, usage: Usage) -> Response:
        seconds = max(math.ceil(usage.retry_after), 1)
        answer = failed(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})
        answer.headers.append(("retry-after", str(seconds)))
        return answer

    def broken(self, request: Request, status: int) -> Response:
        return failed(status, "Internal Server Error: restart")

    def unknown(self, request: Request) -> Response:
        return failed(404, "Not Found")

    def expired_cursor(self, request: Request) -> Response:
        """There are no page tokens."""
        return failed(400, "Bad Request")

    # --- where Telegram differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        """The same for every consent, until the owner revokes it."""
        account = grant.account
        earlier = sum(1 for other in self.auth.grants if other.account is account and other.dead)
        bot = account.id if account else "0"
        return f"{bot}:AA{letters(33, ALNUM, 'telegram', self.seed, bot, earlier)}"

    def token_of(self, request: Request) -> str | None:
        return request.params.get("token")

    def redact_path(self, path: str) -> str:
        return re.sub(r"/bot[^/]+", "/bot***", path)

    def claims(self, request: Request) -> list[tuple[str, str]]:
        bot = request.account
        if not isinstance(bot, Bot):
            return []
        found = [("bot", bot.id)]
        if request.params.get("method", "").lower() == "sendmessage":
            chat = bot.place(request.args().get("chat_id"))
            if chat is not None:
                rule = "group" if chat.type in ("group", "supergroup", "channel") else "chat"
                found.append((rule, f"{bot.id}:{chat.id}"))
        return found

    def bot(self, request: Request) -> Bot:
        return self.account(request.account)  # type: ignore[arg-type]

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        """A secret that the receiver chose, as it is; without one there is nothing to tell who sends."""
        secret = "forged" if delivery.forged else delivery.target.secret
        return {"x-telegram-bot-api-secret-token": secret} if secret else {}

    def hook_answered(self, delivery: Delivery, status: int, headers: httpx.Headers) -> str:
        bot = self.accounts.get(delivery.account or "")
        if bot is None:
            return "stopped"
        if 200 <= status < 300:
            bot.delivered.add(int(delivery.id))
            return "delivered"
        said = f"Wrong response from the webhook: {status}" if status else "Webhook connection closed"
        bot.webhook |= {"last_error_date": int(self.now()), "last_error_message": said}
        return "retry" if delivery.target.active else "stopped"


def failed(status: int, description: str, parameters: dict[str, Any] | None = None) -> Response:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return Response(body | ({"parameters": parameters} if parameters else {}), status)


__all__ = ["Telegram", "failed"]
