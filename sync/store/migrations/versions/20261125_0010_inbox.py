"""The inbox: conversations out of comments and direct messages, contacts, replies that go out."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- A person (or bot) who wrote to an org. Found again by identities; one that was merged keeps its row and points on.
CREATE TABLE contact (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  name text,
  handle text,
  url text,
  email text,
  named_at timestamptz,                     -- when they were last seen under this name
  merged_into bigint REFERENCES contact,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX contact_org ON contact (org_id, id) WHERE merged_into IS NULL;
CREATE INDEX contact_merged ON contact (merged_into) WHERE merged_into IS NOT NULL;

-- What a contact is known by: a vendor's id of a person (kind: the platform) or an address (kind: email).
CREATE TABLE contact_identity (
  org_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  value text COLLATE "C" NOT NULL,
  contact_id bigint NOT NULL REFERENCES contact,
  PRIMARY KEY (org_id, kind, value)
);
CREATE INDEX contact_identity_contact ON contact_identity (contact_id);

-- What a comment or message means for the inbox. Written by the projector only, a function of the activity.
CREATE TABLE inbox_message (
  activity_id bigint PRIMARY KEY REFERENCES activity ON DELETE CASCADE,
  seq bigint GENERATED ALWAYS AS IDENTITY,  -- order of arrival; the projector is alone, so it is that of commits, too
  org_id text COLLATE "C" NOT NULL,
  integration_id bigint NOT NULL,
  thread_key text COLLATE "C" NOT NULL,     -- which conversation it belongs to, see sync.inbox.rules
  kind text NOT NULL,                       -- comment, message
  in_tree boolean NOT NULL,                 -- its key depends on the comments above it
  vendor_id text COLLATE "C" NOT NULL,
  parent_id text COLLATE "C",
  root_id text COLLATE "C",                 -- the post, or the vendor's thread
  place text COLLATE "C",
  author_kind text,                         -- with author_value: the identity of who wrote it
  author_value text COLLATE "C",
  incoming boolean NOT NULL,
  deleted boolean NOT NULL,
  occurred_at timestamptz NOT NULL
);
CREATE INDEX inbox_message_thread ON inbox_message (integration_id, thread_key, occurred_at, activity_id);
CREATE INDEX inbox_message_incoming ON inbox_message (integration_id, thread_key, occurred_at, activity_id)
  WHERE incoming;
CREATE INDEX inbox_message_own ON inbox_message (integration_id, thread_key, occurred_at, activity_id)
  WHERE NOT incoming AND NOT deleted;
CREATE INDEX inbox_message_arrived ON inbox_message (integration_id, thread_key, seq) WHERE incoming AND NOT deleted;
CREATE INDEX inbox_message_node ON inbox_message (integration_id, vendor_id) WHERE in_tree;
CREATE INDEX inbox_message_parent ON inbox_message (integration_id, parent_id) WHERE in_tree;

CREATE TABLE conversation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  integration_id bigint NOT NULL REFERENCES integration,
  platform text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('comment', 'message')),
  thread_key text COLLATE "C" NOT NULL,
  root_id text COLLATE "C",
  place text COLLATE "C",
  contact_id bigint REFERENCES contact,
  -- What people decided: this status holds for everything up to that message; a later incoming one opens it again.
  chosen text NOT NULL CHECK (chosen IN ('open', 'pending', 'closed')),
  chosen_through_at timestamptz,
  chosen_through_id bigint,
  chosen_at timestamptz,                    -- NULL: nobody decided anything yet
  status text NOT NULL CHECK (status IN ('open', 'pending', 'closed')),
  assignee text,
  read_through bigint NOT NULL DEFAULT 0,   -- inbox_message.seq
  unread int NOT NULL,
  opened_at timestamptz NOT NULL,
  last_in_at timestamptz,
  last_in_id bigint,
  last_message_id bigint,
  last_message_at timestamptz,              -- NULL: everything in it was deleted
  last_message_direction text,
  last_message_preview text,
  merged_into bigint REFERENCES conversation,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT conversation_thread_once UNIQUE (integration_id, thread_key)
);
CREATE INDEX conversation_org ON conversation (org_id, last_message_at DESC, id DESC)
  WHERE merged_into IS NULL AND last_message_at IS NOT NULL;
CREATE INDEX conversation_status ON conversation (org_id, status, last_message_at DESC, id DESC)
  WHERE merged_into IS NULL AND last_message_at IS NOT NULL;
CREATE INDEX conversation_assignee ON conversation (org_id, assignee, last_message_at DESC, id DESC)
  WHERE assignee IS NOT NULL;
CREATE INDEX conversation_contact ON conversation (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX conversation_merged ON conversation (merged_into) WHERE merged_into IS NOT NULL;

-- What we write back. A row is sent at most once; `unknown` is one whose answer was lost and that may have arrived.
CREATE TABLE inbox_reply (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  conversation_id bigint NOT NULL REFERENCES conversation,
  integration_id bigint NOT NULL REFERENCES integration,
  target_id bigint REFERENCES activity ON DELETE SET NULL,   -- the message that it answers
  text text NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'unknown')),
  reason text,
  client_token text NOT NULL,               -- the same in every attempt
  idempotency_key text,
  job_id bigint,
  vendor_id text COLLATE "C",
  activity_id bigint REFERENCES activity ON DELETE SET NULL,
  requested_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  sending_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT inbox_reply_finished CHECK ((finished_at IS NOT NULL) = (state IN ('sent', 'failed', 'unknown')))
);
CREATE UNIQUE INDEX inbox_reply_once ON inbox_reply (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX inbox_reply_conversation ON inbox_reply (conversation_id, id);
CREATE INDEX inbox_reply_unmatched ON inbox_reply (integration_id) WHERE activity_id IS NULL;

-- Posts of an account by time, for analytics.
CREATE INDEX activity_posts ON activity (org_id, occurred_at DESC, id DESC) WHERE kind = 'post';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
