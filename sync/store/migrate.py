"""Bring a database to the newest schema with the Alembic revisions that ship in the wheel."""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.engine import Engine


def upgrade(url: str) -> None:
    """Run every revision that the database has not seen yet. Two callers at once are safe: the second waits."""
    with as_file(files("sync.store.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["url"] = sqlalchemy_url(url)
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database is at the newest revision."""
    with as_file(files("sync.store.migrations")) as folder:
        heads = set(ScriptDirectory(str(folder)).get_heads())
    engine = _engine(url)
    with engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads()) == heads


def sqlalchemy_url(url: str) -> str:
    """The same address, spelled for SQLAlchemy with the psycopg 3 driver."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _engine(url: str) -> Engine:
    return create_engine(sqlalchemy_url(url), poolclass=NullPool)
