"""The mail store, and what sync runs learn from it."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- One mail as its mailbox holds it: the raw bytes, and what could be read from them.
--
-- content_key identifies the content (see sync/mail/identity.py) and copy numbers identical mails of one mailbox, so
-- a mail keeps its row when the server renumbers its folder (UIDVALIDITY), and two real copies stay two.
CREATE TABLE mail_message (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  content_key bytea NOT NULL,
  copy int NOT NULL DEFAULT 1,
  duplicate_of bigint REFERENCES mail_message ON DELETE SET NULL,   -- the first copy
  state text NOT NULL CHECK (state IN ('stored', 'parked')),        -- parked: kept raw because reading it failed
  error text,
  received_at timestamptz NOT NULL,         -- INTERNALDATE: when the server got it
  sent_at timestamptz,                      -- Date header, if one can be read
  message_id text,                          -- without brackets, as sent; may repeat
  in_reply_to text[] NOT NULL DEFAULT '{}',
  refs text[] NOT NULL DEFAULT '{}',        -- References, oldest first
  from_name text,
  from_address text,
  recipients jsonb NOT NULL DEFAULT '{}',   -- {"to": [{"name", "address"}], "cc", "bcc", "reply_to"}
  subject text,
  body_text text,
  body_html text,
  headers jsonb NOT NULL DEFAULT '[]',      -- [[name, value], ...] in order
  attachments jsonb NOT NULL DEFAULT '[]',  -- [{"part", "filename", "content_type", "size", "content_id", "inline"}]
  defects text[] NOT NULL DEFAULT '{}',     -- what was wrong with it and read anyway
  size bigint NOT NULL,                     -- bytes on the server
  raw bytea,                                -- NULL: the server sent none
  raw_complete boolean NOT NULL DEFAULT true,       -- false: larger than the limit, raw holds its beginning
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT mail_message_once UNIQUE (integration_id, content_key, copy)
);
CREATE INDEX mail_message_org ON mail_message (org_id, id);
CREATE INDEX mail_message_header_id ON mail_message (org_id, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX mail_message_parked ON mail_message (org_id, id) WHERE state = 'parked';

-- Where a mailbox shows a mail, or has shown it. Folders of one account may share a mail.
CREATE TABLE mail_location (
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  folder text NOT NULL,
  uidvalidity bigint NOT NULL,
  uid bigint NOT NULL,
  message_id bigint NOT NULL REFERENCES mail_message ON DELETE CASCADE,
  flags text[] NOT NULL DEFAULT '{}',       -- when it was first seen
  PRIMARY KEY (integration_id, folder, uidvalidity, uid)
);
CREATE INDEX mail_location_message ON mail_location (message_id);

-- Attempts in a row that committed no page. Only these count towards the limit of attempts: a long pull that is
-- interrupted often still arrives.
ALTER TABLE sync_run ADD COLUMN fruitless int NOT NULL DEFAULT 0;
ALTER TABLE sync_run ADD COLUMN errors jsonb NOT NULL DEFAULT '[]';   -- [{attempt, at, class, text}], newest last
ALTER TABLE sync_run ADD COLUMN holder text;   -- the actor that ran the last attempt, and where
ALTER TABLE sync_run ADD COLUMN node text;

-- The next time a stream is due after now: a fixed grid of its cadence, moved by a hash so that accounts do not tick
-- together and nothing drifts.
CREATE FUNCTION sync_next_due(integration_id bigint, sync_type text, every interval) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT date_bin(every, now(), timestamptz '2000-01-01 00:00:00+00' + make_interval(secs =>
           mod(abs(hashtextextended(integration_id || '/' || sync_type, 0)::numeric),
               ceil(extract(epoch FROM every)))::double precision))
         + every
$$;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
