"""Members with their organization pages and ad accounts, and the URNs by which everything is found.

Ids of posts and comments are snowflakes: milliseconds shifted by 22 bits. A post has a share or ugcPost URN and, under
another number, an activity URN, which is the one that comments name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simulator import text
from simulator.dice import ALNUM, below, chance, letters, mix, pick
from simulator.feed import Feed, Past, Record
from simulator.vendor import Account

DAY = 86_400
SHIFT = 22
ACTIVITY = 406_865_921
"""From a post's own number to that of its activity."""
_RESERVED = str.maketrans({char: f"\\{char}" for char in "|{}@[]()<>#\\*_~"})
SPAN_MS = 6 * 3_600_000
"""Generated comments come at most this long after their post."""


def key_at(ms: float) -> int:
    return int(ms) << SHIFT


def ms_of(key: int) -> int:
    return key >> SHIFT


def little(words: str) -> str:
    """Plain words in LinkedIn's little text format."""
    return words.translate(_RESERVED)


def person_urn(*key: int | str) -> str:
    return "urn:li:person:" + letters(10, ALNUM, "person", *key)


@dataclass(eq=False, kw_only=True)
class Org:
    """An organization page."""

    id: int
    name: str
    owner: Member
    end: int
    """Where the generated past ends."""
    posts: Feed = field(default_factory=Feed)
    comments: dict[int, Feed] = field(default_factory=dict)
    modified: dict[int, int] = field(default_factory=dict)
    """When posts were edited, in ms."""
    role: str = "ADMINISTRATOR"
    """What the member is on this page; empty once they were removed."""
    talkative: float = 0.6
    """Share of the past posts that have comments."""
    mentions: int = 3
    _notices: Feed | None = None
    _ordered: dict[str, tuple[int, list[int | None]]] = field(default_factory=dict)

    @property
    def urn(self) -> str:
        return f"urn:li:organization:{self.id}"

    @property
    def vanity(self) -> str:
        return self.name.lower().replace(" & ", "-").replace(" ", "-")

    # --- posts

    def post_urn(self, key: int) -> str:
        return f"urn:li:{'ugcPost' if mix('kind', key) % 4 == 0 else 'share'}:{key}"

    def make_post(self, key: int, _index: int) -> Record:
        roll = mix(self.id, key)
        words = little(text.statement(roll))
        if roll % 3 == 0:
            words += r" {hashtag|\#|" + pick(("python", "hiring", "outdoor"), roll) + "}"
        return self.post(key, words, roll >> 8 & 0x7F)

    def post(self, key: int, commentary: str, fans: int = 0) -> Record:
        ms = ms_of(key)
        kind = pick(("image", "video", "article", "none"), "content", key)
        record: Record = {
            "id": self.post_urn(key),
            "author": self.urn,
            "commentary": commentary,
            "visibility": "PUBLIC",
            "lifecycleState": "PUBLISHED",
            "lifecycleStateInfo": {"isEditedByAuthor": False},
            "createdAt": ms,
            "publishedAt": ms,
            "lastModifiedAt": ms,
            "isReshareDisabledByAuthor": False,
            "distribution": {"feedDistribution": "MAIN_FEED", "thirdPartyDistributionChannels": []},
            "_fans": fans,
        }
        if kind == "article":
            source = f"https://www.example.com/{self.vanity}/{key % 1000}"
            record["content"] = {"article": {"title": text.statement(key), "source": source, "description": ""}}
        elif kind != "none":
            media = f"urn:li:{kind}:C{letters(16, ALNUM, 'media', key)}"
            more = {"altText": "A product"} if kind == "image" else {"title": text.statement(key)}
            record["content"] = {"media": {"id": media, **more}}
        return record

    def ordered(self, by: str) -> list[int | None]:
        """Keys as a listing has them, newest first; None stands for a post that filters took out of its page."""
        cached = self._ordered.get(by)
        if cached is None or cached[0] != self.posts.version:
            keys = sorted(self.posts, key=self._changed if by == "LAST_MODIFIED" else None, reverse=True)
            shown: list[int | None] = []
            for place, key in enumerate(keys):
                if place % 23 == 22:
                    shown.append(None)
                shown.append(key)
            cached = self._ordered[by] = (self.posts.version, shown)
        return cached[1]

    def _changed(self, key: int) -> int:
        return self.modified.get(key) or key >> SHIFT

    # --- comments

    def comments_of(self, post: int) -> Feed:
        if (found := self.comments.get(post)) is None:
            found = self.comments[post] = Feed(self.past_comments(post))
        return found

    def past_comments(self, post: int) -> Past | None:
        """One in seven is a reply to the first one."""
        if post >= self.end - key_at(3_600_000) or chance("talk", self.id, post) >= self.talkative:
            return None
        count = 1 + below(6, "comments", self.id, post)

        def make(key: int, index: int) -> Record:
            nested = index > 0 and chance("nested", post, index) < 0.3
            actor = person_urn(self.id, post, index)
            return self.comment(post, key, text.reply(post, key), actor, past.key(0) if nested else None)

        past = Past(count, post + key_at(60_000), min(post + key_at(SPAN_MS), self.end), make, post)
        return past

    def comment(self, post: int, key: int, words: str, actor: str, parent: int | None) -> Record:
        ms = ms_of(key)
        urn = comment_urn(post, key)
        record: Record = {
            "$URN": urn,
            "id": str(key),
            "commentUrn": urn,
            "actor": actor,
            "object": activity_urn(post),
            "message": {"attributes": [], "text": words},
            "created": {"actor": actor, "time": ms},
            "lastModified": {"actor": actor, "time": ms},
            "_parent": parent,
            "_likes": below(5, "likes", key),
        }
        if parent is not None:
            record["parentComment"] = comment_urn(post, parent)
        return record

    # --- notifications

    @property
    def notices(self) -> Feed:
        """What happened around the page: the feed behind webhooks, by growing notificationId."""
        if self._notices is None:
            self._notices = Feed()
            told: list[tuple[int, Record]] = []
            for post in self.posts if not self.owner.big else ():
                for key, record in _generated(self.past_comments(post)):
                    told.append((ms_of(key), comment_notice("COMMENT", self.post_urn(post), record)))
            start = ms_of(next(iter(self.posts), self.end))
            for number in range(self.mentions):
                at = start + (number + 1) * (ms_of(self.end) - start) // (self.mentions + 1)
                told.append((at, self.mention(key_at(at), text.question("mention", self.id, number))))
            for at, notice in sorted(told, key=lambda pair: pair[0]):
                self.keep_notice(at, notice)
        return self._notices

    def keep_notice(self, at_ms: int, notice: Record) -> Record:
        feed = self.notices
        key = feed.free_key(max((at_ms - 1_500_000_000_000) * 4, 1))
        record = {"notificationId": key, "organizationalEntity": self.urn, **notice, "lastModifiedAt": at_ms}
        feed.append(key, {**record, "subscriber": self.owner.urn})
        return feed.get(key) or {}

    def mention(self, key: int, words: str) -> Record:
        urn = f"urn:li:share:{key + 7}"
        author = person_urn("mention", self.id, key)
        share = {"owner": author, "text": f"{words} @[{self.name}]({self.urn})", "entity": urn}
        return {
            "action": "SHARE_MENTION",
            "sourcePost": urn,
            "generatedActivity": urn,
            "decoratedGeneratedActivity": {"share": share},
        }


def _generated(past: Past | None) -> Iterator[tuple[int, Record]]:
    for index in range(past.count if past else 0):
        assert past is not None
        key = past.key(index)
        yield key, past.make(key, index)


def comment_notice(action: str, post_urn: str, comment: Record) -> Record:
    told = {"owner": comment["actor"], "text": comment["message"]["text"], "entity": comment["object"]}
    return {
        "action": action,
        "sourcePost": post_urn,
        "generatedActivity": comment["commentUrn"],
        "decoratedGeneratedActivity": {"comment": told},
    }


def activity_urn(post: int) -> str:
    return f"urn:li:activity:{post + ACTIVITY}"


def comment_urn(post: int, key: int) -> str:
    return f"urn:li:comment:({activity_urn(post)},{key})"


@dataclass(eq=False, kw_only=True)
class AdAccount:
    id: int
    name: str
    org: Org
    currency: str
    groups: list[Record]
    campaigns: list[Record]
    creatives: list[Record]
    readable: bool = True
    """Whether the member may still read its reports; if not, they are empty."""

    @property
    def urn(self) -> str:
        return f"urn:li:sponsoredAccount:{self.id}"


@dataclass(eq=False, kw_only=True)
class Member(Account):
    """The person who connects: everything hangs on their roles."""

    first: str
    last: str
    orgs: list[Org] = field(default_factory=list)
    ad_accounts: list[AdAccount] = field(default_factory=list)

    @property
    def urn(self) -> str:
        return f"urn:li:person:{self.id}"


def member(seed: int, number: int, now: float, days: int, per_day: int, *, big: int = 0) -> Member:
    """A person with two pages and an ad account. `big`: one page of so many posts."""
    key = ("linkedin", seed, number)
    who = text.person(*key)
    made = Member(id=letters(10, ALNUM, "member", *key), name=who.name, first=who.first, last=who.last, big=bool(big))
    start, end = key_at((now - days * DAY) * 1000), key_at(now * 1000)
    for index in range(1 if big else 2):
        org = Org(
            id=2_000_000 + below(90_000_000, "org", index, *key),
            name=text.company(index, *key),
            owner=made,
            end=end,
            talkative=0 if big else 0.6,
            mentions=0 if big else 3,
        )
        org.posts = Feed(Past(big or days * per_day // 2, start, end - key_at(600_000), org.make_post, mix(org.id)))
        made.orgs.append(org)
    if not big:
        made.ad_accounts.append(_ad_account(made, key, ("EUR", "USD", "JPY")[number % 3], int(now)))
    return made


def _ad_account(made: Member, key: Any, currency: str, now: int) -> AdAccount:
    stamp = (now - 40 * DAY) * 1000
    stamps = {"created": {"time": stamp}, "lastModified": {"time": stamp}}
    account_id = 500_000_000 + below(90_000_000, "ads", *key)
    urn = f"urn:li:sponsoredAccount:{account_id}"
    account = AdAccount(
        id=account_id,
        name=f"{made.orgs[0].name} Ads",
        org=made.orgs[0],
        currency=currency,
        groups=[],
        campaigns=[],
        creatives=[],
    )
    for number in range(2):
        group_id = 600_000_000 + below(9_000_000, "group", number, *key)
        group = {"id": group_id, "name": f"Group {number}", "status": "ACTIVE", "account": urn}
        account.groups.append({**group, "changeAuditStamps": stamps, "servingStatuses": ["RUNNABLE"]})
    for number in range(4):
        campaign_id = 610_000_000 + below(9_000_000, "campaign", number, *key)
        account.campaigns.append(
            {
                "id": campaign_id,
                "name": f"Campaign {number}",
                "status": "PAUSED" if number == 3 else "ACTIVE",
                "account": urn,
                "campaignGroup": f"urn:li:sponsoredCampaignGroup:{account.groups[number % 2]['id']}",
                "type": "SPONSORED_UPDATES",
                "costType": "CPM",
                "objectiveType": pick(("WEBSITE_VISIT", "LEAD_GENERATION"), number, *key),
                "dailyBudget": {"amount": "50.00", "currencyCode": currency},
                "servingStatuses": ["RUNNABLE"],
                "changeAuditStamps": stamps,
            }
        )
        creative_id = 620_000_000 + below(9_000_000, "creative", number, *key)
        account.creatives.append(
            {
                "id": f"urn:li:sponsoredCreative:{creative_id}",
                "account": urn,
                "campaign": f"urn:li:sponsoredCampaign:{campaign_id}",
                "intendedStatus": "ACTIVE",
                "isServing": True,
                "createdAt": stamp,
                "lastModifiedAt": stamp,
            }
        )
    return account
