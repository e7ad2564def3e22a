"""The requests we make of API for Business. Every path ends with a slash, without which there is nothing there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec

from connectors.base import Credentials, Installation
from connectors.http import CodeGrant, Context, Reply, Request
from connectors.http.pagers import Token, put
from connectors.http.times import milliseconds
from connectors.tiktok import parse

V = "/open_api/v1.3"
NO_ADVERTISER = "No TikTok ad account is connected: the advertiser's token (`ads_token`) is missing."


def business(ctx: Context, path: str, endpoint: str, **params: Any) -> Request:
    """A call about the account itself. Arrays and objects are JSON texts."""
    given = {"business_id": ctx.facts["business_id"], **params}
    return Request("GET", f"{V}/business/{path}/", texts(given), endpoint=endpoint)


def marketing(credentials: Credentials, path: str, endpoint: str, **params: Any) -> Request:
    """A call with the advertiser's token instead of the account's."""
    headers = {"Access-Token": credentials.get("ads_token", "")}
    return Request("GET", f"{V}/{path}/", texts(params), headers=headers, endpoint=endpoint, signed=False)


def texts(params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.json.encode(value).decode() if isinstance(value, list | tuple | dict) else value
        for name, value in params.items()
    }


# --- the account


def profile(ctx: Context) -> Request:
    return business(ctx, "get", "account", fields=parse.PROFILE_FIELDS)


def account_days(ctx: Context) -> Request:
    """Days that are over; the current one is not told."""
    yesterday = ctx.now.date() - timedelta(days=1)
    assert ctx.span.first_day is not None and ctx.span.last_day is not None
    first, last = min(ctx.span.first_day, yesterday), min(ctx.span.last_day, yesterday)
    fields = (*parse.DAILY, "followers_count")
    return business(ctx, "get", "account", fields=fields, start_date=str(first), end_date=str(last))


# --- videos and comments


def videos(ctx: Context, fields: Sequence[str]) -> Request:
    """Newest first, from a moment on: the cursor is a time."""
    until = milliseconds(ctx.until) if ctx.until else None
    return business(ctx, "video/list", "videos", fields=fields, max_count=ctx.size, cursor=until)


def posts(ctx: Context) -> Request:
    return videos(ctx, parse.POST_FIELDS)


def insights(ctx: Context) -> Request:
    return videos(ctx, parse.INSIGHT_FIELDS)


def named(ctx: Context) -> Request:
    wanted = {"video_ids": ctx.vars["ids"]}
    return business(ctx, "video/list", "videos", fields=["item_id"], filters=wanted, max_count=20)


def missing(reply: Reply) -> list[str]:
    """Which of the videos that were asked for did not come back."""
    asked = msgspec.json.decode(str(reply.request.params["filters"]))["video_ids"]
    found = {video["item_id"] for video in reply.at("data.videos", ())}
    gone = [video for video in asked if video not in found]
    # That many do not vanish together: it is the account that does not show them.
    return gone if found or len(gone) <= 3 else []


def comments(ctx: Context) -> Request:
    """Without this sort order they come in one of their own."""
    order = {"sort_field": "create_time", "sort_order": "desc"}
    video = ctx.vars["video"]
    return business(
        ctx, "comment/list", "comments", video_id=video, include_replies="true", max_count=ctx.size, **order
    )


@dataclass(frozen=True, slots=True)
class ThreadPager:
    """Comments page by page; after each page the replies to those that have more than came along.

    A token is {top, queue, at}: the next page of comments (None at the end), the comments whose replies are still to
    come, and where in the first one's.
    """

    resizable: bool = False

    def next(self, reply: Reply, items: Sequence[Any], ctx: Context, token: Token | None) -> Token | None:
        at = token if isinstance(token, dict) else {}
        following = reply.at("data.cursor") if reply.at("data.has_more", False) else None
        queue, top = list(at.get("queue", ())), at.get("top")
        if queue:
            if following is not None:
                return {**at, "at": following}
            queue = queue[1:]
        else:
            top, queue = following, [item["comment_id"] for item in items if _more_replies(item)]
        return {"top": top, "queue": queue, "at": 0} if queue or top is not None else None

    def apply(self, request: Request, token: Token) -> Request:
        assert isinstance(token, dict)
        if not token["queue"]:
            return put(request, "params", {"cursor": token["top"]})
        of = {"comment_id": token["queue"][0], "cursor": token["at"], "include_replies": None}
        return replace(put(request, "params", of), path=f"{V}/business/comment/reply/list/")


def _more_replies(item: Any) -> bool:
    return int(item.get("replies") or 0) > len(item.get("reply_list") or ())


def mentions(ctx: Context) -> Request:
    """The last thirty days, newest first."""
    order = {"sort_field": "CREATE_TIME", "sort_type": "DESC", "number_of_days": 30}
    fields = parse.MENTION_FIELDS
    return business(ctx, "mention/video/list", "mentions", fields=fields, max_count=ctx.size, **order)


def comment_mentions(ctx: Context) -> Request:
    order = {"sort_field": "COMMENT_CREATE_TIME", "sort_type": "DESC", "number_of_days": 30}
    fields = parse.COMMENT_MENTION_FIELDS
    return business(ctx, "mention/comment/list", "mentions", fields=fields, max_count=ctx.size, **order)


# --- messages


def conversations(ctx: Context, kind: str) -> Request:
    return business(ctx, "message/conversation/list", "conversations", conversation_type=kind, limit=100)


def messages(ctx: Context) -> Request:
    return business(ctx, "message/content/list", "messages", conversation_id=ctx.partition.key)


# --- ads


def report(ctx: Context) -> Request:
    """Ads by day, those that were deleted included."""
    return marketing(
        ctx.account.credentials,
        "report/integrated/get",
        "report",
        advertiser_id=ctx.partition.key,
        report_type="BASIC",
        data_level="AUCTION_AD",
        dimensions=["ad_id", "stat_time_day"],
        metrics=[*parse.ADS_NUMBERS, "spend", "campaign_id"],
        filtering=[{"field_name": "ad_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}],
        start_date=str(ctx.span.first_day),
        end_date=str(ctx.span.last_day),
        page=1,
        page_size=ctx.size,
    )


def ad_comments(ctx: Context) -> Request:
    return marketing(
        ctx.account.credentials,
        "comment/list",
        "ad_comments",
        advertiser_id=ctx.vars["advertiser"],
        search_field="ADGROUP_ID",
        search_value=ctx.partition.key,
        sort_field="CREATE_TIME",
        sort_type="DESC",
        start_time=str(ctx.span.first_day),
        end_time=str(ctx.span.last_day),
        page=1,
        page_size=ctx.size,
    )


# --- tokens


def exchange(grant: CodeGrant, installation: Installation) -> Request:
    body = {"grant_type": "authorization_code", "auth_code": grant.code, "redirect_uri": grant.redirect_uri}
    return _token_call("token", body, installation)


def refresh(credentials: Credentials, installation: Installation) -> Request:
    body = {"grant_type": "refresh_token", "refresh_token": credentials.get("refresh_token", "")}
    return _token_call("refresh_token", body, installation)


def _token_call(name: str, body: dict[str, str], installation: Installation) -> Request:
    app = {"client_id": installation.client_id, "client_secret": installation.client_secret}
    path = f"{V}/tt_user/oauth2/{name}/"
    return Request("POST", path, json={**app, **body}, endpoint="token", signed=False)
