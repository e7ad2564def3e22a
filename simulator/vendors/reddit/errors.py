"""Reddit's four ways to say no: JSON with a code, JSON with a reason, HTML, and a 200 with errors inside."""

from __future__ import annotations

from simulator.http import Headers, Response

BLOCKED = (
    "<html><body><h1>whoa there, pardner!</h1><p>Your request has been blocked due to a network policy.</p>"
    "<p>Try changing your User-Agent to something unique and descriptive.</p></body></html>"
)
TOO_MANY = (
    "<!doctype html><html><title>Too Many Requests</title><body>we're sorry, but you appear to be a bot</body></html>"
)


def plain(status: int, message: str, headers: Headers | None = None, *, reason: str = "") -> Response:
    why = {"reason": reason} if reason else {}
    return Response({**why, "message": message, "error": status}, status, headers or [])


def forbidden(reason: str = "") -> Response:
    """Somebody else's subreddit, or a moderator's endpoint."""
    return plain(403, "Forbidden", reason=reason)


def not_found(reason: str = "") -> Response:
    return plain(404, "Not Found", reason=reason)


def invalid_token() -> Response:
    return plain(401, "Unauthorized", [("www-authenticate", 'Bearer realm="reddit", error="invalid_token"')])


def insufficient_scope() -> Response:
    return plain(403, "Forbidden", [("www-authenticate", 'Bearer realm="reddit", error="insufficient_scope"')])


def no_subreddit(name: str) -> Response:
    return Response(b"", 302, [("location", f"/subreddits/search?q={name}")])


def html(body: str, status: int, headers: Headers | None = None) -> Response:
    return Response(body, status, headers or [], "text/html; charset=UTF-8")


def in_json(code: str, text: str, field: str, **more: float) -> Response:
    """What forms called with api_type=json answer: HTTP 200."""
    return Response({"json": {"errors": [[code, text, field]], **more}})
