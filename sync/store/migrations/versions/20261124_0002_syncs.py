"""Integrations, sync runs, leases, events and alerts."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- One connected account of an org on a platform. Credentials are sealed (AES-GCM); config never holds a secret.
CREATE TABLE integration (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  platform text NOT NULL,
  account text NOT NULL,                    -- the vendor's id of the account: a page id, a mailbox address
  label text,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'expired', 'deleted')),
  reason_code text,                         -- why it is not active, for programs
  reason text,                              -- the same for people
  state_changed_at timestamptz NOT NULL DEFAULT now(),
  config jsonb NOT NULL DEFAULT '{}',
  credentials bytea,
  credentials_version int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT integration_account_once UNIQUE (org_id, platform, account)
);

-- One sync type of one account: its live cursor, cadence and health.
CREATE TABLE sync_stream (
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  sync_type text NOT NULL,
  cursor jsonb,
  cursor_version bigint NOT NULL DEFAULT 0,
  every interval NOT NULL CHECK (every >= interval '1 second'),
  next_due_at timestamptz,                  -- NULL: not scheduled (integration not active, or stream blocked)
  blocked_reason text,                      -- a missing scope blocks one sync type, not the account
  failures int NOT NULL DEFAULT 0,          -- in a row
  last_error text,
  last_success_at timestamptz,
  PRIMARY KEY (integration_id, sync_type)
);
CREATE INDEX sync_stream_due ON sync_stream (next_due_at) WHERE next_due_at IS NOT NULL;

-- The fence behind the actor name sync:{org}:{platform}: every transaction that writes results checks the epoch.
CREATE TABLE sync_lease (
  org_id text COLLATE "C" NOT NULL,
  platform text NOT NULL,
  epoch bigint NOT NULL,
  holder text,                              -- NULL: released
  node text,
  pid int,
  acquired_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (org_id, platform)
) WITH (fillfactor = 50);

CREATE TABLE sync_run (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  platform text NOT NULL,
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  sync_type text NOT NULL,
  trigger text NOT NULL CHECK (trigger IN ('schedule', 'manual', 'backfill', 'webhook')),
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  attempt int NOT NULL DEFAULT 0,
  not_before timestamptz NOT NULL DEFAULT now(),   -- parked (rate limit) or waiting for its next attempt until then
  epoch bigint,                             -- of the lease it runs under
  options jsonb NOT NULL DEFAULT '{}',      -- startDate, endDate, force
  backfill_cursor jsonb,                    -- a backfill never moves the live cursor
  cancel_requested boolean NOT NULL DEFAULT false,
  pages int NOT NULL DEFAULT 0,
  records int NOT NULL DEFAULT 0,
  added int NOT NULL DEFAULT 0,
  changed int NOT NULL DEFAULT 0,
  skipped int NOT NULL DEFAULT 0,
  error_class text,
  error_text text,
  requested_by text,
  queued_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  CONSTRAINT sync_run_finished CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled')))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX sync_run_one_open ON sync_run (integration_id, sync_type, (trigger = 'backfill'))
  WHERE state IN ('queued', 'running');
CREATE INDEX sync_run_open ON sync_run (org_id, platform, not_before) WHERE state IN ('queued', 'running');
CREATE INDEX sync_run_org ON sync_run (org_id, id);

-- What happened, in the order it was written; appended in the transaction that made the change.
CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C" NOT NULL,
  type text NOT NULL,                       -- dotted, past tense: mail.received, integration.expired
  subject text NOT NULL,                    -- the key whose events stay in order, e.g. integration:17
  payload jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX event_org ON event (org_id, id);
CREATE TABLE event_default PARTITION OF event DEFAULT;

-- Something a person has to look at. One open alert per key; a second cause only counts up.
CREATE TABLE alert (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
  title text NOT NULL,
  detail text,
  count int NOT NULL DEFAULT 1,
  opened_at timestamptz NOT NULL DEFAULT now(),
  last_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz
);
CREATE UNIQUE INDEX alert_one_open ON alert (org_id, key) WHERE resolved_at IS NULL;

-- What operators did: pause, resume, purge, retry, discard, connect.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C" NOT NULL,
  actor text NOT NULL,                      -- subject of the token, or cli:<user>
  action text NOT NULL,
  target text,
  detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_org ON audit (org_id, id);

-- Singletons that lead while their lease lasts (scheduler, rescuer).
CREATE TABLE leader (
  name text PRIMARY KEY,
  epoch bigint NOT NULL,
  holder text,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

SELECT sync_make_partitions('event');
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
