"""The event log: versions of payloads, and causes."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = r"""
ALTER TABLE event
  ADD COLUMN version int2 NOT NULL DEFAULT 1,   -- of the payload's schema
  ADD COLUMN causation_id bigint,               -- the event that led to this one
  ADD COLUMN correlation_id text;               -- shared by all events of one story
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
