"""Subscriptions to the event log, how far each is, and how far the log can be read."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = r"""
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

-- What the triggers of watched tables do, once per statement, whatever the number of rows. Arguments of each trigger:
-- name in types, key columns, org column ('' for none), org of every row ('' for none), columns with values; lists
-- are JSON. A row without an org has no event. Definer's rights: who writes to a watched table need not know the log.
CREATE FUNCTION sync_watch_key(data jsonb, columns jsonb, OUT key jsonb, OUT text text) LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_object_agg(c.name, data -> c.name), string_agg(data ->> c.name, ',' ORDER BY c.place)
  FROM jsonb_array_elements_text(columns) WITH ORDINALITY AS c (name, place)
$$;
CREATE FUNCTION sync_watch_values(data jsonb, columns jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN data IS NULL OR columns = '[]' THEN NULL ELSE (
    SELECT jsonb_object_agg(c, data -> c) FROM jsonb_array_elements_text(columns) AS c) END
$$;
CREATE FUNCTION sync_watch_part(name text, value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN value IS NULL THEN '{}' ELSE jsonb_build_object(name, value) END
$$;
CREATE FUNCTION sync_watch_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO event (org_id, type, subject, payload)
  SELECT r.org, 'data.' || TG_ARGV[0] || '.inserted', TG_ARGV[0] || ':' || left(k.text, 500),
    jsonb_build_object('table', TG_ARGV[0], 'key', k.key)
    || sync_watch_part('new', sync_watch_values(r.data, TG_ARGV[4]::jsonb))
  FROM (SELECT to_jsonb(n) AS data, coalesce(to_jsonb(n) ->> TG_ARGV[2], nullif(TG_ARGV[3], '')) AS org FROM new_rows n) r
  CROSS JOIN LATERAL sync_watch_key(r.data, TG_ARGV[1]::jsonb) k
  WHERE r.org IS NOT NULL;
  RETURN NULL;
END $$;
CREATE FUNCTION sync_watch_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO event (org_id, type, subject, payload)
  SELECT r.org, 'data.' || TG_ARGV[0] || '.deleted', TG_ARGV[0] || ':' || left(k.text, 500),
    jsonb_build_object('table', TG_ARGV[0], 'key', k.key)
    || sync_watch_part('old', sync_watch_values(r.data, TG_ARGV[4]::jsonb))
  FROM (SELECT to_jsonb(o) AS data, coalesce(to_jsonb(o) ->> TG_ARGV[2], nullif(TG_ARGV[3], '')) AS org FROM old_rows o) r
  CROSS JOIN LATERAL sync_watch_key(r.data, TG_ARGV[1]::jsonb) k
  WHERE r.org IS NOT NULL;
  RETURN NULL;
END $$;
-- A row whose key changed is, for whoever follows, one that went and one that came; so is one that changed its org.
CREATE FUNCTION sync_watch_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO event (org_id, type, subject, payload)
  WITH old_side AS (
    SELECT o.data, o.org, k.key, k.text FROM (
      SELECT to_jsonb(t) AS data, coalesce(to_jsonb(t) ->> TG_ARGV[2], nullif(TG_ARGV[3], '')) AS org FROM old_rows t) o
    CROSS JOIN LATERAL sync_watch_key(o.data, TG_ARGV[1]::jsonb) k WHERE o.org IS NOT NULL
  ), new_side AS (
    SELECT n.data, n.org, k.key, k.text FROM (
      SELECT to_jsonb(t) AS data, coalesce(to_jsonb(t) ->> TG_ARGV[2], nullif(TG_ARGV[3], '')) AS org FROM new_rows t) n
    CROSS JOIN LATERAL sync_watch_key(n.data, TG_ARGV[1]::jsonb) k WHERE n.org IS NOT NULL
  ), pairs AS (
    SELECT coalesce(o.org, n.org) AS org, coalesce(o.key, n.key) AS key, coalesce(o.text, n.text) AS text,
      o.data AS old, n.data AS new,
      CASE WHEN o.data IS NULL THEN 'inserted' WHEN n.data IS NULL THEN 'deleted' ELSE 'updated' END AS what
    FROM old_side o FULL JOIN new_side n ON n.key = o.key AND n.org = o.org
    WHERE o.data IS DISTINCT FROM n.data
  )
  SELECT p.org, 'data.' || TG_ARGV[0] || '.' || p.what, TG_ARGV[0] || ':' || left(p.text, 500),
    jsonb_build_object('table', TG_ARGV[0], 'key', p.key)
    || sync_watch_part('changed', CASE WHEN p.what = 'updated' THEN (
      SELECT jsonb_agg(c.key ORDER BY c.key) FROM jsonb_each(p.new) c WHERE c.value IS DISTINCT FROM p.old -> c.key) END)
    || sync_watch_part('old', sync_watch_values(p.old, TG_ARGV[4]::jsonb))
    || sync_watch_part('new', sync_watch_values(p.new, TG_ARGV[4]::jsonb))
  FROM pairs p ORDER BY p.what = 'inserted';   -- what went comes before what came in its place
  RETURN NULL;
END $$;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sync_watch_inserted()', 'sync_watch_updated()', 'sync_watch_deleted()'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
  END LOOP;
END $$;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
