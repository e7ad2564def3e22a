"""Cadences of single accounts."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- `every` was set for this account alone; otherwise it is the platform's usual one and follows it at a reconnect.
ALTER TABLE sync_stream ADD COLUMN own_cadence boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
