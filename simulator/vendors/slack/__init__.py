"""Slack: Web API, OAuth v2 with rotation, Events API."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from simulator import text as words
from simulator.auth import App, Grant, Refresh, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, UPPER, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendor import Vendor
from simulator.vendors.slack import data, oauth, routes
from simulator.vendors.slack.data import MICRO, Channel, Team, key_of, ts
from simulator.vendors.slack.events import Events
from simulator.webhooks import Delivery, HookRules, Target

if TYPE_CHECKING:
    import httpx

    from simulator.world import Scale

ROTATING = TokenRules(access_ttl=43_200, refresh=Refresh.ROTATING)
STATIC = TokenRules()
_METHOD = ("app", "account", "route")
_WALKS = ("/api/conversations.history", "/api/conversations.replies")
_AUTH_ERRORS = {
    "missing": "not_authed",
    "unknown": "invalid_auth",
    "expired": "token_expired",
    "revoked": "token_revoked",
}


class Slack(Vendor[Team]):
    slug = "slack"
    tables = (oauth.routes, routes.routes)
    scopes = tuple(
        [
            "channels:read",
            "groups:read",
            "im:read",
            "mpim:read",
            "channels:history",
            "groups:history",
            "im:history",
            "mpim:history",
            "users:read",
            "users:read.email",
            "reactions:read",
            "team:read",
            "app_mentions:read",
            "files:read",
            "channels:join",
            "chat:write",
            "search:read",
        ]
    )
    token_rules = ROTATING
    limit_rules = (
        Rule("tier2", 20, 60, per=_METHOD),
        Rule("tier3", 50, 60, per=_METHOD),
        Rule("tier4", 100, 60, per=_METHOD),
        Rule("special", 300, 60, per=_METHOD),
        Rule("post", 60, 60, per=_METHOD),
        Rule("limited", 1, 60, per=_METHOD),
    )
    hook_rules = HookRules(retries=(0.05, 60, 300), timeout_s=3, redirects=2)

    def build(self, scale: Scale) -> None:
        secret = letters(32, "0123456789abcdef", "signing", self.seed)
        for name, rules, limited in (("main", ROTATING, False), ("internal", STATIC, False), ("limited", STATIC, True)):
            client_id = f"{letters(12, DIGITS, name, self.seed)}.{letters(12, DIGITS, 'b', name, self.seed)}"
            self.auth.add_app(
                App(
                    client_id,
                    letters(32, "0123456789abcdef", "secret", name, self.seed),
                    id="A" + letters(10, UPPER, name, self.seed),
                    secrets={"signing_secret": secret},
                    options={"name": name, "limited": limited},
                    rules=rules,
                )
            )
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.team(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.team(self.seed, 999, start, 700, 0, big=scale.big))
        self.events = Events(self)
        self.actions = {
            "post": self.post,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "unreact": self.unreact,
            "kick": self.kick,
        }

    def feeds(self, account: Team) -> dict[str, Feed]:
        found: dict[str, Feed] = {}
        for channel in account.bots_channels():
            found[f"messages:{channel.id}"] = channel.feed
            if not account.big:
                found |= {f"replies:{channel.id}:{ts(parent)}": thread for parent, thread in channel.all_threads()}
        return found

    # --- what Slack says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return Response({"ok": False, "error": _AUTH_ERRORS[error.reason]})

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        provided = ",".join(sorted(request.token.scopes)) if request.token else ""
        return Response({"ok": False, "error": "missing_scope", "needed": ",".join(needed), "provided": provided})

    def limited(self, request: Request, usage: Usage) -> Response:
        seconds = str(max(int(-(-usage.retry_after // 1)), 1))
        return Response({"ok": False, "error": "ratelimited"}, 429, [("retry-after", seconds)])

    def broken(self, request: Request, status: int) -> Response:
        return Response({"ok": False, "error": "internal_error"}, status)

    def unknown(self, request: Request) -> Response:
        method = request.path.rpartition("/")[2]
        return Response({"ok": False, "error": "unknown_method", "req_method": method})

    def expired_cursor(self, request: Request) -> Response:
        return Response({"ok": False, "error": "invalid_cursor"})

    # --- where Slack differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        body = letters(48, ALNUM, kind, self.seed, number)
        if kind == "access":
            return (
                f"xoxe.xoxb-1-{body}" if self.auth.rules_of(grant.app).refresh is Refresh.ROTATING else f"xoxb-{body}"
            )
        return f"xoxe-1-{body}" if kind == "refresh" else body

    def token_of(self, request: Request) -> str | None:
        return request.bearer() or request.form.get("token") or request.query.get("token")

    def claims(self, request: Request) -> list[tuple[str, str]]:
        if request.app and request.app.options["limited"] and request.path in _WALKS:
            return [("limited", self.limit_key(request, self.limits.rules["limited"]))]
        return super().claims(request)

    def page_limit(self, request: Request, usual: int) -> int:
        return 15 if request.app and request.app.options["limited"] else usual

    def finish(self, request: Request, response: Response) -> Headers:
        if request.token is None:
            return []
        accepted = ",".join(request.route.scopes) if request.route else ""
        return [("x-oauth-scopes", ",".join(sorted(request.token.scopes))), ("x-accepted-oauth-scopes", accepted)]

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        secret = "wrong" if delivery.forged else self.app.secrets["signing_secret"]
        headers = signature(secret, int(now), delivery.body)
        if attempt:
            reason = "http_timeout" if delivery.attempts[-1][1] == 0 else "http_error"
            headers |= {"x-slack-retry-num": str(attempt), "x-slack-retry-reason": reason}
        return headers

    async def handshake(self, client: httpx.AsyncClient, target: Target) -> bool:
        challenge = letters(52, ALNUM, "challenge", self.seed, len(self.hooks.targets))
        body = msgspec.json.encode({"token": self.events.token, "challenge": challenge, "type": "url_verification"})
        headers = {
            "content-type": "application/json",
            **signature(self.app.secrets["signing_secret"], int(self.now()), body),
        }
        answer = await client.post(target.url, content=body, headers=headers)
        return answer.status_code == 200 and challenge in answer.text

    def hook_answered(self, delivery: Delivery, status: int, headers: httpx.Headers) -> str:
        if 200 <= status < 300:
            return "delivered"
        return "stopped" if headers.get("x-slack-no-retry") == "1" else "retry"

    # --- what happens in a workspace

    def post(
        self,
        team: Team,
        *,
        channel: str,
        text: str,
        user: str | None = None,
        thread: str | None = None,
        broadcast: bool = False,
    ) -> str:
        """A message, or a reply when `thread` is the parent's ts. Returns its ts."""
        room = team.channels[channel]
        author = user or self.random.choice([member for member in room.members if member != team.bot_user])
        now = int(self.world.clock.now() * MICRO)
        if thread is None:
            key = room.feed.free_key(now)
            record = data.message(key, author, text, team.id)
            if author == team.bot_user:
                record |= {"bot_id": team.bot_id, "app_id": self.app.id}
            room.feed.append(key, record)
        else:
            key, record = self._reply(team, room, thread, author, text, now, broadcast=broadcast)
        self.events.message(team, room, record)
        return ts(key)

    def _reply(
        self, team: Team, room: Channel, thread: str, author: str, text: str, now: int, *, broadcast: bool
    ) -> tuple[int, Record]:
        parent = key_of(thread)
        if parent is None or parent not in room.feed:
            raise KeyError(thread)
        feed = room.thread(parent) or room.threads.setdefault(parent, Feed())
        key = max(feed.free_key(now), room.feed.free_key(now))
        record = data.reply(key, parent, author, text, team.id, room.author(parent))
        if broadcast:
            record |= {"subtype": "thread_broadcast", "root": room.feed.get(parent)}
            room.feed.append(key, record)
        feed.append(key, record)
        users = list(dict.fromkeys(str(r["user"]) for r in feed.records()))
        room.feed.edit(
            parent,
            thread_ts=thread,
            reply_count=len(feed),
            reply_users_count=len(users),
            latest_reply=ts(key),
            reply_users=users,
            is_locked=False,
            subscribed=False,
        )
        return key, record

    def find(self, channel: Channel, stamp: str) -> tuple[Feed, int] | None:
        """The feed and key of a message or reply."""
        key = key_of(stamp)
        if key is None:
            return None
        if key in channel.feed:
            return channel.feed, key
        return next(((feed, key) for feed in list(channel.threads_around(key)) if key in feed), None)

    def _found(self, team: Team, channel: str, stamp: str) -> tuple[Channel, Feed, int, Record]:
        room = team.channels[channel]
        found = self.find(room, stamp)
        if found is None:
            raise KeyError(stamp)
        return room, *found, found[0].get(found[1]) or {}

    def edit(self, team: Team, *, channel: str, ts: str, text: str) -> str:
        room, feed, key, before = self._found(team, channel, ts)
        blocks = data.message(key, before.get("user", ""), text, team.id)["blocks"]
        edited = {"user": before.get("user", ""), "ts": f"{int(self.world.clock.now())}.000000"}
        after = feed.edit(key, text=data.escaped(text), blocks=blocks, edited=edited)
        self.events.changed(team, room, before, after)
        return ts

    def delete(self, team: Team, *, channel: str, ts: str) -> str:
        """A parent with replies stays as a tombstone."""
        room, feed, key, before = self._found(team, channel, ts)
        if before.get("reply_count"):
            feed.edit(
                key,
                subtype="tombstone",
                user="USLACKBOT",
                text="This message was deleted.",
                hidden=True,
                blocks=[],
                reactions=[],
            )
        else:
            feed.delete(key)
            self._forget_reply(room, before)
        self.events.deleted(team, room, before)
        return ts

    def _forget_reply(self, room: Channel, record: Record) -> None:
        parent = key_of(str(record.get("thread_ts", "")))
        if parent is None or parent not in room.feed or (feed := room.thread(parent)) is None:
            return
        newest = feed.newest()
        users = list(dict.fromkeys(str(r["user"]) for r in feed.records()))
        latest = ts(newest) if newest else None
        room.feed.edit(
            parent, reply_count=len(feed), reply_users=users, reply_users_count=len(users), latest_reply=latest
        )

    def react(self, team: Team, *, channel: str, ts: str, emoji: str = "thumbsup", user: str | None = None) -> bool:
        return self._reaction(team, channel, ts, emoji, user, add=True)

    def unreact(self, team: Team, *, channel: str, ts: str, emoji: str = "thumbsup", user: str | None = None) -> bool:
        return self._reaction(team, channel, ts, emoji, user, add=False)

    def _reaction(self, team: Team, channel: str, stamp: str, emoji: str, user: str | None, *, add: bool) -> bool:
        room, feed, key, record = self._found(team, channel, stamp)
        who = user or self.random.choice(room.members)
        reactions = {entry["name"]: list(entry["users"]) for entry in record.get("reactions", ())}
        users = reactions.setdefault(emoji, [])
        if (who in users) is add:
            return False
        users.append(who) if add else users.remove(who)
        shown = [{"name": name, "users": fans, "count": len(fans)} for name, fans in reactions.items() if fans]
        feed.edit(key, reactions=shown)
        self.events.reaction(team, room, record, emoji, who, added=add)
        return True

    def kick(self, team: Team, *, channel: str) -> bool:
        """Remove our bot from a conversation."""
        team.channels[channel].joined = False
        self.events.send(
            team, {"type": "member_left_channel", "user": team.bot_user, "channel": channel, "team": team.id}
        )
        return True

    def revoke(self, account: Team | str | None = None, reason: str = "user") -> int:
        team = self.account(account)
        count = super().revoke(team, reason)
        self.events.send(team, {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [team.bot_user]}})
        self.events.send(team, {"type": "app_uninstalled"})
        return count

    def grow(self, account: Team) -> str:
        chance = self.random
        rooms = [room for room in account.bots_channels() if not room.archived]
        room = chance.choice(rooms)
        kind = chance.choices(("post", "reply", "edit", "delete", "react", "mention"), (40, 25, 8, 4, 18, 5))[0]
        recent = [str(r["ts"]) for r in self._recent(room) if not r.get("subtype")]
        if kind in ("post", "mention") or not recent:
            call = f"<@{account.bot_user}> " if kind == "mention" else ""
            self.post(account, channel=room.id, text=call + words.message(room.id, chance.random().hex()))
            return "post"
        target = chance.choice(recent)
        if kind == "reply":
            self.post(account, channel=room.id, text=words.reply(room.id, chance.random().hex()), thread=target)
        elif kind == "edit":
            self.edit(account, channel=room.id, ts=target, text=words.statement(room.id, chance.random().hex()))
        elif kind == "delete":
            self.delete(account, channel=room.id, ts=target)
        else:
            self.react(account, channel=room.id, ts=target, emoji=chance.choice(words.EMOJI))
        return kind

    def _recent(self, room: Channel, count: int = 20) -> list[Record]:
        return [record for key in room.feed.slice(count).keys if (record := room.feed.get(key))]

    # --- for the routes

    def team(self, request: Request) -> Team:
        return self.account(request.account)  # type: ignore[arg-type]

    def permalink(self, request: Request, channel: Channel, key: int) -> str:
        return f"{self.team(request).url}archives/{channel.id}/p{key}"

    def shown_user(self, request: Request, user: Record) -> Record:
        if request.token and "users:read.email" in request.token.scopes:
            return user
        return {**user, "profile": {k: v for k, v in user["profile"].items() if k != "email"}}


def signature(secret: str, at: int, body: bytes) -> dict[str, str]:
    digest = hmac.new(secret.encode(), b"v0:%d:%b" % (at, body), sha256).hexdigest()
    return {"x-slack-request-timestamp": str(at), "x-slack-signature": f"v0={digest}"}


__all__ = ["Slack", "signature"]
