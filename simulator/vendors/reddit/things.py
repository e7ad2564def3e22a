"""Ids, and posts, comments and messages as records.

A key is (milliseconds, place); its base 36 is the id, so ids grow with time and say where they belong.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from simulator import numbers, text
from simulator.dice import LOWER, letters, mix
from simulator.feed import Record

if TYPE_CHECKING:
    from simulator.vendors.reddit.data import Redditor, Subreddit

DAY = 86_400
PLACES = 64
MAIL = 60
"""The place of private messages."""
ELSEWHERE = 61
"""The place of posts in subreddits that are not simulated."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def key_at(at: float, place: int) -> int:
    return int(at * 1000) * PLACES + place


def at_key(key: int) -> float:
    return (key // PLACES) / 1000


def place_of(key: int) -> int:
    return key % PLACES


def id36(key: int) -> str:
    out = ""
    while key:
        key, digit = divmod(key, 36)
        out = _DIGITS[digit] + out
    return out or "0"


def key_of(id36_text: str) -> int | None:
    try:
        return int(id36_text, 36)
    except ValueError:
        return None


def user_id(name: str) -> str:
    return "t2_" + letters(7, LOWER, "user", name)


def someone(*key: int | str) -> str:
    return text.person(*key).handle.replace(".", "_")


def post(sub: Subreddit, key: int, author: str, words: str, roll: int) -> Record:
    created, name = round(at_key(key)), id36(key)
    is_self = roll % 5 != 0
    slug = "_".join(words.lower().split()[:5]).encode("ascii", "ignore").decode()
    permalink = f"/r/{sub.name}/comments/{name}/{slug}/"
    body = f"Asking *for a friend* & me <3\n\n{words}" if is_self else ""
    return {
        "id": name,
        "name": f"t3_{name}",
        "subreddit": sub.name,
        "subreddit_id": sub.id,
        "subreddit_name_prefixed": f"r/{sub.name}",
        "subreddit_type": sub.kind,
        "title": words,
        "selftext": body,
        "selftext_html": _html(body) if body else None,
        "author": author,
        "author_fullname": user_id(author),
        "downs": 0,
        "num_crossposts": 0,
        "total_awards_received": 0,
        "view_count": None,
        "created": float(created - 8 * 3600),
        "created_utc": float(created),
        "edited": False,
        "is_self": is_self,
        "domain": f"self.{sub.name}" if is_self else "i.redd.it",
        "url": f"https://www.reddit.com{permalink}" if is_self else f"https://i.redd.it/{name}.jpeg",
        "permalink": permalink,
        "link_flair_text": "Question" if words.endswith("?") else None,
        "over_18": False,
        "spoiler": False,
        "locked": False,
        "archived": False,
        "stickied": False,
        "pinned": False,
        "distinguished": None,
        "removed_by_category": None,
        "hidden": False,
        "hide_score": False,
        "likes": None,
        "saved": False,
        "is_video": False,
        "media": None,
        "thumbnail": "self" if is_self else "image",
        "post_hint": "self" if is_self else "image",
        "_fans": roll >> 8 & 0xFF,
        "_votes": 0,
        "_comments": 0,
    }


def comment(sub: Subreddit, key: int, author: str, words: str, parent: str, link: Record, *, depth: int = 0) -> Record:
    created, name = round(at_key(key)), id36(key)
    return {
        "id": name,
        "name": f"t1_{name}",
        "link_id": link["name"],
        "parent_id": parent,
        "subreddit": sub.name,
        "subreddit_id": sub.id,
        "subreddit_name_prefixed": f"r/{sub.name}",
        "author": author,
        "author_fullname": user_id(author),
        "body": words,
        "body_html": _html(words),
        "controversiality": 0,
        "created": float(created - 8 * 3600),
        "created_utc": float(created),
        "edited": False,
        "depth": depth,
        "is_submitter": author == link["author"],
        "stickied": False,
        "distinguished": None,
        "collapsed": False,
        "replies": "",
        "link_title": link["title"],
        "link_permalink": f"https://www.reddit.com{link['permalink']}",
        "permalink": f"{link['permalink']}{name}/",
        "_fans": mix("fans", name) % 12,
        "_votes": 0,
        "_op": link["author"],
    }


def message(key: int, author: str, dest: str, subject: str, words: str) -> Record:
    created, name = round(at_key(key)), id36(key)
    return {
        "first_message": None,
        "first_message_name": None,
        "subreddit": None,
        "likes": None,
        "replies": "",
        "author_fullname": user_id(author),
        "id": name,
        "name": f"t4_{name}",
        "subject": subject,
        "score": 0,
        "author": author,
        "num_comments": None,
        "parent_id": None,
        "new": True,
        "type": "unknown",
        "body": words,
        "dest": dest,
        "was_comment": False,
        "body_html": _html(words),
        "created": float(created),
        "created_utc": float(created),
        "context": "",
        "distinguished": None,
    }


def in_inbox(record: Record, dest: str, kind: str) -> Record:
    """A comment as the inbox shows it."""
    kept = ("id", "name", "author", "author_fullname", "parent_id", "subreddit", "body", "body_html", "created_utc")
    subject = {"username_mention": "username mention", "comment_reply": "comment reply"}.get(kind, "post reply")
    return {
        **{name: record[name] for name in kept},
        "first_message": None,
        "first_message_name": None,
        "likes": None,
        "replies": "",
        "subject": subject,
        "score": 1,
        "num_comments": 1,
        "subreddit_name_prefixed": record["subreddit_name_prefixed"],
        "new": True,
        "type": kind,
        "link_title": record["link_title"],
        "dest": dest,
        "was_comment": True,
        "created": record["created_utc"],
        "context": f"{record['permalink']}?context=3",
        "distinguished": None,
    }


def _html(markdown: str) -> str:
    return f'<!-- SC_OFF --><div class="md"><p>{escape(markdown, quote=False)}</p>\n</div><!-- SC_ON -->'


_TEXTS = ("title", "selftext", "selftext_html", "body", "body_html", "subject", "link_title")


def escaped(record: Record) -> Record:
    """What an answer looks like without raw_json=1."""
    return {k: escape(v, quote=False) if k in _TEXTS and isinstance(v, str) else v for k, v in record.items()}


def mention(made: Redditor, key: int, other: Subreddit, words: str) -> Record:
    link = post(other, key - 7_200_000 * PLACES, someone("op", key), text.question("op", key), 1)
    return comment(other, key, someone("caller", key), f"Hello u/{made.name}, {words}", link["name"], link)


def modmail_message(key: int, author: str, words: str, sub: Subreddit) -> Record:
    stamp = f"{numbers.iso(at_key(key))[:-1]}.{key // PLACES % 1000:03d}000+00:00"
    return {
        "body": _html(words),
        "bodyMarkdown": words,
        "author": mod_author(author, sub, author != sub.brand),
        "isInternal": False,
        "date": stamp,
        "id": id36(key),
        "_at": at_key(key),
    }


def mod_author(name: str, sub: Subreddit, op: bool) -> Record:
    return {
        "isMod": name == sub.brand,
        "isAdmin": False,
        "name": name,
        "isOp": op,
        "isParticipant": op,
        "isApproved": False,
        "isHidden": False,
        "id": int(user_id(name)[3:], 36),
        "isDeleted": False,
    }
