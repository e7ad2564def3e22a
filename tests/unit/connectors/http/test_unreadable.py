"""Refusals that are not what the vendor writes."""

from __future__ import annotations

import pytest

from connectors.http import Reply, get, problem_at
from connectors.http.verdicts import Verdict, judge

PAGE = b"<html><body>Access denied by the proxy</body></html>"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.RETRY), (401, Verdict.REFRESH), (403, Verdict.RETRY), (404, Verdict.GONE), (502, Verdict.RETRY)],
)
def test_a_page_in_place_of_json(status: int, verdict: Verdict) -> None:
    assert judge(Reply(get("/x"), status, {}, PAGE), problem_at("error.code"), ()).verdict is verdict


def test_a_forbidden_in_the_vendors_words_is_a_missing_scope() -> None:
    reply = Reply(get("/x"), 403, {}, b'{"error": {"code": 7}}')
    assert judge(reply, problem_at("error.code"), ()).verdict is Verdict.SCOPE_MISSING
    assert judge(Reply(get("/x"), 403, {}, b""), problem_at("error.code"), ()).verdict is Verdict.SCOPE_MISSING
