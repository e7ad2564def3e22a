"""What is asked of the Graph API: fields, and the requests of every stream."""

from __future__ import annotations

from typing import Any

import msgspec

from connectors.http import Context, CursorPager, Partition, Reply, Report, Request, get, post
from connectors.http.times import seconds

V = "/v25.0"
PAGER = CursorPager("paging.cursors.after", "after", more="paging.next")

POST_FIELDS = (
    "id,message,story,created_time,updated_time,permalink_url,full_picture,status_type,is_published,is_hidden,from,"
    "shares,attachments{media_type,media,url,target,subattachments},reactions.summary(total_count).limit(0),"
    "comments.summary(total_count).limit(0)"
)
MEDIA_FIELDS = (
    "id,caption,media_type,media_product_type,media_url,thumbnail_url,permalink,timestamp,like_count,comments_count,"
    "is_comment_enabled,username"
)
COMMENT_FIELDS = "id,message,created_time,from,parent{id},like_count,comment_count,is_hidden,attachment,permalink_url"
REPLY_FIELDS = "id,text,timestamp,username,from,like_count,hidden,parent_id,media"
MESSAGE_FIELDS = "id,created_time,from,to,message,attachments,sticker,tags,shares"
PROFILE_FIELDS = {
    "page": "id,name,username,about,category,fan_count,followers_count,link,picture,verification_status",
    "ig": "id,username,name,biography,followers_count,follows_count,media_count,profile_picture_url,website",
}
PAGE_METRICS = "page_media_view,page_total_media_view_unique,page_post_engagements,page_follows,page_daily_follows"
POST_METRICS = "post_media_view,post_total_media_view_unique,post_clicks,post_reactions_by_type_total,post_video_views"
IG_METRICS = "views,reach,accounts_engaged,likes,comments,shares,saves,replies,total_interactions"
MEDIA_METRICS = "views,reach,saved,likes,comments,shares,total_interactions"
ADS_FIELDS = (
    "account_currency,campaign_id,campaign_name,adset_id,ad_id,ad_name,impressions,clicks,spend,reach,actions,"
    "action_values,conversions"
)


def graph(place: Any, edge: str, endpoint: str, **params: Any) -> Request:
    return get(f"{V}/{place['id']}/{edge}".rstrip("/"), endpoint=endpoint, with_token=place["token"], **params)


def listing(place: Partition, fields: str, limit: int = 100, **params: Any) -> Request:
    edge = "media" if place.vars["kind"] == "ig" else "published_posts"
    return graph(place.vars, edge, "posts", fields=fields, limit=limit, **params)


def _bounds(ctx: Context) -> dict[str, int | None]:
    # `until` is exclusive in seconds: a fraction of a second more would be cut off.
    return {
        "since": seconds(ctx.since) if ctx.since else None,
        "until": seconds(ctx.until) + 1 if ctx.until else None,
    }


def posts(ctx: Context) -> Request:
    fields = MEDIA_FIELDS if ctx.vars["kind"] == "ig" else POST_FIELDS
    return listing(ctx.partition, fields, limit=ctx.size, **_bounds(ctx))


def comments(ctx: Context) -> Request:
    return get(
        f"{V}/{ctx.vars['post']}/comments",
        endpoint="comments",
        with_token=ctx.vars["token"],
        filter="stream",
        order="reverse_chronological",
        fields=COMMENT_FIELDS,
        limit=ctx.size,
    )


def media_comments(ctx: Context) -> Request:
    fields = f"{REPLY_FIELDS},replies{{{REPLY_FIELDS}}}"
    return get(
        f"{V}/{ctx.vars['post']}/comments",
        endpoint="comments",
        with_token=ctx.vars["token"],
        fields=fields,
        limit=ctx.size,
    )


def messages(ctx: Context) -> Request:
    path = f"{V}/{ctx.vars['conversation']}/messages"
    return get(path, endpoint="messages", with_token=ctx.vars["token"], fields=MESSAGE_FIELDS, limit=ctx.size)


def mentions(ctx: Context) -> Request:
    edge, fields = ("tags", MEDIA_FIELDS) if ctx.vars["kind"] == "ig" else ("tagged", POST_FIELDS)
    return graph(ctx.vars, edge, "mentions", fields=fields, limit=ctx.size, **_bounds(ctx))


def page_insights(ctx: Context) -> Request:
    return graph(ctx.vars, "insights", "insights", metric=PAGE_METRICS, period="day", **_days(ctx))


def instagram_insights(ctx: Context) -> Request:
    metric = {"metric": IG_METRICS, "metric_type": "total_value"}
    return graph(ctx.vars, "insights", "insights", **metric, period="day", **_days(ctx))


def _days(ctx: Context) -> dict[str, int]:
    span = ctx.span
    assert span.starts_at is not None and span.ends_at is not None
    return {"since": seconds(span.starts_at), "until": seconds(span.ends_at)}


def post_insights(ctx: Context) -> Request:
    metric = MEDIA_METRICS if ctx.vars["kind"] == "ig" else POST_METRICS
    return get(f"{V}/{ctx.vars['post']}/insights", endpoint="insights", with_token=ctx.vars["token"], metric=metric)


def profile(ctx: Context) -> Request:
    return graph(ctx.vars, "", "profile", fields=PROFILE_FIELDS[ctx.vars["kind"]])


def ads_report(ctx: Context) -> Request:
    days = {"since": str(ctx.span.first_day), "until": str(ctx.span.last_day)}
    form = {
        "level": "ad",
        "time_increment": 1,
        "time_range": msgspec.json.encode(days).decode(),
        "fields": ADS_FIELDS,
        "action_attribution_windows": '["7d_click","1d_view"]',
    }
    return post(f"{V}/{ctx.partition.key}/insights", form=form, endpoint="ads_report")


def report_ready(reply: Reply) -> bool | None:
    status = reply.at("async_status")
    if status in ("Job Failed", "Job Skipped"):
        return False
    return True if status == "Job Completed" and reply.at("async_percent_completion") == 100 else None


ADS_REPORT = Report(
    create=ads_report,
    job_id="report_run_id",
    poll=lambda _ctx, job: get(f"{V}/{job}", endpoint="ads_report"),
    ready=report_ready,
    download=lambda _ctx, job, _reply: get(f"{V}/{job}/insights", endpoint="ads_rows", limit=100),
)
