"""The durable queue."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = r"""
-- What may be enqueued, and where it goes. Written from sync/catalogue.py when a process starts, so that
-- sync_enqueue() knows every kind and other languages can push.
CREATE TABLE queue (
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  pool text NOT NULL,                       -- the actor pool that serves it
  concurrency int CHECK (concurrency > 0),          -- cluster-wide; NULL: no limit
  org_concurrency int CHECK (org_concurrency > 0),  -- of one org, cluster-wide; NULL: no limit
  paused_at timestamptz,
  paused_by text,
  paused_reason text,
  last_success_at timestamptz               -- written with the heartbeat of the members, not with every job
);

CREATE TABLE job_kind (
  kind text PRIMARY KEY,
  queue_id smallint NOT NULL REFERENCES queue,
  priority smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3),
  max_attempts smallint NOT NULL DEFAULT 20 CHECK (max_attempts BETWEEN 1 AND 1000),
  retired_at timestamptz                    -- no longer in the catalogue; its stored jobs wait
);

-- Share of an org when several have work; absent means weight 1, no limit, not paused.
CREATE TABLE org_share (
  org_id text COLLATE "C" PRIMARY KEY,
  weight real NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight <= 100),
  paused_at timestamptz,
  paused_by text
);

CREATE SEQUENCE job_seq AS bigint;

-- Claimable work only: due, unclaimed, never updated. A claim deletes rows and packs them into one job_lease row.
-- lane: 0-3 is the priority (0 first); 4-7 is the same work after a crash, run alone.
-- job_id: NULL while seq is the public id; set when a job re-enters under a new seq (retry, rescue, snooze).
CREATE TABLE job (
  queue_id smallint NOT NULL,
  lane smallint NOT NULL DEFAULT 2 CHECK (lane BETWEEN 0 AND 7),
  attempt smallint NOT NULL DEFAULT 0,      -- attempts already spent
  max_attempts smallint NOT NULL DEFAULT 20,
  crashes smallint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT nextval('job_seq'),
  job_id bigint,
  enqueued_at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  args json NOT NULL,
  unique_key text,
  meta json                                 -- correlation_id, traceparent, errors of earlier attempts; NULL is usual
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.1, toast_tuple_target = 4080);
ALTER SEQUENCE job_seq OWNED BY job.seq;
CREATE UNIQUE INDEX job_pick ON job (queue_id, org_id, lane, seq);
CREATE INDEX job_reentered ON job (job_id) WHERE job_id IS NOT NULL;

-- A job as an element of job_lease.jobs; the order is that of sync.jobs.model.Job. Simple enough to be inlined.
-- org_id and kind need no quoting: their letters are restricted where they enter.
CREATE FUNCTION sync_pack(j job) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT '[' || coalesce(j.job_id, j.seq) || ',' || j.seq || ',' || j.lane || ',' || j.attempt || ',' || j.max_attempts
    || ',' || j.crashes || ',' || date_part('epoch', j.enqueued_at) || ',"' || j.org_id || '","' || j.kind || '",'
    || CASE WHEN j.unique_key IS NULL THEN 'null' ELSE to_json(j.unique_key)::text END
    || ',' || coalesce(j.meta::text, 'null') || ',' || j.args || ']'
$$;

-- One row per claimed batch. `jobs` is the packed copy of its rows (a JSON array of arrays, see claim.sql), so a
-- rescue can rebuild them; `finished` holds the ids whose outcome is already recorded.
CREATE TABLE job_lease (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker_id bigint NOT NULL,
  queue_id smallint NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C",                  -- set where the queue has a limit: then every job has a lease of its own
  size int NOT NULL,
  finished bigint[] NOT NULL DEFAULT '{}',
  jobs text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_threshold = 2000,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_cost_delay = 0);
ALTER TABLE job_lease ALTER COLUMN jobs SET STORAGE EXTERNAL;
CREATE INDEX job_lease_worker ON job_lease (worker_id);

-- Not due yet: delayed, scheduled with a run-at, waiting for a retry, snoozed.
CREATE TABLE job_scheduled (
  run_at timestamptz NOT NULL,
  job_id bigint NOT NULL,
  reason text NOT NULL CHECK (reason IN ('scheduled', 'retry', 'snooze')),
  queue_id smallint NOT NULL,
  lane smallint NOT NULL,
  attempt smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL DEFAULT 20,
  crashes smallint NOT NULL DEFAULT 0,
  enqueued_at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  args json NOT NULL,
  unique_key text,
  meta json,
  PRIMARY KEY (job_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_scheduled_due ON job_scheduled (queue_id, run_at);
CREATE INDEX job_scheduled_org ON job_scheduled (org_id, job_id);

-- Dead letters: out of attempts, refused for good, or blamed for killing its worker. Kept until an operator decides.
CREATE TABLE job_dead (
  job_id bigint PRIMARY KEY,
  queue_id smallint NOT NULL,
  lane smallint NOT NULL,
  attempt smallint NOT NULL,
  max_attempts smallint NOT NULL,
  crashes smallint NOT NULL DEFAULT 0,
  enqueued_at timestamptz NOT NULL,
  died_at timestamptz NOT NULL DEFAULT now(),
  org_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  args json NOT NULL,
  unique_key text,
  meta json,
  error_class text NOT NULL
);
CREATE INDEX job_dead_org ON job_dead (org_id, job_id);
CREATE INDEX job_dead_queue ON job_dead (queue_id);

-- The run log: one row per attempt that ended, in a transaction of its own (never the handler's), dropped by the day.
-- outcome: 0 done, 1 retry, 2 snooze, 3 cancelled, 4 dead, 5 lost (worker died), 6 interrupted (given back at shutdown), 7 discarded
CREATE TABLE job_run (
  finished_at timestamptz NOT NULL DEFAULT now(),
  job_id bigint NOT NULL,
  worker_id bigint,
  duration_ms int NOT NULL,
  queue_id smallint NOT NULL,
  attempt smallint NOT NULL,
  outcome smallint NOT NULL CHECK (outcome BETWEEN 0 AND 7),
  org_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  error json
) PARTITION BY RANGE (finished_at);
CREATE INDEX job_run_org ON job_run (org_id, job_id);
-- Rows that fall outside the prepared days must never stop the queue.
CREATE TABLE job_run_default PARTITION OF job_run DEFAULT;

-- "At most one such job waiting or running": held from enqueue until the job ends.
CREATE TABLE job_unique (
  queue_id smallint NOT NULL,
  org_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  job_id bigint NOT NULL,
  PRIMARY KEY (queue_id, org_id, key)
);

-- "The same request again": remembered for a while, whatever became of the job.
CREATE TABLE job_idempotency (
  org_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  job_id bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, key)
);
CREATE INDEX job_idempotency_age ON job_idempotency (created_at);

CREATE TABLE job_progress (
  job_id bigint PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  percent real CHECK (percent BETWEEN 0 AND 100),
  message text,
  checkpoint jsonb,
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Cancellation of a job that is running now; its worker reads this with every heartbeat.
CREATE TABLE job_cancel (
  job_id bigint PRIMARY KEY,
  requested_by text,
  requested_at timestamptz NOT NULL DEFAULT now()
);

-- One row per pool member process. A silent one is dead: its leases are rescued and its late results thrown away.
CREATE TABLE worker (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,                       -- actor name, e.g. consumer.one-off.0
  pool text NOT NULL,
  node text NOT NULL,
  pid int NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  beat_at timestamptz NOT NULL DEFAULT now(),
  running int NOT NULL DEFAULT 0,
  done bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'draining'))
) WITH (fillfactor = 50);

-- Creates the day partitions of a table partitioned by a timestamptz, from yesterday to `ahead` days on.
CREATE FUNCTION sync_make_partitions(parent text, ahead int DEFAULT 3) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  day date;
  made int := 0;
BEGIN
  FOR day IN SELECT generate_series((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + ahead, interval '1 day')
  LOOP
    IF to_regclass(format('%I', parent || to_char(day, '_YYYYMMDD'))) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
          parent || to_char(day, '_YYYYMMDD'), parent,
          day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
      EXCEPTION
        WHEN duplicate_table THEN NULL;      -- another process was faster
        WHEN check_violation THEN NULL;      -- the default partition already holds rows of that day: they stay there
      END;
    END IF;
  END LOOP;
  RETURN made;
END $$;

-- Drops day partitions that ended more than `keep_days` ago. Only one caller at a time drops; the others find nothing.
CREATE FUNCTION sync_drop_partitions(parent text, keep_days int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  part record;
  dropped int := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('sync_drop_partitions'), hashtext(parent)) THEN
    RETURN 0;
  END IF;
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
      AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - keep_days
  LOOP
    EXECUTE format('DROP TABLE %I', part.relname);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;

-- Enqueue one job in the caller's transaction. `created` is false when a key was taken: then job_id is the job that
-- already holds the unique key, or that an earlier call with the same idempotency key made.
CREATE FUNCTION sync_enqueue_job(
  kind text, args json, org_id text, run_at timestamptz, priority smallint, unique_key text, idempotency_key text,
  max_attempts smallint, meta json, OUT job_id bigint, OUT created boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  k record;
  new_id bigint;
BEGIN
  SELECT * INTO k FROM job_kind WHERE job_kind.kind = sync_enqueue_job.kind;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'unknown job kind %', sync_enqueue_job.kind
      USING ERRCODE = '22023', HINT = 'SELECT kind FROM job_kind lists the kinds.';
  END IF;
  IF sync_enqueue_job.org_id !~ '^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}|_system)$' THEN
    RAISE EXCEPTION 'not an org id: %', sync_enqueue_job.org_id USING ERRCODE = '22023';
  END IF;
  IF sync_enqueue_job.args IS NULL OR json_typeof(sync_enqueue_job.args) <> 'object' THEN
    RAISE EXCEPTION 'args of % must be a JSON object', sync_enqueue_job.kind USING ERRCODE = '22023';
  END IF;
  IF sync_enqueue_job.meta IS NOT NULL AND json_typeof(sync_enqueue_job.meta) <> 'object' THEN
    RAISE EXCEPTION 'meta of % must be a JSON object', sync_enqueue_job.kind USING ERRCODE = '22023';
  END IF;
  -- json takes a NUL or half a surrogate pair, and then fails whoever reads the text: a rescue, a list.
  PERFORM sync_enqueue_job.args::jsonb, sync_enqueue_job.meta::jsonb;
  new_id := nextval('job_seq');
  sync_enqueue_job.created := false;
  IF sync_enqueue_job.idempotency_key IS NOT NULL THEN
    INSERT INTO job_idempotency AS i (org_id, key, job_id)
      VALUES (sync_enqueue_job.org_id, sync_enqueue_job.idempotency_key, new_id)
      ON CONFLICT (org_id, key) DO UPDATE SET key = i.key RETURNING i.job_id INTO sync_enqueue_job.job_id;
    IF sync_enqueue_job.job_id <> new_id THEN
      RETURN;
    END IF;
  END IF;
  IF sync_enqueue_job.unique_key IS NOT NULL THEN
    INSERT INTO job_unique AS u (queue_id, org_id, key, job_id)
      VALUES (k.queue_id, sync_enqueue_job.org_id, sync_enqueue_job.unique_key, new_id)
      ON CONFLICT (queue_id, org_id, key) DO UPDATE SET key = u.key RETURNING u.job_id INTO sync_enqueue_job.job_id;
    IF sync_enqueue_job.job_id <> new_id THEN
      UPDATE job_idempotency i SET job_id = sync_enqueue_job.job_id
        WHERE i.org_id = sync_enqueue_job.org_id AND i.key = sync_enqueue_job.idempotency_key;
      RETURN;
    END IF;
  END IF;
  IF sync_enqueue_job.run_at IS NULL OR sync_enqueue_job.run_at <= clock_timestamp() THEN
    INSERT INTO job (queue_id, lane, seq, org_id, kind, args, unique_key, max_attempts, meta)
      VALUES (k.queue_id, coalesce(sync_enqueue_job.priority, k.priority), new_id, sync_enqueue_job.org_id,
              sync_enqueue_job.kind, sync_enqueue_job.args, sync_enqueue_job.unique_key,
              coalesce(sync_enqueue_job.max_attempts, k.max_attempts), sync_enqueue_job.meta);
  ELSE
    INSERT INTO job_scheduled (run_at, job_id, reason, queue_id, lane, org_id, kind, args, unique_key, max_attempts, meta)
      VALUES (sync_enqueue_job.run_at, new_id, 'scheduled', k.queue_id, coalesce(sync_enqueue_job.priority, k.priority),
              sync_enqueue_job.org_id, sync_enqueue_job.kind, sync_enqueue_job.args, sync_enqueue_job.unique_key,
              coalesce(sync_enqueue_job.max_attempts, k.max_attempts), sync_enqueue_job.meta);
  END IF;
  sync_enqueue_job.job_id := new_id;
  sync_enqueue_job.created := true;
END $$;

-- The same with defaults, for any language that speaks SQL; returns the job's id.
-- Workers see it at their next poll (a second at most); `SELECT sync_wake('queue')` after the commit makes it at once.
CREATE FUNCTION sync_enqueue(
  kind text, args json DEFAULT '{}', org_id text DEFAULT '_system', run_at timestamptz DEFAULT NULL,
  priority int DEFAULT NULL, unique_key text DEFAULT NULL, idempotency_key text DEFAULT NULL,
  max_attempts int DEFAULT NULL, meta json DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
  SELECT job_id FROM sync_enqueue_job(kind, args, org_id, run_at, priority::smallint, unique_key, idempotency_key,
                                      max_attempts::smallint, meta)
$$;

-- Wake the workers of a queue. Call it in a transaction of its own: a transaction with a pending NOTIFY takes a
-- database-wide lock when it commits.
CREATE FUNCTION sync_wake(queue text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_notify('sync', json_build_object('t', 'queue.' || q.pool, 'p', json_build_array())::text) FROM queue q WHERE q.name = sync_wake.queue
$$;

SELECT sync_make_partitions('job_run');
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
