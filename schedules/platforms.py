"""How often each sync type of each platform is pulled, unless the account asks for another cadence.

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
