"""Subscriptions to the event log, and how far each is."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = r"""
SELECT 1;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
