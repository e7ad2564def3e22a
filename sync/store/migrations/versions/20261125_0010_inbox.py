"""The inbox: conversations out of comments and direct messages."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = r"""
SELECT 1;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
