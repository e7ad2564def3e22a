"""TikTok: API for Business, organic and ads. (The Display API, with apps and tokens of its own, is not here.)"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from simulator import text as words
from simulator.auth import App, Grant, Refresh, Token, TokenError, TokenRules
from simulator.dice import ALNUM, DIGITS, HEX, letters
from simulator.feed import Feed, Record
from simulator.http import Headers, Refusal, Request, Response
from simulator.limits import Rule, Usage
from simulator.reports import Reports
from simulator.vendor import Connection, Vendor
from simulator.vendors.tiktok import ads, business, data, errors, messages, oauth, subscriptions, writing
from simulator.vendors.tiktok.data import Advertiser, Creator, Talk, key_at, ms_of
from simulator.vendors.tiktok.subscriptions import signature
from simulator.webhooks import Delivery, HookRules

if TYPE_CHECKING:
    from simulator.world import Scale

DAY = 86_400
_API = ("qps", "qpm", "qpd")
_ACCOUNT_PATHS = (f"{oauth.V}/business/", f"{oauth.V}/tt_user/")


class TikTok(Vendor[Creator]):
    slug = "tiktok"
    tables = (business.routes, messages.routes, writing.routes, ads.routes, oauth.routes, subscriptions.routes)
    scopes = tuple(
        [
            "user.info.basic",
            "user.info.username",
            "user.info.profile",
            "user.info.stats",
            "user.account.type",
            "user.insights",
            "video.list",
            "video.insights",
            "comment.list",
            "comment.list.manage",
            "message.list.read",
            "message.list.send",
            "biz.brand.insights",
        ]
    )
    token_rules = TokenRules(access_ttl=DAY, refresh=Refresh.ROTATING, refresh_ttl=365 * DAY)
    limit_rules = (
        Rule("qps", 10, 1, "sliding", per=("app",)),
        Rule("qpm", 600, 60, "sliding", per=("app",), retry_after=300),
        Rule("qpd", 864_000, DAY, "aligned", per=("app",)),
        Rule("messaging_qps", 10, 1, "sliding", per=("app",)),
        Rule("task_qps", 2, 1, "sliding", per=("app",)),
        Rule("task_qpm", 60, 60, "sliding", per=("app",)),
        Rule("task_qpd", 4_500, DAY, "aligned", per=("app",)),
    )
    hook_rules = HookRules(retries=tuple(60.0 * 2**turn for turn in range(12)), timeout_s=5)

    def build(self, scale: Scale) -> None:
        self.reports = Reports(self)
        self.auth.add_app(App(letters(19, DIGITS[1:], "app", self.seed), letters(40, HEX, "secret", self.seed)))
        start = self.world.start
        for number in range(scale.accounts):
            self.add(data.creator(self.seed, number, start, scale.days, max(scale.per_day // 2, 1)))
        self.add(data.creator(self.seed, 999, start, 700, 0, big=scale.big))
        self.actions = {
            "post": self.post,
            "delete": self.delete,
            "filter_out": self.filter_out,
            "comment": self.comment,
            "hide": self.hide,
            "delete_comment": self.delete_comment,
            "like": self.like,
            "message": self.message,
            "mention": self.mention,
            "mention_in_comment": self.mention_in_comment,
            "ad_comment": self.ad_comment,
            "turn_personal": self.turn_personal,
        }

    def feeds(self, account: Creator) -> dict[str, Feed]:
        found: dict[str, Feed] = {"videos": account.videos}
        if account.big:
            return found
        found |= {f"comments:{key}": account.comments_of(key) for key in account.videos}
        found |= {f"messages:{talk.id}": talk.messages for talk in account.talks.values()}
        found |= {"mentions": account.mentions, "comment_mentions": account.comment_mentions}
        return found | {f"ad_comments:{advertiser.id}": advertiser.comments for advertiser in account.advertisers}

    # --- what TikTok says instead of yes

    def unauthorized(self, request: Request, error: TokenError) -> Response:
        return errors.dead_token(request, error)

    def scope_missing(self, request: Request, needed: Iterable[str]) -> Response:
        if not request.path.startswith(_ACCOUNT_PATHS):
            return errors.response(request, 40001, "No permission to operate advertiser.")
        return errors.response(request, 40125, f"The access token lacks the scope {','.join(needed)}.")

    def limited(self, request: Request, usage: Usage) -> Response:
        return errors.over_limit(request, usage)

    def broken(self, request: Request, status: int) -> Response:
        """Then the call never came to the API, which answers 200 even when it is ill."""
        return Response("upstream connect error", status, type="text/plain")

    def unknown(self, request: Request) -> Response:
        """A missing slash at the end is enough."""
        return Response("404 page not found", 404, type="text/plain")

    def expired_cursor(self, request: Request) -> Response:
        return errors.response(request, 40002, "cursor: Invalid cursor.")

    # --- where TikTok differs

    def make_token(self, kind: str, grant: Grant, number: int) -> str:
        prefix = {"access": "act.", "refresh": "rft."}.get(kind, "")
        return prefix + letters(60, ALNUM, kind, self.seed, number)

    def token_of(self, request: Request) -> str | None:
        return request.headers.get("access-token")

    def authenticate(self, request: Request) -> Token:
        """An account's token is none to the Marketing API, and the other way round."""
        token = super().authenticate(request)
        wanted = "access" if request.path.startswith(_ACCOUNT_PATHS) else "advertiser"
        if token.kind != wanted:
            raise TokenError("unknown", token=token)
        return token

    def ads_token(self, grant: Grant, now: float) -> Token:
        return self.auth.issue("advertiser", grant, now)

    def connection_of(self, account: Creator, app: App, access: Token, refresh: Token | None) -> Connection:
        """A token of the account; `facts` has one for its advertisers, of another consent."""
        grant = self.auth.consent(app, account, {"ads"}, self.now())
        advertisers = [{"id": a.id, "currency": a.currency, "timezone": a.zone} for a in account.advertisers]
        facts = {"ads_token": self.ads_token(grant, self.now()).value, "advertisers": advertisers}
        return replace(super().connection_of(account, app, access, refresh), facts=facts)

    def claims(self, request: Request) -> list[tuple[str, str]]:
        if request.route is None or request.app is None:
            return []
        rules = [*_API]
        if "/business/message/" in request.path:
            rules.insert(0, "messaging_qps")
        if request.path.endswith("/report/task/create/"):
            rules = ["task_qps", "task_qpm", "task_qpd", *rules]
        return [(rule, request.app.client_id) for rule in rules]

    def creator(self, request: Request) -> Creator:
        return self.account(request.account)  # type: ignore[arg-type]

    def business(self, request: Request) -> Creator:
        """The account of a call, which must be its token's own."""
        creator = self.creator(request)
        named = request.query.get("business_id")
        if not named:
            raise Refusal(errors.response(request, 40002, "business_id: Missing data for required field."))
        if named != creator.id or not creator.business:
            raise Refusal(errors.response(request, 40001, "The account is not a Business Account or not authorized."))
        return creator

    def advertiser(self, request: Request, name: Any) -> Advertiser:
        if not name:
            raise Refusal(errors.response(request, 40002, "advertiser_id: Missing data for required field."))
        found = next((a for a in self.creator(request).advertisers if a.id == name), None)
        if found is None:
            raise Refusal(errors.response(request, 40001, f"No permission to operate advertiser {name}."))
        return found

    def finish(self, request: Request, response: Response) -> Headers:
        return [("x-tt-logid", errors.request_id(request))]

    # --- webhooks

    def sign(self, delivery: Delivery, now: float, attempt: int) -> dict[str, str]:
        secret = "wrong" if delivery.forged else self.app.client_secret
        logid = letters(20, DIGITS, delivery.id, attempt)
        return {**signature(secret, int(now), delivery.body), "webhook-schema-version": "1.0", "x-tt-logid": logid}

    def _tell(self, account: Creator, family: str, event: str, content: Record, video: str = "") -> None:
        """To every receiver of the family, or of that video alone. The content is JSON inside JSON."""
        payload = {
            "client_key": self.app.client_id,
            "event": event,
            "create_time": int(self.now()),
            "user_openid": account.id,
            "content": json.dumps(content, separators=(",", ":"), ensure_ascii=False),
        }
        body = msgspec.json.encode(payload)
        for target in self.hooks.targets:
            items = target.extra.get("items")
            if not target.active or target.account not in (None, account) or (items and video not in items):
                continue
            if not target.topics or not family or family in target.topics:
                self.hooks.send(target, body, account, topic=family)

    def _tell_comment(self, account: Creator, record: Record, action: str) -> None:
        content = {
            "comment_id": int(record["comment_id"]),
            "video_id": int(record["video_id"]),
            "parent_comment_id": record["_parent"] or int(record["video_id"]),
            "comment_type": "comment" if record["_parent"] is None else "reply",
            "comment_action": action,
            "unique_identifier": record["unique_identifier"],
            "timestamp": int(self.now() * 1000),
        }
        self._tell(account, "COMMENT", "comment.update", content, record["video_id"])

    def revoke(self, account: Creator | str | None = None, reason: str = "user") -> int:
        found = self.account(account)
        count = super().revoke(found, reason)
        code = {"user": 1, "deleted": 2, "age": 3, "banned": 4, "developer": 5}.get(reason, 0)
        self._tell(found, "", "authorization.removed", {"reason": code})
        return count

    # --- what happens

    def _key(self, feed: Feed, kind: int = 0) -> int:
        """A millisecond that nothing in the feed has yet; things of other kinds may have the same, but not the id."""
        key = key_at(self.world.clock.now() * 1000) + kind
        free = feed.free_key(key)
        return key if free == key else key_at(ms_of(free) + 1) + kind

    def post(self, account: Creator, *, text: str = "") -> str:
        key = self._key(account.videos)
        account.videos.append(key, account.video(key, text or words.statement(account.id, key)))
        content = {"publish_id": f"v_pub_url~v2.{key}", "post_id": key, "publish_type": "DIRECT_PUBLISH"}
        self._tell(account, "VIDEO", "post.publish.publicly_available", content, str(key))
        return str(key)

    def delete(self, account: Creator, *, video: str) -> str:
        if not account.videos.delete(int(video)):
            raise KeyError(video)
        content = {"publish_id": f"v_pub_url~v2.{video}", "post_id": int(video), "publish_type": "DIRECT_PUBLISH"}
        self._tell(account, "VIDEO", "post.publish.no_longer_publicly_available", content, video)
        return video

    def filter_out(self, account: Creator, *, video: str, out: bool = True) -> str:
        """Trust and safety hides a video from the API for a while: pages are shorter than they could be."""
        (account.filtered.add if out else account.filtered.discard)(int(video))
        account.videos.touch(int(video))
        return video

    def comment(
        self, account: Creator, *, video: str, text: str = "", parent: str | None = None, ours: bool = False
    ) -> str:
        if int(video) not in account.videos:
            raise KeyError(video)
        feed = account.comments_of(int(video))
        key = self._key(feed, 101)
        above = int(parent) if parent else None
        record = account.comment(int(video), key, text or words.question(video, key), above, ours=ours)
        feed.append(key, record)
        account.videos.touch(int(video))
        self._tell_comment(account, record, "insert")
        return str(key)

    def hide(self, account: Creator, *, video: str, comment: str, hidden: bool = True) -> str:
        record = account.comments_of(int(video)).edit(int(comment), status="HIDDEN" if hidden else "PUBLIC")
        self._tell_comment(account, record, "set_to_hidden" if hidden else "set_to_public")
        return comment

    def delete_comment(self, account: Creator, *, video: str, comment: str) -> str:
        """Its replies go with it."""
        feed = account.comments_of(int(video))
        record = feed.get(int(comment))
        if record is None:
            raise KeyError(comment)
        for other in [found for found in feed.records() if found["_parent"] == int(comment)]:
            feed.delete(int(other["comment_id"]))
        feed.delete(int(comment))
        account.videos.touch(int(video))
        self._tell_comment(account, record, "delete")
        return comment

    def like(self, account: Creator, *, video: str, count: int = 1) -> int:
        fans = int((account.videos.get(int(video)) or {})["_fans"]) + count
        account.videos.edit(int(video), _fans=fans)
        return fans

    def message(
        self, account: Creator, *, conversation: str | None = None, text: str = "", ours: bool = False, eu: bool = False
    ) -> str:
        """A direct message. Of senders in the EEA, Switzerland and the UK a webhook says only that there is one."""
        talk: Talk = account.talks[conversation or next(iter(account.talks))]
        at = talk.messages.free_key(int(self.world.clock.now() * 1000))
        record = account.message(talk, at, text or words.question(talk.id, at), ours=ours, plain=bool(text))
        talk.messages.append(at, record)
        if ours:
            talk.kind = "SINGLE"
        if eu:
            told: Record = {"to": account.username, "timestamp": at}
            told["to_user"] = {"id": account.id, "role": "business_account"}
            self._tell(account, "DIRECT_MESSAGE", "im_receive_msg_eu", told)
            return str(record["message_id"])
        told = {
            "from": record["sender"],
            "to": record["recipient"],
            "from_user": {"id": record["from_user"]["id"], "role": record["from_user"]["role"].lower()},
            "to_user": {"id": record["to_user"]["id"], "role": record["to_user"]["role"].lower()},
            "unique_identifier": talk.person,
            "conversation_id": talk.id,
            "message_id": record["message_id"],
            "timestamp": at,
            "type": record["message_type"].lower(),
            "is_follower": True,
            "message_tag": record["message_tag"],
        }
        told |= {name: record[name] for name in ("text", "image") if name in record}
        self._tell(account, "DIRECT_MESSAGE", "im_send_msg" if ours else "im_receive_msg", told)
        return str(record["message_id"])

    def mention(self, account: Creator, *, text: str = "") -> str:
        key = self._key(account.mentions, 202)
        record = account.mention(key, text or words.statement("mention", key))
        account.mentions.append(key, record)
        content = {
            "type_of_event": "CREATE",
            "mention_type": "VIDEO_MENTION",
            "video_id": record["item_id"],
            "video_create_time": int(record["create_time"]),
            "open_id_of_mentioned_user": account.id,
            "unique_identifier": data.identifier(key),
            "share_url": record["video_link"],
            "video_caption": record["caption"],
            "comment_id": "0",
        }
        self._tell(account, "BRAND_MENTION", "brand.mention.event", content)
        return str(key)

    def mention_in_comment(self, account: Creator, *, text: str = "") -> str:
        key = self._key(account.comment_mentions, 303)
        account.comment_mentions.append(key, account.comment_mention(key, text or words.question("said", key)))
        return str(key)

    def ad_comment(self, account: Creator, *, adgroup: str | None = None, text: str = "") -> str:
        advertiser = account.advertisers[0]
        group = next(g for g in advertiser.adgroups if adgroup in (None, g["adgroup_id"]))
        key = self._key(advertiser.comments, 404)
        advertiser.comments.append(
            key, data.ad_comment(advertiser, group, key, text or words.question("under the ad", key))
        )
        return str(key)

    def turn_personal(self, account: Creator, *, personal: bool = True) -> bool:
        account.business = not personal
        return personal

    def grow(self, account: Creator) -> str:
        dice = self.random
        kinds = (
            "post",
            "comment",
            "reply",
            "like",
            "message",
            "hide",
            "delete_comment",
            "mention",
            "ad_comment",
            "delete",
        )
        kind = dice.choices(kinds, (12, 32, 10, 14, 18, 3, 3, 3, 3, 2))[0]
        recent = [str(key) for key in account.videos.slice(10).keys]
        if kind == "message" and account.talks:
            self.message(account, conversation=dice.choice(list(account.talks)), ours=dice.random() < 0.4)
            return kind
        if kind in ("mention", "ad_comment"):
            self.mention(account) if kind == "mention" else self.ad_comment(account)
            return kind
        if kind in ("post", "message") or not recent:
            self.post(account)
            return "post"
        video = dice.choice(recent)
        feed = account.comments_of(int(video))
        talk = [record["comment_id"] for record in feed.records() if record["_parent"] is None]
        if kind == "like":
            self.like(account, video=video)
        elif kind == "delete":
            self.delete(account, video=video)
        elif kind == "reply" and talk:
            self.comment(account, video=video, parent=dice.choice(talk), ours=dice.random() < 0.5)
        elif kind == "hide" and talk:
            self.hide(account, video=video, comment=dice.choice(talk))
        elif kind == "delete_comment" and talk:
            self.delete_comment(account, video=video, comment=dice.choice(talk))
        else:
            self.comment(account, video=video)
            return "comment"
        return kind


__all__ = ["TikTok", "signature"]
