"""Subscriptions to the event log, how far each is, and how far the log can be read."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- Reading behind transactions in flight goes by ids now (sync/events/log.py): the transaction's number is not needed.
ALTER TABLE event DROP COLUMN xid;

-- The first write of a transaction to the log announces the newest id of that moment, by a lock that ends with the
-- transaction: every id it will draw is higher. Runs before the first id is drawn, once per transaction.
CREATE FUNCTION sync_event_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(current_setting('sync.event_announced', true), '') = '' THEN
    PERFORM pg_advisory_xact_lock_shared(1702260068,
      ((CASE WHEN is_called THEN last_value ELSE last_value - 1 END) & 2147483647)::int) FROM event_id_seq;
    PERFORM set_config('sync.event_announced', '1', true);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER event_announce BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION sync_event_announce();

-- Up to here the log is complete: no event with an id at or below it can appear any more. The newest id is read before
-- the locks: who announces later draws later. Locks hold 31 bits of the id; one above the newest is from after it.
CREATE FUNCTION sync_event_horizon() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  newest bigint;
  open bigint;
BEGIN
  SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO newest FROM event_id_seq;
  SELECT max(behind) INTO open FROM (
    SELECT (newest - objid::bigint) & 2147483647 AS behind FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1702260068 AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) writers
  WHERE behind < 1073741824;
  RETURN newest - coalesce(open, 0);
END $$;

-- How far each subscriber is: of the code (name, all orgs) or of a row in `subscription` (one org).
-- Whoever holds the lock of this row delivers to it; the row moves in the transaction of the effects.
CREATE TABLE event_reader (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  org_id text COLLATE "C",                  -- NULL: reads all orgs
  position bigint NOT NULL,                 -- everything up to this id is delivered, or lies in the backlog
  moved_at timestamptz NOT NULL DEFAULT now(),
  delivered bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Events that a subscriber could not take, or that have to leave by network: they wait in order behind their subject.
CREATE TABLE event_lane (
  reader_id bigint NOT NULL REFERENCES event_reader ON DELETE CASCADE,
  org_id text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'parked')),
  next_at timestamptz NOT NULL DEFAULT now(),
  leased boolean NOT NULL DEFAULT false,    -- somebody sends its events now, until next_at at the latest
  epoch bigint NOT NULL DEFAULT 0,
  attempts int NOT NULL DEFAULT 0,          -- of its first event
  failing_since timestamptz,                -- its first event has failed since then
  error text,
  PRIMARY KEY (reader_id, org_id, subject)
) WITH (fillfactor = 70);
CREATE INDEX event_lane_due ON event_lane (reader_id, next_at) WHERE state = 'waiting';
CREATE INDEX event_lane_next ON event_lane (next_at) WHERE state = 'waiting';

CREATE TABLE event_backlog (
  reader_id bigint NOT NULL REFERENCES event_reader ON DELETE CASCADE,
  org_id text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,  -- the order of delivery
  event_id bigint NOT NULL,
  type text NOT NULL,
  payload jsonb NOT NULL,
  version int2 NOT NULL,
  causation_id bigint,
  correlation_id text,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (reader_id, org_id, subject, seq)
);

CREATE TABLE subscription (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  reader_id bigint NOT NULL UNIQUE REFERENCES event_reader,
  patterns text[] NOT NULL CHECK (cardinality(patterns) > 0),
  filter jsonb NOT NULL DEFAULT '{}',       -- path in the payload -> the value, or a list of values, that it must have
  target jsonb NOT NULL,                    -- {"type": "webhook", "url": ...}; never a secret
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
  reason text,                              -- why it is not active
  secret bytea,                             -- of a webhook: sealed
  previous_secret bytea,                    -- signs as well, until the rotation is over
  failing_since timestamptz,                -- no delivery has succeeded since then
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT subscription_name_once UNIQUE (org_id, name)
);

-- Tables of the data layer whose changes are events (syncctl watch).
CREATE TABLE event_watch (
  table_name text PRIMARY KEY,              -- schema.table, as PostgreSQL quotes it
  key_columns text[] NOT NULL,
  org_column text,
  org_id text COLLATE "C",                  -- of every row, where the table has no column for it
  columns text[],                           -- reported with their values; NULL: none but the key
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
