"""Schedules with their ticks, and the secrets that orgs' outgoing calls use."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- When which job kind is enqueued. Rows of source 'code' mirror schedules/*.py; 'user' ones were created by people.
CREATE TABLE schedule (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  source text NOT NULL CHECK (source IN ('code', 'user')),
  cron text,
  every interval CHECK (every >= interval '1 second'),
  zone text NOT NULL DEFAULT 'UTC',
  kind text NOT NULL,
  args jsonb NOT NULL DEFAULT '{}',
  catch_up text NOT NULL DEFAULT 'once' CHECK (catch_up IN ('skip', 'once', 'all')),
  catch_up_limit int NOT NULL DEFAULT 100 CHECK (catch_up_limit BETWEEN 1 AND 1000),
  overlap text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('allow', 'skip')),
  spread interval NOT NULL DEFAULT interval '0' CHECK (spread >= interval '0'),
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  paused_at timestamptz,
  paused_by text,
  paused_reason text,
  retired_at timestamptz,                   -- no longer in the code; kept for its history
  next_due_at timestamptz,                  -- the oldest tick not fired yet; NULL: paused, retired or never again
  last_due_at timestamptz,
  last_fired_at timestamptz,
  last_job_id bigint,
  last_error text,
  version int NOT NULL DEFAULT 1,           -- counts changes of the definition
  CONSTRAINT schedule_name_once UNIQUE (org_id, name),
  CONSTRAINT schedule_one_timing CHECK (num_nonnulls(cron, every) = 1),
  CONSTRAINT schedule_silent_when_off CHECK (next_due_at IS NULL OR (paused_at IS NULL AND retired_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX schedule_due ON schedule (next_due_at) WHERE next_due_at IS NOT NULL;

-- One row per fired tick, written in the transaction that enqueues its job. The primary key is the promise that a
-- tick fires once: across two leaders, a restart in between, and a clock that steps back.
CREATE TABLE schedule_tick (
  schedule_id bigint NOT NULL REFERENCES schedule ON DELETE CASCADE,
  due_at timestamptz NOT NULL,
  fired_at timestamptz NOT NULL DEFAULT now(),
  job_id bigint,
  -- skipped: the job of an earlier tick (job_id) had not finished. manual: an operator asked for it.
  outcome text NOT NULL CHECK (outcome IN ('enqueued', 'skipped', 'failed', 'manual')),
  error text,
  PRIMARY KEY (schedule_id, due_at)
);
CREATE INDEX schedule_tick_age ON schedule_tick (fired_at);

-- Keys that outgoing calls sign or authenticate with. Job args name them; the value is sealed and never shown again.
CREATE TABLE org_secret (
  org_id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  sealed bytea NOT NULL,
  previous bytea,                           -- still signs beside the new one until it is dropped: rotation without a gap
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  rotated_at timestamptz,
  PRIMARY KEY (org_id, name)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
