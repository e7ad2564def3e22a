from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sync.cli import schedules, secrets

pytestmark = pytest.mark.usefixtures("cli_environment")


def schedule(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(schedules.app, words)
    assert result.exit_code == code, result.output
    # A refusal travels on as an exception, which the entry point of syncctl turns into its sentence.
    return f"{result.output}{result.exception or ''}"


def secret(*words: str, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(secrets.app, words, input=stdin)
    assert result.exit_code == code, result.output
    # A refusal travels on as an exception, which the entry point of syncctl turns into its sentence.
    return f"{result.output}{result.exception or ''}"


def report(*extra: str, code: int = 0) -> str:
    call = json.dumps({"url": "https://example.com/hook"})
    return schedule("create", "report", "--org", "acme", "--kind", "http.call", "--args", call, *extra, code=code)


def test_a_schedule_from_creation_to_deletion() -> None:
    assert "First due" in report("--cron", "0 9 * * MON", "--zone", "Europe/Berlin")
    assert "0 9 * * MON (Europe/Berlin)" in schedule("show", "report", "--org", "acme")
    assert "Paused" in schedule("pause", "report", "--org", "acme", "--reason", "holidays")
    (listed,) = json.loads(schedule("list", "--org", "acme", "--json"))
    assert (listed["name"], listed["state"], listed["paused_reason"]) == ("report", "paused", "holidays")
    assert "Next due" in schedule("resume", "report", "--org", "acme")
    assert "Job 1." in schedule("run-now", "report", "--org", "acme")
    assert "not done yet" in schedule("run-now", "report", "--org", "acme")
    shown = json.loads(schedule("show", "report", "--org", "acme", "--json"))
    assert len(shown["upcoming"]) == 5 and shown["ticks"][0]["outcome"] == "manual"
    assert "Deleted" in schedule("delete", "report", "--org", "acme")
    assert json.loads(schedule("list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--cron", "99 * * * *"), 1, "minute"),
        (("--every", "soon"), 2, "not an interval"),
        (("--every", "5m", "--cron", "* * * * *"), 2, "either"),
        ((), 2, "either"),
        (("--every", "5m", "--args", "[1]"), 2, "object"),
        (("--every", "5m", "--catch-up", "maybe"), 2, "Invalid"),
    ],
)
def test_mistakes_are_explained(words: tuple[str, ...], code: int, says: str) -> None:
    assert says in report(*words, code=code)


def test_an_unknown_schedule_is_said_so() -> None:
    assert "There is no schedule 'report'" in schedule("pause", "report", "--org", "acme", code=1)


def test_secrets_are_made_listed_rotated_and_removed() -> None:
    assert secret("put", "hooks", "--org", "acme").startswith("whsec_")
    assert secret("put", "crm", "--org", "acme", "--from-stdin", stdin="Bearer 1\n").strip() == "Stored."
    assert secret("put", "hooks", "--org", "acme").startswith("whsec_")
    listed = secret("list", "--org", "acme")
    assert "hooks" in listed and "crm" in listed and "yes" in listed and "whsec_" not in listed
    secret("end-rotation", "hooks", "--org", "acme")
    assert "yes" not in secret("list", "--org", "acme")
    secret("delete", "crm", "--org", "acme")
    assert "There is no secret 'crm'" in secret("delete", "crm", "--org", "acme", code=1)
