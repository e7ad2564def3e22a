"""Consents that were asked for: what is needed when the person comes back from the vendor."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- Found by the state that the vendor sends back, of which only the hash is here; good for one return.
CREATE TABLE oauth_state (
  state_hash bytea PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  subject text NOT NULL,                    -- who asked; named in the audit log as who connected
  platform text NOT NULL,
  redirect_uri text NOT NULL,
  label text,
  config jsonb NOT NULL DEFAULT '{}',
  operator boolean NOT NULL,                -- may set fields that are the operator's
  sealed bytea NOT NULL,                    -- PKCE verifier and secret fields beside the token
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE INDEX oauth_state_expires ON oauth_state (expires_at);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
