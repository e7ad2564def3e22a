"""Reddit: the Data API of an account that moderates subreddits. There are no webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from simulator import text as words
from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Refusal, Request, Response
from simulator.limits import Rule, Usage
from simulator.vendor import Vendor
from simulator.vendors.reddit import data, errors, modmail, oauth, routes, things
from simulator.vendors.reddit.data import Conversation, Redditor, Subreddit
from simulator.vendors.reddit.listings import is_raw
from simulator.vendors.reddit.things import id36, key_of, place_of

if TYPE_CHECKING:
    from simulator.world import Scale

_DEFAULT_AGENTS = ("python-", "curl/", "go-http-client", "java/", "okhttp", "mozilla/")
PRIVATE, BANNED = "secret_garden", "banned_club"
"""Subreddits that exist and cannot be read."""


class Reddit(Vendor[Redditor]):
    slug = "reddit"
    tables = (oauth.routes, routes.routes, modmail.routes)
    scopes = tuple(
        ["identity", "read", "history", "privatemessages", "mysubreddits", "modmail", "modtraffic", "submit"]
    )
    token_rules = TokenRules(access_ttl=86_400, refresh=Refresh.REUSABLE)
    limit_rules = (
        Rule("client", 1000, 600, per=("app",)),
        Rule("token", 300, 600, per=("app",)),
        Rule("writing", 20, 60),
    )

    def build(self, scale: Scale) -> None:
        self.permanent = True
        """Whether the newest consent asked for a refresh token."""
        self._refused = 0
        app = App(letters(22, ALNUM, "client", self.seed), letters(30, ALNUM, "secret", self.seed))
        self.auth.add_app(app)
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.redditor(self.seed, number, start, scale.days, scale.per_day))
        self.add(data.redditor(self.seed, 999, start, 700, 0, big=scale.big))
        self.places = {sub.place: sub for who in self.accounts.values() for sub in who.subs}
        self.actions = {
            "post": self.post,
            "comment": self.comment,
            "edit": self.edit,
            "delete": self.delete,
            "remove": self.remove,
            "approve": self.approve,
            "vote": self.vote,
            "message": self.message,
            "mention": self.mention,
            "modmail": self.modmail,
        }

    def feeds(self, account: Redditor) -> dict[str, Feed]:
        found = {"inbox": account.inbox, "sent": account.sent, "mentions": account.mentions}
        for sub in account.subs:
            found |= {f"posts:{sub.name}": sub.posts, f"comments:{sub.name}": sub.comments}
            found |= {f"modmail:{talk.id}": talk.messages for talk in sub.modmail.values()}
        return found

    def redditor(self, request: Request) -> Redditor:
        return self.account(request.account)  # type: ignore[arg-type]

    # --- what Reddit says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.invalid_token()

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        return errors.insufficient_scope()

    def limited(self, request: Request, usage: Usage) -> Response:
        """Once as JSON, once as a page of HTML with Retry-After."""
        request.usages = [usage]
        if usage.rule.name == "writing":
            text = "Looks like you've been doing that a lot. Take a break for 3 seconds before trying again."
            return errors.in_json("RATELIMIT", text, "ratelimit", ratelimit=2.9)
        self._refused += 1
        if self._refused % 2:
            return errors.plain(429, "Too Many Requests")
        return errors.html(errors.TOO_MANY, 429, [("retry-after", str(max(int(-(-usage.retry_after // 1)), 1)))])

    def broken(self, request: Request, status: int) -> Response:
        return errors.html("<html><body>Our CDN was unable to reach our servers</body></html>", status)

    def unknown(self, request: Request) -> Response:
        return errors.not_found()

    def expired_cursor(self, request: Request) -> Response:
        return errors.plain(400, "Bad Request")

    # --- where Reddit differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        body = letters(30, ALNUM, kind, self.seed, number)
        return f"{letters(12, '0123456789', grant.user)}-{body}" if kind == "refresh" else f"eyJ{body}.{body[::-1]}"

    def authenticate(self, request: Request) -> Token:
        self.recognise(request)
        return super().authenticate(request)

    def recognise(self, request: Request) -> None:
        """Refuse callers that do not say who they are."""
        agent = request.headers.get("user-agent", "").lower()
        if not agent or agent.startswith(_DEFAULT_AGENTS):
            raise Refusal(errors.html(errors.BLOCKED, 403))

    def need(self, request: Request, *scopes: str) -> None:
        if request.token is not None and request.token.kind != "app":
            super().need(request, *scopes)

    def finish(self, request: Request, response: Response) -> Headers:
        for usage in request.usages:
            if usage.rule.name in ("client", "token"):
                left = max(usage.reset_at - request.now, 0)
                return [
                    ("x-ratelimit-used", str(int(usage.used))),
                    ("x-ratelimit-remaining", f"{usage.remaining:.1f}"),
                    ("x-ratelimit-reset", str(int(left))),
                ]
        return []

    # --- for the routes

    def subs(self, request: Request) -> list[Subreddit]:
        """The subreddits of a path like /r/a+b."""
        found: list[Subreddit] = []
        known = {sub.name.lower(): sub for sub in self.places.values()}
        for name in request.params["sub"].split("+"):
            if name.lower() == PRIVATE:
                raise Refusal(errors.forbidden("private"))
            if name.lower() == BANNED:
                raise Refusal(errors.not_found("banned"))
            if name.lower() not in known:
                raise Refusal(errors.no_subreddit(name))
            found.append(known[name.lower()])
        return found

    def moderated(self, request: Request) -> list[Subreddit]:
        found = self.subs(request)
        if any(sub not in self.redditor(request).subs for sub in found):
            raise Refusal(errors.forbidden())
        return found

    def thing(self, fullname: str) -> tuple[Subreddit, Record] | None:
        """A post or comment, also a deleted one."""
        kind, _, value = fullname.partition("_")
        key = key_of(value)
        if key is None or (sub := self.places.get(place_of(key))) is None or kind not in ("t1", "t3"):
            return None
        record: Record | None = sub.post(key) if kind == "t3" else sub.comment(key)
        return (sub, record) if record is not None and record["name"] == fullname else None

    def post_view(self, request: Request) -> Callable[[Record], Record]:
        raw, now = is_raw(request), request.now

        def view(record: Record) -> Record:
            return self._sub_of(record).shown_post(record, now, raw=raw)

        return view

    def comment_view(self, request: Request) -> Callable[[Record], Record]:
        raw, now = is_raw(request), request.now

        def view(record: Record) -> Record:
            return self._sub_of(record).shown_comment(record, now, raw=raw)

        return view

    def _sub_of(self, record: Record) -> Subreddit:
        return self.places[place_of(int(record["id"], 36))]

    # --- what happens

    def _found(self, thing: str) -> tuple[Subreddit, Feed, int, Record]:
        found = self.thing(thing)
        if found is None:
            raise KeyError(thing)
        sub, record = found
        return sub, sub.posts if thing.startswith("t3_") else sub.comments, int(record["id"], 36), record

    def post(self, account: Redditor, *, sub: str = "", text: str = "", author: str = "") -> str:
        place = next((found for found in account.subs if found.name == sub), account.subs[0])
        key = place.free_key(place.posts, self.world.clock.now())
        who = author or things.someone("poster", key)
        record = things.post(place, key, who, text or words.question(key), key // 64)
        place.posts.append(key, record)
        return str(record["name"])

    def comment(self, account: Redditor, *, thing: str, text: str = "", author: str = "") -> str:
        sub, _, _, above = self._found(thing)
        link_name = str(above.get("link_id") or above["name"])
        link = sub.post(int(link_name[3:], 36)) or above
        key = sub.free_key(sub.comments, self.world.clock.now())
        depth = above.get("depth", -1) + 1
        who = author or things.someone("commenter", key)
        record = things.comment(sub, key, who, text or words.reply(key), thing, link, depth=depth)
        sub.comments.append(key, record)
        self._count(sub, link, 1)
        return str(record["name"])

    def _count(self, sub: Subreddit, link: Record, change: int) -> None:
        key = int(link["id"], 36)
        if key in sub.posts:
            sub.posts.edit(key, _comments=link["_comments"] + change)

    def edit(self, account: Redditor, *, thing: str, text: str) -> str:
        _, feed, key, record = self._found(thing)
        name = "selftext" if thing.startswith("t3_") else "body"
        html = things.message(key, "", "", "", text)["body_html"]
        feed.edit(key, **{name: text, f"{name}_html": html, "edited": float(int(self.world.clock.now()))})
        return str(record["name"])

    def delete(self, account: Redditor, *, thing: str) -> str:
        """Its author deletes it: it leaves the listings, and stays a shell by its id."""
        return self._shell(thing, "[deleted]", "[deleted]", "deleted")

    def remove(self, account: Redditor, *, thing: str) -> str:
        """A moderator removes it."""
        return self._shell(thing, "", "[removed]", "moderator")

    def _shell(self, thing: str, author: str, text: str, category: str) -> str:
        sub, feed, key, record = self._found(thing)
        shell = {**record, ("selftext" if thing.startswith("t3_") else "body"): text, "_before": record}
        if author:
            shell = {name: value for name, value in shell.items() if name != "author_fullname"} | {"author": author}
        if thing.startswith("t3_"):
            shell["removed_by_category"] = category
        feed.delete(key)
        sub.gone[thing] = shell
        if not thing.startswith("t3_") and (link := sub.post(int(record["link_id"][3:], 36))) is not None:
            self._count(sub, link, -1)
        return thing

    def approve(self, account: Redditor, *, thing: str) -> str:
        """A removed thing comes back, in its old place among the others."""
        sub, feed, key, record = self._found(thing)
        if sub.gone.pop(thing, None) is not None:
            feed.restore(key)
        return str(record["name"])

    def vote(self, account: Redditor, *, thing: str, count: int = 1) -> int:
        _, feed, key, record = self._found(thing)
        feed.edit(key, _votes=record["_votes"] + count)
        return int(record["_votes"]) + count

    def message(self, account: Redditor, *, to: str = "", text: str = "", ours: bool = False) -> str:
        feed = account.sent if ours else account.inbox
        now = things.key_at(self.world.clock.now(), things.MAIL)
        key = max(account.sent.free_key(now), account.inbox.free_key(now))
        key += (things.MAIL - key) % things.PLACES
        peer = to or things.someone("writer", key)
        author, dest = (account.name, peer) if ours else (peer, account.name)
        record = things.message(key, author, dest, "Order", text or words.question(key))
        feed.append(key, record)
        return str(record["name"])

    def mention(self, account: Redditor, *, text: str = "") -> str:
        key = account.mentions.free_key(things.key_at(self.world.clock.now(), things.ELSEWHERE))
        other = Subreddit(
            name="helpdesk",
            id="t5_2qh33",
            place=things.ELSEWHERE,
            seed=0,
            brand="",
            end=0,
            subscribers=9,
            created=0,
        )
        record = things.mention(account, key, other, text or words.question(key))
        account.mentions.append(key, record)
        return str(record["name"])

    def modmail(self, account: Redditor, *, conversation: str = "", text: str = "", author: str = "") -> str:
        """A message in a conversation, or the first of a new one. Returns the conversation's id."""
        talks = {talk.id: talk for sub in account.subs for talk in sub.modmail.values()}
        now = self.world.clock.now()
        if conversation:
            talk = talks[conversation]
        else:
            sub = account.subs[0]
            name = letters(5, "0123456789abcdefghijklmnopqrstuvwxyz", "modmail", sub.name, len(talks))
            who = author or things.someone("modmail", name)
            talk = Conversation(id=name, sub=sub, subject=words.question(name), participant=who)
            sub.modmail[name] = talk
        key = talk.sub.free_key(talk.messages, now)
        said = text or words.message(talk.id, key)
        talk.messages.append(key, things.modmail_message(key, author or talk.participant, said, talk.sub))
        return talk.id

    def grow(self, account: Redditor) -> str:
        dice = self.random
        sub = dice.choice(account.subs)
        kinds = ("post", "comment", "vote", "message", "mention", "modmail", "edit", "delete")
        kind = dice.choices(kinds, (15, 35, 18, 8, 6, 8, 7, 3))[0]
        recent = [f"t3_{id36(key)}" for key in sub.posts.slice(10, view=lambda _record: None).keys]
        if kind in ("message", "mention", "modmail"):
            conversation = dice.choice(list(sub.modmail)) if kind == "modmail" else ""
            if kind == "modmail":
                self.modmail(account, conversation=conversation)
            else:
                self.message(account) if kind == "message" else self.mention(account)
            return kind
        if kind == "post" or not recent:
            self.post(account, sub=sub.name, author=account.name if dice.random() < 0.3 else "")
            return "post"
        thing = dice.choice(recent)
        if kind == "comment":
            self.comment(account, thing=thing)
        elif kind == "vote":
            self.vote(account, thing=thing, count=dice.choice((-1, 1, 2)))
        elif kind == "edit":
            self.edit(account, thing=thing, text=words.statement(thing, dice.random().hex()))
        else:
            self.delete(account, thing=thing)
        return kind


__all__ = ["Reddit"]
