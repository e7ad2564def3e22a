"""`syncctl watch`, `unwatch` and `events`, in this process."""

from __future__ import annotations

import json

import psycopg
import pytest
from typer.testing import CliRunner

from sync.cli.main import app

pytestmark = pytest.mark.usefixtures("cli_environment")


def ctl(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return f"{result.output}{result.exception or ''}"


def test_a_table_is_watched_until_it_is_not(pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, tenant text)")
        told = ctl("watch", "orders", "--org-column", "tenant", "--column", "id")
        assert "data.orders.inserted" in told and '"public"."orders" by id' in told
        assert "tenant" in ctl("events", "watched")
        connection.execute("INSERT INTO orders VALUES (1, 'acme')")
        assert connection.execute("SELECT payload->'new' FROM event").fetchall() == [({"id": 1},)]
        assert "no longer" in ctl("unwatch", "orders")
        assert "not watched" in ctl("unwatch", "orders")
    assert "whose" in ctl("watch", "orders", code=1)


def test_types_and_their_schemas() -> None:
    assert "activity.added" in ctl("events", "types")
    schema = json.loads(ctl("events", "types", "--schema", "integration.expired"))
    assert "reason" in schema["required"]
    assert "no event type" in ctl("events", "types", "--schema", "nothing", code=1)


def test_subscribers_and_what_is_parked(pg_url: str) -> None:
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("INSERT INTO event_reader (name, position) VALUES ('mine', 0)")
        connection.execute(
            "INSERT INTO event_lane (reader_id, org_id, subject, state) SELECT id, 'acme', s, 'parked'"
            " FROM event_reader, unnest(ARRAY['a', 'b']) s WHERE name = 'mine'"
        )
        assert "mine" in ctl("events", "lag")
        assert json.loads(ctl("events", "lag", "--json"))[0]["parked"] == 2
        assert "Given up" in ctl("events", "discard", "mine", "--org", "acme", "--subject", "a")
        assert "Nothing" in ctl("events", "discard", "mine", "--org", "globex", "--subject", "b")
        assert "1 subjects" in ctl("events", "retry", "mine")
        connection.execute("UPDATE event_reader SET position = 10")
        assert "after event 0" in ctl("events", "replay", "mine", "--after", "0")
        assert "either" in ctl("events", "replay", "mine", code=1)
        assert "after event" in ctl("events", "replay", "mine", "--since", "2026-01-01")
    assert "forgotten" in ctl("events", "forget", "mine")
    assert "no subscriber" in ctl("events", "retry", "mine", code=1)
