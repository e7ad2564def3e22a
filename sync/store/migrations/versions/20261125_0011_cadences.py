"""Cadences of single accounts."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = r"""
SELECT 1;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
