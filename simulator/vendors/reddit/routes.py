"""Reddit's Data API as far as a sync reads it, and answering a comment or a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.dice import chance, mix
from simulator.feed import Feed, Record
from simulator.http import Request, Response, Routes
from simulator.vendors.reddit import errors
from simulator.vendors.reddit.data import Redditor, Subreddit
from simulator.vendors.reddit.listings import envelope, gathered, is_raw, limit_arg, listing, tree
from simulator.vendors.reddit.things import DAY, escaped, in_inbox, key_of

if TYPE_CHECKING:
    from simulator.vendors.reddit import Reddit

routes = Routes()
CLIENT = ("client",)
TREE_LIMIT, TREE_MOST = 200, 500


# --- people


@routes.get("/api/v1/me", scopes=("identity",), limits=CLIENT)
def me(reddit: Reddit, request: Request) -> Record:
    who = reddit.redditor(request)
    unread = sum(record["new"] and record["name"] not in who.read for record in who.inbox.records())
    return {**_about(who), "is_suspended": False, "inbox_count": unread, "has_mail": unread > 0, "coins": 0}


def _about(who: Redditor) -> Record:
    roll = mix("karma", who.name)
    return {
        "id": who.id,
        "name": who.name,
        "created": float(who.created),
        "created_utc": float(who.created),
        "link_karma": roll % 9000,
        "comment_karma": roll >> 8 & 0x3FFF,
        "total_karma": roll % 9000 + (roll >> 8 & 0x3FFF),
        "is_mod": True,
        "is_gold": False,
        "verified": True,
        "has_verified_email": True,
        "icon_img": f"https://styles.redditmedia.com/{who.id}.png",
        "subreddit": {"display_name": f"u_{who.name}", "public_description": "", "title": who.name, "subscribers": 0},
    }


@routes.get("/user/{name}/about", scopes=("read",), limits=CLIENT)
def about_user(reddit: Reddit, request: Request) -> Record | Response:
    name = request.params["name"].lower()
    found = next((who for who in reddit.accounts.values() if who.name.lower() == name), None)
    return {"kind": "t2", "data": _about(found)} if found else errors.not_found()


@routes.get("/user/{name}/{where}", scopes=("history",), limits=CLIENT)
def of_user(reddit: Reddit, request: Request) -> Record | Response:
    """What somebody wrote; nobody looks through the huge account for it."""
    name, where = request.params["name"].lower(), request.params["where"]
    who = next((who for who in reddit.accounts.values() if who.name.lower() == name), None)
    if who is None or where not in ("submitted", "comments"):
        return errors.not_found()
    subs = [] if who.big else who.subs
    if where == "submitted":
        mine = gathered(r for sub in subs for r in sub.posts.records() if r["author"] == who.name)
        return listing(reddit, request, mine, "t3", reddit.post_view(request))
    mine = gathered(r for sub in subs for r in sub.comments.records() if r["author"] == who.name)
    return listing(reddit, request, mine, "t1", reddit.comment_view(request))


# --- subreddits


@routes.get("/subreddits/mine/{where}", scopes=("mysubreddits",), limits=CLIENT)
def mine(reddit: Reddit, request: Request) -> Record:
    subs = reddit.redditor(request).subs if request.params["where"] in ("moderator", "subscriber") else []
    children = [{"kind": "t5", "data": _about_sub(sub, request.now)} for sub in subs]
    return envelope(children, None, None, len(children))


def _about_sub(sub: Subreddit, now: float) -> Record:
    days = int((now - sub.created) // DAY)
    online = int(sub.subscribers * (0.005 + 0.01 * chance("online", sub.name, int(now // 900))))
    return {
        "id": sub.id[3:],
        "name": sub.id,
        "display_name": sub.name,
        "display_name_prefixed": f"r/{sub.name}",
        "title": sub.name.replace("_", " ").title(),
        "public_description": "A place for fans.",
        "subscribers": sub.subscribers + days,
        "accounts_active": online,
        "active_user_count": online,
        "subreddit_type": sub.kind,
        "over18": False,
        "quarantine": False,
        "user_is_moderator": True,
        "created_utc": float(sub.created),
        "url": f"/r/{sub.name}/",
    }


@routes.get("/r/{sub}/about", scopes=("read",), limits=CLIENT)
def about_sub(reddit: Reddit, request: Request) -> Record:
    (sub,) = reddit.subs(request)
    return {"kind": "t5", "data": _about_sub(sub, request.now)}


@routes.get("/r/{sub}/new", scopes=("read",), limits=CLIENT)
def new(reddit: Reddit, request: Request) -> Record:
    subs = reddit.subs(request)
    for sub in subs:
        sub.age(request.now)
    feed = subs[0].posts if len(subs) == 1 else gathered(r for sub in subs for r in sub.posts.records())
    deep = subs[0].deep
    return listing(reddit, request, feed, "t3", reddit.post_view(request), view_name="t3", deep=deep)


@routes.get("/r/{sub}/comments", scopes=("read",), limits=CLIENT)
def comments(reddit: Reddit, request: Request) -> Record:
    subs = reddit.subs(request)
    for sub in subs:
        sub.age(request.now)
    feed = subs[0].comments if len(subs) == 1 else gathered(r for sub in subs for r in sub.comments.records())
    return listing(reddit, request, feed, "t1", reddit.comment_view(request), view_name="t1")


@routes.get("/r/{sub}/search", scopes=("read",), limits=CLIENT)
def search(reddit: Reddit, request: Request) -> Record:
    words = request.query.get("q", "").lower().split()
    hits = [
        record
        for sub in reddit.subs(request)
        for record in sub.posts.records()
        if all(word in f"{record['title']} {record['selftext']}".lower() for word in words)
    ]
    return listing(reddit, request, gathered(hits[-250:]), "t3", reddit.post_view(request))


@routes.get("/r/{sub}/about/traffic", scopes=("modtraffic",), limits=CLIENT)
def traffic(reddit: Reddit, request: Request) -> Record:
    (sub,) = reddit.moderated(request)
    days = numbers.days(numbers.today(request.now - 30 * DAY), numbers.today(request.now))[::-1]
    shown = []
    for day in days:
        views = numbers.daily(request.now, day, 900, "views", sub.name, settle_days=1)
        people = int(views * 0.4)
        start = (day.toordinal() - 719_163) * DAY
        shown.append([start, people, views, numbers.daily(request.now, day, 6, "joined", sub.name, settle_days=1)])
    hour = int(request.now // 3600) * 3600
    hours = [[hour - n * 3600, mix("u", sub.name, hour - n) % 40, mix("v", sub.name, hour - n) % 90] for n in range(48)]
    months = [[shown[0][0], sum(row[1] for row in shown), sum(row[2] for row in shown)]]
    return {"day": shown, "hour": hours, "month": months}


# --- posts, comments


@routes.get("/api/info", scopes=("read",), limits=CLIENT)
def info(reddit: Reddit, request: Request) -> Record:
    """Things by their fullnames; those nobody knows are left out."""
    asked = [name for name in request.query.get("id", "").split(",") if name][:100]
    raw, now = is_raw(request), request.now
    children: list[Record] = []
    for name in asked:
        found = reddit.thing(name)
        if found is not None and name.startswith("t3_"):
            children.append({"kind": "t3", "data": found[0].shown_post(found[1], now, raw=raw)})
        elif found is not None:
            children.append({"kind": "t1", "data": found[0].shown_comment(found[1], now, raw=raw)})
    return envelope(children, None, None, len(children))


@routes.get("/comments/{id}", scopes=("read",), limits=CLIENT)
def comment_tree(reddit: Reddit, request: Request) -> list[Record] | Response:
    found = reddit.thing(f"t3_{request.params['id']}")
    if found is None:
        return errors.not_found()
    (sub, link), raw, now = found, is_raw(request), request.now
    limit = limit_arg(request, TREE_LIMIT, TREE_MOST)
    sort, root = request.query.get("sort", "confidence"), request.query.get("comment", "")
    children = tree(sub, link, now, raw=raw, limit=limit, sort=sort, root=root)
    shown = {"kind": "t3", "data": sub.shown_post(link, now, raw=raw)}
    return [envelope([shown], None, None, 1), envelope(children, None, None, None)]


@routes.post("/api/morechildren", scopes=("read",), limits=CLIENT)
def more_children(reddit: Reddit, request: Request) -> Record | Response:
    form = request.form
    found = reddit.thing(form.get("link_id", ""))
    children = [name for name in form.get("children", "").split(",") if name]
    if found is None or len(children) > 100:
        return errors.plain(400, "Bad Request")
    sub, link = found
    wanted, things = set(children), []
    for record in sub.comments_of(link["name"]):
        if record["id"] in wanted or record["parent_id"].removeprefix("t1_") in wanted:
            wanted.add(record["id"])
            shown = sub.shown_comment(record, request.now, raw=form.get("raw_json") == "1")
            things.append({"kind": "t1", "data": shown})
    return {"json": {"errors": [], "data": {"things": things}}}


# --- the inbox


@routes.get("/message/{where}", scopes=("privatemessages",), limits=CLIENT)
def inbox(reddit: Reddit, request: Request) -> Record | Response:
    who, where = reddit.redditor(request), request.params["where"]
    raw = is_raw(request)

    def view(record: Record) -> Record:
        shown = {name: value for name, value in record.items() if not name.startswith("_")}
        shown["new"] = bool(shown["new"]) and record["name"] not in who.read
        return shown if raw else escaped(shown)

    parts: dict[str, list[Record]] = {
        "messages": [*who.inbox.records(), *who.sent.records()],
        "sent": list(who.sent.records()),
        "mentions": [in_inbox(r, who.name, "username_mention") for r in who.mentions.records()],
        "comments": [in_inbox(r, who.name, r["_type"]) for r in who.replies() if r["_type"] == "comment_reply"],
        "selfreply": [in_inbox(r, who.name, r["_type"]) for r in who.replies() if r["_type"] == "post_reply"],
    }
    parts["inbox"] = [*who.inbox.records(), *parts["mentions"], *parts["comments"], *parts["selfreply"]]
    parts["unread"] = [record for record in parts["inbox"] if record["new"] and record["name"] not in who.read]
    if where not in parts:
        return errors.not_found()
    found = gathered(parts[where])
    page = listing(reddit, request, found, "t4" if where in ("messages", "sent") else "t1", view)
    return page if where in ("messages", "sent") else _kinds(page, found)


def _kinds(page: Record, feed: Feed) -> Record:
    """A mixed listing: messages among comments."""
    import msgspec

    children = [msgspec.json.decode(child) for child in page["data"]["children"]]
    for child in children:
        child["kind"] = child["data"]["name"][:2]
    after = page["data"]["after"]
    if after and (record := feed.get(int(after[3:], 36))) is not None:
        page["data"]["after"] = record["name"]
    page["data"]["children"] = children
    return page


@routes.get("/message/messages/{id}", scopes=("privatemessages",), limits=CLIENT)
def message_thread(reddit: Reddit, request: Request) -> Record | Response:
    who, key = reddit.redditor(request), key_of(request.params["id"])
    record = key is not None and (who.inbox.get(key) or who.sent.get(key))
    return envelope([{"kind": "t4", "data": record}], None, None, 1) if record else errors.not_found()


@routes.post("/api/read_message", scopes=("privatemessages",), limits=CLIENT)
def read_message(reddit: Reddit, request: Request) -> Record:
    reddit.redditor(request).read.update(request.form.get("id", "").split(","))
    return {}


@routes.post("/api/compose", scopes=("privatemessages",), limits=("client", "writing"))
def compose(reddit: Reddit, request: Request) -> Record | Response:
    form = request.form
    if not form.get("text"):
        return errors.in_json("NO_TEXT", "we need something here", "text")
    reddit.message(reddit.redditor(request), to=form.get("to", ""), text=form["text"], ours=True)
    return {"json": {"errors": []}}


@routes.post("/api/comment", scopes=("submit",), limits=("client", "writing"))
def write_comment(reddit: Reddit, request: Request) -> Record | Response:
    form, who = request.form, reddit.redditor(request)
    if not form.get("text"):
        return errors.in_json("NO_TEXT", "we need something here", "text")
    found = reddit.thing(form.get("thing_id", ""))
    if found is None or found[1]["author"] == "[deleted]":
        return errors.in_json("DELETED_COMMENT", "that comment has been deleted", "parent")
    if found[1].get("locked"):
        return errors.in_json("THREAD_LOCKED", "Comments are locked.", "parent")
    made = reddit.comment(who, thing=form["thing_id"], text=form["text"], author=who.name)
    sub, record = reddit.thing(made) or found
    things: list[Any] = [{"kind": "t1", "data": sub.shown_comment(record, request.now, raw=True)}]
    return {"json": {"errors": [], "data": {"things": things}}}
