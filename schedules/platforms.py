"""How often each sync type of each platform is pulled, unless the account asks for another cadence.
An account's own cadence lies between `fastest` and `SLOWEST`.

Real time (10 s) where people wait for an answer and the vendor's limits allow it, a minute for what is nearly so,
15 to 60 minutes for engagement, an hour for ads. Accounts do not tick together: a hash of account and sync type moves
each on its grid (`sync_next_due`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta


def _s(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _min(minutes: int) -> timedelta:
    return timedelta(minutes=minutes)


CADENCES: Mapping[str, Mapping[str, timedelta]] = {
    "discord": {
        "messages": _s(10),
        "posts": _min(5),
        "comments": _min(5),
        "mentions": _min(5),
        "presence": _s(60),
        "profile": _min(360),
        "engagement-metrics": _min(60),
    },
    "email": {"messages": _s(60)},
    "facebook": {
        "posts": _min(15),
        "comments": _min(15),
        "messages": _s(60),
        "mentions": _min(30),
        "engagement-metrics": _min(60),
        "ads-metrics": _min(60),
        "profile": _min(360),
    },
    "google_ads": {"ads-metrics": _min(60), "profile": _min(15)},
    "linkedin": {
        "posts": _min(15),
        "comments": _min(15),
        "mentions": _min(15),
        "engagement-metrics": _min(60),
        "ads-metrics": _min(60),
        "profile": _min(360),
    },
    "pinterest": {
        "posts": _min(15),
        "engagement-metrics": _min(60),
        "ads-metrics": _min(60),
        "profile": _min(360),
    },
    "reddit": {
        "posts": _min(15),
        "comments": _min(10),
        "mentions": _min(5),
        "messages": _min(5),
        "engagement-metrics": _min(60),
        "profile": _min(360),
    },
    "slack": {
        "messages": _s(10),
        "comments": _min(5),
        "mentions": _min(5),
        "presence": _min(5),
        "profile": _min(60),
        "engagement-metrics": _min(60),
    },
    "telegram": {
        "messages": _s(10),
        "profile": _min(360),
        "engagement-metrics": _min(60),
    },
    "snapchat": {
        "ads-metrics": _min(60),
        "profile": _min(30),
        "posts": _min(30),
        "engagement-metrics": _min(60),
    },
    "tiktok": {
        "posts": _min(15),
        "comments": _min(15),
        "messages": _s(60),
        "mentions": _min(30),
        "engagement-metrics": _min(60),
        "ads-metrics": _min(60),
        "profile": _min(360),
    },
    "twitch": {
        "posts": _min(15),
        "presence": _s(60),
        "profile": _min(60),
        "engagement-metrics": _min(30),
    },
    "twitter": {
        "posts": _min(15),
        "comments": _min(15),
        "mentions": _min(15),
        "messages": _s(60),
        "engagement-metrics": _min(60),
        "ads-metrics": _min(60),
        "profile": _min(60),
    },
}


def cadence(platform: str, sync_type: str, declared: timedelta) -> timedelta:
    """The cadence of this table; what the connector declares for platforms that a plugin brought."""
    return CADENCES.get(platform, {}).get(sync_type, declared)


FASTEST: Mapping[str, timedelta] = {
    "messages": _s(10),
    "presence": _s(10),
    "mentions": _s(60),
    "comments": _s(60),
    "posts": _s(60),
    "ads-metrics": _s(60),
    "engagement-metrics": _min(5),
    "profile": _min(5),
}
"""Faster brings nothing new, or costs a share of the vendor's limits that all accounts of our app have in common."""
FASTEST_AT: Mapping[str, Mapping[str, timedelta]] = {
    # Quotas by the day, per app: an account that asks every minute takes them from the others.
    "google_ads": {"ads-metrics": _min(15)},
    "linkedin": dict.fromkeys(("posts", "comments", "mentions", "ads-metrics"), _min(5)),
    "pinterest": {"ads-metrics": _min(15)},
    # Every post read is paid for, and a window is a quarter of an hour long.
    "twitter": dict.fromkeys(("posts", "comments", "mentions"), _min(5)) | {"messages": _s(60)},
    # Results are counted anew four times an hour.
    "snapchat": {"ads-metrics": _min(15)},
}
SLOWEST = timedelta(days=7)


def fastest(platform: str, sync_type: str, declared: timedelta) -> timedelta:
    """How often an account may ask to be pulled; never slower than the usual cadence."""
    floor = FASTEST_AT.get(platform, {}).get(sync_type) or FASTEST.get(sync_type, declared)
    return min(floor, cadence(platform, sync_type, declared))
