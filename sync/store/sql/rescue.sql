-- Take back the leases of dead workers: silent for `timeout_s`, or without a row. Unfinished jobs wait again in the lanes
-- that run alone; those whose workers died `max_crashes` times are dead letters. Everything in one statement, so a crash
-- here changes nothing; leases that another rescuer holds are skipped. The workers' rows go as well: one that was only
-- frozen learns from its next beat that it has lost what it held.
-- For `timeout_s` after the server started nobody is dead: everybody missed those beats.
-- Parameters: timeout_s, max_crashes, limit. Index: primary keys of job_lease and worker (a few hundred rows).
WITH doomed AS MATERIALIZED (
  SELECT l.id FROM job_lease l LEFT JOIN worker w ON w.id = l.worker_id
  WHERE (w.id IS NULL OR w.beat_at < now() - make_interval(secs => %(timeout_s)s))
    AND pg_postmaster_start_time() < now() - make_interval(secs => %(timeout_s)s)
  ORDER BY l.id LIMIT %(limit)s FOR UPDATE OF l SKIP LOCKED
), gone AS (
  DELETE FROM job_lease WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING id, worker_id, queue_id, claimed_at, finished, jobs
), told AS (
  DELETE FROM worker WHERE id IN (SELECT worker_id FROM gone)
), unfinished AS MATERIALIZED (
  SELECT g.worker_id, g.queue_id, g.claimed_at,
         (e->>0)::bigint AS job_id, (e->>2)::smallint AS lane, (e->>3)::smallint AS attempt, (e->>4)::smallint AS max_attempts,
         (e->>5)::smallint + 1 AS crashes, to_timestamp((e->>6)::float8) AS enqueued_at, e->>7 AS org_id, e->>8 AS kind,
         e->>9 AS unique_key, nullif((e->10)::text, 'null')::json AS meta, e->11 AS args
  FROM gone g CROSS JOIN LATERAL json_array_elements(g.jobs::json) e
  WHERE NOT (e->>0)::bigint = ANY (g.finished)
), dead AS (
  INSERT INTO job_dead (job_id, queue_id, lane, attempt, max_attempts, crashes, enqueued_at, org_id, kind, args, unique_key,
                        meta, error_class)
  SELECT job_id, queue_id, lane %% 4, attempt, max_attempts, crashes, enqueued_at, org_id, kind, args, unique_key, meta, 'WorkerDied'
  FROM unfinished WHERE crashes >= %(max_crashes)s
), keys AS (
  DELETE FROM job_unique u USING unfinished f
  WHERE f.crashes >= %(max_crashes)s AND u.queue_id = f.queue_id AND u.org_id = f.org_id AND u.key = f.unique_key AND u.job_id = f.job_id
), back AS (
  INSERT INTO job (queue_id, lane, attempt, max_attempts, crashes, job_id, enqueued_at, org_id, kind, args, unique_key, meta)
  SELECT queue_id, lane %% 4 + 4, attempt, max_attempts, crashes, job_id, enqueued_at, org_id, kind, args, unique_key, meta
  FROM unfinished WHERE crashes < %(max_crashes)s ORDER BY job_id
), logged AS (
  INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind, error)
  SELECT job_id, worker_id, least(2147483647, 1000 * date_part('epoch', now() - claimed_at))::int, queue_id, attempt + 1,
         CASE WHEN crashes >= %(max_crashes)s THEN 4 ELSE 5 END, org_id, kind,
         json_build_object('class', 'WorkerDied', 'message', 'The worker process died while it held this job.')
  FROM unfinished
)
SELECT q.name AS queue, q.pool, u.queue_id, u.org_id, u.lane %% 4 + 4 AS lane, count(*) AS jobs,
       count(*) FILTER (WHERE u.crashes >= %(max_crashes)s) AS dead
FROM unfinished u JOIN queue q ON q.id = u.queue_id
GROUP BY 1, 2, 3, 4, 5
