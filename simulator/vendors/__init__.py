"""The simulated vendors by slug, as it stands in their paths. One is imported when a world asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from simulator.vendor import Vendor

VENDORS: dict[str, str] = {
    "discord": "Discord",
    "facebook": "Facebook",
    "google_ads": "GoogleAds",
    "linkedin": "LinkedIn",
    "pinterest": "Pinterest",
    "reddit": "Reddit",
    "slack": "Slack",
    "snapchat": "Snapchat",
    "tiktok": "TikTok",
    "telegram": "Telegram",
    "twitch": "Twitch",
    "twitter": "Twitter",
}
"""Package below this one -> its class."""


def load(slug: str) -> type[Vendor[Any]]:
    if slug not in VENDORS:
        raise ValueError(f"No vendor {slug!r}; there are: {', '.join(VENDORS)}")
    vendor: type[Vendor[Any]] = getattr(import_module(f"{__name__}.{slug}"), VENDORS[slug])
    assert vendor.slug == slug
    return vendor
