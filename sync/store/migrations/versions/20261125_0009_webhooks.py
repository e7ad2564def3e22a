"""Webhooks as they came in, before anything is made of them."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = r"""
SELECT 1;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
