"""What apps write: comments as a page. A read that was too long for an address comes by POST to the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.vendors.linkedin import errors, social

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()


def is_write(request: Request) -> bool:
    return request.path.endswith("/comments") and "x-http-method-override" not in request.headers


@routes.post("/rest/socialActions/{urn}/comments", limits=("application_day", "member_day"))
def create_comment(linkedin: LinkedIn, request: Request) -> Response | Record:
    if not is_write(request):
        linkedin.need(request, "r_organization_social_feed")
        listed: Record = social.comments(linkedin, request)
        return listed
    linkedin.need(request, "w_organization_social")
    body: dict[str, Any] = request.json if isinstance(request.json, dict) else {}
    text = str((body.get("message") or {}).get("text") or "")
    urn = request.params["urn"]
    found = social.find_comment(linkedin, request, urn)
    if found is None:
        raise Refusal(errors.not_found())
    org, post, key = found
    if not text or body.get("actor") != org.urn or body.get("parentComment") != urn:
        raise Refusal(errors.bad_param("message, actor and parentComment are needed"))
    if (org.comments_of(post).get(key) or {})["_parent"] is not None:
        raise Refusal(errors.bad_param("A reply cannot be replied to"))
    made = linkedin.comment(linkedin.member(request), post=org.post_urn(post), text=text, parent=urn, ours=True)
    number = made.removesuffix(")").rpartition(",")[2]
    record = org.comments_of(post).get(int(number)) or {}
    return Response(social.comment_json(org, post, record), 201, [("x-restli-id", number)])
