"""Alembic's entry: one transaction for all pending revisions, one runner at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import NullPool, create_engine, text

# Any constant: it only keeps two migrating processes apart. Transaction-scoped, so PgBouncer does not matter.
_MIGRATION_LOCK = 7_301_944_412


def run() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # A revision that cannot get its lock gives up instead of queueing every other session behind it.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()


run()
