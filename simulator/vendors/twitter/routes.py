"""X API v2 as far as a sync reads: people, posts, search, direct messages, analytics, usage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.feed import Feed, Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.paging import feed_page, seal
from simulator.vendors.twitter import errors, views
from simulator.vendors.twitter.data import DAY, Profile, pair_id, shown_dm, snowflake, user_json
from simulator.vendors.twitter.views import bounds, fields_arg, ids_arg, limit_arg, position_arg, posts_page

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter

routes = Routes()
READ = ("tweet.read", "users.read")
DEPTH, DEPTH_WITHOUT_REPLIES, MENTIONS_DEPTH = 3_200, 800, 800
DM_DAYS = 30


# --- people


@routes.get("/2/users/me", scopes=READ, limits=("me",))
def me(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    profile = twitter.profile(request)
    return {"data": views.shown_user(request, profile.id, profile)}


@routes.get("/2/users/by/username/{username}", scopes=READ, limits=("user",))
def by_username(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    name = request.params["username"]
    found = next((p for p in twitter.accounts.values() if p.username.lower() == name.lower()), None)
    if found is None:
        return {"errors": [errors.not_found(name, "user", "username")]}
    return {"data": views.shown_user(request, found.id, found)}


@routes.get("/2/users/{id}", scopes=READ, limits=("user",))
def user(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    user_id = _user_id(request)
    return {"data": views.shown_user(request, user_id, twitter.accounts.get(user_id))}


def _user_id(request: Request) -> str:
    value = request.params["id"]
    if not value.isdigit():
        raise Refusal(errors.invalid("id", value, f"The `id` query parameter value [{value}] is not valid"))
    return value


def _owner(twitter: Twitter, request: Request) -> Profile:
    """Whose timeline is asked for."""
    user_id = _user_id(request)
    found = twitter.accounts.get(user_id)
    if found is None:
        raise Refusal(Response({"errors": [errors.not_found(user_id, "user", "id")]}))
    return found


# --- timelines


@routes.get("/2/users/{id}/tweets", scopes=READ, limits=("user_tweets",))
def user_tweets(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    profile, limit = _owner(twitter, request), limit_arg(request, 5, 100, 10)
    above, below = bounds(request)
    without = frozenset(part for part in request.query.get("exclude", "").split(",") if part)
    if not without <= {"replies", "retweets"}:
        raise Refusal(errors.invalid("exclude", request.query["exclude"], "Only replies and retweets can be excluded"))
    depth = DEPTH_WITHOUT_REPLIES if "replies" in without else DEPTH
    above = _deepest(profile, profile.posts, depth, above)
    return posts_page(twitter, request, profile, profile.posts, limit, above=above, below=below, without=without)


@routes.get("/2/users/{id}/mentions", scopes=READ, limits=("mentions",))
def mentions(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    profile, limit = _owner(twitter, request), limit_arg(request, 5, 100, 10)
    above, below = bounds(request)
    above = _deepest(profile, profile.mentions, MENTIONS_DEPTH, above)
    return posts_page(twitter, request, profile, profile.mentions, limit, above=above, below=below)


def _deepest(profile: Profile, feed: Feed, depth: int, above: int | None) -> int | None:
    """Nothing beyond so many posts is there; the account for benchmarks is spared."""
    if profile.big or len(feed) <= depth:
        return above
    last = feed.slice(depth, view=lambda _record: None).last
    return last - 1 if above is None else max(above, last - 1)


# --- single posts


@routes.get("/2/tweets", scopes=READ, limits=("tweets",))
def tweets(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    return _looked_up(twitter, request, ids_arg(request), "ids")


@routes.get("/2/tweets/analytics", scopes=READ, limits=("analytics",))
def analytics(twitter: Twitter, request: Request) -> Record:
    """What posts gained in each hour, day or week between two times, or in all."""
    twitter.paid(request)
    profile, ids = twitter.profile(request), ids_arg(request)
    start, end = views.time_arg(request, "start_time"), views.time_arg(request, "end_time")
    step = {"hourly": 3600, "daily": DAY, "weekly": 7 * DAY, "total": 10**9}.get(request.query.get("granularity", ""))
    if start is None or end is None or step is None or end <= start:
        raise Refusal(
            errors.invalid("granularity", request.query.get("granularity", ""), "Invalid range or granularity")
        )
    fields = fields_arg(request, "analytics")
    data, problems = [], []
    for post_id in ids:
        found = profile.find(int(post_id))
        if found is None or found[1]["author_id"] != profile.id:
            problems.append(errors.not_found(post_id, "tweet", "ids"))
            continue
        points, at = [], start - start % step if step < 10**9 else start
        while at < min(end, request.now):
            metrics = views.window_metrics(profile, found[1], at, min(at + step, end, request.now))
            stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            shown = {name: value for name, value in metrics.items() if not fields or name in fields}
            points.append({"timestamp": stamp, "metrics": shown})
            at += step
        data.append({"id": post_id, "timestamped_metrics": points})
    return _with_errors({"data": data}, problems)


@routes.get("/2/tweets/search/recent", scopes=READ, limits=("search_recent",))
def search_recent(twitter: Twitter, request: Request) -> Record:
    above, below = bounds(request, window=views.WEEK)
    return _search(twitter, request, above, below, 100)


@routes.get("/2/tweets/search/all", scopes=READ, limits=("search_second", "search_all"))
def search_all(twitter: Twitter, request: Request) -> Record:
    above, below = bounds(request)
    return _search(twitter, request, above, below, 500)


@routes.get("/2/tweets/{id}", scopes=READ, limits=("tweet",))
def tweet(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    answer = _looked_up(twitter, request, [_user_id(request)], "id")
    return {**answer, "data": answer["data"][0]} if "data" in answer else answer


@routes.get("/2/tweets/{id}/quote_tweets", scopes=READ, limits=("quotes",))
def quotes(twitter: Twitter, request: Request) -> Record:
    twitter.paid(request)
    limit_arg(request, 10, 100, 10)
    return {"meta": {"result_count": 0}}


def _looked_up(twitter: Twitter, request: Request, ids: list[str], parameter: str) -> Record:
    owners = [request.account] if isinstance(request.account, Profile) else list(twitter.accounts.values())
    fields = fields_arg(request, "tweet")
    data, problems = [], []
    includes: dict[str, list[Record]] = {}
    for post_id in ids:
        for profile in owners:
            found = profile.find(int(post_id))
            record = found[1] if found else profile.older_version(int(post_id))
            if record is not None:
                break
        else:
            problems.append(errors.not_found(post_id, "tweet", parameter))
            continue
        profile.age(request.now)
        data.append(views.post_view(profile, request, fields, drop_private=False)(record))
        for name in sorted(views.PRIVATE & fields):
            if not (request.account is profile and views.may_see_private(profile, record, request.now)):
                problems.append(errors.private_field(post_id, name))
        for name, entries in views.expand(request, profile, [record]).items():
            includes.setdefault(name, []).extend(entries)
    twitter.reads += len(data)
    return _with_errors({"data": data, "includes": includes}, problems)


def _with_errors(parts: Record, problems: list[Record]) -> Record:
    return {name: value for name, value in parts.items() if value} | ({"errors": problems} if problems else {})


# --- search


def _search(twitter: Twitter, request: Request, above: int | None, below: int | None, most: int) -> Record:
    twitter.paid(request)
    query = request.query.get("query", "").strip()
    if not query or len(query) > 512:
        raise Refusal(errors.invalid("query", query, "The query must have between 1 and 512 characters"))
    limit = limit_arg(request, 10, most, 10)
    owners = [request.account] if isinstance(request.account, Profile) else list(twitter.accounts.values())
    found: dict[int, Record] = {}
    for profile in owners:
        for group in query.split(" OR "):
            terms = group.strip("() ").split()
            found |= {int(r["id"]): r for r in _candidates(profile, terms, above) if _fits(profile, r, terms)}
    hits = Feed()
    for key in sorted(found):
        hits.append(key, found[key])
    tokens = ("next_token", "pagination_token")
    return posts_page(twitter, request, owners[0], hits, limit, above=above, below=below, token=tokens)


def _candidates(profile: Profile, terms: list[str], above: int | None) -> list[Record]:
    threads = [term.partition(":")[2] for term in terms if term.startswith("conversation_id:")]
    if threads:
        roots = [thread for thread in threads if thread.isdigit()]
        talks = [profile.conversations[int(root)] for root in roots if int(root) in profile.conversations]
        first = [found[1] for root in roots if (found := profile.find(int(root))) is not None]
        return [*first, *(record for talk in talks for record in talk.records())]
    feeds = [profile.mentions, *profile.conversations.values()]
    own = profile.posts.slice(3_200, above=above, view=lambda _record: None).keys
    return [*filter(None, map(profile.posts.get, own)), *(record for feed in feeds for record in feed.records())]


def _fits(profile: Profile, record: Record, terms: list[str]) -> bool:
    kinds = views.kinds_of(record)
    for term in terms:
        name, _, value = term.partition(":")
        value = value.lower()
        author = user_json(record["author_id"], profile if record["author_id"] == profile.id else None)["username"]
        if term == "is:reply":
            good = "replies" in kinds
        elif term == "-is:retweet":
            good = "retweets" not in kinds
        elif name == "conversation_id":
            good = record["conversation_id"] == value
        elif name == "to":
            to = record.get("in_reply_to_user_id")
            good = to is not None and (
                value in (to, user_json(to, profile if to == profile.id else None)["username"].lower())
            )
        elif name in ("from", "-from"):
            good = (value in (record["author_id"], author.lower())) is (name == "from")
        else:
            good = term.lower() in record["text"].lower()
        if not good:
            return False
    return True


# --- direct messages


@routes.get("/2/dm_events", scopes=("dm.read", *READ), limits=("dms",))
def dm_events(twitter: Twitter, request: Request) -> Record:
    return _dms(twitter, request, twitter.profile(request).dms)


@routes.get("/2/dm_events/{id}", scopes=("dm.read", *READ), limits=("dm_event",))
def dm_event(twitter: Twitter, request: Request) -> Record | Response:
    twitter.paid(request)
    record = twitter.profile(request).dms.get(int(_user_id(request)))
    if record is None:
        return {"errors": [errors.not_found(request.params["id"], "dm_event", "id")]}
    return {"data": shown_dm(record, fields_arg(request, "dm_event"))}


@routes.get("/2/dm_conversations/with/{peer}/dm_events", scopes=("dm.read", *READ), limits=("dms_with",))
def dms_with(twitter: Twitter, request: Request) -> Record:
    profile = twitter.profile(request)
    return _dms(twitter, request, _conversation(profile, pair_id(profile.id, request.params["peer"])))


@routes.get("/2/dm_conversations/{conversation}/dm_events", scopes=("dm.read", *READ), limits=("dms_of",))
def dms_of(twitter: Twitter, request: Request) -> Record:
    return _dms(twitter, request, _conversation(twitter.profile(request), request.params["conversation"]))


def _conversation(profile: Profile, conversation: str) -> Feed:
    feed = Feed()
    for record in profile.dms.records():
        if record["dm_conversation_id"] == conversation:
            feed.append(int(record["id"]), record)
    return feed


def _dms(twitter: Twitter, request: Request, feed: Feed) -> Record:
    """Newest first, 30 days back; there is no way to ask for what is new."""
    twitter.paid(request)
    fields, limit = fields_arg(request, "dm_event"), limit_arg(request, 1, 100, 100)
    kinds = {kind for kind in request.query.get("event_types", "").split(",") if kind}
    name = f"{','.join(sorted(fields))}|{','.join(sorted(kinds))}"
    page = feed_page(
        twitter,
        request,
        feed,
        limit,
        position=position_arg(request),
        above=snowflake(request.now - DM_DAYS * DAY),
        view=lambda record: shown_dm(record, fields) if not kinds or record["event_type"] in kinds else None,
        view_name=name,
    )
    twitter.reads += len(page.items)
    meta: Record = {"result_count": len(page.items)}
    if page.next is not None:
        meta |= {"next_token": seal(page.next)}
    answer: Record = {"data": page.items, "meta": meta} if page.items else {"meta": meta}
    if "sender_id" in request.query.get("expansions", "") and page.items:
        profile = twitter.profile(request)
        senders = dict.fromkeys(str((feed.get(key) or {}).get("sender_id")) for key in page.keys)
        answer["includes"] = {"users": [views.shown_user(request, sender, profile) for sender in senders]}
    return answer


# --- usage


@routes.get("/2/usage/tweets", limits=("usage",))
def usage(twitter: Twitter, request: Request) -> Record:
    if request.token is None or request.token.kind != "app":
        raise Refusal(errors.wrong_token_kind())
    used = {"project_cap": "3000000", "project_id": "1553086854915936256", "project_usage": str(twitter.reads)}
    return {"data": {"cap_reset_day": 1, **used}}
