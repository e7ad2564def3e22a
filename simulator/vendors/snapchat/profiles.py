"""The Public Profile API of another host, for apps that Snap has allowed: profiles, their content, their days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from simulator import numbers
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.paging import list_page
from simulator.vendors.snapchat import errors
from simulator.vendors.snapchat.data import DAY, MS, Profile
from simulator.vendors.snapchat.routes import envelope, limit, organization, paged, person_of, position, wrapped

if TYPE_CHECKING:
    from simulator.vendors.snapchat import Snapchat

routes = Routes()
PROFILES = ("snapchat-profile-api",)
_MEANS = {"subscribers_gained": 12.0, "story_views": 800.0, "spotlight_views": 2_400.0, "profile_views": 150.0}


@routes.get("/v1/organizations/{id}/public_profiles", scopes=PROFILES, limits=("app", "token"))
def of_organization(snapchat: Snapchat, request: Request) -> Record:
    found = [profile_json(profile, request.now) for profile in organization(request).profiles]
    return envelope(snapchat, public_profiles=wrapped("public_profile", found))


@routes.get("/v1/public_profiles/my_profile", scopes=PROFILES, limits=("app", "token"))
def mine(snapchat: Snapchat, request: Request) -> Record:
    found = [profile_json(profile, request.now) for profile in person_of(request).profiles()][:1]
    return envelope(snapchat, public_profiles=wrapped("public_profile", found))


@routes.get("/v1/public_profiles/{id}", scopes=PROFILES, limits=("app", "token"))
def one(snapchat: Snapchat, request: Request) -> Record:
    return envelope(snapchat, public_profiles=wrapped("public_profile", [profile_json(_profile(request), request.now)]))


@routes.get("/v1/public_profiles/{id}/stats", scopes=PROFILES, limits=("app", "token"))
def stats(snapchat: Snapchat, request: Request) -> Record:
    """Days of UTC; what the real answer looks like is not documented, so it looks like the ads stats."""
    profile, args = _profile(request), request.query
    try:
        start, end = (datetime.fromisoformat(args[name]).astimezone(UTC) for name in ("start_time", "end_time"))
    except (KeyError, ValueError) as error:
        raise errors.bad("E1008", "start_time and end_time must be ISO 8601") from error
    if end - start > timedelta(days=31):
        raise errors.bad("E1008", "Unsupported Stats Query: at most 31 days at a time")
    rows = []
    for day in numbers.days(start.date(), (end - timedelta(seconds=1)).date()):
        at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC"))
        figures = {
            name: numbers.daily(request.now, day, mean, profile.id, name, settle_days=2)
            for name, mean in _MEANS.items()
        }
        span = [moment.isoformat(timespec="milliseconds") for moment in (at, at + timedelta(days=1))]
        rows.append({"start_time": span[0], "end_time": span[1], "stats": figures})
    stat = {"id": profile.id, "type": "PUBLIC_PROFILE", "granularity": "DAY", "timeseries": rows}
    return envelope(snapchat, timeseries_stats=wrapped("timeseries_stat", [stat]))


@routes.get("/v1/public_profiles/{id}/organic/{kind}", scopes=PROFILES, limits=("app", "token"))
def organic(snapchat: Snapchat, request: Request) -> Response:
    return errors.failure(415, "E1003", "This path is not offered over REST")


@routes.get("/v1/public_profiles/{id}/{kind}", scopes=PROFILES, limits=("app", "token"))
def content(snapchat: Snapchat, request: Request) -> Record:
    """Stories are gone after a day."""
    kind, profile = request.params["kind"], _profile(request)
    feed = profile.feeds().get(kind)
    if feed is None:
        raise errors.not_found()
    oldest = int((request.now - DAY) * MS) if kind == "stories" else None
    keys = feed.slice(100_000, above=oldest).keys
    records = [record for key in keys if (record := feed.get(key)) is not None]
    page = list_page(snapchat, request, records, limit(request), position=position(snapchat, request))
    singular = {"stories": "story", "saved_stories": "saved_story", "spotlights": "spotlight"}[kind]
    return paged(snapchat, request, kind, singular, page.items, page.next)


def profile_json(profile: Profile, now: float) -> Record:
    return {
        "id": profile.id,
        "display_name": profile.name,
        "snap_user_name": profile.handle,
        "profile_type": "BUSINESS",
        "profile_tier": "TIER_OFFICIAL",
        "internal_profile_category": "BRAND",
        "subscriber_count": str(5_000 + numbers.growing(now, profile.born, 20_000, 200 * DAY)),
        "logo_urls": {"original_logo_url": f"https://cf-st.sc-cdn.net/{profile.id}.jpg"},
    }


def _profile(request: Request) -> Profile:
    found = next((p for p in person_of(request).profiles() if p.id == request.params["id"]), None)
    if found is None:
        raise errors.not_found()
    return found
